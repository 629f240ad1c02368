/**
 * When refreshes are due. Pure: no clock, so the same text gives the same schedule on every machine and day.
 *
 * AWS has no step under a minute. Here `rate(12|15|20|30 seconds)` is a `rate(1 minute)` rule whose ticks are
 * repeated at fixed offsets inside the minute: offset 0 goes to the function, each further one through a queue
 * with that delay. A rule has at most 5 targets, so 12 seconds is the shortest step.
 */
import { firesOnDay, fromUnixCron, minutesOfDay, nextCronTick, readCron, type CronFields } from "./cron";

/** What a month is in every figure of this product: 30 days, so a tick a minute is 43,200 a month. */
export const DAYS_PER_MONTH = 30;

/** Steps under a minute that fill a minute evenly with at most 5 ticks. */
export const SUB_MINUTE_SECONDS = [12, 15, 20, 30] as const;

/** EventBridge takes no longer schedule expression (PutRule). */
const LONGEST_EXPRESSION = 256;

/** No text of a rate that works is longer, spaces included. */
const LONGEST_TEXT = 1_000;

/** A rule has at most this many targets. */
export const MOST_TARGETS_PER_RULE = 5;

/** What decides the ticks: a fixed step in seconds, or a cron expression in UTC. */
export type Ticks = { kind: "rate"; everySeconds: number } | { kind: "cron"; fields: CronFields };

/** A schedule as the rule, the queues and the alarms need it. Plain data. */
export interface Schedule {
  /** The setting as it was given. */
  refreshRate: string;
  /** What the EventBridge rule gets, for instance `rate(1 minute)`. */
  ruleExpression: string;
  /** Seconds after each firing of the rule at which a tick is due: `[0]`, or `[0, 30]` for rate(30 seconds). */
  offsetsSeconds: number[];
  /** The longest gap between two ticks, in seconds. */
  intervalSeconds: number;
  /** The ticks themselves; a rate counts all offsets, so 30 for rate(30 seconds). */
  ticks: Ticks;
  /** In words, for descriptions: "every 30 seconds". */
  description: string;
}

/** Thrown for a rate that does not work; `problems` says why, `limit` which ones do. */
export class ScheduleError extends Error {
  readonly problems: string[];
  readonly limit: string;
  /** A rate near to what was meant, where that is plain to see. */
  readonly suggestion: string;

  constructor(text: string, problems: string[], limit: string, suggestion: string) {
    super(`refreshRate "${text}": ${problems.join("; ")}. Allowed: ${limit}. For instance ${suggestion}.`);
    this.name = "ScheduleError";
    this.problems = problems;
    this.limit = limit;
    this.suggestion = suggestion;
  }
}

const ALLOWED_RATES =
  "rate(12|15|20|30 seconds), rate(1 minute), rate(n minutes|hours|days), or cron(minutes hours " +
  "day-of-month month day-of-week year)";

/** Day from which cron schedules are measured. Fixed, so that a plan never depends on the day it is made. */
export const CRON_REFERENCE_MS = Date.UTC(2026, 0, 1);

/** Weekdays and dates repeat every 28 years (until 2100), so this many days show every gap a cron can have. */
const CRON_HORIZON_DAYS = 28 * 365 + 7;

/** The year after the last that a cron expression can name. */
const CRON_END_MS = Date.UTC(2200, 0, 1);

const DAY_MS = 86_400_000;
const UNIT_SECONDS = { second: 1, minute: 60, hour: 3_600, day: 86_400 } as const;
type Unit = keyof typeof UNIT_SECONDS;

/** Reads a refresh rate. Throws {@link ScheduleError} with every problem and the rates that work. */
export function parseRefreshRate(text: string): Schedule {
  if (text.length > LONGEST_TEXT)
    throw new ScheduleError(text, [`is ${text.length} long`], ALLOWED_RATES, "rate(1 minute)");
  const trimmed = text.trim();
  const cron = /^cron\((.*)\)$/.exec(trimmed);
  if (cron) return cronSchedule(text, cron[1] ?? "");
  const rate = /^rate\(\s*(\S+)\s+(\S+?)\s*\)$/.exec(trimmed);
  if (rate) return rateSchedule(text, rate[1] ?? "", rate[2] ?? "");
  const suggestion = readCron(trimmed).fields ? `cron(${trimmed})` : fromUnixCron(trimmed);
  throw new ScheduleError(
    text,
    ["not of the form rate(value unit) or cron(six fields)"],
    ALLOWED_RATES,
    suggestion ?? "rate(1 minute)",
  );
}

