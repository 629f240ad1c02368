/** Keeps the local server up during a run, and takes it down for a planned outage. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describeSeconds, parseDurationSeconds } from "../duration";
import { sleepUntil } from "../ticker";
import type { LocalPostgres } from "./postgres";

/** A planned stop of the database under the run. */
export interface Outage {
  /** Counted from the start of the schedule. */
  afterSeconds: number;
  lastsSeconds: number;
}

/** A timer of Node counts 24 days and then none at all. */
const LONGEST_WAIT_SECONDS = 86_400;

/**
 * Reads `--outage 20s,15s`: after 20 seconds, for 15 seconds.
 * @throws Error that shows the accepted form
 */
export function parseOutage(text: string): Outage {
  const parts = text.split(",");
  if (parts.length !== 2) throw new Error(`"${text}" is not an outage; write when,how long, such as 20s,15s`);
  const [afterSeconds, lastsSeconds] = parts.map(parseDurationSeconds) as [number, number];
  if (Math.max(afterSeconds, lastsSeconds) > LONGEST_WAIT_SECONDS)
    throw new Error(`"${text}" takes longer than a day; write when,how long, such as 20s,15s`);
  return { afterSeconds, lastsSeconds };
}

const retryMs = 3_000;

/** Starts the server again when it died, as RDS does with a crashed instance, and at the end of an outage. */
export class ServerGuard {
  private outage: Promise<void> | undefined;

  constructor(
    private readonly server: LocalPostgres,
    private readonly say: (message: string) => void,
  ) {}

  /** Watches until `stop`; never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    if (stop.aborted) return;
    const stopped = once(stop, "abort");
    for (;;) {
      await Promise.race([this.server.ended, stopped]);
      if (stop.aborted) return;
      if (this.outage !== undefined) {
        await this.outage;
        continue;
      }
      this.say(`PostgreSQL died (process ${this.server.pid}); starting it again, as RDS would`);
      if (await this.startAgain(stop)) this.say(`PostgreSQL is back (process ${this.server.pid})`);
    }
  }

  /**
   * Stops the server as planned and starts it again; a run that ends meanwhile leaves it stopped. Never rejects.
   * @param onBegin told just before the server is stopped
   */
  async holdOutage(
    { afterSeconds, lastsSeconds }: Outage,
    startEpochMs: number,
    onBegin: () => void,
    stop: AbortSignal,
  ): Promise<void> {
    const beginEpochMs = startEpochMs + afterSeconds * 1000;
    await sleepUntil(beginEpochMs, stop);
    if (stop.aborted) return;
    this.say(`Outage: PostgreSQL is stopped for ${describeSeconds(lastsSeconds)}`);
    onBegin();
    const downAndUp = async (): Promise<void> => {
      await this.server.stop();
      await sleepUntil(beginEpochMs + lastsSeconds * 1000, stop);
      if (await this.startAgain(stop)) this.say("Outage over: PostgreSQL is back");
    };
    this.outage = downAndUp();
    await this.outage;
    this.outage = undefined;
  }

  /** Tries until the server runs. @returns false when `stop` came first */
  async startAgain(stop: AbortSignal): Promise<boolean> {
    while (!stop.aborted) {
      try {
        await this.server.restart();
        return true;
      } catch (error) {
        this.say(`PostgreSQL did not start: ${error instanceof Error ? error.message : String(error)}`);
        await sleep(retryMs, undefined, { signal: stop }).catch(() => undefined);
      }
    }
    return false;
  }
}
