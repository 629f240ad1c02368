/** The metrics of a run in CloudWatch's embedded metric format: a line of JSON on stdout for each view. */
import { MetricResolution, Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { METRIC, METRIC_NAMESPACE, metricDimensions } from "./metricNames";
import type { ViewOutcome } from "./refresh";

/** Writes one line for each outcome. */
export function publishMetrics(group: string, outcomes: ViewOutcome[]): void {
  const metrics = new Metrics({ namespace: METRIC_NAMESPACE });
  metrics.clearDefaultDimensions();
  for (const outcome of outcomes) {
    metrics.addDimensions(metricDimensions(group, outcome.view));
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
      metrics.addMetric(METRIC.succeeded, MetricUnit.Count, 1, MetricResolution.High);
      return;
    case "skipped":
      metrics.addMetric(METRIC.skipped, MetricUnit.Count, 1);
      return;
    case "failed":
      metrics.addMetric(METRIC.failed, MetricUnit.Count, 1);
      return;
  }
}
