/** The alarms of a run: the plan's, over the metrics of this run. */
import type { AlarmPlan, MetricPlan } from "../components/plan/planTypes";
import { evaluateAlarm, evaluationSeconds, type AlarmState } from "../components/time/alarmRule";
import { MetricStore, type Datapoint } from "./metrics";

/** An alarm that went off or came back. */
export interface AlarmChange {
  alarm: AlarmPlan;
  state: "ALARM" | "OK";
}

/**
 * The plan's alarms, held against the metrics of this run as CloudWatch would: by the rules that the plan's promises
 * are proven with, as often as CloudWatch evaluates them, and after their warm-up.
 */
export class AlarmWatch {
  private readonly states = new Map<string, { state: AlarmState; nextSeconds: number }>();
  private readonly metrics: MetricStore;
  private readonly startSeconds: number;

  constructor(
    private readonly alarms: AlarmPlan[],
    startEpochMs: number,
  ) {
    this.startSeconds = startEpochMs / 1_000;
    const windowsSeconds = alarms.map((alarm) => alarm.periodSeconds * alarm.evaluationPeriods);
    // Twice the longest window: CloudWatch may look a little further back.
    this.metrics = new MetricStore(Math.max(0, ...windowsSeconds) * 2_000);
  }

  add(points: Datapoint[]): void {
    this.metrics.add(points);
  }

  /** @returns the alarms that went off or came back, among those that are due to be evaluated */
  evaluate(nowEpochMs: number): AlarmChange[] {
    const nowSeconds = nowEpochMs / 1_000;
    return this.alarms.flatMap((alarm): AlarmChange[] => {
      const { state: before, nextSeconds } = this.states.get(alarm.key) ?? {
        state: "INSUFFICIENT_DATA",
        nextSeconds: this.startSeconds,
      };
      if (nowSeconds < nextSeconds) return [];
      const data = (metric: MetricPlan, from: number, to: number): number[] =>
        this.metrics.values(metric, from * 1_000, to * 1_000);
      const state = evaluateAlarm(alarm, data, nowSeconds, before, this.startSeconds);
      const stepSeconds = evaluationSeconds(alarm);
      const missed = Math.floor((nowSeconds - nextSeconds) / stepSeconds);
      this.states.set(alarm.key, { state, nextSeconds: nextSeconds + (missed + 1) * stepSeconds });
      if (state === before || state === "INSUFFICIENT_DATA") return [];
      // The first evaluation of a healthy alarm is no news.
      return state === "OK" && before !== "ALARM" ? [] : [{ alarm, state }];
    });
  }
}
