/** What was read, as the page is told it. Pure. */
import { qualifiedName, shellName } from "../handler/names";
import {
  RANGES,
  type RangeName,
  type Snapshot,
  type Tick,
  type ViewDetail,
  type ViewSummary,
} from "./contract";
import type { Facts, ViewFacts } from "./facts";
import { ageSeconds, compareViews, judge } from "./judge";
import { missedTicks } from "./missed";
import type { HistoryRow } from "./queries/now";
import type { Series } from "./series";

/** What one range has of the views, in their order. */
export interface RangeFacts {
  name: RangeName;
  sliceSeconds: number;
  series: Series[];
  /** Runs by id. */
  runs: Map<number, HistoryRow>;
  failures: { view: number; row: HistoryRow }[];
  notes: string[];
}

export interface Place {
  /** `host:port/database`. */
  address: string;
  controls: Snapshot["controls"];
}

export function makeSnapshot(facts: Facts, range: RangeFacts, { address, controls }: Place): Snapshot {
  const { nowMs } = facts.pulse;
  const summaries = [
    ...facts.views.map((one, index) => summarize(one, facts, range.series[index], controls)),
    ...facts.missing.map(absentView),
  ].sort(compareViews);
  const details = new Map(
    facts.views.map((one, index) => [qualifiedName(one.view), detail(one, index, facts, range)]),
  );
  return {
    server: {
      address: address.slice(0, address.lastIndexOf("/")),
      database: facts.catalog.database,
      version: facts.catalog.version,
      nowMs,
    },
    schedule: scheduleOf(facts),
    range: { fromMs: nowMs - RANGES[range.name] * 1_000, toMs: nowMs, name: range.name },
    views: summaries,
    details: summaries.flatMap(({ view }) => details.get(view) ?? []),
    alarms: facts.alarms,
    controls,
    notes: [...facts.notes, ...range.notes],
  };
}

function scheduleOf({ plan }: Facts): Snapshot["schedule"] {
  if (plan === undefined) return null;
  const { schedule, settings } = plan.plan;
  return {
    stack: plan.stack,
    expression: settings.refreshRate,
    description: schedule.description,
    isEnabled: settings.refreshEnabled,
    intervalSeconds: schedule.ticks.kind === "rate" ? schedule.ticks.everySeconds : null,
    timeoutSeconds: settings.timeoutSeconds,
    monthlyUsd: plan.monthlyUsd,
  };
}

function summarize(
  one: ViewFacts,
  facts: Facts,
  series: Series | undefined,
  controls: Snapshot["controls"],
): ViewSummary {
  const { nowMs } = facts.pulse;
  const { expected, measure } = one;
  const { verdict, cause, remedy } = judge({
    ...one,
    nowMs,
    promiseSeconds: measure.promiseSeconds,
    pausedBecause: pausedBecause(one, facts, controls),
    everySeconds: everySeconds(expected),
    scheduleRemedy: scheduleRemedy(one, facts, controls),
  });
  return {
    view: qualifiedName(one.view),
    verdict,
    ageSeconds: ageSeconds({ now: one.now, nowMs }),
    asOfMs: one.now?.lastRefresh?.asOfMs ?? null,
    promiseSeconds: measure.promiseSeconds,
    cause,
    remedy,
    withinPromise: series?.withinPromise ?? null,
  };
}

function everySeconds(expected: ViewFacts["expected"]): number | undefined {
  if (expected === undefined) return undefined;
  return expected.kind === "rhythm" ? expected.everySeconds : expected.schedule.intervalSeconds;
}

function pausedBecause(
  { isPlanned }: ViewFacts,
  { plan }: Facts,
  controls: Snapshot["controls"],
): { reason: string; remedy: string | null } | undefined {
  if (!isPlanned) return undefined;
  if (controls?.paused === true) return { reason: "the schedule of this run is paused", remedy: null };
  if (plan === undefined || plan.plan.settings.refreshEnabled) return undefined;
  return {
    reason: `refreshEnabled is false in stack ${plan.stack}`,
    remedy: "pulumi config set matview-refresh:refreshEnabled true && pulumi up",
  };
}

