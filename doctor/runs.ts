/** What history tells of each view: how old, how it went, and how it went in the last day. Fast however long it is. */
import { HISTORY_TABLE } from "../handler/catalog";
import { nameRows } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import type { Reader } from "./reader";

/** One view. Times are the database's own, in milliseconds since 1970. */
export interface Runs {
  view: QualifiedName;
  /** False where no relation has this name. */
  exists: boolean;
  nowMs: number;
  asOfMs: number | null;
  last: {
    outcome: "refreshed" | "skipped" | "failed";
    atMs: number;
    reason: string | null;
    sqlstate: string | null;
  } | null;
  /** How it was refreshed last: concurrent, regular, incremental or full. */
  kind: string | null;
  p50Seconds: number | null;
  p99Seconds: number | null;
  /** In the last 24 hours. */
  runs: number;
  failures: number;
  /** Failures since the last refresh. */
  failuresInARow: number;
  /** Whether there may be more in a day than were looked at. */
  isCapped: boolean;
  hours: HourOfRuns[];
}

/** The refreshes that ended within an hour: `ago` 0 is the last 60 minutes, 24 is all that was before the last day. */
export interface HourOfRuns {
  ago: number;
  /** The oldest that the data was just before one of them, in seconds; null where that is unknown. */
  peakSeconds: number | null;
  lastAsOfMs: number | null;
}

/** Rows of a view that are looked at: a day of a refresh every 12 seconds has 7,200. */
export const MOST_RUNS = 10_000;
export const HOURS = 24;

const ms = (time: string): string => `(extract(epoch FROM ${time}) * 1000)::double precision`;

/*
 * Everything of a view comes from its newest rows, by the index over (view_schema, view_name, id): an index over time
 * is not there, and not needed, since rows are written as runs end. The bounds are rows, and the order names every
 * column: by equal signs and ORDER BY id the planner may walk the primary key instead, which for a view without rows is
 * the whole table. Where the last day begins is found by walking back through it, once for all views; what was before
 * is not read, but for the refresh that the day began with.
 */
const within = (columns: string, first: string, last: string): string =>
  `(${columns}) >= (asked.schema, asked.name, ${first}) AND (${columns}) <= (asked.schema, asked.name, ${last})
     ORDER BY ${columns.split(", ").join(" DESC, ")} DESC`;
const MOST_ID = "9223372036854775807";
const OF_VIEW = within("h.view_schema, h.view_name, h.id", "0", MOST_ID);
const TODAY_OF_VIEW = within("h.view_schema, h.view_name, h.id", "earlier.id + 1", MOST_ID);
const REFRESHES_OF_VIEW = within(
  "h.view_schema, h.view_name, h.outcome, h.id",
  "'refreshed', 0",
  `'refreshed', ${MOST_ID}`,
);
const EARLIER_REFRESHES_OF_VIEW = within(
  "h.view_schema, h.view_name, h.outcome, h.id",
  "'refreshed', 0",
  "'refreshed', earlier.id",
);
const FAILURES_OF_VIEW = within(
  "h.view_schema, h.view_name, h.outcome, h.id",
  "'failed', coalesce(refreshed.id, 0)",
  `'failed', ${MOST_ID}`,
);

