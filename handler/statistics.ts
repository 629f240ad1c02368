/** The numbers a refresh reports: one row of a relation the settings name, or the view's row count. */
import type { QueryResult } from "pg";
import type { Session } from "./connect";
import { quotedName } from "./names";
import type { ViewSettings } from "./settings";

/** Column name to number. Text stands for whole numbers that a double cannot hold exactly. */
export type Statistics = Record<string, number | string>;

/** pg_type.oid of int8, int2, int4, float4, float8 and numeric: a report has numbers, never what rows say. */
const NUMBER_TYPES = new Set([20, 21, 23, 700, 701, 1700]);

/**
 * Reads the numbers inside the refresh's transaction, in one round trip, behind a savepoint: statistics that fail
 * must not undo the refresh they describe.
 * @throws the server's error, with the transaction still good.
 */
export async function readStatistics(session: Session, view: ViewSettings): Promise<Statistics> {
  const query =
    view.statistics === undefined
      ? `SELECT pg_catalog.count(*) AS total_rows FROM ${quotedName(view)}`
      : `SELECT * FROM ${quotedName(view.statistics)} LIMIT 1`;
  try {
    const results = await session.results(`SAVEPOINT statistics; ${query}; RELEASE SAVEPOINT statistics`);
    return numbersOf(results[1]);
  } catch (error) {
    if (!session.lost) await session.query("ROLLBACK TO SAVEPOINT statistics");
    throw error;
  }
}

function numbersOf(result: QueryResult | undefined): Statistics {
  const row = (result?.rows[0] ?? {}) as Record<string, unknown>;
  const numeric = (result?.fields ?? []).filter((field) => NUMBER_TYPES.has(field.dataTypeID));
  return Object.fromEntries(numeric.map((field) => [field.name, exactNumber(row[field.name])]));
}

/** A bigint or numeric arrives as text; it stays text only where a double would change it. */
function exactNumber(value: unknown): number | string {
  if (typeof value !== "string" && typeof value !== "number") return 0;
  const asNumber = Number(value);
  const isInexact = typeof value === "string" && /^-?\d+$/.test(value) && !Number.isSafeInteger(asNumber);
  return isInexact || !Number.isFinite(asNumber) ? String(value) : asNumber;
}
