/** How long runs took, held against the stack's timeout and rate. Needs a stack. */
import { HISTORY_TABLE } from "../../handler/catalog";
import { nameRows } from "../../handler/names";
import { mostTimeoutSeconds } from "../../components/time/limits";
import { check, lookQuietly } from "../check";
import type { Finding } from "../finding";
import type { Scope, StackScope } from "../scope";
import { configCommand, countText, secondsText } from "../words";

/** Of whole runs, each of which takes the group's views one after the other. */
export interface DurationFacts {
  runs: number;
  p50Seconds: number;
  p99Seconds: number;
  longestSeconds: number;
  /** Runs that were ended by their time. */
  timedOut: number;
  /** Runs that found the view held by the one before. */
  skipped: number;
}

const ROWS_LOOKED_AT = 5_000;

export const durations = check(
  "how long refreshes took",
  async (reader, scope): Promise<DurationFacts | undefined> => {
    const views = scope.patients.map(({ view }) => view);
    const canSee = scope.patients.some(({ facts }) => facts.history.maySelect) || scope.user !== scope.role;
    if (scope.stack === undefined || views.length === 0 || !canSee) return undefined;
    const rows = await lookQuietly(reader, () =>
      reader.rows<DurationFacts>(
        `WITH lately AS (
           SELECT last.* FROM (VALUES ${nameRows(views)}) AS v (schema, name)
            CROSS JOIN LATERAL (
              SELECT h.run_id, h.id, h.duration_seconds, h.outcome, h.sqlstate FROM ${HISTORY_TABLE} h
               WHERE h.view_schema = v.schema AND h.view_name = v.name AND h.finished_at > pg_catalog.now() - interval '7 days'
               ORDER BY h.id DESC LIMIT ${ROWS_LOOKED_AT}) last
         ), runs AS (
           SELECT pg_catalog.sum(duration_seconds) AS seconds,
                  pg_catalog.bool_or(outcome = 'failed' AND sqlstate = '57014') AS "timedOut",
                  pg_catalog.bool_and(outcome = 'skipped') AS "isSkipped",
                  pg_catalog.bool_and(outcome = 'failed' AND sqlstate IS DISTINCT FROM '57014') AS "isFailed"
             FROM lately GROUP BY coalesce(CASE WHEN run_id <> 'manual' THEN run_id END, id::text)
         )
         SELECT pg_catalog.count(*) FILTER (WHERE NOT "isSkipped" AND NOT "isFailed")::int AS "runs",
                pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE NOT "isSkipped" AND NOT "isFailed") AS "p50Seconds",
                pg_catalog.percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) FILTER (WHERE NOT "isSkipped" AND NOT "isFailed") AS "p99Seconds",
                pg_catalog.max(seconds) FILTER (WHERE NOT "isSkipped" AND NOT "isFailed") AS "longestSeconds",
                pg_catalog.count(*) FILTER (WHERE "timedOut")::int AS "timedOut",
                pg_catalog.count(*) FILTER (WHERE "isSkipped")::int AS "skipped"
           FROM runs`,
      ),
    );
    const [facts] = rows ?? [];
    return facts !== undefined && facts.runs > 0 ? facts : undefined;
  },
  (facts, { stack }: Scope) =>
    facts === undefined || stack === undefined ? [] : judgeDurations(facts, stack),
);

/** A timeout has room for a run that takes three times as long as the longest, as the deployed defaults have. */
const ROOM = 3;
const SKIPPED_SHARE = 0.1;

export function judgeDurations(facts: DurationFacts, { name, plan }: StackScope): Finding[] {
  const findings: Finding[] = [];
  const { settings, schedule } = plan;
  const { timeoutSeconds } = settings;
  const { slowPercent } = settings.alarms;
  const { p50Seconds, p99Seconds, longestSeconds, timedOut, runs, skipped } = facts;
  const seen = `of the last ${countText(runs)} runs half took up to ${secondsText(p50Seconds)}, 99 % up to ${secondsText(p99Seconds)}`;
  const wanted = Math.max(
    30,
    Math.ceil((ROOM * Math.max(p99Seconds, timedOut > 0 ? timeoutSeconds : 0)) / 10) * 10,
  );
  const most = mostTimeoutSeconds(schedule);
  const newTimeout = Math.min(most, wanted);
  const raise =
    newTimeout > timeoutSeconds
      ? configCommand(name, "timeoutSeconds", newTimeout)
      : `${configCommand(name, "refreshRate", slowerRate(longestSeconds))}  # this rate allows no timeout above ${most} s; or a faster query`;
  if (timedOut > 0 || p99Seconds >= timeoutSeconds) {
    findings.push({
      name: "timeout",
      grade: "will fail",
      what:
        timedOut > 0
          ? `${countText(timedOut)} of the runs of the last 7 days were ended by their time, ${timeoutSeconds} s`
          : `${seen}, and the timeout is ${timeoutSeconds} s`,
      why: "A run that is cut off has refreshed nothing, and the next one begins anew.",
      remedy: raise,
    });
  } else if (p99Seconds >= (slowPercent / 100) * timeoutSeconds) {
    findings.push({
      name: "timeout",
      grade: "will hurt",
      what: `${seen}: more than ${slowPercent} % of the timeout of ${timeoutSeconds} s`,
      why: "The slow alarm goes off at that, and a little more load makes runs fail.",
      remedy: raise,
    });
  }
  if (p50Seconds > schedule.intervalSeconds || skipped > SKIPPED_SHARE * (runs + skipped)) {
    findings.push({
      name: "rate",
      grade: "will hurt",
      what: `${seen}, and a tick comes ${schedule.description}; ${countText(skipped)} ticks found the view still held`,
      why: "Such ticks are skipped: they cost a start of the function and refresh nothing.",
      remedy: configCommand(name, "refreshRate", slowerRate(p99Seconds)),
    });
  }
  return findings;
}

/** The densest rate of whole minutes at which runs of that length have ended before the next tick. */
function slowerRate(seconds: number): string {
  const minutes = Math.max(1, Math.ceil((seconds * 1.25) / 60));
  return minutes === 1 ? "rate(1 minute)" : `rate(${minutes} minutes)`;
}
