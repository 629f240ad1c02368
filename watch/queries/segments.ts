/**
 * History, summed up by the server into segments: the runs of one view that ended in one slice of time, of one reading.
 * Readings are of so many rows and no more, so that each is short however long the history is; what was read once is
 * kept, since a row never changes.
 */
import { HISTORY_TABLE } from "../../handler/catalog";
import type { Reader } from "../reader";
import type { CatalogView } from "./catalog";
import { viewRows } from "./now";

/** What a view's runs are measured against. */
export interface Measure {
  promiseSeconds: number | null;
  /** Runs that begin further apart than this leave room for ticks that never came; null where none are expected. */
  gapSeconds: number | null;
}

/** The runs of one view in one slice, in the order of their ids. Times are in seconds since 1970. */
export interface Segment {
  view: number;
  slice: number;
  firstId: number;
  lastId: number;
  refreshed: number;
  skipped: number;
  failed: number;
  firstStart: number;
  lastStart: number;
  /** Ends of the first and the last refresh; null where there was none. */
  firstRefresh: number | null;
  lastRefresh: number | null;
  /** Times of the data that the first and the last refresh brought. */
  firstAsOf: number | null;
  lastAsOf: number | null;
  /** Refreshes of which the time of the data is not known. */
  unknown: number;
  /** The refresh before which the age was highest: that age, when it ended, the time of the data it brought. */
  peak: [ageSeconds: number, atSeconds: number, asOfSeconds: number] | null;
  /** Seconds between two refreshes of the segment in which the age was over the promise. */
  lateSeconds: number;
  /** The run that says most: what it came to, its seconds, its id. */
  tick: [weight: number, seconds: number, id: number];
  /** Pairs of starts that are far apart. */
  gaps: [fromSeconds: number, toSeconds: number][] | null;
  durations: number[] | null;
}

/** A failure says more than a full run, that more than any refresh, and a skip the least. */
const WEIGHT = `CASE outcome WHEN 'failed' THEN 3 WHEN 'skipped' THEN 0
                 ELSE CASE WHEN refresh_type = 'full' THEN 2 ELSE 1 END END`;

/** As many rows are read at once: about 30 ms of an idle core. */
export const ROWS_AT_ONCE = 10_000;

const orNull = (value: number | null): string => (value === null ? "NULL" : String(value));

/** Ids in `(afterId, throughId]`; what ended before `fromSeconds` is left out. */
export interface Stretch {
  afterId: number;
  throughId: number;
  fromSeconds: number;
  sliceSeconds: number;
}

export function segmentsQuery(
  views: CatalogView[],
  measures: Measure[],
  { afterId, throughId, fromSeconds, sliceSeconds }: Stretch,
): string {
  const measureRows = measures
    .map(
      ({ promiseSeconds, gapSeconds }, n) =>
        `(${n}, ${orNull(promiseSeconds)}::float8, ${orNull(gapSeconds)}::float8)`,
    )
    .join(", ");
  return `
WITH runs AS (
  SELECT v.n, m.promise, m.gap, h.id, h.outcome, h.refresh_type, h.duration_seconds,
         pg_catalog.floor(pg_catalog.date_part('epoch', h.finished_at) / ${sliceSeconds})::double precision AS slice,
         pg_catalog.date_part('epoch', h.started_at) AS started,
         pg_catalog.date_part('epoch', h.finished_at) AS finished,
         pg_catalog.date_part('epoch', h.as_of) AS as_of
    FROM ${HISTORY_TABLE} h
    JOIN (VALUES ${viewRows(views)}) AS v (n, schema, name, oid) ON v.schema = h.view_schema AND v.name = h.view_name
    JOIN (VALUES ${measureRows}) AS m (n, promise, gap) ON m.n = v.n
   WHERE h.id > ${afterId} AND h.id <= ${throughId}
     AND h.finished_at >= pg_catalog.to_timestamp(${fromSeconds})
),
followed AS (
  SELECT runs.*,
         CASE WHEN outcome = 'refreshed' THEN pg_catalog.max(as_of) OVER earlier END AS before,
         pg_catalog.max(finished) FILTER (WHERE outcome = 'refreshed') OVER earlier AS refreshed_before,
         pg_catalog.max(started) OVER earlier AS started_before
    FROM runs
  WINDOW earlier AS (PARTITION BY n, slice ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT n AS "view", slice AS "slice",
       pg_catalog.min(id)::double precision AS "firstId", pg_catalog.max(id)::double precision AS "lastId",
       (pg_catalog.count(*) FILTER (WHERE outcome = 'refreshed'))::int AS "refreshed",
       (pg_catalog.count(*) FILTER (WHERE outcome = 'skipped'))::int AS "skipped",
       (pg_catalog.count(*) FILTER (WHERE outcome = 'failed'))::int AS "failed",
       pg_catalog.min(started) AS "firstStart", pg_catalog.max(started) AS "lastStart",
       pg_catalog.min(finished) FILTER (WHERE outcome = 'refreshed') AS "firstRefresh",
       pg_catalog.max(finished) FILTER (WHERE outcome = 'refreshed') AS "lastRefresh",
       pg_catalog.min(as_of) FILTER (WHERE outcome = 'refreshed') AS "firstAsOf", pg_catalog.max(as_of) AS "lastAsOf",
       (pg_catalog.count(*) FILTER (WHERE outcome = 'refreshed' AND as_of IS NULL))::int AS "unknown",
       pg_catalog.max(ARRAY[finished - before, finished, as_of]) FILTER (WHERE before IS NOT NULL AND as_of IS NOT NULL)
         AS "peak",
       coalesce(pg_catalog.sum(greatest(0, finished - greatest(refreshed_before, before + promise)))
                FILTER (WHERE before IS NOT NULL AND refreshed_before IS NOT NULL), 0) AS "lateSeconds",
       pg_catalog.max(ARRAY[${WEIGHT}, duration_seconds, id]) AS "tick",
       pg_catalog.array_agg(ARRAY[started_before, started] ORDER BY id) FILTER (WHERE started - started_before > gap)
         AS "gaps",
       pg_catalog.array_agg(duration_seconds::real) FILTER (WHERE outcome = 'refreshed') AS "durations"
  FROM followed
 GROUP BY n, slice
 ORDER BY pg_catalog.min(id)`;
}

