/** How scheduled ticks reach a function: which rules trigger it, directly or through delay queues, and when. */
import type { TickSource } from "../components/time/replay";
import {
  parseRefreshRate,
  sampleTicksWithin,
  ScheduleError,
  type Schedule,
} from "../components/time/schedule";
import { known, readNumber, readText, type Reading } from "./reading";
import { refersTo, related, strongest, type Related } from "./relations";
import { nameOf, TYPE, type Resource, type ResourcesOfType } from "./resource";

/** One way by which ticks reach a function. */
export interface Trigger {
  /** The EventBridge rule, or the schedule of EventBridge Scheduler. */
  rule: Resource;
  schedule: Reading<Schedule>;
  /** Present: what AWS has against the schedule's expression. */
  fault?: string;
  /** Seconds that a queue holds the tick back; 0 for a direct one. */
  delaySeconds: number;
}

/** Every way by which scheduled ticks reach a function. */
export function triggersOf(fn: Resource, ofType: ResourcesOfType): Related<Trigger> {
  const mappings = related(ofType(TYPE.eventSourceMapping), (mapping) =>
    refersTo(mapping, ["functionName"], fn),
  );
  const queues = related(ofType(TYPE.queue), (queue) =>
    strongest(mappings.found.map((mapping) => refersTo(mapping, ["eventSourceArn"], queue))),
  );
  const found: Trigger[] = [];
  let isUnclear = mappings.isUnclear || queues.isUnclear;
  for (const end of [fn, ...queues.found]) {
    const delay = readNumber(end.props, "delaySeconds");
    const targets = related(ofType(TYPE.target), (target) => refersTo(target, ["arn"], end));
    const rules = related(ofType(TYPE.rule), (rule) =>
      strongest(targets.found.map((target) => refersTo(target, ["rule"], rule))),
    );
    const schedules = related(ofType(TYPE.schedule), (schedule) =>
      refersTo(schedule, ["target", "arn"], end),
    );
    isUnclear ||= delay.state === "unknown" || [targets, rules, schedules].some((ends) => ends.isUnclear);
    for (const rule of [...rules.found, ...schedules.found]) {
      found.push({ rule, ...scheduleOf(rule), delaySeconds: known(delay) ?? 0 });
    }
  }
  // A rule with a pattern instead of a schedule fires on events, not on ticks.
  return {
    found: found.filter(({ schedule, fault }) => schedule.state !== "absent" || fault !== undefined),
    isUnclear,
  };
}

/** What AWS does with the expression of a rule; settings take rates in seconds, which AWS does not. */
function scheduleOf(rule: Resource): Pick<Trigger, "schedule" | "fault"> {
  const expression = readText(rule.props, "scheduleExpression");
  if (expression.state !== "known") return { schedule: expression };
  const { value: text, path } = expression;
  const faulty = (fault: string) => ({ schedule: { state: "absent", path } as const, fault });
  if (text === "") return { schedule: { state: "absent", path } };
  if (/^\s*rate\(.*seconds?\s*\)\s*$/.test(text)) {
    return faulty(
      `"${text}": AWS has no step under a minute. Use rate(1 minute) with further targets on queues that delay the ` +
        "tick, as the component makes them of the same refreshRate.",
    );
  }
  try {
    return { schedule: { ...expression, value: parseRefreshRate(text) } };
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return faulty(`"${text}": ${error.problems.join("; ")}. Use for instance ${error.suggestion}.`);
  }
}

/** Whether a function has schedules, and every one of them is switched off. */
export function isSwitchedOff({ found }: Related<Trigger>): boolean {
  return found.length > 0 && found.every(({ rule }) => known(readText(rule.props, "state")) === "DISABLED");
}

/** The ticks of all triggers together. */
export interface Ticks extends TickSource {
  /** The schedule with the shortest interval. */
  schedule: Schedule;
  /** The schedules as the rules have them, for messages. */
  description: string;
}

/** Reads when a function runs; absent where no schedule counts. A schedule that AWS refuses is refresh-schedule's. */
export function ticksOf({ found, isUnclear }: Related<Trigger>): Reading<Ticks> {
  const path = "schedule";
  if (isUnclear) return { state: "unknown", path };
  const ticking: { schedule: Schedule; delaySeconds: number }[] = [];
  for (const { schedule, rule, delaySeconds } of found) {
    if (schedule.state === "unknown") return { state: "unknown", path: `schedule of ${nameOf(rule)}` };
    if (schedule.state === "known") ticking.push({ schedule: schedule.value, delaySeconds });
  }
  const [densest] = ticking.sort((a, b) => a.schedule.intervalSeconds - b.schedule.intervalSeconds);
  if (densest === undefined) return { state: "absent", path };
  const value: Ticks = {
    schedule: densest.schedule,
    intervalSeconds: densest.schedule.intervalSeconds,
    description: [...new Set(ticking.map(({ schedule }) => schedule.ruleExpression))].join(" and "),
    within: (seconds) =>
      ticking
        .flatMap(({ schedule, delaySeconds }) =>
          sampleTicksWithin(schedule, seconds).map((tick) => tick + delaySeconds),
        )
        .sort((a, b) => a - b),
  };
  return { state: "known", value, path };
}
