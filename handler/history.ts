/** The record of every run: how fresh each view is, and why it was not made fresher. */
import { HISTORY_TABLE, isoTime, type HistoryAccess } from "./catalog";
import type { Session } from "./connect";
import type { RefreshType } from "./mode";
import type { QualifiedName } from "./settings";

/** One row of matview_refresh_history. Times are ISO 8601 text from the database's own clock. */
export interface HistoryEntry {
  view: QualifiedName;
  oid: number | null;
  outcome: "refreshed" | "skipped" | "failed";
  refreshType: RefreshType | null;
  /** The time the data is of; null unless refreshed. */
  asOf: string | null;
  /** Null where the server's clock was never read: the row then starts when it is written. */
  startedAt: string | null;
  durationSeconds: number;
  sqlstate: string | null;
  /** Why it was skipped, failed or not concurrent; never with a row's value. */
  reason: string | null;
  runId: string;
}

const LAST_AS_OF = `
(SELECT before.as_of FROM ${HISTORY_TABLE} before
  WHERE before.view_schema = $1 AND before.view_name = $2 AND before.outcome = 'refreshed' AND before.view_oid = $3
  ORDER BY before.id DESC LIMIT 1)`;

/**
 * Writes the row, in the refresh's own transaction when it succeeded.
 * @returns seconds since the time of the data that readers saw before this row; undefined where it is not known.
 */
export async function recordOutcome(
  session: Session,
  access: HistoryAccess,
  entry: HistoryEntry,
): Promise<number | undefined> {
  const staleness = `extract(epoch FROM pg_catalog.clock_timestamp() - ${LAST_AS_OF})::double precision`;
  const [row] = await session.query<{ stalenessSeconds: number | null }>(
    `INSERT INTO ${HISTORY_TABLE}
       (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds,
        sqlstate, reason, run_id)
     VALUES ($1, $2, $3, $4, $5, $6::timestamptz, coalesce($7::timestamptz, pg_catalog.clock_timestamp()),
             pg_catalog.clock_timestamp(), $8, $9, $10, $11)
     ${access.maySelect ? `RETURNING ${staleness} AS "stalenessSeconds"` : ""}`,
    [
      entry.view.schema,
      entry.view.name,
      entry.oid,
      entry.outcome,
      entry.refreshType,
      entry.asOf,
      entry.startedAt,
      entry.durationSeconds,
      entry.sqlstate,
      entry.reason,
      entry.runId,
    ],
  );
  return row?.stalenessSeconds ?? undefined;
}

/** The last known time of a view's data, as ISO 8601 text; undefined where history has none of this very view. */
export async function lastAsOf(session: Session, view: QualifiedName): Promise<string | undefined> {
  const [row] = await session.query<{ asOf: string | null }>(
    `SELECT ${isoTime("h.as_of")} AS "asOf" FROM ${HISTORY_TABLE} h
       JOIN pg_catalog.pg_class c ON c.oid = h.view_oid AND c.relname = $2
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1
      WHERE h.view_schema = $1 AND h.view_name = $2 AND h.outcome = 'refreshed'
      ORDER BY h.id DESC LIMIT 1`,
    [view.schema, view.name],
  );
  return row?.asOf ?? undefined;
}

const PRUNED_AT_ONCE = 1_000;

/**
 * Deletes rows past the retention, but keeps the last refresh of each view, without which its age is unknown. Looks
 * at the oldest rows alone, so that it costs the same however long the table is.
 */
export async function pruneHistory(session: Session, retentionDays: number): Promise<void> {
  await session.query(
    `DELETE FROM ${HISTORY_TABLE} h
      USING (SELECT id, finished_at FROM ${HISTORY_TABLE} ORDER BY id LIMIT ${PRUNED_AT_ONCE}) oldest
      WHERE h.id = oldest.id
        AND oldest.finished_at < pg_catalog.now() - pg_catalog.make_interval(days => $1)
        AND (h.outcome <> 'refreshed'
             OR EXISTS (SELECT FROM ${HISTORY_TABLE} newer
                         WHERE newer.view_schema = h.view_schema AND newer.view_name = h.view_name
                           AND newer.outcome = 'refreshed' AND newer.id > h.id))`,
    [retentionDays],
  );
}
