/**
 * How many CloudWatch periods of which length an alarm looks at, so that it can fire and fires in time. Pure
 * arithmetic over a schedule; thresholds and texts are in alarmPlan.
 *
 * CloudWatch's rules (PutMetricAlarm): a period is 10, 30 or a multiple of 60 seconds; all periods together
 * are at most a day, or seven days where the period is an hour or more. Alarms are evaluated once a minute,
 * those with a period under a minute every 10 seconds.
 */
import { sampleTicks, type Schedule } from "./schedule";

/** Seven days: no alarm can look further back. */
export const LONGEST_ALARM_SECONDS = 604_800;

const STANDARD_PERIODS = [60, 3_600];
const SHORT_PERIODS = [30, 10];

/**
 * How late a metric written to the log may reach CloudWatch. Until then FILL makes 0 of the newest period, so one
 * period or less than an interval and this would go off between two healthy ticks.
 */
export const INGESTION_SECONDS = 60;

/** With one period a single late datapoint would be an alarm. */
const LEAST_STALE_PERIODS = 2;

/** The most periods of a length that one alarm can look at. */
export function mostPeriods(periodSeconds: number): number {
  return Math.floor((periodSeconds >= 3_600 ? LONGEST_ALARM_SECONDS : 86_400) / periodSeconds);
}

/** How long after a period's end the alarm has been evaluated at the latest. */
export function evaluationDelaySeconds(periodSeconds: number): number {
  return periodSeconds < 60 ? 10 : 60;
}

/**
 * The longest time from the moment that something stops to the alarm, when all of `periods` periods must show
 * it: the period in which it stopped still looks well, those after it do not, then the evaluation.
 */
export function firesWithinSeconds(periodSeconds: number, periods: number): number {
  return (periods + 1) * periodSeconds + evaluationDelaySeconds(periodSeconds);
}

/** Periods an alarm looks at, all of which must breach. */
export interface StaleWindow {
  periodSeconds: number;
  evaluationPeriods: number;
  firesWithinSeconds: number;
}

/**
 * The shortest promise that an alarm can keep without crying wolf at every tick: it must look at a whole
 * interval and the time that metrics take to come in, in two periods or more, and the data of a healthy view may be as old as interval and timeout together. Infinity where ticks
 * are further apart than an alarm can see.
 */
export function leastStalenessSeconds(intervalSeconds: number, timeoutSeconds: number): number {
  const soonest = soonestSeconds(intervalSeconds + INGESTION_SECONDS, [
    ...STANDARD_PERIODS,
    ...SHORT_PERIODS,
  ]);
  return Math.max(intervalSeconds + timeoutSeconds, soonest);
}

/**
 * The promise when none is given: the shortest that a standard alarm keeps while a single slow run does not
 * raise it. For rate(1 minute) and a timeout of 60 s that is 240 s.
 */
export function defaultStalenessSeconds(intervalSeconds: number, timeoutSeconds: number): number {
  const comfortable = soonestSeconds(calmSeconds(intervalSeconds, timeoutSeconds), STANDARD_PERIODS);
  return comfortable <= LONGEST_ALARM_SECONDS
    ? comfortable
    : leastStalenessSeconds(intervalSeconds, timeoutSeconds);
}

/** How long no success may be seen while one run is slow or its metrics come late. */
function calmSeconds(intervalSeconds: number, timeoutSeconds: number): number {
  return intervalSeconds + Math.max(timeoutSeconds, INGESTION_SECONDS);
}

function soonestSeconds(windowSeconds: number, periods: number[]): number {
  const candidates = periods
    .map((period) => ({ period, count: Math.max(LEAST_STALE_PERIODS, Math.ceil(windowSeconds / period)) }))
    .filter(({ period, count }) => count <= mostPeriods(period))
    .map(({ period, count }) => firesWithinSeconds(period, count));
  return Math.min(...candidates);
}

/**
 * The widest window that still fires within the promise. Periods under a minute, which cost more, are used only
 * where the promise is too tight for others.
 */
export function staleWindow(
  intervalSeconds: number,
  timeoutSeconds: number,
  maxStalenessSeconds: number,
): StaleWindow {
  const standard = widest(STANDARD_PERIODS, maxStalenessSeconds);
  const isCalm =
    standard !== undefined &&
    standard.periodSeconds * standard.evaluationPeriods >= calmSeconds(intervalSeconds, timeoutSeconds);
  const window = isCalm ? standard : widest([...STANDARD_PERIODS, ...SHORT_PERIODS], maxStalenessSeconds);
  const leastSeconds = intervalSeconds + INGESTION_SECONDS;
  if (window === undefined || window.periodSeconds * window.evaluationPeriods < leastSeconds) {
    throw new RangeError(
      `no alarm keeps ${maxStalenessSeconds} s with ticks ${intervalSeconds} s apart; ` +
        `the least is ${leastStalenessSeconds(intervalSeconds, timeoutSeconds)} s`,
    );
  }
  return window;
}

