/**
 * How long an alarm has to look back so that it never goes off in a healthy stack and always does in a broken one:
 * from a schedule and a timeout, by the model of {@link ./replay}, which also proves it in the tests.
 *
 * Metrics come in late, and Lambda stamps an error with the start of a run that may have lasted for the whole
 * timeout. So a window is wider by timeout and lateness than the ticks it is about.
 */
import {
  evaluationSeconds,
  LONGEST_MINUTELY_WINDOW_SECONDS,
  LONGEST_WINDOW_SECONDS,
  mostPeriods,
} from "./alarmRule";
import { LATENESS_SECONDS } from "./replay";
import { sampleTicks, type Schedule } from "./schedule";

/** A schedule and the longest that one of its runs can take. */
export interface Timing {
  schedule: Schedule;
  timeoutSeconds: number;
}

/** A stale alarm looks at a minute more than the failing alarm, so that the reason is told before the broken promise. */
const LADDER_SECONDS = 60;

/** A slow alarm looks at a quarter of an hour at least, so that it does not come and go with every other run. */
const LEAST_SLOW_SECONDS = 900;
const SLOW_RUNS = 2;

/** In this window no success and at least so many errors mean that `failedTicks` ticks came to nothing. */
export interface FailingWindow {
  periodSeconds: number;
  leastErrors: number;
}

/**
 * Where ticks are evenly spaced, the window holds `failedTicks` of them whatever its position, so that one error
 * and no success are enough: runs that time out are fewer than ticks, as the ticks between find the view held. Where
 * they are not, the window is that of the densest such row of runs, all of which must have failed.
 */
export function failingWindow(timing: Timing, failedTicks: number): FailingWindow {
  const { schedule, timeoutSeconds } = timing;
  const lateSeconds = timeoutSeconds + LATENESS_SECONDS;
  const ticks = spacingOf(timing);
  if (ticks.isEven) {
    const seconds = Math.max(failedTicks * schedule.intervalSeconds, ticks.longestRunGapSeconds);
    return { periodSeconds: roundUp(seconds + lateSeconds), leastErrors: 1 };
  }
  // A minute for a window that ends between two evaluations, and one for the last success, which may end late in its.
  const seconds = ticks.densestRunsSeconds(failedTicks - 1) + 120;
  return { periodSeconds: roundUp(seconds + lateSeconds), leastErrors: failedTicks };
}

/** Seconds without a success after which a view counts as stale, when fewer than `failedTicks` failures do not. */
export function staleWindowSeconds(timing: Timing, failedTicks: number): number {
  const ticks = spacingOf(timing);
  const seconds =
    Math.max(ticks.longestTicksSeconds(failedTicks), ticks.longestRunGapSeconds) +
    timing.timeoutSeconds +
    LATENESS_SECONDS;
  const { periodSeconds } = failingWindow(timing, failedTicks);
  return roundUp(Math.max(roundUp(seconds), periodSeconds) + LADDER_SECONDS);
}

/**
 * From the last success to the alarm, at the most: the window, which begins with the minute after that success, and
 * the time until the next evaluation.
 */
export function toldWithinSeconds(windowSeconds: number): number {
  return windowSeconds + 60 + evaluationSeconds({ periodSeconds: windowSeconds, evaluationPeriods: 1 });
}

/**
 * The age that data can reach before the stale alarm goes off, when `failedTicks` is what the failing alarm waits
 * for: the data is as old as the start of the run that brought it. Infinity beyond the seven days that alarms look back.
 */
export function keepableStalenessSeconds(timing: Timing, failedTicks: number): number {
  const seconds = toldWithinSeconds(staleWindowSeconds(timing, failedTicks)) + timing.timeoutSeconds;
  return seconds <= LONGEST_WINDOW_SECONDS ? seconds : Infinity;
}

/** The widest window of a stale alarm that still keeps a promise about the age of the data. */
export function staleWindowWithinSeconds({ timeoutSeconds }: Timing, maxStalenessSeconds: number): number {
  const within = (stepSeconds: number, longestSeconds: number): number => {
    const delaySeconds = toldWithinSeconds(longestSeconds) - longestSeconds;
    const seconds = maxStalenessSeconds - timeoutSeconds - delaySeconds;
    return Math.min(longestSeconds, Math.floor(seconds / stepSeconds) * stepSeconds);
  };
  const hourly = within(3_600, LONGEST_WINDOW_SECONDS);
  return hourly > LONGEST_MINUTELY_WINDOW_SECONDS ? hourly : within(60, LONGEST_MINUTELY_WINDOW_SECONDS);
}

/**
 * The default: 3, or fewer where so many ticks take too long to wait for (over a quarter of an hour for 3, over an
 * hour for 2) or longer than a promise that is given allows.
 */
export function defaultFailedTicks(timing: Timing, maxStalenessSeconds = LONGEST_WINDOW_SECONDS): number {
  const ticks = spacingOf(timing);
  const isSoon = (count: number, mostSeconds: number): boolean =>
    ticks.densestTicksSeconds(count) <= mostSeconds &&
    keepableStalenessSeconds(timing, count) <= maxStalenessSeconds;
  return isSoon(3, 900) ? 3 : isSoon(2, 3_600) ? 2 : 1;
}

/**
 * Periods of the slow alarm: half as long as runs are apart, so that one slow run breaches in one period, two breach in
 * two, and the next is there before the first is out of sight. Where runs are too far apart for that, one is enough.
 */
