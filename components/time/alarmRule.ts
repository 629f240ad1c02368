/**
 * A CloudWatch alarm on metrics, and what CloudWatch makes of it: the state at a moment, from the data that had come
 * in by then. The source of each rule is CloudWatch's documentation of alarm evaluation.
 */
import { parseMetricMath, type MetricMath } from "./metricMath";

export type AlarmState = "OK" | "ALARM" | "INSUFFICIENT_DATA";
export type Statistic = "Sum" | "Maximum" | "Minimum" | "Average" | "SampleCount";
export type Comparison =
  | "GreaterThanThreshold"
  | "GreaterThanOrEqualToThreshold"
  | "LessThanThreshold"
  | "LessThanOrEqualToThreshold";
export type MissingData = "breaching" | "notBreaching" | "ignore" | "missing";

/** A metric that an alarm reads, under the id that the alarm's expression calls it by. */
export interface AlarmMetric {
  id: string;
  statistic: Statistic;
}

/** When an alarm goes off. */
export interface AlarmRule<Metric extends AlarmMetric = AlarmMetric> {
  metrics: Metric[];
  /** Metric math over the metrics' ids; absent: the one metric itself. */
  expression?: string;
  comparison: Comparison;
  threshold: number;
  periodSeconds: number;
  evaluationPeriods: number;
  datapointsToAlarm: number;
  treatMissingData: MissingData;
  /** After its creation the alarm waits for this long before it is evaluated. */
  warmUpSeconds?: number;
}

/** The values of a metric stamped within `[fromSeconds, toSeconds)` that have come in. */
export type MetricData<Metric extends AlarmMetric = AlarmMetric> = (
  metric: Metric,
  fromSeconds: number,
  toSeconds: number,
) => number[];

/** The longest that all periods of an alarm may be together: seven days, with periods of an hour or more. */
export const LONGEST_WINDOW_SECONDS = 604_800;

/** A window longer than this is evaluated once an hour, and needs periods of an hour or more. */
export const LONGEST_MINUTELY_WINDOW_SECONDS = 86_400;

/** The longest warm-up of an alarm: 2,880 minutes. */
export const LONGEST_WARM_UP_SECONDS = 172_800;

/** The most periods of a length that one alarm can look at. */
export function mostPeriods(periodSeconds: number): number {
  const longest = periodSeconds >= 3_600 ? LONGEST_WINDOW_SECONDS : LONGEST_MINUTELY_WINDOW_SECONDS;
  return Math.floor(longest / periodSeconds);
}

/** Seconds between two evaluations of an alarm. */
export function evaluationSeconds(rule: Pick<AlarmRule, "periodSeconds" | "evaluationPeriods">): number {
  if (rule.periodSeconds < 60) return 10;
  return rule.periodSeconds * rule.evaluationPeriods > LONGEST_MINUTELY_WINDOW_SECONDS ? 3_600 : 60;
}

/**
 * Periods that CloudWatch looks further back when data is missing: its own example shows a range of 5 for 3
 * evaluation periods, and says that it may be another number.
 */
const FURTHER_PERIODS = 2;

/**
 * The state of an alarm at a moment. The window slides: it ends at the last whole minute (at the last whole period
 * where that is shorter) and is not aligned to the clock otherwise.
 * @param before the state at the evaluation before, which missing data that is ignored leaves as it is.
 * @param sinceSeconds when the alarm was made.
 */
export function evaluateAlarm<Metric extends AlarmMetric>(
  rule: AlarmRule<Metric>,
  data: MetricData<Metric>,
  atSeconds: number,
  before: AlarmState,
  sinceSeconds = -Infinity,
): AlarmState {
  if (atSeconds < sinceSeconds + (rule.warmUpSeconds ?? 0)) return "INSUFFICIENT_DATA";
  const stepSeconds = Math.min(60, rule.periodSeconds);
  const endSeconds = Math.floor(atSeconds / stepSeconds) * stepSeconds;
  const values = valuesOf(rule, data, endSeconds);
  const breaching = values.filter((value) => value !== undefined && breaches(rule, value)).length;
  const missing = values.filter((value) => value === undefined).length;
  const { treatMissingData, datapointsToAlarm } = rule;
  if (breaching + (treatMissingData === "breaching" ? missing : 0) >= datapointsToAlarm) return "ALARM";
  if (treatMissingData === "ignore" && missing > 0) return before;
  if (treatMissingData === "missing" && missing === rule.evaluationPeriods) return "INSUFFICIENT_DATA";
  return "OK";
}

/** The value of each period that is looked at; undefined where data is missing. */
function valuesOf<Metric extends AlarmMetric>(
  rule: AlarmRule<Metric>,
  data: MetricData<Metric>,
  endSeconds: number,
): (number | undefined)[] {
  const { metrics, expression, periodSeconds, evaluationPeriods } = rule;
  const statisticOf = (metric: Metric, index: number): number | undefined => {
    const toSeconds = endSeconds - index * periodSeconds;
    return statistic(metric.statistic, data(metric, toSeconds - periodSeconds, toSeconds));
  };
  const math = expression === undefined ? undefined : parsed(expression);
  const valueOf = (index: number): number | undefined => {
    if (math === undefined) return metrics[0] && statisticOf(metrics[0], index);
    return math((id) => {
      const metric = metrics.find((candidate) => candidate.id === id);
      return metric && statisticOf(metric, index);
    });
  };
  const looked = Array.from({ length: evaluationPeriods }, (_, index) => valueOf(index));
  if (math !== undefined || !looked.includes(undefined)) return looked;
  // With as many datapoints further back as the alarm wants, CloudWatch takes those and asks no more.
  const further = Array.from({ length: FURTHER_PERIODS }, (_, index) => valueOf(evaluationPeriods + index));
  const real = [...looked, ...further].filter((value) => value !== undefined);
  return real.length >= evaluationPeriods ? real.slice(0, evaluationPeriods) : looked;
}

const PARSED = new Map<string, MetricMath>();

/** An alarm is evaluated many times over, with one expression. */
function parsed(expression: string): MetricMath {
  const math = PARSED.get(expression) ?? parseMetricMath(expression);
  PARSED.set(expression, math);
  return math;
}

function statistic(name: Statistic, values: number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sum = values.reduce((total, value) => total + value, 0);
  switch (name) {
    case "Sum":
      return sum;
    case "SampleCount":
      return values.length;
    case "Average":
      return sum / values.length;
    case "Maximum":
      return values.reduce((most, value) => Math.max(most, value));
    case "Minimum":
      return values.reduce((least, value) => Math.min(least, value));
  }
}

function breaches({ comparison, threshold }: AlarmRule, value: number): boolean {
  switch (comparison) {
    case "GreaterThanThreshold":
      return value > threshold;
    case "GreaterThanOrEqualToThreshold":
      return value >= threshold;
    case "LessThanThreshold":
      return value < threshold;
    case "LessThanOrEqualToThreshold":
      return value <= threshold;
  }
}
