/** What a run came to, in the words of a report. */
import { tickOf } from "../local/tally";
import type { Run } from "./bed/bed";

/** Codes of failures as the function names them: `(SQLSTATE 55P03). To fix it`, `(ECONNRESET). To fix it`. */
const CODES = /\((?:SQLSTATE )?([0-9A-Z_]+)\)\. To fix it/g;

/** Those that a message names, each once. */
export const codesIn = (message: string): string[] => [
  ...new Set([...message.matchAll(CODES)].flatMap(([, code]) => code ?? [])),
];

/**
 * `refreshed`, `skipped`, `timedOut` and `crashed`, or the codes of what failed.
 * A failure without a code is `unnamed`: no failure should be.
 */
export function outcomesOf({ invocation }: Run): string[] {
  const { outcome } = tickOf(invocation, false);
  if (outcome !== "failed") return [outcome];
  const codes = codesIn(invocation.error?.errorMessage ?? "");
  return codes.length === 0 ? ["unnamed"] : codes;
}
