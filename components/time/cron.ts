/**
 * EventBridge's cron syntax: six fields (minutes, hours, day of month, month, day of week, year), UTC. Read
 * strictly, because a wrong expression is otherwise refused only by AWS, in the middle of an update.
 * Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
 */

/** One of the two day fields; `any` is the `?` of the field that does not decide. */
export type CronDays =
  | { kind: "any" }
  | { kind: "list"; values: number[] }
  /** `L`: the last day of the month. */
  | { kind: "last" }
  /** `15W`: the weekday nearest to that day, inside the month. */
  | { kind: "nearestWeekday"; day: number }
  /** `5L` of the weekday field: the last such weekday of the month (1 is Sunday). */
  | { kind: "lastWeekday"; weekday: number }
  /** `3#2`: the second Tuesday. */
  | { kind: "nthWeekday"; weekday: number; nth: number };

/** A cron expression as sorted lists, plain data. Weekdays count from 1 (Sunday), months from 1. */
export interface CronFields {
  minutes: number[];
  hours: number[];
  daysOfMonth: CronDays;
  months: number[];
  daysOfWeek: CronDays;
  years: number[];
}

/** The result of reading an expression: its fields, or every fault of it. */
export type CronReading = { fields: CronFields; faults?: never } | { fields?: never; faults: string[] };

interface FieldRule {
  title: string;
  least: number;
  most: number;
  /** Names in order; the first stands for `least`. */
  names?: readonly string[];
}

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const MINUTES: FieldRule = { title: "minutes", least: 0, most: 59 };
const HOURS: FieldRule = { title: "hours", least: 0, most: 23 };
const DAY_OF_MONTH: FieldRule = { title: "day of month", least: 1, most: 31 };
const MONTH: FieldRule = { title: "month", least: 1, most: 12, names: MONTHS };
const DAY_OF_WEEK: FieldRule = { title: "day of week", least: 1, most: 7, names: WEEKDAYS };
const YEAR: FieldRule = { title: "year", least: 1970, most: 2199 };

/** Reads the text between `cron(` and `)`; never throws. */
export function readCron(text: string): CronReading {
  const parts = text.trim().toUpperCase().split(/\s+/);
  if (parts.length !== 6) return { faults: [fieldCountFault(parts)] };
  const [minutes, hours, dayOfMonth, month, dayOfWeek, year] = parts as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const faults: string[] = [];
  if ((dayOfMonth === "?") === (dayOfWeek === "?")) {
    faults.push(
      `exactly one of day of month ("${dayOfMonth}") and day of week ("${dayOfWeek}") must be "?": ` +
        "the other one decides the days",
    );
  }
  const fields: CronFields = {
    minutes: readList(minutes, MINUTES, faults),
    hours: readList(hours, HOURS, faults),
    daysOfMonth: readDaysOfMonth(dayOfMonth, faults),
    months: readList(month, MONTH, faults),
    daysOfWeek: readDaysOfWeek(dayOfWeek, faults),
    years: readList(year, YEAR, faults),
  };
  return faults.length > 0 ? { faults } : { fields };
}

function fieldCountFault(parts: string[]): string {
  const found = parts[0] === "" ? "none" : String(parts.length);
  const hint = parts.length === 5 ? '; five are Unix cron: AWS adds the year and wants one "?"' : "";
  return `six fields are needed (minutes hours day-of-month month day-of-week year), found ${found}${hint}`;
}

/**
 * What a five-field Unix expression is in AWS's syntax, or undefined where it has no equal: Unix fires when
 * either day field matches, AWS knows only one of them. Unix counts weekdays from 0, AWS from 1; names agree.
 */
export function fromUnixCron(text: string): string | undefined {
  const [minutes, hours, dayOfMonth, month, dayOfWeek, ...rest] = text.trim().split(/\s+/);
  if (dayOfWeek === undefined || rest.length > 0) return undefined;
  if (dayOfMonth !== "*" && dayOfWeek !== "*") return undefined;
  const weekdays = dayOfWeek.replace(/\d/g, (digit) => WEEKDAYS[Number(digit) % 7] ?? digit);
  const days = dayOfWeek === "*" ? [dayOfMonth, month, "?"] : ["?", month, weekdays];
  const expression = [minutes, hours, ...days, "*"].join(" ");
  return readCron(expression).fields ? `cron(${expression})` : undefined;
}

function readDaysOfMonth(text: string, faults: string[]): CronDays {
  if (text === "?") return { kind: "any" };
  if (text === "L") return { kind: "last" };
  if (text.endsWith("W")) {
    const day = readNumber(text.slice(0, -1), DAY_OF_MONTH, faults);
    return { kind: "nearestWeekday", day: day ?? 1 };
  }
  return { kind: "list", values: readList(text, DAY_OF_MONTH, faults) };
}

function readDaysOfWeek(text: string, faults: string[]): CronDays {
  if (text === "?") return { kind: "any" };
  // A bare L is the last day of the week, not of the month.
  if (text === "L") return { kind: "list", values: [7] };
  if (text.includes("#")) {
    const [weekdayText, nthText, ...rest] = text.split("#");
    const weekday = readNumber(weekdayText ?? "", DAY_OF_WEEK, faults);
    const nth = Number(nthText);
    if (rest.length > 0 || !/^[1-5]$/.test(nthText ?? "")) {
      faults.push(`day of week "${text}": after "#" stands which one of the month, 1 to 5`);
    }
    return { kind: "nthWeekday", weekday: weekday ?? 1, nth };
  }
  if (text.endsWith("L")) {
    const weekday = readNumber(text.slice(0, -1), DAY_OF_WEEK, faults);
    return { kind: "lastWeekday", weekday: weekday ?? 1 };
  }
  if (text.includes("/")) {
    faults.push(`day of week "${text}": steps are not allowed here; list the days, for instance MON,WED,FRI`);
    return { kind: "list", values: [] };
  }
  return { kind: "list", values: readList(text, DAY_OF_WEEK, faults) };
}

