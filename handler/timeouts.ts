/**
 * How the handler's time is divided. No import here: the plan proves with the same numbers that the server
 * stops a statement before Lambda stops the function.
 */

/**
 * What is kept back from the function's time, in milliseconds, to cancel the statement, roll back, write the
 * log and the metrics, and return: the failure is then reported by the handler and not by a killed process.
 */
export const STATEMENT_MARGIN_MS = 2_000;

/** A statement that would get less than this many milliseconds is not begun. */
export const SHORTEST_STATEMENT_MS = 500;

/**
 * The `statement_timeout` in whole milliseconds for a statement that begins with `remainingMs` of the
 * invocation left, or `undefined` when too little is left to begin one. Never 0, which Postgres reads as
 * "no limit".
 */
export function statementTimeoutMs(remainingMs: number): number | undefined {
  const availableMs = Math.floor(remainingMs - STATEMENT_MARGIN_MS);
  return availableMs >= SHORTEST_STATEMENT_MS ? availableMs : undefined;
}
