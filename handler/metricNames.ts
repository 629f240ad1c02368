/**
 * The names of the metrics that the handler writes. Alarms and dashboard read the same constants, so a metric
 * cannot be renamed on one side only. Nothing is imported here but a type, so that plan and policies can load
 * it without the handler's libraries.
 */
import type { QualifiedName } from "./settings";

/** CloudWatch namespace of every metric below. */
export const METRIC_NAMESPACE = "MatviewRefresh";

/** Names of the metrics. Each is written at most once per view and run, `runDuration` once per run. */
export const METRIC = {
  /** Seconds of the REFRESH statement, or of the fold; only where it succeeded. */
  refreshDuration: "RefreshDurationSeconds",
  /** Age, at the end of the run, of the data readers saw until then; only where history tells. */
  staleness: "StalenessSeconds",
  /** 1 where the view was refreshed. */
  succeeded: "RefreshSucceeded",
  /** 1 where the refresh failed. */
  failed: "RefreshFailed",
  /** 1 where another run had the view, or a view it reads was not refreshed. */
  skipped: "RefreshSkipped",
  /** Logged changes that a run folded in; of maintained views alone. */
  changes: "ChangesFolded",
  /** Rows that a full run found different after folding; only where they were counted. */
  drift: "DriftRows",
  /** 1 for a full run, 0 for an incremental one, so that its average is the share; of maintained views alone. */
  fullRuns: "FullRuns",
  /** Seconds of the whole run, of the group; only where nothing failed and something was refreshed. */
  runDuration: "RunDurationSeconds",
} as const;

/**
 * The dimensions of every metric of a view. CloudWatch takes ASCII alone, and no colon at the beginning, so other
 * characters of a name are percent-encoded, and a percent sign as well, which keeps different names apart.
 */
export function metricDimensions(group: string, view: QualifiedName): { group: string; view: string } {
  return { ...groupDimensions(group), view: asciiOnly(`${view.schema}.${view.name}`) };
}

/** The dimension of a metric of the whole run. */
export function groupDimensions(group: string): { group: string } {
  return { group: asciiOnly(group) };
}

function asciiOnly(text: string): string {
  return text.replace(/^:|[^\x20-\x24\x26-\x7e]+/g, (other) =>
    encodeURIComponent(Buffer.from(other).toString()),
  );
}
