/**
 * The names of the metrics that the handler writes in embedded metric format. Alarms and dashboard read the
 * same constants, so a metric cannot be renamed on one side only. No import here: the handler's bundle, the
 * plan and the policies all load this file.
 */

/** CloudWatch namespace of every metric the handler writes. */
export const METRIC_NAMESPACE = "MatviewRefresh";

/** Dimensions of every metric: the refresh group and the schema-qualified view. */
export const METRIC_DIMENSIONS = { group: "group", view: "view" } as const;

/** The handler's metrics. Counts are written as 1 or 0 once per view and run. */
export const METRICS = {
  /** Seconds the REFRESH statement took; written for refreshed views only. */
  refreshDuration: "RefreshDurationSeconds",
  /** Age in seconds of the data that readers saw just before this run changed it. */
  staleness: "StalenessSeconds",
  /** 1 when the view was refreshed. Never written as 0: the stale alarm counts on its absence. */
  refreshSucceeded: "RefreshSucceeded",
  /** 1 when the refresh of the view failed. */
  refreshFailed: "RefreshFailed",
  /** 1 when another run held the lock, so this one left the view alone. */
  refreshSkipped: "RefreshSkipped",
} as const;

/** Name of one of the handler's metrics. */
export type MetricName = (typeof METRICS)[keyof typeof METRICS];

/** The part of the handler's settings a view's dimension value is made of. */
export interface MeasuredView {
  schema: string;
  name: string;
}

/** The dimension values of one view of one group, as the handler writes them and the alarms ask for them. */
export function metricDimensions(group: string, view: MeasuredView): { group: string; view: string } {
  return { [METRIC_DIMENSIONS.group]: group, [METRIC_DIMENSIONS.view]: `${view.schema}.${view.name}` } as {
    group: string;
    view: string;
  };
}
