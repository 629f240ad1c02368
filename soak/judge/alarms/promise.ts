/**
 * Whether every stretch in which a promise was broken was told in time, and nothing was told without cause: the plan's
 * alarms, replayed over what CloudWatch would have had, against what happened.
 */
import type { AlarmKind, AlarmPlan, Plan } from "../../../components/plan/planTypes";
import type { Transition } from "../../../components/time/replay";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../../handler/metricNames";
import { AlarmCase, pointsOf, type BrokenAlarm, type Span } from "./alarmCase";
import { judgeDrift, judgeFullRuns, judgeSlow, judgeThrottled } from "./otherAlarms";
import type { Facts } from "./record";
import { gaps } from "../timeline";
import { judgeFailing, judgeStale, viewFacts } from "./viewAlarms";
import { qualifiedName } from "../../../handler/names";

export type { BrokenAlarm, Span } from "./alarmCase";

/** What one alarm went through. */
export interface AlarmHistory extends Pick<AlarmPlan, "key" | "kind" | "view"> {
  transitions: Transition[];
}

/** A view without a success, for longer than from one tick to the next. */
export interface Stretch {
  /** `schema.name` */
  view: string;
  /** Its last success before, told or not; the beginning where there was none. */
  fromSeconds: number;
  toSeconds: number;
  failedRuns: number;
  /** Seconds from the last success to the alarm; undefined where it did not go off. */
  failingAfterSeconds: number | undefined;
  staleAfterSeconds: number | undefined;
}

export interface Judgement {
  broken: BrokenAlarm[];
  alarms: AlarmHistory[];
  stretches: Stretch[];
}

/**
 * @param span from the making of the alarms on, in the phase of their evaluation, to the last moment that is judged.
 * @param sources views that a view reads, by `schema.name`: its data is as old as theirs.
 */
export function judgePromises(
  plan: Plan,
  facts: Facts,
  span: Span,
  sources: Record<string, string[]> = {},
): Judgement {
  const cases = plan.alarms.map((alarm) => new AlarmCase(alarm, plan, facts, span));
  const caseOf = (kind: AlarmKind, view: string): AlarmCase | undefined =>
    cases.find(({ alarm }) => alarm.kind === kind && alarm.view === view);
  const isTold = (of: string[]) => (at: number) => of.some((view) => caseOf("stale", view)?.isAlarmAt(at));
  const judge = (it: AlarmCase): BrokenAlarm[] => {
    const view = it.alarm.view ?? "";
    switch (it.alarm.kind) {
      case "stale":
        return judgeStale(it, viewFacts(it, view), isTold(sources[view] ?? []));
      case "failing":
        return judgeFailing(it, viewFacts(it, view));
      case "slow":
        return judgeSlow(it);
      case "throttled":
        return judgeThrottled(it);
      case "drift":
        return judgeDrift(it);
      case "fullRuns":
        return judgeFullRuns(it);
      case "errors":
        // Asked for by who sets it, who alone knows what it is to tell.
        return [];
    }
  };
  return {
    broken: [...missingAlarms(plan, span), ...cases.flatMap(judge), ...untold(plan, facts, span)].sort(
      (a, b) => a.atSeconds - b.atSeconds,
    ),
    alarms: cases.map(({ alarm: { key, kind, view }, transitions }) => ({
      ...{ key, kind, transitions },
      ...(view !== undefined && { view }),
    })),
    stretches: plan.views.flatMap((view) => stretchesOf(plan, facts, span, qualifiedName(view), caseOf)),
  };
}

/** When an alarm of a kind first went off at or after a moment, in seconds since then; undefined where it did not. */
export function raisedAfter(
  { alarms }: Pick<Judgement, "alarms">,
  kind: AlarmKind,
  { fromSeconds, toSeconds }: Span,
): number | undefined {
  const moments = alarms
    .filter((alarm) => alarm.kind === kind)
    .flatMap(({ transitions }) => transitions)
    .filter(({ state, atSeconds }) => state === "ALARM" && atSeconds >= fromSeconds && atSeconds <= toSeconds)
    .map(({ atSeconds }) => atSeconds - fromSeconds);
  return moments.length === 0 ? undefined : Math.min(...moments);
}

function missingAlarms(plan: Plan, { fromSeconds }: Span): BrokenAlarm[] {
  const wanted = plan.views.flatMap((view) =>
    (["failing", "stale", ...(view.fullEverySeconds === undefined ? [] : (["drift"] as const))] as const).map(
      (kind) => ({ kind, view: qualifiedName(view) }),
    ),
  );
  return wanted
    .filter(({ kind, view }) => !plan.alarms.some((alarm) => alarm.kind === kind && alarm.view === view))
    .map(({ kind, view }) => ({
      atSeconds: fromSeconds,
      alarm: `${kind} of ${view}`,
      what: "there is none",
    }));
}

/** Refreshes of which their runs knew and that no metric tells of. */
function untold(plan: Plan, facts: Facts, { toSeconds }: Span): BrokenAlarm[] {
  return plan.views.flatMap((view) => {
    const told = pointsOf(facts.points, {
      ...{ namespace: METRIC_NAMESPACE, name: METRIC.succeeded },
      dimensions: metricDimensions(plan.group, view),
    });
    return facts.refreshes
      .filter(
        (each) => each.view === qualifiedName(view) && each.isKnownToRun && each.finishedSeconds < toSeconds,
      )
      .filter(
        ({ finishedSeconds: at }) => told.within(at - 1, at + plan.settings.timeoutSeconds + 1).length === 0,
      )
      .map(({ finishedSeconds }) => ({
        ...{ atSeconds: finishedSeconds, alarm: `stale of ${qualifiedName(view)}` },
        what: "a refresh of which its run knew was told by no metric",
      }));
  });
}

function stretchesOf(
  plan: Plan,
  facts: Facts,
  span: Span,
  view: string,
  caseOf: (kind: AlarmKind, view: string) => AlarmCase | undefined,
): Stretch[] {
  const { successSeconds } = viewFacts({ plan, facts }, view);
  const leastSeconds = plan.schedule.intervalSeconds + plan.settings.timeoutSeconds;
  return gaps([span.fromSeconds, ...successSeconds], span.toSeconds)
    .filter(({ fromSeconds, toSeconds }) => toSeconds - fromSeconds > leastSeconds)
    .map(({ fromSeconds, toSeconds }) => {
      const after = (kind: AlarmKind): number | undefined => {
        const transitions = caseOf(kind, view)?.transitions ?? [];
        return raisedAfter({ alarms: [{ key: kind, kind, transitions }] }, kind, { fromSeconds, toSeconds });
      };
      const failedRuns = facts.runs.filter(
        ({ isFailure, startSeconds }) => isFailure && startSeconds >= fromSeconds && startSeconds < toSeconds,
      );
      return {
        ...{ view, fromSeconds, toSeconds, failedRuns: failedRuns.length },
        failingAfterSeconds: after("failing"),
        staleAfterSeconds: after("stale"),
      };
    });
}
