/** How many ticks and errors a time can hold, from a function's triggers. The arithmetic is the plan's own. */
import { mostErrorsPerPeriod } from "../components/plan/alarmPlan";
import { mostTicksPerPeriod, ticksPerMonth, type Schedule } from "../components/plan/schedule";
import type { RefreshFunction } from "./relations";

/** A trigger whose schedule is known. */
export interface Ticking {
  schedule: Schedule;
  delaySeconds: number;
  ruleUrn: string;
  queueRetries?: number;
}

/** The ticks of a function: known, not known yet, or none that can be counted. */
export type Ticks =
  { state: "known"; triggers: Ticking[] } | { state: "unknown"; path: string } | { state: "none" };

/** Reads what triggers a function. A schedule with a fault counts as none; the schedule rule names it. */
export function ticksOf({ triggers, unclearTrigger }: RefreshFunction): Ticks {
  if (unclearTrigger !== undefined) return { state: "unknown", path: `what ${unclearTrigger.name} joins` };
  const ticking: Ticking[] = [];
  for (const trigger of triggers) {
    const { schedule, queue } = trigger;
    if (schedule.state === "unknown")
      return { state: "unknown", path: `the schedule of ${trigger.rule.name}` };
    if (queue?.retries.state === "unknown") return { state: "unknown", path: `queue ${queue.resource.name}` };
    if (schedule.state !== "known") continue;
    ticking.push({
      schedule: schedule.value,
      delaySeconds: trigger.delaySeconds,
      ruleUrn: trigger.rule.urn,
      ...(queue?.retries.state === "known" ? { queueRetries: queue.retries.value } : {}),
    });
  }
  return ticking.length === 0 ? { state: "none" } : { state: "known", triggers: ticking };
}

/** The most ticks in so many seconds, over all triggers. */
export function mostTicksIn(triggers: Ticking[], seconds: number): number {
  return sum(triggers.map(({ schedule }) => mostTicksPerPeriod(schedule, seconds)));
}

/** The most errors in so many seconds: every run fails, and every retry of it, by Lambda or by the queue. */
export function mostErrorsIn(triggers: Ticking[], seconds: number, asyncRetries: number): number {
  return sum(
    triggers.map(({ schedule, queueRetries }) =>
      mostErrorsPerPeriod(schedule, seconds, queueRetries ?? asyncRetries),
    ),
  );
}

/** Runs a month when none fails. */
export function runsPerMonth(triggers: Ticking[]): number {
  return sum(triggers.map(({ schedule }) => ticksPerMonth(schedule)));
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
  return { ...schedule, intervalSeconds: Math.max(...gaps) };
}

/** "every minute", or the several schedules. */
export function describeTicks(triggers: Ticking[]): string {
  return [...new Set(triggers.map(({ schedule }) => schedule.ruleExpression))].join(" and ");
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
