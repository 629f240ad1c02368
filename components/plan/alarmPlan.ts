/**
 * The alarms of a stack. Each is a promise, derived from the model of runs in time/, and put into CloudWatch's terms.
 * They make a ladder: slow warns while all is well, failing says why, stale says that the promise is broken.
 */
import { createHash } from "node:crypto";
import { METRIC, METRIC_NAMESPACE, groupDimensions, metricDimensions } from "../../handler/metricNames";
import type { ViewSettings } from "../../handler/settings";
import { wholeSigns } from "../settings/faults";
import { shellWord, writeViewName } from "../settings/names";
import type { ErrorsAlarmSetting } from "../settings/schema";
import { LONGEST_WARM_UP_SECONDS, type Statistic } from "../time/alarmRule";
import {
  failingWindow,
  fullRunsWindow,
  slowPeriods,
  staleWindowWithinSeconds,
  tickPeriodSeconds,
  toldWithinSeconds,
  type Timing,
} from "../time/alarmTiming";
import { replayTrouble, type Series } from "../time/replay";
import { sampleTicksWithin } from "../time/schedule";
import type { AlarmPlan, MetricPlan, NamesPlan, Plan } from "./planTypes";

/** What alarms are made of. */
type AlarmSource = Pick<
  Plan,
  "settings" | "names" | "group" | "views" | "schedule" | "failedTicks" | "maxStalenessSeconds"
>;

/** Longest alarm description and alarm name that CloudWatch takes. */
const LONGEST_DESCRIPTION = 1_024;
const LONGEST_NAME = 255;

/** From this share of full runs on, folding saves too little. */
export const MOST_FULL_RUN_SHARE = 0.5;

/** How long drift that was found is told. */
const DRIFT_PERIOD_SECONDS = 3_600;

/** A view that is maintained incrementally. */
type MaintainedView = ViewSettings & Required<Pick<ViewSettings, "fullEverySeconds">>;

/** The views of a plan that are maintained incrementally. */
export function maintainedViews({ views }: Pick<Plan, "views">): MaintainedView[] {
  return views.filter((view): view is MaintainedView => view.fullEverySeconds !== undefined);
}

/**
 * Every alarm: failing and stale for each view, slow, throttled, a plain errors alarm where asked for, and drift and
 * full runs for each view that is maintained. While
 * refreshes are switched off nothing is promised, so there are no stale alarms: made anew when refreshes begin, they
 * wait for the first of them, as on a first deployment.
 */
export function planAlarms(source: AlarmSource): AlarmPlan[] {
  const { views, settings } = source;
  const { errors } = settings.alarms;
  const alarms = [
    ...views.map((view) => failingAlarm(source, view)),
    ...(settings.refreshEnabled ? views.map((view) => staleAlarm(source, view)) : []),
    slowAlarm(source),
    throttledAlarm(source),
    ...(errors === undefined ? [] : [errorsAlarm(source, errors)]),
    ...maintainedViews(source).flatMap((view) => [driftAlarm(source, view), ...fullRunsAlarms(source, view)]),
  ];
  return alarms.map((alarm) => ({
    ...alarm,
    description: withRunbook(alarm.description, settings.runbookUrl),
  }));
}

function lambdaMetric(names: NamesPlan, id: Series, name: string): MetricPlan {
  const dimensions = { FunctionName: names.function };
  return { id, namespace: "AWS/Lambda", name, dimensions, statistic: "Sum" };
}

function viewMetric(
  { group }: AlarmSource,
  view: ViewSettings,
  id: Series,
  name: string,
  statistic: Statistic = "Sum",
): MetricPlan {
  return { id, namespace: METRIC_NAMESPACE, name, dimensions: metricDimensions(group, view), statistic };
}

function successMetric(source: AlarmSource, view: ViewSettings): MetricPlan {
  return viewMetric(source, view, "success", METRIC.succeeded);
}

/**
 * Name and key of an alarm that each view has: without the view's name where there is but one. The failing alarm's key
 * too, so that an alarm of this name is never made under one key while it is deleted under another.
 */
function viewAlarm(
  kind: "failing" | "stale" | "drift" | "fullRuns",
  { views, names }: AlarmSource,
  view: ViewSettings,
): Pick<AlarmPlan, "key" | "kind" | "name" | "view"> {
  const viewName = writeViewName(view);
  const suffix = views.length === 1 ? kind : `${kind}-${viewName}`;
  return {
    key: kind === "failing" ? suffix : `${kind}-${viewName}`,
    kind,
    name: alarmName(`${names.base}-${suffix}`),
    view: `${view.schema}.${view.name}`,
  };
}

