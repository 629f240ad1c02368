/** The metrics of a run in CloudWatch's embedded metric format: a line of JSON on stdout for each view, and one more. */
import { Metrics, MetricUnit } from "@aws-lambda-powertools/metrics";
import { groupDimensions, METRIC, METRIC_NAMESPACE, metricDimensions } from "./metricNames";
import type { Fold, ViewOutcome } from "./outcome";
import { harmlessly } from "./report";

/**
 * Writes one line for each outcome, and one for the run where nothing failed and something was refreshed.
 * @param runSeconds what the run has taken until now.
 */
export function publishMetrics(group: string, outcomes: ViewOutcome[], runSeconds: number): void {
  for (const outcome of outcomes)
    publish(metricDimensions(group, outcome.view), (metrics) => addOutcome(metrics, outcome));
  const came = (to: ViewOutcome["outcome"]): boolean => outcomes.some(({ outcome }) => outcome === to);
  if (came("failed") || !came("refreshed")) return;
  publish(groupDimensions(group), (metrics) =>
    metrics.addMetric(METRIC.runDuration, MetricUnit.Seconds, runSeconds),
  );
}

function publish(dimensions: Record<string, string>, add: (metrics: Metrics) => void): void {
  harmlessly("writing metrics", () => {
    const metrics = new Metrics({ namespace: METRIC_NAMESPACE });
    metrics.clearDefaultDimensions();
    metrics.addDimensions(dimensions);
    add(metrics);
    metrics.publishStoredMetrics();
  });
}

function addOutcome(metrics: Metrics, outcome: ViewOutcome): void {
  if (outcome.stalenessSeconds !== undefined) {
    metrics.addMetric(METRIC.staleness, MetricUnit.Seconds, outcome.stalenessSeconds);
  }
  switch (outcome.outcome) {
    case "refreshed":
      metrics.addMetric(METRIC.refreshDuration, MetricUnit.Seconds, outcome.durationSeconds);
      metrics.addMetric(METRIC.succeeded, MetricUnit.Count, 1);
      if (outcome.fold !== undefined) addFold(metrics, outcome.fold, outcome.refreshType === "full");
      return;
    case "skipped":
      metrics.addMetric(METRIC.skipped, MetricUnit.Count, 1);
      return;
    case "failed":
      metrics.addMetric(METRIC.failed, MetricUnit.Count, 1);
      return;
  }
}

function addFold(metrics: Metrics, { changes, drift }: Fold, isFull: boolean): void {
  metrics.addMetric(METRIC.changes, MetricUnit.Count, changes);
  if (drift !== null) metrics.addMetric(METRIC.drift, MetricUnit.Count, drift);
  metrics.addMetric(METRIC.fullRuns, MetricUnit.Count, isFull ? 1 : 0);
}
