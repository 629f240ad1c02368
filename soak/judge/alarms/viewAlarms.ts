/**
 * The alarms of a view that is not refreshed. What they promise is taken from their descriptions, which is what people
 * read, and never from their rules. Whether they went off in time is judged by what readers got; whether they had a
 * cause, by what was told: a success that its run could not tell of is none to an alarm.
 */
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../../handler/metricNames";
import { qualifiedName } from "../../../handler/names";
import { LATENESS_SECONDS } from "../../../components/time/replay";
import { pointsOf, type AlarmCase, type BrokenAlarm } from "./alarmCase";
import type { RefreshFact, ToldPoint } from "./record";
import { gaps, Timeline } from "./timeline";

/** What readers got of a view, and what CloudWatch was told of it. */
interface ViewFacts {
  told: Timeline<ToldPoint>;
  /** Moments of success, told or not. */
  successSeconds: number[];
  /** In the order in which readers got it. */
  refreshes: Pick<RefreshFact, "finishedSeconds" | "asOfSeconds">[];
}

/** An evaluation comes within a minute, and looks until the last whole minute. */
const STEP_SECONDS = 60;

export function viewFacts({ plan, facts }: Pick<AlarmCase, "plan" | "facts">, viewName: string): ViewFacts {
  const view = plan.views.find((each) => qualifiedName(each) === viewName);
  if (view === undefined) throw new Error(`the plan has no view ${viewName}`);
  const told = pointsOf(facts.points, {
    ...{ namespace: METRIC_NAMESPACE, name: METRIC.succeeded },
    dimensions: metricDimensions(plan.group, view),
  });
  const seen = new Timeline(
    facts.refreshes.filter((each) => each.view === viewName),
    ({ finishedSeconds }) => finishedSeconds,
  );
  // Where history could not be written the run's word has to do.
  const unseen = told.all
    .map(({ stampSeconds }) => stampSeconds)
    .filter((at) => seen.within(at - plan.settings.timeoutSeconds - 1, at + 1).length === 0)
    .map((at) => ({ finishedSeconds: at, asOfSeconds: at }));
  const refreshes = new Timeline([...seen.all, ...unseen], ({ finishedSeconds }) => finishedSeconds).all;
  const successSeconds = [
    ...refreshes.map(({ finishedSeconds }) => finishedSeconds),
    ...told.all.map(({ stampSeconds }) => stampSeconds),
  ];
  return { told, successSeconds, refreshes };
}

const knownWithin = (points: Timeline<ToldPoint>, from: number, to: number, at: number): ToldPoint[] =>
  points.within(from, to).filter(({ knownAtSeconds }) => knownAtSeconds <= at);

/** Both need a window without any success. */
function unlessNoSuccess(
  { span }: AlarmCase,
  { told }: ViewFacts,
  windowSeconds: number,
  at: number,
  end: number,
): string | undefined {
  if (at < span.fromSeconds + windowSeconds)
    return "it went off before its window was full for the first time";
  const [success] = knownWithin(told, end - windowSeconds, end, at);
  return success && `it was on, though a success ${Math.round(at - success.stampSeconds)} s before was known`;
}