export function slowPeriods(timing: Timing): {
  periodSeconds: number;
  evaluationPeriods: number;
  datapointsToAlarm: number;
} {
  const lateSeconds = timing.timeoutSeconds + LATENESS_SECONDS;
  const runGapSeconds = spacingOf(timing).densestRunsSeconds(1);
  const windowSeconds = Math.max(LEAST_SLOW_SECONDS, (SLOW_RUNS + 1) * runGapSeconds + lateSeconds);
  const periodSeconds = Math.max(60, Math.floor(runGapSeconds / 120) * 60);
  const evaluationPeriods = Math.ceil(windowSeconds / periodSeconds);
  if (evaluationPeriods > mostPeriods(periodSeconds)) {
    const onePeriodSeconds = Math.min(roundUp(runGapSeconds + lateSeconds), LONGEST_WINDOW_SECONDS);
    return { periodSeconds: onePeriodSeconds, evaluationPeriods: 1, datapointsToAlarm: 1 };
  }
  return { periodSeconds, evaluationPeriods, datapointsToAlarm: SLOW_RUNS };
}

/** The full runs of an hour are looked at, or of longer where runs are rare; one or two are no pattern. */
const LEAST_FULL_RUNS_SECONDS = 3_600;
const LEAST_FULL_RUNS = 3;

/** In this window so many full runs are more than those that are due by the calendar. */
export interface FullRunsWindow {
  periodSeconds: number;
  leastFullRuns: number;
}

/**
 * The shortest window in which a view that is recomputed at every tick has more full runs than `fullEverySeconds`
 * brings by itself. Those begin that far apart at the least, and end nearer by a timeout at the most. None where runs
 * are so rare that nearly each of them is due to be full.
 */
export function fullRunsWindow(timing: Timing, fullEverySeconds: number): FullRunsWindow | undefined {
  const ticks = spacingOf(timing);
  const apartSeconds = fullEverySeconds - timing.timeoutSeconds;
  if (apartSeconds <= 0) return undefined;
  for (let leastFullRuns = LEAST_FULL_RUNS; ;) {
    const seconds = ticks.densestRunsSeconds(leastFullRuns) + timing.timeoutSeconds + LATENESS_SECONDS;
    const periodSeconds = Math.max(LEAST_FULL_RUNS_SECONDS, roundUp(seconds));
    if (periodSeconds > LONGEST_WINDOW_SECONDS) return undefined;
    const due = Math.floor(periodSeconds / apartSeconds) + 1;
    if (due < leastFullRuns) return { periodSeconds, leastFullRuns };
    leastFullRuns = due + 1;
  }
}

/** A period that holds a tick wherever it begins, unless ticks are more than a day apart. */
export function tickPeriodSeconds(timing: Timing): number {
  const seconds = spacingOf(timing).densestTicksSeconds(1) + LATENESS_SECONDS;
  return Math.min(LONGEST_MINUTELY_WINDOW_SECONDS, roundUp(seconds));
}

/** Whole minutes; whole hours where a window is evaluated once an hour. */
function roundUp(seconds: number): number {
  const minutes = Math.ceil(seconds / 60) * 60;
  return minutes <= LONGEST_MINUTELY_WINDOW_SECONDS ? minutes : Math.ceil(seconds / 3_600) * 3_600;
}

/** How far apart ticks are, and runs, which begin at the first tick after the run before has ended. */
interface Spacing {
  isEven: boolean;
  /** The longest time from the start of a run that takes the whole timeout to the next. */
  longestRunGapSeconds: number;
  /** The shortest time from a run that takes the whole timeout to the start of the n-th after it. */
  densestRunsSeconds(n: number): number;
  /** The shortest and the longest time from a tick to the n-th after it. */
  densestTicksSeconds(n: number): number;
  longestTicksSeconds(n: number): number;
}

/** Enough ticks to show the densest row of up to 100 in any cron schedule whose days differ. */
const SAMPLED_TICKS = 11_000;

function spacingOf({ schedule, timeoutSeconds }: Timing): Spacing {
  const { intervalSeconds } = schedule;
  const even = (seconds: number): Spacing => {
    const runGapSeconds = seconds * (Math.floor(timeoutSeconds / seconds) + 1);
    return {
      isEven: true,
      longestRunGapSeconds: runGapSeconds,
      densestRunsSeconds: (n) => n * runGapSeconds,
      densestTicksSeconds: (n) => n * seconds,
      longestTicksSeconds: (n) => n * seconds,
    };
  };
  if (schedule.ticks.kind === "rate") return even(intervalSeconds);
  const ticks = sampleTicks(schedule, SAMPLED_TICKS);
  const tickGaps = stepsOf(
    ticks,
    ticks.map((_, index) => index + 1),
  );
  if (Math.min(...tickGaps(1)) === intervalSeconds) return even(intervalSeconds);
  let free = 0;
  const afterRun = ticks.map((tick) => {
    while ((ticks[free] ?? Infinity) <= tick + timeoutSeconds) free += 1;
    return free;
  });
  const runGaps = stepsOf(ticks, afterRun);
  return {
    isEven: false,
    longestRunGapSeconds: Math.max(intervalSeconds, ...runGaps(1)),
    densestRunsSeconds: (n) => Math.min(...runGaps(n)),
    densestTicksSeconds: (n) => Math.min(...tickGaps(n)),
    // The sample may be shorter than the longest gap of years.
    longestTicksSeconds: (n) => Math.max(intervalSeconds, ...tickGaps(n)),
  };
}

/** Given each tick's successor: the times from every tick to its n-th successor, where the sample has one. */
function stepsOf(ticks: number[], successors: number[]): (n: number) => number[] {
  return (n) =>
    ticks.flatMap((tick, index) => {
      let last = index;
      for (let step = 0; step < n && last < ticks.length; step += 1) last = successors[last] ?? ticks.length;
      const end = ticks[last];
      return end === undefined ? [] : [end - tick];
    });
}
