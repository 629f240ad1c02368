/** The metrics that the function writes into its log, kept as CloudWatch would keep them. */
import type { MetricPlan } from "../components/plan/planTypes";

/** One measured value, as CloudWatch would be given it. */
export interface Datapoint {
  namespace: string;
  name: string;
  dimensions: Record<string, string>;
  epochMs: number;
  value: number;
}

interface EmbeddedMetrics {
  _aws: {
    Timestamp: number;
    CloudWatchMetrics: { Namespace: string; Dimensions: string[][]; Metrics: { Name: string }[] }[];
  };
  [name: string]: unknown;
}

/**
 * The datapoints of a log line in embedded metric format; undefined for any other line. CloudWatch takes such
 * lines out of what a person reads too.
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
export function readEmbeddedMetrics(line: string): Datapoint[] | undefined {
  if (!line.startsWith("{") || !line.includes('"_aws"')) return undefined;
  let parsed: EmbeddedMetrics;
  try {
    parsed = JSON.parse(line) as EmbeddedMetrics;
  } catch {
    return undefined;
  }
  return parsed._aws.CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) =>
    Dimensions.flatMap((names) =>
      Metrics.map(({ Name }) => ({
        namespace: Namespace,
        name: Name,
        dimensions: Object.fromEntries(names.map((name) => [name, String(parsed[name])])),
        epochMs: parsed._aws.Timestamp,
        value: Number(parsed[Name]),
      })),
    ),
  );
}

/** Keeps datapoints for as long as an alarm may look back. */
export class MetricStore {
  private points: Datapoint[] = [];

  /** @param keepMs how long a datapoint is of use */
  constructor(private readonly keepMs: number) {}

  add(points: Datapoint[]): void {
    this.points.push(...points);
    const oldest = Date.now() - this.keepMs;
    if ((this.points[0]?.epochMs ?? Infinity) < oldest) {
      this.points = this.points.filter(({ epochMs }) => epochMs >= oldest);
    }
  }

  /** The values measured in `[fromMs, toMs)`. */
  values(metric: MetricPlan, fromMs: number, toMs: number): number[] {
    return this.points
      .filter((point) => point.epochMs >= fromMs && point.epochMs < toMs && isOf(metric, point))
      .map(({ value }) => value);
  }
}

function isOf(metric: MetricPlan, point: Datapoint): boolean {
  const wanted = Object.entries(metric.dimensions);
  return (
    point.namespace === metric.namespace &&
    point.name === metric.name &&
    Object.keys(point.dimensions).length === wanted.length &&
    wanted.every(([name, value]) => point.dimensions[name] === value)
  );
}
