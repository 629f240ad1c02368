/** Reads a CloudWatch alarm: its metrics, whose they are, and when it goes off. */
import type { AlarmRule, Comparison, MissingData, Statistic } from "../components/time/alarmRule";
import { MetricMathError, parseMetricMath } from "../components/time/metricMath";
import type { Series, SeriesOf } from "../components/time/replay";
import { groupDimensions, METRIC, METRIC_NAMESPACE } from "../handler/metricNames";
import { known, readList, readNumber, readText, withDefault, type Properties, type Reading } from "./reading";
import { refersTo, strongest, type Relation } from "./relations";
import { nameOf, type Resource } from "./resource";

/** A metric that an alarm reads. */
export interface WatchedMetric {
  /** What the alarm's expression calls it. */
  id: string;
  namespace: Reading<string>;
  name: Reading<string>;
  statistic: Reading<string>;
  periodSeconds: Reading<number>;
  /** Where the dimensions are, from the alarm. */
  dimensionsPath: (string | number)[];
}

/** An alarm as rules need it. */
export interface AlarmReading {
  resource: Resource;
  name: string;
  metrics: WatchedMetric[];
  /** Metric math, where there is any. */
  expressions: Reading<string>[];
}

/** Reads an alarm's resource: one metric, or several by metric math. */
export function alarmReading(resource: Resource): AlarmReading {
  const { props } = resource;
  const queries = readList(props, "metricQueries");
  const alarm = { resource, name: nameOf(resource) };
  if (queries.state === "unknown") return { ...alarm, metrics: [], expressions: [queries] };
  const paths = [...(known(queries) ?? []).keys()].map((index) => ["metricQueries", index]);
  if (paths.length === 0) {
    return { ...alarm, metrics: [metricAt(props, [], "statistic", "metric")], expressions: [] };
  }
  const metrics = paths.map((path) =>
    metricAt(props, [...path, "metric"], "stat", known(readText(props, ...path, "id")) ?? ""),
  );
  return {
    ...alarm,
    metrics: metrics.filter(({ name }) => name.state !== "absent"),
    expressions: paths
      .map((path) => readText(props, ...path, "expression"))
      .filter((expression) => expression.state === "unknown" || known(expression)),
  };
}

function metricAt(
  props: Properties,
  path: (string | number)[],
  statistic: string,
  id: string,
): WatchedMetric {
  return {
    id,
    namespace: readText(props, ...path, "namespace"),
    name: readText(props, ...path, "metricName"),
    statistic: readText(props, ...path, statistic),
    periodSeconds: readNumber(props, ...path, "period"),
    dimensionsPath: [...path, "dimensions"],
  };
}

const LAMBDA_NAMESPACE = "AWS/Lambda";

/** Whether an alarm reads a metric of a function: one of Lambda's, or one that the handler writes of its group. */
export function watches(alarm: AlarmReading, fn: Resource, group: Reading<string>): Relation {
  const ofMetric = ({ namespace, name, dimensionsPath }: WatchedMetric): Relation => {
    if (namespace.state === "unknown" || name.state === "unknown") return "unclear";
    if (known(namespace) === LAMBDA_NAMESPACE)
      return refersTo(alarm.resource, [...dimensionsPath, "FunctionName"], fn);
    if (known(namespace) !== METRIC_NAMESPACE || group.state === "absent") return "no";
    const dimensions = ["group", "view"].map((dimension) =>
      readText(alarm.resource.props, ...dimensionsPath, dimension),
    );
    if ([group, ...dimensions].some(({ state }) => state === "unknown")) return "unclear";
    return dimensions[0] && known(dimensions[0]) === groupDimensions(known(group) ?? "").group ? "yes" : "no";
  };
  const isUnclear = alarm.expressions.some(({ state }) => state === "unknown");
  return isUnclear ? "unclear" : strongest(alarm.metrics.map(ofMetric));
}

/** The metrics that the replay of a schedule knows. */
const SERIES_OF: Record<string, Series> = {
  [`${LAMBDA_NAMESPACE} Invocations`]: "invocations",
  [`${LAMBDA_NAMESPACE} Errors`]: "errors",
  [`${LAMBDA_NAMESPACE} Throttles`]: "throttles",
  [`${METRIC_NAMESPACE} ${METRIC.succeeded}`]: "success",
  [`${METRIC_NAMESPACE} ${METRIC.runDuration}`]: "runSeconds",
};

/** An alarm that can be replayed. */
export interface ReplayableRule {
  rule: AlarmRule;
  seriesOf: SeriesOf;
}

/** The rule of an alarm; absent where it reads what the replay cannot follow. */
export function ruleOf({ metrics, expressions, resource }: AlarmReading): Reading<ReplayableRule> {
  const { props } = resource;
  const evaluationPeriods = withDefault(readNumber(props, "evaluationPeriods"), 1);
  const datapoints = readNumber(props, "datapointsToAlarm");
  const parts = {
    comparison: readText(props, "comparisonOperator"),
    threshold: readNumber(props, "threshold"),
    evaluationPeriods,
    // All periods must breach where nothing else is said; 0 is how the provider writes "not given".
    datapointsToAlarm: known(datapoints) || datapoints.state === "unknown" ? datapoints : evaluationPeriods,
    treatMissingData: withDefault(readText(props, "treatMissingData"), "missing"),
    periodSeconds: metrics[0]?.periodSeconds ?? { state: "absent", path: "period" },
  };
  for (const reading of [...Object.values(parts), ...metrics.map(({ statistic }) => statistic)]) {
    if (reading.state === "unknown") return reading;
  }
  const series = Object.fromEntries(
    metrics.map(({ id, namespace, name }) => [id, SERIES_OF[`${known(namespace)} ${known(name)}`]]),
  );
  const threshold = known(parts.threshold);
  const expression = expressions[0] && known(expressions[0]);
  const isFollowed =
    threshold !== undefined &&
    Object.values(series).every((found) => found !== undefined) &&
    (expression === undefined ? metrics.length === 1 : expressions.length === 1 && isMetricMath(expression));
  if (!isFollowed) return { state: "absent", path: "metricQueries" };
  const rule: AlarmRule = {
    metrics: metrics.map(({ id, statistic }) => ({ id, statistic: known(statistic) as Statistic })),
    ...(expression === undefined ? {} : { expression }),
    comparison: known(parts.comparison) as Comparison,
    threshold,
    periodSeconds: known(parts.periodSeconds) ?? 60,
    evaluationPeriods: known(parts.evaluationPeriods) ?? 1,
    datapointsToAlarm: known(parts.datapointsToAlarm) ?? 1,
    treatMissingData: known(parts.treatMissingData) as MissingData,
  };
  return { state: "known", value: { rule, seriesOf: (id) => series[id] }, path: "" };
}

function isMetricMath(expression: string): boolean {
  try {
    parseMetricMath(expression);
    return true;
  } catch (error) {
    if (error instanceof MetricMathError) return false;
    throw error;
  }
}
