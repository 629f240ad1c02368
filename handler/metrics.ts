/** The metrics of a run in CloudWatch's embedded metric format: a line of JSON on stdout for each view. */
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { qualifiedName } from "./names";
import type { ViewOutcome } from "./refresh";

/** Namespace of every metric below. Their dimensions are `group` and `view` (qualified name), always both. */
export const METRIC_NAMESPACE = "MatviewRefresh";

/** Names of the metrics, which alarms and dashboards quote. */
export const METRIC = {
  /** Seconds of the REFRESH statement; only where it succeeded. */
  refreshDuration: "RefreshDurationSeconds",
  /** Age, at the end of the run, of the data readers saw until then; only where history tells. */
  staleness: "StalenessSeconds",
  /** 1 where the view was refreshed. */
  succeeded: "RefreshSucceeded",
  /** 1 where the refresh failed. */
  failed: "RefreshFailed",
  /** 1 where another run had the view, or a view it reads was not refreshed. */
  skipped: "RefreshSkipped",
} as const;

/** Writes one line for each outcome. */
export function publishMetrics(group: string, outcomes: ViewOutcome[]): void {
  const metrics = new Metrics({ namespace: METRIC_NAMESPACE });
  metrics.clearDefaultDimensions();
  for (const outcome of outcomes) {
    metrics.addDimensions({ group, view: qualifiedName(outcome.view) });
    addOutcome(metrics, outcome);
    metrics.publishStoredMetrics();
  }
}

function addOutcome(metrics: Metrics, outcome: ViewOutcome): void {
  if (outcome.stalenessSeconds !== undefined) {
    metrics.addMetric(METRIC.staleness, MetricUnit.Seconds, outcome.stalenessSeconds);
  }
  switch (outcome.outcome) {
    case "refreshed":
      metrics.addMetric(METRIC.refreshDuration, MetricUnit.Seconds, outcome.durationSeconds);
      metrics.addMetric(METRIC.succeeded, MetricUnit.Count, 1);
      return;
    case "skipped":
      metrics.addMetric(METRIC.skipped, MetricUnit.Count, 1);
      return;
    case "failed":
      metrics.addMetric(METRIC.failed, MetricUnit.Count, 1);
      return;
  }
}