const runsQuery = (views: QualifiedName[]): string => `
WITH asked AS (
  SELECT asked.schema, asked.name, c.oid, asked.place
    FROM (SELECT v.*, pg_catalog.row_number() OVER () AS place FROM (VALUES ${nameRows(views)}) AS v (schema, name)) asked
    LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = asked.schema
    LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = asked.name AND c.relkind IN ('m', 'r')
), earlier AS MATERIALIZED (
  SELECT coalesce((SELECT h.id FROM ${HISTORY_TABLE} h
                    WHERE h.finished_at <= pg_catalog.now() - interval '1 day' ORDER BY h.id DESC LIMIT 1), 0) AS id
)
SELECT pg_catalog.json_build_object('schema', asked.schema, 'name', asked.name) AS "view", asked.oid IS NOT NULL AS "exists",
       ${ms("pg_catalog.now()")} AS "nowMs",
       ${ms("refreshed.as_of")} AS "asOfMs", refreshed.refresh_type AS "kind",
       CASE WHEN last.outcome IS NOT NULL THEN pg_catalog.json_build_object(
         'outcome', last.outcome, 'atMs', ${ms("last.finished_at")}, 'reason', last.reason, 'sqlstate', last.sqlstate)
       END AS "last",
       day.*
  FROM asked
 CROSS JOIN earlier
  LEFT JOIN LATERAL (
    SELECT h.outcome, h.finished_at, h.reason, h.sqlstate FROM ${HISTORY_TABLE} h
     WHERE ${OF_VIEW} LIMIT 1) last ON true
  LEFT JOIN LATERAL (
    SELECT h.id, h.as_of, h.refresh_type FROM ${HISTORY_TABLE} h
     WHERE h.view_oid = asked.oid AND ${REFRESHES_OF_VIEW} LIMIT 1) refreshed ON true
 CROSS JOIN LATERAL (
    WITH today AS MATERIALIZED (
      SELECT h.id, h.outcome, h.finished_at, h.as_of, h.duration_seconds, h.view_oid
        FROM ${HISTORY_TABLE} h
       WHERE ${TODAY_OF_VIEW} LIMIT ${MOST_RUNS}
    ), refreshes AS (
      SELECT id, finished_at, as_of FROM today WHERE outcome = 'refreshed' AND view_oid = asked.oid
      UNION ALL
      (SELECT h.id, h.finished_at, h.as_of FROM ${HISTORY_TABLE} h
        WHERE (SELECT pg_catalog.count(*) FROM today) < ${MOST_RUNS} AND h.view_oid = asked.oid
          AND ${EARLIER_REFRESHES_OF_VIEW} LIMIT 1)
    ), hourly AS (
      SELECT least(pg_catalog.floor(extract(epoch FROM pg_catalog.now() - r.finished_at) / 3600), ${HOURS})::int AS ago,
             pg_catalog.max(extract(epoch FROM r.finished_at - r.before))::double precision AS "peakSeconds",
             ${ms("pg_catalog.max(r.as_of)")} AS "lastAsOfMs"
        FROM (SELECT finished_at, as_of, pg_catalog.lag(as_of) OVER (ORDER BY id) AS before FROM refreshes) r
       GROUP BY 1
    )
    SELECT pg_catalog.count(*)::int AS "runs",
           pg_catalog.count(*) FILTER (WHERE outcome = 'failed')::int AS "failures",
           (SELECT pg_catalog.count(*)::int
              FROM (SELECT FROM ${HISTORY_TABLE} h WHERE ${FAILURES_OF_VIEW} LIMIT ${MOST_RUNS}) AS f) AS "failuresInARow",
           pg_catalog.count(*) = ${MOST_RUNS} AS "isCapped",
           pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds)
             FILTER (WHERE outcome = 'refreshed') AS "p50Seconds",
           pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_seconds)
             FILTER (WHERE outcome = 'refreshed') AS "p99Seconds",
           coalesce((SELECT pg_catalog.json_agg(hourly) FROM hourly), '[]') AS "hours"
      FROM today) day
 ORDER BY asked.place`;

/** The runs of each view, in the order given. Needs SELECT on the history. */
export async function readRuns({ rows }: Pick<Reader, "rows">, views: QualifiedName[]): Promise<Runs[]> {
  return views.length === 0 ? [] : rows<Runs>(runsQuery(views));
}

/**
 * The oldest that the data was in each of the last 24 hours, in seconds, the oldest hour first; null for an hour in
 * which nothing was known of it.
 */
export function agesByHour({ hours, nowMs }: Pick<Runs, "hours" | "nowMs">): (number | null)[] {
  const of = (ago: number): HourOfRuns | undefined => hours.find((hour) => hour.ago === ago);
  let asOfMs = of(HOURS)?.lastAsOfMs ?? null;
  const ages: (number | null)[] = [];
  for (let ago = HOURS - 1; ago >= 0; ago -= 1) {
    const hour = of(ago);
    // Until the hour's end the data of the last refresh before it goes on ageing.
    asOfMs = hour?.lastAsOfMs ?? asOfMs;
    const atEnd = asOfMs === null ? null : (nowMs - ago * 3_600_000 - asOfMs) / 1_000;
    const known = [hour?.peakSeconds ?? null, atEnd].filter((age) => age !== null);
    ages.push(known.length === 0 ? null : Math.max(0, ...known));
  }
  return ages;
}

/** Now, in seconds; null where the time of the data is not known. */
export const ageSeconds = ({ nowMs, asOfMs }: Pick<Runs, "nowMs" | "asOfMs">): number | null =>
  asOfMs === null ? null : Math.max(0, (nowMs - asOfMs) / 1_000);