export async function readSegments(
  reader: Reader,
  views: CatalogView[],
  measures: Measure[],
  stretch: Stretch,
): Promise<Segment[]> {
  if (views.length === 0 || stretch.throughId <= stretch.afterId) return [];
  return reader.rows<Segment>(segmentsQuery(views, measures, stretch));
}

/**
 * The highest id of which it, and all below it, ended before a moment; 0 where none did. By halves over the primary
 * key, as ids are given in the order in which runs end: there is no index on time, and none is needed.
 */
export const idBeforeQuery = (seconds: number): string => `
WITH RECURSIVE halves (low, high) AS (
  SELECT coalesce(pg_catalog.min(id), 1) - 1, coalesce(pg_catalog.max(id), 0) FROM ${HISTORY_TABLE}
  UNION ALL
  SELECT CASE WHEN found.is_before THEN found.id ELSE halves.low END,
         CASE WHEN found.is_before THEN halves.high ELSE (halves.low + halves.high) / 2 END
    FROM halves
   CROSS JOIN LATERAL (
     SELECT h.id, h.finished_at < pg_catalog.to_timestamp(${seconds}) AS is_before
       FROM ${HISTORY_TABLE} h WHERE h.id > (halves.low + halves.high) / 2 ORDER BY h.id LIMIT 1) found
   WHERE halves.low < halves.high
)
SELECT low::double precision AS "id" FROM halves WHERE low >= high LIMIT 1`;

export async function readIdBefore(reader: Reader, seconds: number): Promise<number> {
  const [row] = await reader.rows<{ id: number }>(idBeforeQuery(seconds));
  return row?.id ?? 0;
}

/** The last refresh of each view up to an id, which the first one after it follows: when it ended, and its data's time. */
export async function readRefreshBefore(
  reader: Reader,
  views: CatalogView[],
  throughId: number,
): Promise<{ refreshed: number | null; asOf: number | null; started: number | null }[]> {
  if (views.length === 0) return [];
  return reader.rows(`
    SELECT pg_catalog.date_part('epoch', last.finished_at) AS "refreshed", pg_catalog.date_part('epoch', last.as_of) AS "asOf",
           pg_catalog.date_part('epoch', run.started_at) AS "started"
      FROM (VALUES ${viewRows(views)}) AS v (n, schema, name, oid)
      LEFT JOIN LATERAL (
        SELECT h.finished_at, h.as_of FROM ${HISTORY_TABLE} h
         WHERE h.view_schema = v.schema AND h.view_name = v.name AND h.outcome = 'refreshed' AND h.id <= ${throughId}
         ORDER BY h.id DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (
        SELECT h.started_at FROM ${HISTORY_TABLE} h
         WHERE h.view_schema = v.schema AND h.view_name = v.name AND h.id <= ${throughId}
         ORDER BY h.id DESC LIMIT 1) run ON true
     ORDER BY v.n`);
}