function rateSchedule(text: string, valueText: string, unitText: string): Schedule {
  const unit = unitText.replace(/s$/, "") as Unit;
  if (!Object.hasOwn(UNIT_SECONDS, unit)) {
    throw new ScheduleError(text, [`"${unitText}" is not a unit`], ALLOWED_RATES, "rate(5 minutes)");
  }
  const value = Number(valueText);
  if (!/^\d+$/.test(valueText) || value < 1) {
    const problem = `"${valueText}" is not a whole number of at least 1`;
    throw new ScheduleError(
      text,
      [problem],
      ALLOWED_RATES,
      unit === "second" ? "rate(30 seconds)" : `rate(1 ${unit})`,
    );
  }
  if (unit === "second") return secondsSchedule(text, value, unitText);
  const properUnit = value === 1 ? unit : `${unit}s`;
  if (unitText !== properUnit) {
    const problem = `AWS wants the ${value === 1 ? "singular" : "plural"} "${properUnit}" after ${value}`;
    throw new ScheduleError(text, [problem], ALLOWED_RATES, `rate(${value} ${properUnit})`);
  }
  const everySeconds = value * UNIT_SECONDS[unit];
  return {
    refreshRate: text,
    ruleExpression: `rate(${value} ${properUnit})`,
    offsetsSeconds: [0],
    intervalSeconds: everySeconds,
    ticks: { kind: "rate", everySeconds },
    description: value === 1 ? `every ${unit}` : `every ${value} ${unit}s`,
  };
}

function secondsSchedule(text: string, seconds: number, unitText: string): Schedule {
  const allowed: readonly number[] = SUB_MINUTE_SECONDS;
  if (!allowed.includes(seconds)) {
    const problem =
      seconds % 60 === 0
        ? "whole minutes are written in minutes"
        : `${seconds} seconds do not divide a minute into at most ${MOST_TARGETS_PER_RULE} even steps`;
    throw new ScheduleError(text, [problem], ALLOWED_RATES, nearestRate(seconds));
  }
  if (unitText !== "seconds") {
    throw new ScheduleError(text, ['the unit is "seconds"'], ALLOWED_RATES, `rate(${seconds} seconds)`);
  }
  return {
    refreshRate: text,
    ruleExpression: "rate(1 minute)",
    offsetsSeconds: Array.from({ length: 60 / seconds }, (_, index) => index * seconds),
    intervalSeconds: seconds,
    ticks: { kind: "rate", everySeconds: seconds },
    description: `every ${seconds} seconds`,
  };
}

/** The allowed rate nearest to a number of seconds. */
function nearestRate(seconds: number): string {
  if (seconds >= 45) {
    const minutes = Math.max(1, Math.round(seconds / 60));
    return minutes === 1 ? "rate(1 minute)" : `rate(${minutes} minutes)`;
  }
  const nearest = SUB_MINUTE_SECONDS.reduce((best, candidate) =>
    Math.abs(candidate - seconds) < Math.abs(best - seconds) ? candidate : best,
  );
  return `rate(${nearest} seconds)`;
}

function cronSchedule(text: string, inner: string): Schedule {
  const { fields, faults } = readCron(inner);
  if (fields === undefined) {
    throw new ScheduleError(text, faults, ALLOWED_RATES, fromUnixCron(inner) ?? "cron(0/5 * * * ? *)");
  }
  const days = firingDays(fields);
  const minutes = minutesOfDay(fields);
  if (days.length * minutes.length < 2) {
    const problem =
      days.length === 0
        ? `never fires after ${new Date(CRON_REFERENCE_MS).toISOString().slice(0, 10)}`
        : "fires only once, which keeps nothing fresh";
    throw new ScheduleError(text, [problem], ALLOWED_RATES, "cron(0/5 * * * ? *)");
  }
  const ruleExpression = `cron(${inner.trim().toUpperCase().split(/\s+/).join(" ")})`;
  if (ruleExpression.length > LONGEST_EXPRESSION) {
    const problem =
      `is ${ruleExpression.length} long, and EventBridge takes ${LONGEST_EXPRESSION}; write ranges and steps for ` +
      "lists";
    throw new ScheduleError(text, [problem], ALLOWED_RATES, "cron(0/5 * * * ? *)");
  }
  return {
    refreshRate: text,
    ruleExpression,
    offsetsSeconds: [0],
    intervalSeconds: longestGapMinutes(days, minutes) * 60,
    ticks: { kind: "cron", fields },
    description: `at ${ruleExpression} UTC`,
  };
}

