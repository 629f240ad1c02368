/**
 * The alarms of a stack. Each is a promise, derived from the model of runs in time/, and put into CloudWatch's terms.
 * They make a ladder: slow warns while all is well, failing says why, stale says that the promise is broken.
 */
import { METRIC, METRIC_NAMESPACE, groupDimensions, metricDimensions } from "../../handler/metricNames";
import type { ViewSettings } from "../../handler/settings";
import { writeViewName } from "../settings/names";
import type { ErrorsAlarmSetting } from "../settings/schema";
import { LONGEST_WARM_UP_SECONDS } from "../time/alarmRule";
import {
  failingWindow,
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

/**
 * Every alarm: failing and stale for each view, slow, throttled, and a plain errors alarm where asked for. While
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

function successMetric({ group }: AlarmSource, view: ViewSettings): MetricPlan {
  return {
    id: "success",
    namespace: METRIC_NAMESPACE,
    name: METRIC.succeeded,
    dimensions: metricDimensions(group, view),
    statistic: "Sum",
  };
}

/**
 * Name and key of an alarm that each view has: without the view's name where there is but one. The failing alarm's key
 * too, so that an alarm of this name is never made under one key while it is deleted under another.
 */
function viewAlarm(
  kind: "failing" | "stale",
  { views, names }: AlarmSource,
  view: ViewSettings,
): Pick<AlarmPlan, "key" | "kind" | "name" | "view"> {
  const viewName = writeViewName(view);
  const suffix = views.length === 1 ? kind : `${kind}-${viewName}`;
  return {
    key: kind === "failing" ? suffix : `${kind}-${viewName}`,
    kind,
    name: `${names.base}-${suffix}`.slice(0, LONGEST_NAME),
    view: `${view.schema}.${view.name}`,
  };
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

function timingOf({ schedule, settings }: AlarmSource): Timing {
  return { schedule, timeoutSeconds: settings.timeoutSeconds };
}

function onePeriod(periodSeconds: number) {
  return { periodSeconds, evaluationPeriods: 1, datapointsToAlarm: 1 };
}

function withRunbook(description: string, runbookUrl: string | undefined): string {
  const link = runbookUrl === undefined ? "" : ` Runbook: ${runbookUrl}`;
  return description.slice(0, LONGEST_DESCRIPTION - link.length) + link;
}
