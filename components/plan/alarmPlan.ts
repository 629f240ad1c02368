/**
 * The alarms of a stack, each with what it takes to go off and how soon it does. They are promises about ticks
 * and views, put into CloudWatch's terms.
 */
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../handler/metricNames";
import { failingWindow, firesWithinSeconds, staleWindow } from "./alarmWindows";
import { ASYNC_RETRIES } from "./functionPlan";
import type { AlarmPlan, MetricPlan, NamesPlan } from "./planTypes";
import { mostTicksPerPeriod, type Schedule } from "./schedule";
import type { ErrorsAlarmSettings, Settings } from "../settings/settings";
import { writeViewName } from "../settings/viewNames";

/** Longest alarm description and alarm name that CloudWatch takes. */
const LONGEST_DESCRIPTION = 1_024;
const LONGEST_NAME = 255;

/** Every alarm: failing, one stale alarm a view, slow, throttled, and the guide's form where asked for. */
export function planAlarms(settings: Settings, names: NamesPlan): AlarmPlan[] {
  const { errors } = settings.alarms;
  const alarms = [
    failingAlarm(settings, names),
    ...settings.views.map((view) => staleAlarm(settings, names, view)),
    slowAlarm(settings, names),
    throttledAlarm(settings, names),
    ...(errors === undefined ? [] : [errorsAlarm(settings, names, errors)]),
  ];
  return alarms.map((alarm) => ({
    ...alarm,
    description: withRunbook(alarm.description, settings.runbookUrl),
  }));
}

/**
 * The most errors a period can hold: every run in it fails, and so does each of Lambda's retries. What an errors
 * alarm must stay under to be able to fire.
 */
export function mostErrorsPerPeriod(schedule: Schedule, periodSeconds: number, asyncRetries: number): number {
  return mostTicksPerPeriod(schedule, periodSeconds) * (1 + asyncRetries);
}

/** What is wrong with an id of a metric query, or undefined. */
export function metricIdProblem(id: string): string | undefined {
  return /^[a-z][A-Za-z0-9_]{0,254}$/.test(id)
    ? undefined
    : `"${id}" is not an id of a metric query: a lower-case letter, then letters, digits and _`;
}

function functionMetric(names: NamesPlan, name: string, statistic: MetricPlan["statistic"]): MetricPlan {
  return { namespace: "AWS/Lambda", name, dimensions: { FunctionName: names.function }, statistic };
}

function failingAlarm({ schedule, alarms }: Settings, names: NamesPlan): AlarmPlan {
  const window = failingWindow(schedule, alarms.failedTicks);
  if (window === undefined) {
    throw new RangeError(`no alarm sees ${alarms.failedTicks} ticks ${schedule.description} together`);
  }
  const { periodSeconds, evaluationPeriods, datapointsToAlarm, errorsPerPeriod } = window;
  const mostPerPeriod = mostErrorsPerPeriod(schedule, periodSeconds, ASYNC_RETRIES);
  const inARow = alarms.failedTicks === 1 ? "A tick" : `${alarms.failedTicks} ticks in a row`;
  const minutes = evaluationPeriods === 1 ? "a minute" : `each of ${evaluationPeriods} minutes`;
  const ticks =
    errorsPerPeriod === 1 ? inARow : `At least ${errorsPerPeriod} of ${mostPerPeriod} ticks in ${minutes}`;
  return {
    key: "failing",
    kind: "failing",
    name: `${names.base}-failing`,
    description: `${ticks} of ${names.function} failed. Its log (${names.logGroup}) has the reason and the remedy.`,
    metric: functionMetric(names, "Errors", "Sum"),
    comparison: "GreaterThanOrEqualToThreshold",
    threshold: errorsPerPeriod,
    periodSeconds,
    evaluationPeriods,
    datapointsToAlarm,
    treatMissingData: "notBreaching",
    isHighResolution: false,
    mostPerPeriod,
    ...firing(mostPerPeriod >= errorsPerPeriod, window.firesWithinSeconds),
  };
}

/**
 * Counts successes, so that it goes off when there are none for whatever reason: failures, a dead schedule, a
 * function that cannot start. Gaps are filled with 0 by metric math, which gives CloudWatch a datapoint for
 * every period; where the metric is gone altogether the missing data is breaching.
 */
function staleAlarm(settings: Settings, names: NamesPlan, view: Settings["views"][number]): AlarmPlan {
  const { schedule, timeoutSeconds, maxStalenessSeconds } = settings;
  const window = staleWindow(schedule.intervalSeconds, timeoutSeconds, maxStalenessSeconds);
  const viewName = writeViewName(view);
  const suffix = settings.views.length === 1 ? "stale" : `stale-${viewName}`;
  const least = 0;
  const threshold = 1;
  return {
    key: `stale-${viewName}`,
    kind: "stale",
    name: `${names.base}-${suffix}`.slice(0, LONGEST_NAME),
    description:
      `${viewName} has not been refreshed for ${window.periodSeconds * window.evaluationPeriods} s; ` +
      `the promise is an alarm within ${maxStalenessSeconds} s. Readers see old data. ` +
      `See whether rule ${names.rule} is enabled, then the log ${names.logGroup}.`,
    metric: {
      namespace: METRIC_NAMESPACE,
      name: METRIC.succeeded,
      dimensions: metricDimensions(settings.group, view),
      statistic: "Sum",
    },
    fill: { metricId: "m1", expressionId: "e1", expression: "FILL(m1, 0)", fillWith: 0 },
    comparison: "LessThanThreshold",
    threshold,
    periodSeconds: window.periodSeconds,
    evaluationPeriods: window.evaluationPeriods,
    datapointsToAlarm: window.evaluationPeriods,
    treatMissingData: "breaching",
    isHighResolution: window.periodSeconds < 60,
    view: `${view.schema}.${view.name}`,
    mostPerPeriod: least,
    ...firing(least < threshold, window.firesWithinSeconds),
  };
}