/** Numbers of the days after the reference date, within the horizon, on which a cron schedule fires. */
function firingDays(fields: CronFields, mostDays = CRON_HORIZON_DAYS): number[] {
  const days: number[] = [];
  for (let day = 0; day < CRON_HORIZON_DAYS && days.length < mostDays; day += 1) {
    if (firesOnDay(fields, CRON_REFERENCE_MS + day * DAY_MS)) days.push(day);
  }
  return days;
}

/** The same minutes fire on every firing day, so gaps are those within a day and those between two days. */
function longestGapMinutes(days: number[], minutes: number[]): number {
  const withinDay = longestStep(minutes);
  const overnight = (minutes[0] ?? 0) - (minutes.at(-1) ?? 0);
  const betweenDays = longestStep(days) * 1_440 + (days.length > 1 ? overnight : 0);
  return Math.max(withinDay, betweenDays);
}

function longestStep(sorted: number[]): number {
  return sorted.reduce((longest, value, index) => {
    const previous = sorted[index - 1];
    return previous === undefined ? longest : Math.max(longest, value - previous);
  }, 0);
}

/**
 * The first tick strictly after a moment, both in epoch milliseconds; `undefined` when a cron schedule with
 * years in it has ended. Rates are aligned to the epoch, so that steps of a minute begin on the minute; AWS
 * counts a rate from the moment the rule was made, which no plan can know.
 */
export function nextTick(schedule: Schedule, afterEpochMs: number): number | undefined {
  if (schedule.ticks.kind === "cron") return nextCronTick(schedule.ticks.fields, afterEpochMs, CRON_END_MS);
  const stepMs = schedule.ticks.everySeconds * 1_000;
  return (Math.floor(afterEpochMs / stepMs) + 1) * stepMs;
}

/** Ticks in a month of {@link DAYS_PER_MONTH} days: 43,200 for rate(1 minute). */
export function ticksPerMonth(schedule: Schedule): number {
  if (schedule.ticks.kind === "rate") return (DAYS_PER_MONTH * 86_400) / schedule.ticks.everySeconds;
  const days = firingDays(schedule.ticks.fields);
  const spanDays = Math.max((days.at(-1) ?? 0) - (days[0] ?? 0) + 1, DAYS_PER_MONTH);
  return (days.length * minutesOfDay(schedule.ticks.fields).length * DAYS_PER_MONTH) / spanDays;
}

/** The first ticks from the reference date on, in epoch seconds; fewer where a cron schedule ends before. */
export function sampleTicks(schedule: Schedule, mostTicks: number): number[] {
  const startSeconds = CRON_REFERENCE_MS / 1_000;
  const { ticks } = schedule;
  if (ticks.kind === "rate") {
    return Array.from({ length: mostTicks }, (_, index) => startSeconds + index * ticks.everySeconds);
  }
  const minutes = minutesOfDay(ticks.fields);
  return firingDays(ticks.fields, Math.ceil(mostTicks / minutes.length))
    .flatMap((day) => minutes.map((minute) => startSeconds + day * 86_400 + minute * 60))
    .slice(0, mostTicks);
}

/** The first ticks of about so many seconds. */
export function sampleTicksWithin(schedule: Schedule, seconds: number): number[] {
  const { ticks } = schedule;
  const count = ticks.kind === "rate" ? Math.ceil(seconds / ticks.everySeconds) + 1 : SAMPLED_TICKS;
  const sample = sampleTicks(schedule, count);
  return sample.filter((tick) => tick <= (sample[0] ?? 0) + seconds);
}

/** Ticks of a cron schedule that are looked at where a period does not divide the day: over a week of minutes. */
const SAMPLED_TICKS = 11_000;

/**
 * The most ticks that can fall into one CloudWatch period of `periodSeconds` (a multiple of 60): what bounds
 * the errors a period can hold. A rate may begin anywhere in a period; cron ticks stand where they stand.
 */
export function mostTicksPerPeriod(schedule: Schedule, periodSeconds: number): number {
  const { ticks } = schedule;
  if (ticks.kind === "rate") return Math.ceil(periodSeconds / ticks.everySeconds);
  const sample =
    86_400 % periodSeconds === 0
      ? minutesOfDay(ticks.fields).map((minute) => minute * 60)
      : sampleTicks(schedule, SAMPLED_TICKS);
  const perPeriod = new Map<number, number>();
  for (const tick of sample) {
    const period = Math.floor(tick / periodSeconds);
    perPeriod.set(period, (perPeriod.get(period) ?? 0) + 1);
  }
  return Math.max(...perPeriod.values());
}