/** @param isToldOfSource whether a view that it reads is told to be stale: its own data is as old then. */
export function judgeStale(
  it: AlarmCase,
  view: ViewFacts,
  isToldOfSource: (at: number) => boolean,
): BrokenAlarm[] {
  const figures =
    /has not been refreshed for (\d+) s, .* told within (\d+) s of the last refresh, while data is at most (\d+) s old/.exec(
      it.alarm.description,
    );
  if (figures === null) return [it.broken(it.span.fromSeconds, "its description promises nothing")];
  const [windowSeconds = 0, toldSeconds = 0, mostSeconds = 0] = figures.slice(1).map(Number);
  const { fromSeconds, toSeconds } = it.span;
  const missed = [fromSeconds, ...view.successSeconds];
  return [
    ...it.unlessCaused((at, end) => unlessNoSuccess(it, view, windowSeconds, at, end)),
    ...gaps(missed, toSeconds)
      .filter(
        (gap) =>
          gap.toSeconds - gap.fromSeconds > toldSeconds && !it.isAlarmAt(gap.fromSeconds + toldSeconds),
      )
      .map((gap) =>
        it.broken(gap.fromSeconds + toldSeconds, `${toldSeconds} s without a refresh were not told`),
      ),
    ...tooOld(it, view, mostSeconds)
      .filter((at) => at > fromSeconds + windowSeconds + STEP_SECONDS)
      .filter((at) => !it.isAlarmAt(at) && !isToldOfSource(at))
      .map((at) => it.broken(at, `data got older than ${mostSeconds} s, and nobody was told`)),
  ];
}

/** Moments at which what readers see becomes older than promised. */
function tooOld(it: AlarmCase, { refreshes }: ViewFacts, mostSeconds: number): number[] {
  return refreshes.flatMap(({ finishedSeconds, asOfSeconds }, index) => {
    const untilSeconds = refreshes[index + 1]?.finishedSeconds ?? it.span.toSeconds;
    const longSeconds = beyondTimeout(it, finishedSeconds);
    const at = Math.max(finishedSeconds, asOfSeconds + mostSeconds + longSeconds);
    return at < untilSeconds ? [at] : [];
  });
}

/** What a run took beyond its timeout: no run of Lambda does, but a process that is paused here, with its timeout. */
function beyondTimeout({ facts, timing }: AlarmCase, atSeconds: number): number {
  const lasted = facts.runs
    .filter(({ startSeconds, endSeconds }) => startSeconds <= atSeconds && atSeconds <= endSeconds)
    .map(({ startSeconds, endSeconds }) => endSeconds - startSeconds);
  return Math.max(0, ...lasted.map((seconds) => seconds - timing.timeoutSeconds));
}

export function judgeFailing(it: AlarmCase, view: ViewFacts): BrokenAlarm[] {
  const figures =
    /was not refreshed through at least \d+ ticks? \((\d+) s\), and (?:a run|(\d+) runs) of /.exec(
      it.alarm.description,
    );
  if (figures === null) return [it.broken(it.span.fromSeconds, "its description promises nothing")];
  const windowSeconds = Number(figures[1]);
  const leastErrors = Number(figures[2] ?? 1);
  const { fromSeconds, toSeconds } = it.span;
  const errors = new Timeline(
    it.facts.points.filter(
      ({ namespace, name, value }) => namespace === "AWS/Lambda" && name === "Errors" && value > 0,
    ),
    ({ stampSeconds }) => stampSeconds,
  );
  const failed = new Timeline(
    it.facts.runs.filter(({ isFailure }) => isFailure),
    ({ startSeconds }) => startSeconds,
  );
  const isDue = (at: number): boolean =>
    failed
      .within(at - windowSeconds, at)
      .filter(({ endSeconds }) => endSeconds + LATENESS_SECONDS <= at - STEP_SECONDS).length >= leastErrors;
  return [
    ...it.unlessCaused((at, end) => {
      const wrong = unlessNoSuccess(it, view, windowSeconds, at, end);
      if (wrong !== undefined) return wrong;
      const known = knownWithin(errors, end - windowSeconds, end, at).length;
      return known < leastErrors ? `it was on, though ${known} failed runs were known` : undefined;
    }),
    ...gaps([fromSeconds, ...view.successSeconds], toSeconds).flatMap((gap) => {
      const first = gap.fromSeconds + windowSeconds + STEP_SECONDS + LATENESS_SECONDS;
      for (let at = first; at < gap.toSeconds; at += STEP_SECONDS) {
        if (isDue(at) && !it.isAlarmAt(at))
          return [it.broken(at, `no refresh for ${at - gap.fromSeconds} s and failed runs were not told`)];
      }
      return [];
    }),
  ];
}
