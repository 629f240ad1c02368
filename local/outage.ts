import { describeSeconds, parseDurationSeconds } from "./duration";
import type { LocalPostgres } from "./postgres";
import type { ServerGuard } from "./serverGuard";
import type { Terminal } from "./terminal";
import { sleepUntil } from "./ticker";
import type { TickRunner } from "./tickRunner";

/** A planned stop of the database under the run. */
export interface Outage {
  /** Counted from the start of the schedule. */
  afterSeconds: number;
  lastsSeconds: number;
}

/**
 * Reads `--outage 20s,15s`: after 20 seconds, for 15 seconds.
 * @throws Error that shows the accepted form
 */
export function parseOutage(text: string): Outage {
  const parts = text.split(",");
  if (parts.length !== 2) throw new Error(`"${text}" is not an outage; write when,how long, such as 20s,15s`);
  const [afterSeconds, lastsSeconds] = parts.map(parseDurationSeconds) as [number, number];
  return { afterSeconds, lastsSeconds };
}

/** Stops the server as planned and starts it again; a run that ends meanwhile leaves it stopped. Never rejects. */
export async function holdOutage(
  outage: Outage,
  startEpochMs: number,
  server: LocalPostgres,
  guard: ServerGuard,
  ticks: Pick<TickRunner, "beginOutage">,
  terminal: Terminal,
  over: AbortSignal,
): Promise<void> {
  const beginEpochMs = startEpochMs + outage.afterSeconds * 1000;
  await sleepUntil(beginEpochMs, over);
  if (over.aborted) return;
  terminal.event(`Outage: PostgreSQL is stopped for ${describeSeconds(outage.lastsSeconds)}`);
  guard.pause();
  ticks.beginOutage();
  await server.stop().catch((error: unknown) => {
    terminal.event(`PostgreSQL did not stop: ${error instanceof Error ? error.message : String(error)}`);
  });
  await sleepUntil(beginEpochMs + outage.lastsSeconds * 1000, over);
  if (await guard.startAgain(over)) terminal.event("Outage over: PostgreSQL is back");
  guard.resume();
}
