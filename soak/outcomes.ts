/** What a run came to, in the words of a report. */
import type { Run } from "./bed/bed";

/** Codes of failures as the function names them: `(SQLSTATE 55P03). To fix it`, `(ECONNRESET). To fix it`. */
const CODES = /\((?:SQLSTATE )?([0-9A-Z_]+)\)\. To fix it/g;

/**
 * `refreshed`, `skipped`, `timedOut` and `crashed`, or the codes of what failed.
 * A failure without a code is `unnamed`: no failure should be.
 */
export function outcomesOf({ invocation }: Run): string[] {
  const { outcome, value, error } = invocation;
  if (outcome === "timedOut" || outcome === "crashed") return [outcome];
  if (outcome === "succeeded") return [refreshTypeOf(value) === "skipped" ? "skipped" : "refreshed"];
  const codes = [...(error?.errorMessage ?? "").matchAll(CODES)].flatMap(([, code]) => code ?? []);
  return codes.length === 0 ? ["unnamed"] : [...new Set(codes)];
}

function refreshTypeOf(value: unknown): string | undefined {
  const { body } = (value ?? {}) as { body?: string };
  return body === undefined ? undefined : (JSON.parse(body) as { refresh_type?: string }).refresh_type;
}