/** A name that is too long ends in a digest of all of it, so that no two alarms share one. */
function alarmName(name: string): string {
  if (name.length <= LONGEST_NAME) return name;
  const digest = createHash("sha256").update(name).digest("hex").slice(0, 8);
  return `${wholeSigns(name.slice(0, LONGEST_NAME - digest.length - 1))}-${digest}`;
}

function failingAlarm(source: AlarmSource, view: ViewSettings): AlarmPlan {
  const { names, failedTicks } = source;
  const { periodSeconds, leastErrors } = failingWindow(timingOf(source), failedTicks);
  const ticks = failedTicks === 1 ? "1 tick" : `${failedTicks} ticks`;
  const errors = leastErrors === 1 ? "a run" : `${leastErrors} runs`;
  return {
    ...viewAlarm("failing", source, view),
    description:
      `${writeViewName(view)} was not refreshed through at least ${ticks} (${periodSeconds} s), and ${errors} of ` +
      `${names.function} failed. Its log (${names.logGroup}) has the reason and the remedy.`,
    metrics: [successMetric(source, view), lambdaMetric(names, "errors", "Errors")],
    expression: `IF(FILL(success, 0) < 1 AND FILL(errors, 0) >= ${leastErrors}, 1, 0)`,
    comparison: "GreaterThanOrEqualToThreshold",
    threshold: 1,
    ...onePeriod(periodSeconds),
    treatMissingData: "notBreaching",
    warmUpSeconds: Math.min(periodSeconds, LONGEST_WARM_UP_SECONDS),
    canFire: true,
  };
}

/**
 * Counts successes, so that it goes off when there are none for whatever reason: failures, a dead schedule, a
 * function that cannot start. Where the metric is gone altogether the missing data is breaching.
 */
function staleAlarm(source: AlarmSource, view: ViewSettings): AlarmPlan {
  const { names, maxStalenessSeconds } = source;
  const periodSeconds = staleWindowWithinSeconds(timingOf(source), maxStalenessSeconds);
  return {
    ...viewAlarm("stale", source, view),
    description:
      `${writeViewName(view)} has not been refreshed for ${periodSeconds} s, for whatever reason; this is told ` +
      `within ${toldWithinSeconds(periodSeconds)} s of the last refresh, while data is at most ` +
      `${maxStalenessSeconds} s old. Readers see old data. ` +
      `See whether rule ${names.rule} is enabled, then the log ${names.logGroup}.`,
    metrics: [successMetric(source, view)],
    expression: "FILL(success, 0)",
    comparison: "LessThanThreshold",
    threshold: 1,
    ...onePeriod(periodSeconds),
    treatMissingData: "breaching",
    warmUpSeconds: Math.min(periodSeconds, LONGEST_WARM_UP_SECONDS),
    canFire: true,
  };
}

/** Reads the runs that succeeded: in an outage it stays silent, since a quicker query would not help. */
function slowAlarm(source: AlarmSource): AlarmPlan {
  const { names, group } = source;
  const { alarms, timeoutSeconds } = source.settings;
  const periods = slowPeriods(timingOf(source));
  const runs = periods.datapointsToAlarm === 1 ? "A run" : `${periods.datapointsToAlarm} runs`;
  return {
    key: "slow",
    kind: "slow",
    name: `${names.base}-slow`,
    description:
      `${runs} of ${names.function} succeeded but took over ${alarms.slowPercent} % of its timeout of ` +
      `${timeoutSeconds} s. Beyond the timeout runs fail: raise timeoutSeconds or make the view's query quicker.`,
    metrics: [
      {
        id: "runSeconds",
        namespace: METRIC_NAMESPACE,
        name: METRIC.runDuration,
        dimensions: groupDimensions(group),
        statistic: "Maximum",
      },
    ],
    expression: "FILL(runSeconds, 0)",
    comparison: "GreaterThanThreshold",
    threshold: (timeoutSeconds * alarms.slowPercent) / 100,
    ...periods,
    treatMissingData: "notBreaching",
    canFire: true,
  };
}

