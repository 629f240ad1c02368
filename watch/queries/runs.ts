/** Single rows of history: the runs that stand for others, the last failures, and what alarms are replayed from. */
import { HISTORY_TABLE } from "../../handler/catalog";
import type { Reader } from "../reader";
import type { CatalogView, HistoryState } from "./catalog";
import { rowJson, viewRows, type HistoryRow } from "./now";

const IDS_AT_ONCE = 2_000;

/** Rows by their ids, in no order; rows that were pruned meanwhile are left out. */
export async function readRuns(reader: Reader, ids: number[], history: HistoryState): Promise<HistoryRow[]> {
  const found: HistoryRow[] = [];
  for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
    const some = ids.slice(from, from + IDS_AT_ONCE).join(", ");
    const rows = await reader.rows<{ row: HistoryRow }>(
      `SELECT ${rowJson("h", history)} AS "row" FROM ${HISTORY_TABLE} h WHERE h.id = ANY (ARRAY[${some}]::bigint[])`,
    );
    found.push(...rows.map(({ row }) => row));
  }
  return found;
}

const FAILURES_SHOWN = 20;

export const failuresQuery = (views: CatalogView[], history: HistoryState, afterId: number): string => `
SELECT v.n AS "view", ${rowJson("failure", history)} AS "row"
  FROM (VALUES ${viewRows(views)}) AS v (n, schema, name, oid)
 CROSS JOIN LATERAL (
   SELECT h.* FROM ${HISTORY_TABLE} h
    WHERE h.view_schema = v.schema AND h.view_name = v.name AND h.outcome = 'failed' AND h.id > ${afterId}
    ORDER BY h.id DESC LIMIT ${FAILURES_SHOWN}) failure
 ORDER BY failure.id DESC`;

/** The last failures of each view after an id, the newest first. */
export async function readFailures(
  reader: Reader,
  views: CatalogView[],
  history: HistoryState,
  afterId: number,
): Promise<{ view: number; row: HistoryRow }[]> {
  if (views.length === 0) return [];
  return reader.rows(failuresQuery(views, history, afterId));
}

/** What an alarm needs to know of one view in one run; times in seconds since 1970. */
export interface AlarmRow {
  id: number;
  view: number;
  runId: string;
  outcome: HistoryRow["outcome"];
  isFull: boolean | null;
  started: number;
  finished: number;
  drift: number | null;
}

const ALARM_ROWS_AT_ONCE = 10_000;

/** Rows after an id that ended before a moment, in order. */
export async function readAlarmRows(
  reader: Reader,
  views: Pick<CatalogView, "schema" | "name" | "oid">[],
  history: HistoryState,
  { afterId, beforeSeconds }: { afterId: number; beforeSeconds: number },
): Promise<AlarmRow[]> {
  const found: AlarmRow[] = [];
  if (views.length === 0) return found;
  for (;;) {
    const rows = await reader.rows<AlarmRow>(
      `SELECT h.id::double precision AS "id", v.n AS "view", coalesce(h.run_id, h.id::text) AS "runId", h.outcome AS "outcome",
              CASE WHEN h.refresh_type IN ('incremental', 'full') THEN h.refresh_type = 'full' END AS "isFull",
              pg_catalog.date_part('epoch', h.started_at) AS "started",
              pg_catalog.date_part('epoch', h.finished_at) AS "finished",
              ${history.knowsFolds ? "h.drift::double precision" : "NULL"} AS "drift"
         FROM ${HISTORY_TABLE} h
         JOIN (VALUES ${viewRows(views)}) AS v (n, schema, name, oid)
           ON v.schema = h.view_schema AND v.name = h.view_name
        WHERE h.id > ${found.at(-1)?.id ?? afterId} AND h.finished_at < pg_catalog.to_timestamp(${beforeSeconds})
        ORDER BY h.id LIMIT ${ALARM_ROWS_AT_ONCE}`,
    );
    found.push(...rows);
    if (rows.length < ALARM_ROWS_AT_ONCE) return found;
  }
}

/** Whether there is history before a row. */
export async function hasHistoryThrough(reader: Reader, id: number): Promise<boolean> {
  const [row] = await reader.rows<{ is: boolean }>(
    `SELECT EXISTS (SELECT FROM ${HISTORY_TABLE} WHERE id <= ${id}) AS "is"`,
  );
  return row?.is ?? false;
}
