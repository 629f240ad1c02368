/**
 * The numbers a refresh reports: one row of a relation the settings name, or the view's row count. Read after the
 * refresh has been committed, in little time: what fails here costs the numbers and nothing else.
 */
import type { QueryResult } from "pg";
import type { Budget, Share } from "./budget";
import type { ViewFacts } from "./catalog";
import type { Session } from "./connect";
import { displayName, quotedName } from "./names";
import type { Statistics } from "./outcome";
import type { Report } from "./report";
import type { ViewSettings } from "./settings";

const LONGEST_MS = 2_000;
const LARGEST_SHARE_OF_RUN = 0.05;

/** pg_type.oid of int8, int2, int4, float4, float8 and numeric: a report has numbers, never what rows say. */
const NUMBER_TYPES = new Set([20, 21, 23, 700, 701, 1700]);

/** The statistics, or none and a note that says why. */
export async function readStatistics(
  session: Session,
  view: ViewSettings,
  facts: ViewFacts,
  time: { budget: Budget; share: Share },
  report: Report,
): Promise<Statistics> {
  const relation = displayName(view.statistics ?? view);
  const isReadable = view.statistics === undefined ? facts.viewReadable : facts.statisticsReadable;
  if (!isReadable) {
    report.note(`no statistics: role ${facts.currentUser} cannot read ${relation}, or it is not there`);
    return {};
  }
  const limitMs = Math.min(LONGEST_MS, time.budget.totalMs * LARGEST_SHARE_OF_RUN, time.share.leftMs());
  const query =
    view.statistics === undefined
      ? `SELECT pg_catalog.count(*) AS total_rows FROM ${quotedName(view)}`
      : `SELECT * FROM ${quotedName(view.statistics)} LIMIT 1`;
  try {
    return numbersOf(await session.resultWithin(limitMs, query));
  } catch (error) {
    const remedy =
      view.statistics === undefined
        ? "name a relation of one row as `statistics` of the view"
        : "let it read less, or read it from an index";
    report.note(`no statistics: ${whyNone(error, relation, limitMs, remedy)}`);
    return {};
  }
}

function whyNone(error: unknown, relation: string, limitMs: number, remedy: string): string {
  const { code, message } = error as { code?: string; message?: string };
  if (code === "57014")
    return `reading ${relation} was not done after ${Math.round(limitMs)} ms; to fix it: ${remedy}`;
  if (code === "55P03") return `${relation} was locked by somebody else (55P03)`;
  // Without a code it is the client that speaks, of its connection; the server's message may quote a row.
  return `reading ${relation} failed (${code ?? message})`;
}

function numbersOf(result: QueryResult): Statistics {
  const [row] = result.rows as Record<string, unknown>[];
  if (row === undefined) return {};
  const numeric = result.fields.filter((field) => NUMBER_TYPES.has(field.dataTypeID));
  return Object.fromEntries(numeric.map((field) => [field.name, exactNumber(row[field.name])]));
}

/** A bigint or numeric arrives as text; it stays text only where a double would change it, as NaN does JSON. */
function exactNumber(value: unknown): number | string | null {
  if (typeof value !== "string" && typeof value !== "number") return null;
  const asNumber = Number(value);
  const isInexact = typeof value === "string" && /^-?\d+$/.test(value) && !Number.isSafeInteger(asNumber);
  return isInexact || !Number.isFinite(asNumber) ? String(value) : asNumber;
}