function widest(periods: number[], maxStalenessSeconds: number): StaleWindow | undefined {
  let best: StaleWindow | undefined;
  for (const periodSeconds of periods) {
    const inTime =
      Math.floor((maxStalenessSeconds - evaluationDelaySeconds(periodSeconds)) / periodSeconds) - 1;
    const evaluationPeriods = Math.min(mostPeriods(periodSeconds), inTime);
    if (evaluationPeriods < LEAST_STALE_PERIODS) continue;
    const width = periodSeconds * evaluationPeriods;
    if (best === undefined || width > best.periodSeconds * best.evaluationPeriods) {
      best = {
        periodSeconds,
        evaluationPeriods,
        firesWithinSeconds: firesWithinSeconds(periodSeconds, evaluationPeriods),
      };
    }
  }
  return best;
}

/** Periods in which failed ticks are counted: `datapointsToAlarm` of them must hold `errorsPerPeriod` or more. */
export interface FailingWindow {
  periodSeconds: number;
  evaluationPeriods: number;
  datapointsToAlarm: number;
  errorsPerPeriod: number;
  /** From the first failed tick to the alarm, at the most, when every tick fails. */
  firesWithinSeconds: number;
}

/**
 * The window that means `failedTicks` ticks in a row. Where each tick has a period of its own, that many
 * periods with an error among those that hold that many ticks; where a period holds several ticks, so many
 * periods with so many errors each that the sum is at least `failedTicks`. Undefined where the ticks are too
 * far apart for any alarm.
 */
export function failingWindow(schedule: Schedule, failedTicks: number): FailingWindow | undefined {
  for (const periodSeconds of STANDARD_PERIODS) {
    const window =
      schedule.ticks.kind === "rate"
        ? rateFailingWindow(schedule.ticks.everySeconds, failedTicks, periodSeconds)
        : cronFailingWindow(schedule, failedTicks, periodSeconds);
    if (window !== undefined && window.evaluationPeriods <= mostPeriods(periodSeconds)) return window;
  }
  return undefined;
}

/** The default of 3, or fewer where 3 ticks are too far apart for an alarm to see them together. */
export function defaultFailedTicks(schedule: Schedule): number {
  return [3, 2].find((ticks) => failingWindow(schedule, ticks) !== undefined) ?? 1;
}

function rateFailingWindow(everySeconds: number, failedTicks: number, periodSeconds: number): FailingWindow {
  if (everySeconds >= periodSeconds) {
    const evaluationPeriods = Math.ceil(((failedTicks - 1) * everySeconds) / periodSeconds) + 1;
    const lastTickSeconds = (failedTicks - 1) * everySeconds;
    return {
      periodSeconds,
      evaluationPeriods,
      datapointsToAlarm: failedTicks,
      errorsPerPeriod: 1,
      firesWithinSeconds: lastTickSeconds + periodSeconds + evaluationDelaySeconds(periodSeconds),
    };
  }
  const ticksPerPeriod = Math.floor(periodSeconds / everySeconds);
  const evaluationPeriods = Math.ceil(failedTicks / ticksPerPeriod);
  return {
    periodSeconds,
    evaluationPeriods,
    datapointsToAlarm: evaluationPeriods,
    errorsPerPeriod: Math.ceil(failedTicks / evaluationPeriods),
    firesWithinSeconds: firesWithinSeconds(periodSeconds, evaluationPeriods),
  };
}

/** Enough ticks to show the densest run of up to 100 in any cron schedule whose days differ. */
const SAMPLED_TICKS = 11_000;

/**
 * Cron ticks may be dense by day and absent by night, so the window is that of the densest run of ticks: a
 * wider one would count failures that are not in a row.
 */
function cronFailingWindow(
  schedule: Schedule,
  failedTicks: number,
  periodSeconds: number,
): FailingWindow | undefined {
  const ticks = sampleTicks(schedule, SAMPLED_TICKS);
  const periods = ticks.map((tick) => Math.floor(tick / periodSeconds));
  let evaluationPeriods = Infinity;
  let datapointsToAlarm = 1;
  for (let first = 0; first + failedTicks <= ticks.length; first += 1) {
    const last = first + failedTicks - 1;
    const span = (periods[last] ?? 0) - (periods[first] ?? 0) + 1;
    if (span >= evaluationPeriods) continue;
    evaluationPeriods = span;
    datapointsToAlarm = new Set(periods.slice(first, last + 1)).size;
  }
  if (evaluationPeriods === Infinity) return undefined;
  const longestWait = longestWaitSeconds(ticks, periods, failedTicks, evaluationPeriods);
  return {
    periodSeconds,
    evaluationPeriods,
    datapointsToAlarm,
    errorsPerPeriod: 1,
    firesWithinSeconds: longestWait + periodSeconds + evaluationDelaySeconds(periodSeconds),
  };
}

/** The longest time from a tick to the end of the next run of ticks that fits the window. */
function longestWaitSeconds(
  ticks: number[],
  periods: number[],
  failedTicks: number,
  evaluationPeriods: number,
): number {
  let longest = 0;
  let runEnd: number | undefined;
  for (let first = ticks.length - failedTicks; first >= 0; first -= 1) {
    const last = first + failedTicks - 1;
    const span = (periods[last] ?? 0) - (periods[first] ?? 0) + 1;
    if (span <= evaluationPeriods) runEnd = ticks[last];
    if (runEnd !== undefined) longest = Math.max(longest, runEnd - (ticks[first] ?? 0));
  }
  return longest;
}
