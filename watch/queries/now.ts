/** How the views stand now: their last refresh, their last run, and how often they failed since. */
import { escapeLiteral } from "pg";
import { HISTORY_TABLE } from "../../handler/catalog";
import type { Reader } from "../reader";
import type { CatalogView, HistoryState } from "./catalog";

/** A row of history, times in milliseconds since 1970. */
export interface HistoryRow {
  id: number;
  outcome: "refreshed" | "skipped" | "failed";
  kind: "concurrent" | "regular" | "incremental" | "full" | null;
  asOfMs: number | null;
  startedMs: number;
  finishedMs: number;
  seconds: number;
  sqlstate: string | null;
  reason: string | null;
  changes: number | null;
  changedRows: number | null;
  drift: number | null;
  remedy: string | null;
  blockers: string[] | null;
}

export interface NowRow {
  /** Index of the view among those that were asked for. */
  view: number;
  lastRefresh: HistoryRow | null;
  lastRun: HistoryRow | null;
  /** Failures since the last refresh, counted up to {@link MOST_COUNTED}. */
  failedRuns: number;
}

/** Failures in a row beyond this are "100 or more". */
export const MOST_COUNTED = 100;

/** SQL for milliseconds since 1970. */
export const epochMs = (time: string): string => `(pg_catalog.date_part('epoch', ${time}) * 1000)`;

/** `(0, 'public', 'job_progress', 16464), …`: the views by number, name and oid. */
export const viewRows = (views: Pick<CatalogView, "schema" | "name" | "oid">[]): string =>
  views
    .map(
      ({ schema, name, oid }, n) => `(${n}, ${escapeLiteral(schema)}, ${escapeLiteral(name)}, ${oid}::oid)`,
    )
    .join(", ");

/** A row of history as JSON; columns that this history has not are null. */
export const rowJson = (row: string, { knowsFolds, knowsRemedies }: HistoryState): string => `
  pg_catalog.json_build_object(
    'id', ${row}.id, 'outcome', ${row}.outcome, 'kind', ${row}.refresh_type,
    'asOfMs', ${epochMs(`${row}.as_of`)}, 'startedMs', ${epochMs(`${row}.started_at`)},
    'finishedMs', ${epochMs(`${row}.finished_at`)}, 'seconds', ${row}.duration_seconds, 'sqlstate', ${row}.sqlstate,
    'reason', ${row}.reason, 'changes', ${orNull(knowsFolds, `${row}.changes`)},
    'changedRows', ${orNull(knowsFolds, `${row}.changed_rows`)}, 'drift', ${orNull(knowsFolds, `${row}.drift`)},
    'remedy', ${orNull(knowsRemedies, `${row}.remedy`)}, 'blockers', ${orNull(knowsRemedies, `${row}.blockers`)})`;

const orNull = (isThere: boolean, column: string): string => (isThere ? column : "NULL");

/**
 * Each by an index, whatever the length of the history. A view that was dropped and made anew does not inherit the age
 * of its predecessor: the oid of a refresh has to match.
 */
export function nowQuery(views: CatalogView[], history: HistoryState): string {
  const ofView = "h.view_schema = v.schema AND h.view_name = v.name";
  return `
SELECT v.n AS "view", ${rowJson("refreshed", history)} AS "lastRefresh", ${rowJson("last_run", history)} AS "lastRun",
       failed.runs AS "failedRuns"
  FROM (VALUES ${viewRows(views)}) AS v (n, schema, name, oid)
  LEFT JOIN LATERAL (
    SELECT h.* FROM ${HISTORY_TABLE} h
     WHERE ${ofView} AND h.outcome = 'refreshed' AND h.view_oid = v.oid ORDER BY h.id DESC LIMIT 1) refreshed ON true
  LEFT JOIN LATERAL (
    SELECT h.* FROM ${HISTORY_TABLE} h WHERE ${ofView} ORDER BY h.id DESC LIMIT 1) last_run ON true
  CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*)::int AS runs
      FROM (SELECT FROM ${HISTORY_TABLE} h
             WHERE ${ofView} AND h.outcome = 'failed' AND h.id > coalesce(refreshed.id, 0)
             ORDER BY h.id DESC LIMIT ${MOST_COUNTED}) AS counted) failed
 ORDER BY v.n`;
}

/** A row that is none has no id. */
const known = (row: HistoryRow | null): HistoryRow | null => (row?.id == null ? null : row);

export async function readNow(
  reader: Reader,
  views: CatalogView[],
  history: HistoryState,
): Promise<NowRow[]> {
  if (views.length === 0) return [];
  const rows = await reader.rows<NowRow>(nowQuery(views, history));
  return rows.map((row) => ({ ...row, lastRefresh: known(row.lastRefresh), lastRun: known(row.lastRun) }));
}

/** The server's clock and the newest row of history: what every poll asks first. */
export interface Pulse {
  nowMs: number;
  lastId: number;
}

export async function readPulse(reader: Reader, mayReadHistory: boolean): Promise<Pulse> {
  const lastId = mayReadHistory ? `(SELECT pg_catalog.max(id) FROM ${HISTORY_TABLE})` : "NULL";
  const [row] = await reader.rows<Pulse>(
    `SELECT ${epochMs("pg_catalog.clock_timestamp()")} AS "nowMs", coalesce(${lastId}, 0)::double precision AS "lastId"`,
  );
  return row as Pulse;
}

const RUNS_LOOKED_AT = 60;

/** When the last runs of each view began, the newest first, in milliseconds since 1970. */
export async function readLastStarts(reader: Reader, views: CatalogView[]): Promise<number[][]> {
  if (views.length === 0) return [];
  const rows = await reader.rows<{ starts: number[] }>(`
    SELECT ARRAY(SELECT ${epochMs("h.started_at")} FROM ${HISTORY_TABLE} h
                  WHERE h.view_schema = v.schema AND h.view_name = v.name
                  ORDER BY h.id DESC LIMIT ${RUNS_LOOKED_AT}) AS "starts"
      FROM (VALUES ${viewRows(views)}) AS v (n, schema, name, oid) ORDER BY v.n`);
  return rows.map(({ starts }) => starts);
}