/** On this machine there is no rule to be asked. */
function scheduleRemedy(
  { view, isPlanned }: ViewFacts,
  { plan }: Facts,
  controls: Snapshot["controls"],
): string | undefined {
  if (!isPlanned || plan === undefined || plan.isAssumed || controls !== null) return undefined;
  const { rule } = plan.plan.names;
  return `aws events describe-rule --name ${rule}  # is it ENABLED? meanwhile: npm run refresh -- --view ${shellName(view)}`;
}

function absentView(view: string): ViewSummary {
  return {
    view,
    verdict: "unknown",
    ageSeconds: null,
    asOfMs: null,
    promiseSeconds: null,
    cause: "there is no such materialized view in this database",
    remedy: view === "public.job_progress" ? "npm run migrate" : null,
    withinPromise: null,
  };
}

function detail(one: ViewFacts, index: number, facts: Facts, range: RangeFacts): ViewDetail {
  const { view, now, maintenance, expected } = one;
  const series = range.series[index];
  const nowMs = facts.pulse.nowMs;
  const missed =
    expected === undefined || series === undefined
      ? []
      : missedTicks(expected, series.gaps, series.lastStarted, {
          nowSeconds: nowMs / 1_000,
          sliceSeconds: range.sliceSeconds,
        });
  const asOfMs = now?.lastRefresh?.asOfMs ?? null;
  const byOid = new Map(facts.views.map((each) => [each.view.oid, each.now?.lastRefresh?.asOfMs ?? null]));
  const reads = view.reads.map(({ oid, name, isView }) => ({
    name,
    kind: isView ? ("view" as const) : ("table" as const),
    asOfMs: byOid.get(oid) ?? null,
  }));
  return {
    view: qualifiedName(view),
    age: series?.age ?? { atMs: [], seconds: [] },
    ticks: [
      ...(series?.ticks ?? []).flatMap(({ id, runs }) => tickOf(range.runs.get(id), runs)),
      ...missed.map(neverCame),
    ].sort((a, b) => a.atMs - b.atMs),
    counts: {
      refreshed: series?.refreshed ?? 0,
      skipped: series?.skipped ?? 0,
      failed: series?.failed ?? 0,
      "never came": missed.reduce((sum, { runs }) => sum + runs, 0),
    },
    failures: range.failures
      .filter((failure) => failure.view === index)
      .map(({ row }) => ({
        atMs: row.finishedMs,
        sqlstate: row.sqlstate,
        reason: row.reason ?? "",
        remedy: row.remedy,
        blockers: row.blockers ?? [],
      })),
    reads,
    asOfFrom:
      reads.find((source) => source.kind === "view" && asOfMs !== null && source.asOfMs === asOfMs)?.name ??
      null,
    isMaintained: view.parts !== null,
    maintenance,
    durations: series?.durations ?? { p50Seconds: null, p99Seconds: null, of: 0 },
  };
}

/** A run that was pruned meanwhile is none. */
function tickOf(row: HistoryRow | undefined, runs: number): Tick[] {
  if (row === undefined) return [];
  const { outcome, kind, seconds, changes, changedRows, drift, reason, sqlstate } = row;
  return [
    {
      atMs: row.startedMs,
      runs,
      outcome,
      kind,
      durationSeconds: outcome === "skipped" ? null : seconds,
      changes,
      changedRows,
      drift,
      reason,
      sqlstate,
    },
  ];
}

function neverCame({ atMs, runs }: { atMs: number; runs: number }): Tick {
  return {
    atMs,
    runs,
    outcome: "never came",
    kind: null,
    durationSeconds: null,
    changes: null,
    changedRows: null,
    drift: null,
    reason:
      "no run is recorded: the schedule was off, or the run did not start or did not reach the database",
    sqlstate: null,
  };
}

/** What makes one snapshot another than the last: all but what the clock alone moves. */
export function fingerprintOf({ server, range: _, views, details, ...rest }: Snapshot): string {
  const { nowMs: __, ...place } = server;
  return JSON.stringify({
    place,
    views: views.map(({ ageSeconds: ___, withinPromise: ____, ...view }) => view),
    details: details.map(({ view, counts, maintenance, failures }) => [
      view,
      counts,
      maintenance,
      failures[0]?.atMs,
    ]),
    ...rest,
  });
}
