/**
 * Whether every stretch in which a promise was broken was told in time, and nothing was told without cause: the plan's
 * alarms, replayed over what CloudWatch would have had, against what happened.
 */
import type { AlarmKind, Plan } from "../../../components/plan/planTypes";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "../../../handler/metricNames";
import { qualifiedName } from "../../../handler/names";
import { AlarmCase, pointsOf, type BrokenAlarm, type Span } from "./alarmCase";
import { judgeDrift, judgeFullRuns, judgeSlow, judgeThrottled } from "./otherAlarms";
import type { Facts } from "./record";
import { gaps } from "./timeline";
import { judgeFailing, judgeStale, viewFacts } from "./viewAlarms";

/** A view without a success, for longer than from one tick to the next. */
export interface Stretch {
  /** `schema.name` */
  view: string;
  /** Its last success before, told or not; the beginning where there was none. */
  fromSeconds: number;
  toSeconds: number;
  /** Seconds from the last success to the alarm; undefined where it did not go off. */
  failingAfterSeconds: number | undefined;
  staleAfterSeconds: number | undefined;
}

export interface Judgement {
  broken: BrokenAlarm[];
  /** What each alarm of the plan went through. */
  alarms: Pick<AlarmCase, "kind" | "transitions">[];
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
  const caseOf: CaseOf = (kind, view) => cases.find((each) => each.kind === kind && each.alarm.view === view);
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
    alarms: cases,
    stretches: plan.views.flatMap((view) => stretchesOf(plan, facts, span, qualifiedName(view), caseOf)),
  };
}

type CaseOf = (kind: AlarmKind, view: string) => AlarmCase | undefined;

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

function stretchesOf(plan: Plan, facts: Facts, span: Span, view: string, caseOf: CaseOf): Stretch[] {
  const { successSeconds } = viewFacts({ plan, facts }, view);
  const leastSeconds = plan.schedule.intervalSeconds + plan.settings.timeoutSeconds;
  return gaps([span.fromSeconds, ...successSeconds], span.toSeconds)
    .filter(({ fromSeconds, toSeconds }) => toSeconds - fromSeconds > leastSeconds)
    .map(({ fromSeconds, toSeconds }) => {
      const after = (kind: AlarmKind): number | undefined =>
        caseOf(kind, view)?.raisedAfter(fromSeconds, toSeconds);
      return {
        ...{ view, fromSeconds, toSeconds },
        ...{ failingAfterSeconds: after("failing"), staleAfterSeconds: after("stale") },
      };
    });
}
