/** Finds a statement timeout in a function's variables, as PostgreSQL writes it. */
import type { Reading } from "./reading";

const UNIT_MS: Record<string, number> = { "": 1, ms: 1, s: 1_000, min: 60_000, h: 3_600_000 };

/**
 * The statement timeout that a variable sets, in milliseconds (0 is "no limit"): either in a variable named after
 * it, or as an option of libpq's PGOPTIONS. Undefined where the variable is about something else.
 */
export function statementTimeoutOf(
  variable: string,
  value: Reading<string>,
): { ms: number } | "unknown" | undefined {
  const isNamed = /statement_?timeout/i.test(variable);
  if (!isNamed && variable !== "PGOPTIONS") return undefined;
  if (value.state === "unknown") return "unknown";
  if (value.state === "absent") return undefined;
  const text = isNamed ? value.value : /statement_timeout\s*=\s*'?([\w.]+)/.exec(value.value)?.[1];
  const parts = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h)?\s*$/.exec(text ?? "");
  if (parts === null) return undefined;
  const isInSeconds = parts[2] === undefined && /_seconds?$|_s$/i.test(variable);
  return { ms: Number(parts[1]) * (isInSeconds ? 1_000 : (UNIT_MS[parts[2] ?? ""] ?? 1)) };
}
