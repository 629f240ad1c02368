/** The alarms that are about runs, ticks and folds: each has its cause, and goes off where the cause is there. */
import { METRIC, METRIC_NAMESPACE, groupDimensions, metricDimensions } from "../../../handler/metricNames";
import { qualifiedName } from "../../../handler/names";
import { fullRunsWindow, slowPeriods, tickPeriodSeconds } from "../../../components/time/alarmTiming";
import { LATENESS_SECONDS } from "../../../components/time/replay";
import { pointsOf, type AlarmCase, type BrokenAlarm } from "./alarmCase";
import type { RefreshFact } from "./record";
import { Timeline } from "./timeline";

/** From the moment at which something is stamped until an alarm must have gone off: late, unaligned, evaluated. */
const TOLD_WITHIN_SECONDS = LATENESS_SECONDS + 120;

/** What a run writes has the time of the writing, a moment before it has ended. */
const CLOSE_SECONDS = 1;

export function judgeSlow(it: AlarmCase): BrokenAlarm[] {
  const { alarms, timeoutSeconds } = it.plan.settings;
  const limitSeconds = (timeoutSeconds * alarms.slowPercent) / 100;
  const { periodSeconds, evaluationPeriods, datapointsToAlarm } = slowPeriods(it.timing);
  const windowSeconds = periodSeconds * evaluationPeriods;
  const slow = new Timeline(
    it.facts.runs.filter((run) => !run.isFailure && run.endSeconds - run.startSeconds > limitSeconds),
    ({ endSeconds }) => endSeconds,
  );
  const told = pointsOf(it.facts.points, {
    ...{ namespace: METRIC_NAMESPACE, name: METRIC.runDuration, dimensions: groupDimensions(it.plan.group) },
  });
  const measured = slow.all
    .filter(({ startSeconds, endSeconds }) =>
      told.within(startSeconds, endSeconds + CLOSE_SECONDS).some(({ value }) => value > limitSeconds),
    )
    .map(({ endSeconds }) => endSeconds);
  const apart = (at: number): number[] =>
    measured.filter(
      (before) =>
        at - before >= periodSeconds + CLOSE_SECONDS && at - before < windowSeconds - TOLD_WITHIN_SECONDS,
    );
  return [
    ...it.unlessCaused((_, end) => {
      const runs = slow.within(end - windowSeconds - CLOSE_SECONDS, end + CLOSE_SECONDS).length;
      return runs < datapointsToAlarm
        ? `it was on, though ${runs} runs took over ${limitSeconds} s`
        : undefined;
    }),
    ...measured
      .filter((at) => datapointsToAlarm === 1 || apart(at).length > 0)
      .map((at) => at + TOLD_WITHIN_SECONDS)
      .filter((at) => at <= it.span.toSeconds && !it.isAlarmAt(at))
      .map((at) => it.broken(at, `runs that took over ${limitSeconds} s were not told`)),
  ];
}

/** CloudWatch looks two periods further back where there is no data, as when no tick comes after the refused one. */
const LOOKED_AT_PERIODS = 3;

export function judgeThrottled(it: AlarmCase): BrokenAlarm[] {
  const windowSeconds = tickPeriodSeconds(it.timing);
  const refused = new Timeline(it.facts.throttledSeconds, (at) => at);
  return [
    ...it.unlessCaused((_, end) =>
      refused.within(end - LOOKED_AT_PERIODS * windowSeconds, end).length === 0
        ? "it was on, though no tick was refused"
        : undefined,
    ),
    ...refused.all
      .filter((at) => at + TOLD_WITHIN_SECONDS <= it.span.toSeconds)
      .filter((at) => !it.wasAlarmWithin(at, at + TOLD_WITHIN_SECONDS))
      .map((at) => it.broken(at, "a tick that was refused was not told")),
  ];
}

/** Drift is told for an hour. */
const DRIFT_SECONDS = 3_600;

const refreshesOf = (it: AlarmCase): Timeline<RefreshFact> =>
  new Timeline(
    it.facts.refreshes.filter(({ view }) => view === it.alarm.view),
    ({ finishedSeconds }) => finishedSeconds,
  );

export function judgeDrift(it: AlarmCase): BrokenAlarm[] {
  const { timeoutSeconds } = it.timing;
  const found = refreshesOf(it).all.filter(({ type, drift }) => type === "full" && (drift ?? 0) > 0);
  const line = new Timeline(found, ({ finishedSeconds }) => finishedSeconds);
  return [
    ...it.unlessCaused((_, end) =>
      line.within(end - DRIFT_SECONDS - timeoutSeconds, end).length === 0
        ? "it was on, though no full run had found drift"
        : undefined,
    ),
    ...found
      .filter(({ isKnownToRun }) => isKnownToRun)
      .map(({ finishedSeconds }) => finishedSeconds + timeoutSeconds + TOLD_WITHIN_SECONDS)
      .filter((at) => at <= it.span.toSeconds && !it.isAlarmAt(at))
      .map((at) => it.broken(at, "drift that a full run found was not told")),
  ];
}

export function judgeFullRuns(it: AlarmCase): BrokenAlarm[] {
  const view = it.plan.views.find((each) => qualifiedName(each) === it.alarm.view);
  const window = view?.fullEverySeconds && fullRunsWindow(it.timing, view.fullEverySeconds);
  if (view === undefined || !window) return [it.broken(it.span.fromSeconds, "it can have no cause")];
  const { periodSeconds, leastFullRuns } = window;
  const { timeoutSeconds } = it.timing;
  const refreshes = refreshesOf(it);
  const told = pointsOf(it.facts.points, {
    ...{
      namespace: METRIC_NAMESPACE,
      name: METRIC.fullRuns,
      dimensions: metricDimensions(it.plan.group, view),
    },
  });
  const isFull = ({ type }: RefreshFact): boolean => type === "full";
  const isDue = (at: number): boolean => {
    const full = refreshes
      .within(at - periodSeconds, at - TOLD_WITHIN_SECONDS - timeoutSeconds)
      .filter((each) => isFull(each) && each.isKnownToRun).length;
    const others = refreshes
      .within(at - periodSeconds - 120 - timeoutSeconds, at)
      .filter((each) => !isFull(each));
    return full >= leastFullRuns && full >= others.length;
  };
  return [
    ...it.unlessCaused((at, end) => {
      const full = refreshes.within(end - periodSeconds - timeoutSeconds, end).filter(isFull).length;
      if (full < leastFullRuns) return `it was on after ${full} full runs`;
      const known = told
        .within(end - periodSeconds, end)
        .filter(({ knownAtSeconds }) => knownAtSeconds <= at);
      const share = known.filter(({ value }) => value === 1).length / known.length;
      return share >= 0.5
        ? undefined
        : `it was on, though ${Math.round(share * 100)} % of the runs were full`;
    }),
    ...refreshes.all
      .map(({ finishedSeconds }) => finishedSeconds + TOLD_WITHIN_SECONDS + timeoutSeconds + CLOSE_SECONDS)
      .filter((at) => at <= it.span.toSeconds && isDue(at) && !it.isAlarmAt(at))
      .map((at) => it.broken(at, `${leastFullRuns} full runs were not told`)),
  ];
}
