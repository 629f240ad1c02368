/** The ticks that reach a function, from its triggers. */
import type { TickSource } from "../components/time/replay";
import { sampleTicksWithin, ticksPerMonth, type Schedule } from "../components/time/schedule";
import { known, readFlag, readText } from "./reading";
import type { RefreshFunction } from "./relations";

/** A trigger whose schedule is known. */
export interface Ticking {
  schedule: Schedule;
  delaySeconds: number;
  ruleUrn: string;
  isQueued: boolean;
}

/** The ticks of a function: known, not known yet, or none that can be counted. */
export type Ticks =
  { state: "known"; triggers: Ticking[] } | { state: "unknown"; path: string } | { state: "none" };

/** Reads what triggers a function. A schedule with a fault counts as none; the schedule rule names it. */
export function ticksOf({ triggers, unclearTrigger }: RefreshFunction): Ticks {
  if (unclearTrigger !== undefined) return { state: "unknown", path: `what ${unclearTrigger.name} joins` };
  const ticking: Ticking[] = [];
  for (const { schedule, queue, rule, delaySeconds } of triggers) {
    if (schedule.state === "unknown") return { state: "unknown", path: `the schedule of ${rule.name}` };
    if (schedule.state !== "known") continue;
    ticking.push({
      schedule: schedule.value,
      delaySeconds,
      ruleUrn: rule.urn,
      isQueued: queue !== undefined,
    });
  }
  return ticking.length === 0 ? { state: "none" } : { state: "known", triggers: ticking };
}

/** Whether the function has schedules, and every one of them is switched off. */
export function isSwitchedOff({ triggers }: RefreshFunction): boolean {
  return (
    triggers.length > 0 &&
    triggers.every(
      ({ rule }) =>
        known(readText(rule.props, "state")) === "DISABLED" ||
        known(readFlag(rule.props, "isEnabled")) === false,
    )
  );
}

/** Runs a month when none fails. */
export function runsPerMonth(triggers: Ticking[]): number {
  return triggers.reduce((total, { schedule }) => total + ticksPerMonth(schedule), 0);
}

/**
 * One schedule that stands for all triggers: its interval is the longest gap between two ticks, which is that of
 * the densest rule at the most.
 */
export function densestSchedule(triggers: Ticking[]): Schedule {
  const rules = [...new Set(triggers.map(({ ruleUrn }) => ruleUrn))];
  const schedules = rules.map((urn) => scheduleOfRule(triggers.filter(({ ruleUrn }) => ruleUrn === urn)));
  return schedules.reduce((densest, schedule) =>
    schedule.intervalSeconds < densest.intervalSeconds ? schedule : densest,
  );
}

/** A rule's schedule with the ticks between two firings that its queues bring. */
function scheduleOfRule(triggers: Ticking[]): Schedule {
  const [first] = triggers;
  if (first === undefined) throw new RangeError("a rule without triggers has no schedule");
  const { schedule } = first;
  if (schedule.ticks.kind === "cron" || triggers.length === 1) return schedule;
  const { everySeconds } = schedule.ticks;
  const offsets = [...new Set(triggers.map(({ delaySeconds }) => delaySeconds % everySeconds))].sort(
    (a, b) => a - b,
  );
  const gaps = offsets.map(
    (offset, index) => (offsets[index + 1] ?? (offsets[0] ?? 0) + everySeconds) - offset,
  );
  const intervalSeconds = Math.max(...gaps);
  return { ...schedule, intervalSeconds, ticks: { kind: "rate", everySeconds: intervalSeconds } };
}

/** "every minute", or the several schedules. */
export function describeTicks(triggers: Ticking[]): string {
  return [...new Set(triggers.map(({ schedule }) => schedule.ruleExpression))].join(" and ");
}

/** The ticks of all triggers together. */
export function tickSource(triggers: Ticking[]): TickSource {
  return {
    intervalSeconds: densestSchedule(triggers).intervalSeconds,
    within: (seconds) =>
      triggers
        .flatMap(({ schedule, delaySeconds }) =>
          sampleTicksWithin(schedule, seconds).map((tick) => tick + delaySeconds),
        )
        .sort((a, b) => a - b),
  };
}
