import { parseDurationSeconds } from "./duration";

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
