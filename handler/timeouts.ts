/**
 * How the handler's time is divided. No import here: the plan proves with the same numbers that the server
 * stops a statement before Lambda stops the function.
 */

/**
 * What is kept back from the function's time at the most, in milliseconds, to cancel the statement, roll back,
 * write the log and the metrics, and return: the failure is then reported by the handler and not by a killed
 * process.
 */
const STATEMENT_MARGIN_MS = 2_000;

/** Of a short timeout only this share is kept back. */
const STATEMENT_MARGIN_SHARE = 0.05;

/** Milliseconds kept back from an invocation that has `totalMs` in all. */
export function statementMarginMs(totalMs: number): number {
  return Math.min(STATEMENT_MARGIN_MS, totalMs * STATEMENT_MARGIN_SHARE);
}

/**
 * The most that a statement may take, in whole milliseconds, when `remainingMs` of `totalMs` are left. 0 means
 * that none may begin; it must not reach Postgres, which reads a `statement_timeout` of 0 as "no limit".
 */
export function statementTimeoutMs(remainingMs: number, totalMs: number): number {
  return Math.max(0, Math.floor(remainingMs - statementMarginMs(totalMs)));
}