/** `*`, numbers, names, ranges, steps and lists of these, as a sorted list without repetitions. */
function readList(text: string, rule: FieldRule, faults: string[]): number[] {
  const values = new Set<number>();
  for (const item of text.split(",")) {
    for (const value of readItem(item, rule, faults)) values.add(value);
  }
  return [...values].sort((a, b) => a - b);
}

function readItem(item: string, rule: FieldRule, faults: string[]): number[] {
  const [range, stepText, ...rest] = item.split("/");
  if (rest.length > 0 || (stepText !== undefined && !/^[1-9]\d*$/.test(stepText))) {
    faults.push(`${rule.title} "${item}": a step is written start/step with a step of at least 1`);
    return [];
  }
  const step = stepText === undefined ? 1 : Number(stepText);
  if (step > rule.most) {
    faults.push(`${rule.title} "${item}": the step is above ${rule.most}`);
    return [];
  }
  const bounds = readRange(range ?? "", stepText !== undefined, rule, faults);
  if (bounds === undefined) return [];
  const values: number[] = [];
  for (let value = bounds.from; value <= bounds.to; value += step) values.push(value);
  return values;
}

function readRange(
  text: string,
  hasStep: boolean,
  rule: FieldRule,
  faults: string[],
): { from: number; to: number } | undefined {
  if (text === "*") return { from: rule.least, to: rule.most };
  const [fromText, toText, ...rest] = text.split("-");
  if (rest.length > 0) {
    faults.push(`${rule.title} "${text}": a range is written from-to`);
    return undefined;
  }
  const from = readNumber(fromText ?? "", rule, faults);
  const to = toText === undefined ? (hasStep ? rule.most : from) : readNumber(toText, rule, faults);
  if (from === undefined || to === undefined) return undefined;
  if (from > to) {
    faults.push(`${rule.title} "${text}": the range runs backwards; write it as two, separated by a comma`);
    return undefined;
  }
  return { from, to };
}

function readNumber(text: string, rule: FieldRule, faults: string[]): number | undefined {
  const named = rule.names?.indexOf(text) ?? -1;
  if (named >= 0) return named + rule.least;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= rule.least && value <= rule.most) return value;
  const names = rule.names === undefined ? "" : ` or ${rule.names[0]} to ${rule.names.at(-1)}`;
  faults.push(`${rule.title} "${text}" is not one of ${rule.least} to ${rule.most}${names}`);
  return undefined;
}

const DAY_MS = 86_400_000;

/** Whether the schedule fires on the UTC day that begins at `dayStartMs`. */
export function firesOnDay(fields: CronFields, dayStartMs: number): boolean {
  const date = new Date(dayStartMs);
  if (!fields.years.includes(date.getUTCFullYear())) return false;
  if (!fields.months.includes(date.getUTCMonth() + 1)) return false;
  return matchesDay(fields.daysOfMonth, date) && matchesDay(fields.daysOfWeek, date, true);
}

function matchesDay(days: CronDays, date: Date, isWeekday = false): boolean {
  const day = date.getUTCDate();
  const weekday = date.getUTCDay() + 1;
  switch (days.kind) {
    case "any":
      return true;
    case "list":
      return days.values.includes(isWeekday ? weekday : day);
    case "last":
      return day === daysInMonth(date);
    case "nearestWeekday":
      return day === nearestWeekday(date, days.day, daysInMonth(date));
    case "lastWeekday":
      return weekday === days.weekday && day + 7 > daysInMonth(date);
    case "nthWeekday":
      return weekday === days.weekday && Math.ceil(day / 7) === days.nth;
  }
}

function daysInMonth(date: Date): number {
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
}

/** The Monday-to-Friday day nearest to `day` that stays in the month; undefined when the month lacks the day. */
function nearestWeekday(date: Date, day: number, lastDay: number): number | undefined {
  if (day > lastDay) return undefined;
  const weekday = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), day)).getUTCDay();
  if (weekday === 6) return day === 1 ? 3 : day - 1;
  if (weekday === 0) return day === lastDay ? day - 2 : day + 1;
  return day;
}

/** The minutes of the day, 0 to 1439, at which the schedule fires on each day that it fires at all. */
export function minutesOfDay(fields: CronFields): number[] {
  return fields.hours.flatMap((hour) => fields.minutes.map((minute) => hour * 60 + minute));
}

/** The first tick strictly after `afterEpochMs` and before `endEpochMs`, or undefined. Epoch milliseconds. */
export function nextCronTick(
  fields: CronFields,
  afterEpochMs: number,
  endEpochMs: number,
): number | undefined {
  const minutes = minutesOfDay(fields);
  let dayStartMs = Math.floor(afterEpochMs / DAY_MS) * DAY_MS;
  for (; dayStartMs < endEpochMs; dayStartMs += DAY_MS) {
    if (!firesOnDay(fields, dayStartMs)) continue;
    const start = dayStartMs;
    const minute = minutes.find((candidate) => start + candidate * 60_000 > afterEpochMs);
    if (minute !== undefined) return dayStartMs + minute * 60_000;
  }
  return undefined;
}