function throttledAlarm(source: AlarmSource): AlarmPlan {
  const { names } = source;
  return {
    key: "throttled",
    kind: "throttled",
    name: `${names.base}-throttled`,
    description:
      `Lambda refused to start ${names.function}: the account's concurrency, or the function's reserved ` +
      "concurrency, is used up. Ticks are being lost.",
    metrics: [lambdaMetric(names, "throttles", "Throttles")],
    comparison: "GreaterThanOrEqualToThreshold",
    threshold: 1,
    ...onePeriod(tickPeriodSeconds(timingOf(source))),
    treatMissingData: "notBreaching",
    canFire: true,
  };
}

/** Over so many errors in each of so many periods, as given; it may be one that can never fire. */
function errorsAlarm({ schedule, names }: AlarmSource, errors: ErrorsAlarmSetting): AlarmPlan {
  const { threshold, periodSeconds, evaluationPeriods, datapointsToAlarm = evaluationPeriods } = errors;
  const alarm: AlarmPlan = {
    key: "errors",
    kind: "errors",
    name: `${names.base}-errors`,
    description:
      `${names.function} failed more than ${threshold} times in each of ${datapointsToAlarm} of ` +
      `${evaluationPeriods} periods of ${periodSeconds} s.`,
    metrics: [lambdaMetric(names, "errors", "Errors")],
    comparison: "GreaterThanThreshold",
    ...errors,
    datapointsToAlarm,
    treatMissingData: "notBreaching",
    canFire: true,
  };
  const ticks = {
    within: (seconds: number) => sampleTicksWithin(schedule, seconds),
    intervalSeconds: schedule.intervalSeconds,
  };
  const { transitions } = replayTrouble(alarm, ticks, { kind: "failed", seconds: 0 });
  return { ...alarm, canFire: transitions.some(({ state }) => state === "ALARM") };
}

/** Whatever was found is put right by then, and what caused it goes on. */
function driftAlarm(source: AlarmSource, view: MaintainedView): AlarmPlan {
  const name = writeViewName(view);
  return {
    ...viewAlarm("drift", source, view),
    description:
      `A full run of ${name} found rows that differ from its query, and put them right: changes came past the ` +
      "triggers. Likely causes: a load with session_replication_role = replica, logical replication, disabled " +
      `triggers. To see what differs by now: npm run incremental -- verify --view ${shellWord(name)}. ` +
      `The log (${source.names.logGroup}) tells how many rows.`,
    metrics: [viewMetric(source, view, "drift", METRIC.drift)],
    expression: "FILL(drift, 0)",
    comparison: "GreaterThanThreshold",
    threshold: 0,
    ...onePeriod(DRIFT_PERIOD_SECONDS),
    treatMissingData: "notBreaching",
    canFire: true,
  };
}

/** None where runs are so rare that nearly each is a full one by the calendar. */
function fullRunsAlarms(source: AlarmSource, view: MaintainedView): AlarmPlan[] {
  const window = fullRunsWindow(timingOf(source), view.fullEverySeconds);
  if (window === undefined) return [];
  const { periodSeconds, leastFullRuns } = window;
  const name = writeViewName(view);
  return [
    {
      ...viewAlarm("fullRuns", source, view),
      description:
        `${name} is maintained incrementally, but at least ${leastFullRuns} runs within ${periodSeconds} s, and ` +
        `${MOST_FULL_RUN_SHARE * 100} % of them or more, recomputed it in full. The reason of each stands in ` +
        `matview_refresh_history and in the log (${source.names.logGroup}); what is wrong with the view tells ` +
        `npm run incremental -- list. Where it is maintained no more: take incremental out of its settings.`,
      metrics: [
        viewMetric(source, view, "fullRuns", METRIC.fullRuns),
        viewMetric(source, view, "fullShare", METRIC.fullRuns, "Average"),
      ],
      expression: `IF(FILL(fullRuns, 0) >= ${leastFullRuns} AND FILL(fullShare, 0) >= ${MOST_FULL_RUN_SHARE}, 1, 0)`,
      comparison: "GreaterThanOrEqualToThreshold",
      threshold: 1,
      ...onePeriod(periodSeconds),
      treatMissingData: "notBreaching",
      canFire: true,
    },
  ];
}

function timingOf({ schedule, settings }: AlarmSource): Timing {
  return { schedule, timeoutSeconds: settings.timeoutSeconds };
}

function onePeriod(periodSeconds: number) {
  return { periodSeconds, evaluationPeriods: 1, datapointsToAlarm: 1 };
}

function withRunbook(description: string, runbookUrl: string | undefined): string {
  const link = runbookUrl === undefined ? "" : ` Runbook: ${runbookUrl}`;
  return wholeSigns(description.slice(0, LONGEST_DESCRIPTION - link.length)) + link;
}
