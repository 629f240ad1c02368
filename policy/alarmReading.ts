/** Reads a CloudWatch alarm: its metric, given plainly or by metric math, and when it goes off. */
import { known, readList, readNumber, readText, withDefault, type Reading } from "./reading";
import type { Resource } from "./resource";

/** A metric that an alarm reads. */
export interface WatchedMetric {
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
  /** `metric`: one metric as it is. `filled`: one metric, gaps filled with a number. `math`: anything else. */
  form: "metric" | "filled" | "math" | "unknown";
  /** What gaps are filled with. */
  fillWith?: number;
  comparison: Reading<string>;
  threshold: Reading<number>;
  evaluationPeriods: Reading<number>;
  datapointsToAlarm: Reading<number>;
  treatMissingData: Reading<string>;
}

/** Reads an alarm's resource. */
export function alarmReading(resource: Resource): AlarmReading {
  const { props } = resource;
  const evaluationPeriods = readNumber(props, "evaluationPeriods");
  const datapoints = readNumber(props, "datapointsToAlarm");
  return {
    resource,
    name: known(readText(props, "name")) ?? resource.name,
    ...readMetrics(resource),
    comparison: readText(props, "comparisonOperator"),
    threshold: readNumber(props, "threshold"),
    evaluationPeriods,
    // CloudWatch wants all periods to breach where nothing else is said; 0 is how the provider writes "not given".
    datapointsToAlarm:
      datapoints.state === "absent" || known(datapoints) === 0 ? evaluationPeriods : datapoints,
    treatMissingData: withDefault(readText(props, "treatMissingData"), "missing"),
  };
}

type Metrics = Pick<AlarmReading, "metrics" | "form" | "fillWith">;

function readMetrics({ props }: Resource): Metrics {
  const queries = readList(props, "metricQueries");
  if (queries.state === "unknown") return { metrics: [], form: "unknown" };
  if (queries.state === "absent" || queries.value.length === 0) {
    const metric: WatchedMetric = {
      namespace: readText(props, "namespace"),
      name: readText(props, "metricName"),
      statistic: readText(props, "statistic"),
      periodSeconds: readNumber(props, "period"),
      dimensionsPath: ["dimensions"],
    };
    return { metrics: [metric], form: "metric" };
  }
  return readQueries(props, queries.value.length);
}

/** `FILL(m1, 0)`: the only expression whose effect is computed here. */
const FILL = /^\s*FILL\(\s*(\w+)\s*,\s*(-?\d+(?:\.\d+)?)\s*\)\s*$/i;

function readQueries(props: Resource["props"], count: number): Metrics {
  const queries = Array.from({ length: count }, (_, index) => ({
    id: known(readText(props, "metricQueries", index, "id")),
    expression: readText(props, "metricQueries", index, "expression"),
    name: readText(props, "metricQueries", index, "metric", "metricName"),
    metric: {
      namespace: readText(props, "metricQueries", index, "metric", "namespace"),
      name: readText(props, "metricQueries", index, "metric", "metricName"),
      statistic: readText(props, "metricQueries", index, "metric", "stat"),
      periodSeconds: readNumber(props, "metricQueries", index, "metric", "period"),
      dimensionsPath: ["metricQueries", index, "metric", "dimensions"],
    },
  }));
  if (queries.some(({ expression }) => expression.state === "unknown")) {
    return { metrics: [], form: "unknown" };
  }
  const measured = queries.filter(({ name }) => name.state !== "absent");
  const metrics = measured.map(({ metric }) => metric);
  const expressions = queries.flatMap(({ expression }) =>
    expression.state === "known" && expression.value !== "" ? [expression.value] : [],
  );
  if (expressions.length === 0 && metrics.length === 1) return { metrics, form: "metric" };
  const filled = expressions.length === 1 ? FILL.exec(expressions[0] ?? "") : null;
  if (filled && metrics.length === 1 && filled[1] === measured[0]?.id) {
    return { metrics, form: "filled", fillWith: Number(filled[2]) };
  }
  return { metrics, form: "math" };
}
