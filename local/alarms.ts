import type { AlarmSettings } from "../components/settings";
import { describeSeconds } from "./duration";
import { isFailure, type Tick } from "./tally";

/** The three promises that are watched. */
export type AlarmName = "failing" | "stale" | "slow";

/** An alarm that went off or came back. */
export interface AlarmChange {
  name: AlarmName;
  state: "ALARM" | "OK";
  reason: string;
}

/** The numbers of the plan that the alarms are made of. */
export interface AlarmRules {
  alarms: AlarmSettings;
  timeoutSeconds: number;
  maxStalenessSeconds: number;
}

/** The deployed alarms' rules, held against the ticks of this run. */
export class AlarmWatch {
  private readonly raised = new Set<AlarmName>();
  private failedInARow = 0;

  constructor(private readonly rules: AlarmRules) {}

  /** Alarms that are raised now. */
  get active(): AlarmName[] {
    return [...this.raised];
  }

  /**
   * @param ageSeconds age of the stalest view, or the time since the schedule began where none is known
   * @returns what changed with this tick
   */
  note(tick: Tick, ageSeconds: number): AlarmChange[] {
    const { alarms, timeoutSeconds, maxStalenessSeconds } = this.rules;
    this.failedInARow = isFailure(tick.outcome) ? this.failedInARow + 1 : 0;
    const slowSeconds = (timeoutSeconds * alarms.slowPercent) / 100;
    return [
      this.turn(
        "failing",
        this.failedInARow >= alarms.failedTicks,
        `${this.failedInARow} ticks in a row failed`,
        "the last tick did not fail",
      ),
      this.stale(ageSeconds, maxStalenessSeconds),
      this.turn(
        "slow",
        tick.runSeconds > slowSeconds,
        `a run took ${describeSeconds(tick.runSeconds)}, more than ${alarms.slowPercent} % of its ${timeoutSeconds} s`,
        `the last run took ${describeSeconds(tick.runSeconds)}`,
      ),
    ].filter((change) => change !== undefined);
  }

  private stale(ageSeconds: number, promisedSeconds: number): AlarmChange | undefined {
    return this.turn(
      "stale",
      ageSeconds > promisedSeconds,
      `no refresh for ${describeSeconds(ageSeconds)}, promised: ${describeSeconds(promisedSeconds)}`,
      `data is ${describeSeconds(ageSeconds)} old`,
    );
  }

  private turn(name: AlarmName, isBad: boolean, bad: string, good: string): AlarmChange | undefined {
    if (isBad === this.raised.has(name)) return undefined;
    if (isBad) this.raised.add(name);
    else this.raised.delete(name);
    return { name, state: isBad ? "ALARM" : "OK", reason: isBad ? bad : good };
  }
}