/** Keeps its state between runs: a slow run stays told until one was quick enough. */
function slowAlarm({ alarms, timeoutSeconds }: Settings, names: NamesPlan): AlarmPlan {
  const longestMs = timeoutSeconds * 1_000;
  const threshold = (longestMs * alarms.slowPercent) / 100;
  return {
    key: "slow",
    kind: "slow",
    name: `${names.base}-slow`,
    description:
      `A run of ${names.function} took over ${alarms.slowPercent} % of its timeout of ${timeoutSeconds} s. ` +
      "Beyond the timeout runs fail: raise timeoutSeconds or make the view's query quicker.",
    metric: functionMetric(names, "Duration", "Maximum"),
    comparison: "GreaterThanThreshold",
    threshold,
    ...singlePeriod(),
    treatMissingData: "ignore",
    mostPerPeriod: longestMs,
    ...firing(longestMs > threshold, firesWithinSeconds(60, 1)),
  };
}

function throttledAlarm({ schedule }: Settings, names: NamesPlan): AlarmPlan {
  const mostPerPeriod = mostTicksPerPeriod(schedule, 60);
  return {
    key: "throttled",
    kind: "throttled",
    name: `${names.base}-throttled`,
    description:
      `Lambda refused to start ${names.function}: the account's concurrency, or the function's reserved ` +
      "concurrency, is used up. Ticks are being lost.",
    metric: functionMetric(names, "Throttles", "Sum"),
    comparison: "GreaterThanOrEqualToThreshold",
    threshold: 1,
    ...singlePeriod(),
    treatMissingData: "notBreaching",
    mostPerPeriod,
    ...firing(mostPerPeriod >= 1, firesWithinSeconds(60, 1)),
  };
}

/** The guide's form, as given; it may be one that can never fire, which the policy refuses. */
function errorsAlarm(
  { schedule }: Settings,
  names: NamesPlan,
  { threshold, periodSeconds, evaluationPeriods, datapointsToAlarm }: ErrorsAlarmSettings,
): AlarmPlan {
  const mostPerPeriod = mostErrorsPerPeriod(schedule, periodSeconds, ASYNC_RETRIES);
  return {
    key: "errors",
    kind: "errors",
    name: `${names.base}-errors`,
    description:
      `${names.function} failed more than ${threshold} times in each of ${datapointsToAlarm} of ` +
      `${evaluationPeriods} periods of ${periodSeconds} s.`,
    metric: functionMetric(names, "Errors", "Sum"),
    comparison: "GreaterThanThreshold",
    threshold,
    periodSeconds,
    evaluationPeriods,
    datapointsToAlarm,
    treatMissingData: "notBreaching",
    isHighResolution: false,
    mostPerPeriod,
    ...firing(
      canHoldErrors((seconds) => mostErrorsPerPeriod(schedule, seconds, ASYNC_RETRIES), {
        errorsPerPeriod: Math.floor(threshold) + 1,
        periodSeconds,
        evaluationPeriods,
        datapointsToAlarm,
      }),
      firesWithinSeconds(periodSeconds, evaluationPeriods),
    ),
  };
}

/** A count of errors per period that an alarm waits for. */
export interface ErrorsWindow {
  /** Errors in one period that breach. */
  errorsPerPeriod: number;
  periodSeconds: number;
  evaluationPeriods: number;
  datapointsToAlarm: number;
}

/**
 * Whether enough periods of the window can hold the errors: each by itself, and all of them together, which
 * matters where ticks are further apart than periods are long. `mostErrorsIn` bounds the errors of so many seconds.
 */
export function canHoldErrors(mostErrorsIn: (seconds: number) => number, window: ErrorsWindow): boolean {
  const { errorsPerPeriod, periodSeconds, evaluationPeriods, datapointsToAlarm } = window;
  return (
    mostErrorsIn(periodSeconds) >= errorsPerPeriod &&
    mostErrorsIn(periodSeconds * evaluationPeriods) >= datapointsToAlarm * errorsPerPeriod
  );
}

function singlePeriod() {
  return { periodSeconds: 60, evaluationPeriods: 1, datapointsToAlarm: 1, isHighResolution: false };
}

function firing(canFire: boolean, withinSeconds: number): Pick<AlarmPlan, "canFire" | "firesWithinSeconds"> {
  return canFire ? { canFire, firesWithinSeconds: withinSeconds } : { canFire };
}

function withRunbook(description: string, runbookUrl: string | undefined): string {
  const link = runbookUrl === undefined ? "" : ` Runbook: ${runbookUrl}`;
  return description.slice(0, LONGEST_DESCRIPTION - link.length) + link;
}
