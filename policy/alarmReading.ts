/** Reads a CloudWatch alarm: its metrics, given plainly or by metric math, and when it goes off. */
import type { AlarmRule, Comparison, MissingData, Statistic } from "../components/time/alarmRule";
import { MetricMathError, parseMetricMath } from "../components/time/metricMath";
import type { Series, SeriesOf } from "../components/time/replay";
import { METRIC, METRIC_NAMESPACE } from "../handler/metricNames";
import { known, readList, readNumber, readText, withDefault, type Reading } from "./reading";
import type { Resource } from "./resource";

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
  /** Whether it is not known yet what the alarm reads. */
  isUnclear: boolean;
  /** Metric math, where there is any. */
  expressions: string[];
}

/** Reads an alarm's resource. */
export function alarmReading(resource: Resource): AlarmReading {
  const { props } = resource;
  const read = { resource, name: known(readText(props, "name")) ?? resource.name, isUnclear: false };
  const queries = readList(props, "metricQueries");
  if (queries.state === "unknown") return { ...read, metrics: [], expressions: [], isUnclear: true };
  if (queries.state === "absent" || queries.value.length === 0) {
    const metric: WatchedMetric = {
      id: "metric",
      namespace: readText(props, "namespace"),
      name: readText(props, "metricName"),
      statistic: readText(props, "statistic"),
      periodSeconds: readNumber(props, "period"),
      dimensionsPath: ["dimensions"],
    };
    return { ...read, metrics: [metric], expressions: [] };
  }
  const rows = queries.value.map((_, index) => {
    const path = ["metricQueries", index, "metric"];
    return {
      expression: readText(props, "metricQueries", index, "expression"),
      metric: {
        id: known(readText(props, "metricQueries", index, "id")) ?? "",
        namespace: readText(props, ...path, "namespace"),
        name: readText(props, ...path, "metricName"),
        statistic: readText(props, ...path, "stat"),
        periodSeconds: readNumber(props, ...path, "period"),
        dimensionsPath: [...path, "dimensions"],
      },
    };
  });
  return {
    ...read,
    metrics: rows.flatMap(({ metric }) => (metric.name.state === "absent" ? [] : [metric])),
    expressions: rows.flatMap(({ expression }) => known(expression) || []),
    isUnclear: rows.some(({ expression }) => expression.state === "unknown"),
  };
}

/** The metrics that the replay of a schedule knows. */
const SERIES_OF: Record<string, Series> = {
  "AWS/Lambda Invocations": "invocations",
  "AWS/Lambda Errors": "errors",
  "AWS/Lambda Throttles": "throttles",
  [`${METRIC_NAMESPACE} ${METRIC.succeeded}`]: "success",
  [`${METRIC_NAMESPACE} ${METRIC.runDuration}`]: "runSeconds",
};

/** An alarm that can be replayed. */
export interface ReplayableRule {
  rule: AlarmRule;
  seriesOf: SeriesOf;
}

/** The rule of an alarm: replayable, with a part that is not known yet, or one that the replay cannot follow. */
export function ruleOf(
  alarm: AlarmReading,
): ({ state: "known" } & ReplayableRule) | { state: "unknown"; path: string } | { state: "beyond" } {
  const { metrics, expressions } = alarm;
  const { props } = alarm.resource;
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
  const details = metrics.flatMap(({ namespace, name, statistic }) => [namespace, name, statistic]);
  for (const reading of [...Object.values(parts), ...details]) {
    if (reading.state === "unknown") return { state: "unknown", path: reading.path };
  }
  const series: Record<string, Series> = {};
  for (const { id, namespace, name } of metrics) {
    const found = SERIES_OF[`${known(namespace)} ${known(name)}`];
    if (found === undefined) return { state: "beyond" };
    series[id] = found;
  }
  const [expression, ...further] = expressions;
  if (metrics.length === 0 || further.length > 0 || (expression === undefined && metrics.length > 1))
    return { state: "beyond" };
  try {
    if (expression !== undefined) parseMetricMath(expression);
  } catch (error) {
    if (error instanceof MetricMathError) return { state: "beyond" };
    throw error;
  }
  const rule: AlarmRule = {
    metrics: metrics.map(({ id, statistic }) => ({ id, statistic: known(statistic) as Statistic })),
    ...(expression === undefined ? {} : { expression }),
    comparison: known(parts.comparison) as Comparison,
    threshold: known(parts.threshold) ?? NaN,
    periodSeconds: known(parts.periodSeconds) ?? 60,
    evaluationPeriods: known(parts.evaluationPeriods) ?? 1,
    datapointsToAlarm: known(parts.datapointsToAlarm) ?? 1,
    treatMissingData: known(parts.treatMissingData) as MissingData,
  };
  return { state: "known", rule, seriesOf: (id) => series[id] };
}
