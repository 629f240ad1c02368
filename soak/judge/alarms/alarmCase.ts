/** One alarm, replayed over what CloudWatch would have had, and held against what happened. */
import type { AlarmPlan, Plan } from "../../../components/plan/planTypes";
import { evaluationSeconds } from "../../../components/time/alarmRule";
import type { Timing } from "../../../components/time/alarmTiming";
import {
  replayAlarm,
  type Datapoint as ReplayedPoint,
  type Transition,
} from "../../../components/time/replay";
import type { Facts, ToldPoint } from "./record";
import { Timeline } from "./timeline";

/** In the plan's time, from when its alarms were made. */
export interface Span {
  fromSeconds: number;
  toSeconds: number;
}

/** A promise of an alarm that was not kept. */
export interface BrokenAlarm {
  atSeconds: number;
  /** Its key in the plan. */
  alarm: string;
  what: string;
}

export class AlarmCase {
  readonly transitions: Transition[];
  private readonly states: Timeline<Transition>;

  constructor(
    readonly alarm: AlarmPlan,
    readonly plan: Plan,
    readonly facts: Facts,
    readonly span: Span,
  ) {
    this.transitions = replayAlarm(alarm, replayed(alarm, facts.points), span);
    this.states = new Timeline(this.transitions, ({ atSeconds }) => atSeconds);
  }

  get kind(): AlarmPlan["kind"] {
    return this.alarm.kind;
  }

  get timing(): Timing {
    return { schedule: this.plan.schedule, timeoutSeconds: this.plan.settings.timeoutSeconds };
  }

  isAlarmAt(seconds: number): boolean {
    return this.states.lastUntil(seconds)?.state === "ALARM";
  }

  /** Whether it was in ALARM at any time of a span, both ends included. */
  wasAlarmWithin(fromSeconds: number, toSeconds: number): boolean {
    return (
      this.isAlarmAt(fromSeconds) ||
      this.states.within(fromSeconds, toSeconds + 1).some(({ state }) => state === "ALARM")
    );
  }

  /** When it first went off from one moment to another, in seconds since the first; undefined where it did not. */
  raisedAfter(fromSeconds: number, toSeconds: number): number | undefined {
    const raised = this.transitions.find(
      ({ state, atSeconds }) => state === "ALARM" && atSeconds >= fromSeconds && atSeconds <= toSeconds,
    );
    return raised && raised.atSeconds - fromSeconds;
  }

  broken(atSeconds: number, what: string): BrokenAlarm {
    return { atSeconds, alarm: this.alarm.key, what };
  }

  /**
   * What is wrong with its being in ALARM, once for each time that it went off.
   * @param wrong asked of each evaluation: its time, and the whole minute at which what it looks at ends.
   */
  unlessCaused(wrong: (atSeconds: number, endSeconds: number) => string | undefined): BrokenAlarm[] {
    const found: BrokenAlarm[] = [];
    let isReported = false;
    for (const atSeconds of this.evaluations()) {
      if (!this.isAlarmAt(atSeconds)) {
        isReported = false;
        continue;
      }
      const what = isReported ? undefined : wrong(atSeconds, Math.floor(atSeconds / 60) * 60);
      if (what === undefined) continue;
      found.push(this.broken(atSeconds, what));
      isReported = true;
    }
    return found;
  }

  private *evaluations(): Generator<number> {
    const step = evaluationSeconds(this.alarm);
    for (let at = this.span.fromSeconds; at <= this.span.toSeconds; at += step) yield at;
  }
}

/** Values of one metric, in the order of their stamps. */
export function pointsOf(
  points: ToldPoint[],
  metric: Pick<ToldPoint, "namespace" | "name" | "dimensions">,
): Timeline<ToldPoint> {
  return new Timeline(
    points.filter((point) => isOf(metric, point)),
    ({ stampSeconds }) => stampSeconds,
  );
}

function replayed(alarm: AlarmPlan, points: ToldPoint[]): ReplayedPoint[] {
  return alarm.metrics
    .flatMap((metric) =>
      pointsOf(points, metric).all.map(({ stampSeconds, knownAtSeconds, value }) => ({
        ...{ series: metric.id, stampSeconds, knownAtSeconds, value },
      })),
    )
    .sort((a, b) => a.stampSeconds - b.stampSeconds);
}

function isOf(metric: Pick<ToldPoint, "namespace" | "name" | "dimensions">, point: ToldPoint): boolean {
  const wanted = Object.entries(metric.dimensions);
  return (
    point.namespace === metric.namespace &&
    point.name === metric.name &&
    Object.keys(point.dimensions).length === wanted.length &&
    wanted.every(([name, value]) => point.dimensions[name] === value)
  );
}
