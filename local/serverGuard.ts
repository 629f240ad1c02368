import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "./livingProcess";
import type { LocalPostgres } from "./postgres";

const lookEveryMs = 250;
const retryMs = 3_000;

/**
 * Watches the embedded server and starts it again when it died, as RDS does with a crashed instance. A stop
 * that was asked for is announced with {@link pause} and is no death.
 */
export class ServerGuard {
  private paused = false;

  constructor(
    private readonly server: LocalPostgres,
    private readonly say: (message: string) => void,
  ) {}

  /** Runs until `stop`; never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      if (!this.paused && !isAlive(this.server.pid)) await this.bringBack(stop);
      await sleep(lookEveryMs, undefined, { signal: stop }).catch(() => undefined);
    }
  }

  /** The server is about to be stopped on purpose. */
  pause(): void {
    this.paused = true;
  }

  /** The server runs again. */
  resume(): void {
    this.paused = false;
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

  private async bringBack(stop: AbortSignal): Promise<void> {
    this.say(`PostgreSQL died (process ${this.server.pid}); starting it again, as RDS would`);
    if (await this.startAgain(stop)) this.say(`PostgreSQL is back (process ${this.server.pid})`);
  }
}
