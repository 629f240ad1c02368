import type { AlarmPlan } from "../components/plan/planTypes";
import { MetricStore, type Datapoint } from "./metrics";

/** An alarm that went off or came back. */
export interface AlarmChange {
  alarm: AlarmPlan;
  state: "ALARM" | "OK";
}

/**
 * The plan's alarms, held against the metrics of this run by CloudWatch's rules: whole periods on the clock,
 * the statistic of each, how many of them breach, and what missing data counts for. A period that began before
 * the run did is held against nobody.
 */
export class AlarmWatch {
  private readonly raised = new Set<string>();
  private readonly metrics: MetricStore;

  constructor(
    private readonly alarms: AlarmPlan[],
    private readonly startEpochMs: number,
  ) {
    const windowsMs = alarms.map(
      ({ periodSeconds, evaluationPeriods }) => periodSeconds * evaluationPeriods * 1000,
    );
    // One period more than the longest window, for the one that is not complete yet.
    this.metrics = new MetricStore(Math.max(0, ...windowsMs) * 2);
  }

  add(points: Datapoint[]): void {
    this.metrics.add(points);
  }

  /** @returns the alarms whose state differs from the last evaluation */
  evaluate(nowEpochMs: number): AlarmChange[] {
    return this.alarms.flatMap((alarm): AlarmChange[] => {
      const isBreaching = this.isBreaching(alarm, nowEpochMs);
      if (isBreaching === undefined || isBreaching === this.raised.has(alarm.key)) return [];
      if (isBreaching) this.raised.add(alarm.key);
      else this.raised.delete(alarm.key);
      return [{ alarm, state: isBreaching ? "ALARM" : "OK" }];
    });
  }

  /** Undefined: the state is kept. */
  private isBreaching(alarm: AlarmPlan, nowEpochMs: number): boolean | undefined {
    const periodMs = alarm.periodSeconds * 1000;
    const lastEndMs = Math.floor(nowEpochMs / periodMs) * periodMs;
    let breaching = 0;
    let missing = 0;
    for (let index = 1; index <= alarm.evaluationPeriods; index += 1) {
      const fromMs = lastEndMs - index * periodMs;
      if (fromMs < this.startEpochMs) continue;
      const measured =
        this.metrics.statistic(alarm.metric, fromMs, fromMs + periodMs) ?? alarm.fill?.fillWith;
      if (measured === undefined) missing += 1;
      else if (breaches(alarm, measured)) breaching += 1;
    }
    if (alarm.treatMissingData === "breaching") breaching += missing;
    const saysNothing = missing > 0 && ["ignore", "missing"].includes(alarm.treatMissingData);
    if (saysNothing && breaching < alarm.datapointsToAlarm) return undefined;
    return breaching >= alarm.datapointsToAlarm;
  }
}

function breaches({ comparison, threshold }: AlarmPlan, value: number): boolean {
  switch (comparison) {
    case "GreaterThanThreshold":
      return value > threshold;
    case "GreaterThanOrEqualToThreshold":
      return value >= threshold;
    case "LessThanThreshold":
      return value < threshold;
  }
}
