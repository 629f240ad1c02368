/** What an invocation answers, or throws. */
import { RefreshFailure } from "./failure";
import type { RefreshType } from "./mode";
import { qualifiedName } from "./names";
import type { FailedView, RefreshedView, SkippedView, Statistics, ViewOutcome } from "./outcome";

/** The response of a run without failures. `body` is JSON text: {@link ResponseBody}. */
export interface RefreshResponse {
  statusCode: 200;
  body: string;
}

/** What is said of one view. */
interface ViewReport {
  success: true;
  duration_seconds: number;
  /** `skipped` where another run was refreshing the view. */
  refresh_type: RefreshType | "skipped";
  statistics: Statistics;
  /** Why it was skipped. */
  reason?: string;
}

/**
 * With one view, its report. With several: `duration_seconds` is their sum, `refresh_type` the least welcome of
 * theirs that changed a view (regular before concurrent; skipped only if all were), `statistics` those of the first
 * view that was refreshed, and `views` has the report of each by name.
 */
export interface ResponseBody extends ViewReport {
  views?: ({ view: string } & ViewReport)[];
}

/**
 * @throws Error with every failure's view, code and remedy: Lambda counts as an error what is thrown, and nothing
 * that is returned.
 */
export function respond(outcomes: ViewOutcome[]): RefreshResponse {
  throwFailures(outcomes);
  return { statusCode: 200, body: JSON.stringify(responseBody(outcomes)) };
}

/** @throws the failure, or one Error that names them all. */
export function throwFailures(outcomes: ViewOutcome[]): asserts outcomes is (RefreshedView | SkippedView)[] {
  const failures = outcomes
    .filter((each): each is FailedView => each.outcome === "failed")
    .map((each) => each.failure);
  const [first] = failures;
  if (first === undefined) return;
  if (failures.length === 1) throw first;
  const { kind, code, problem, remedy } = first;
  if (failures.every((each) => each.code === code && each.problem === problem)) {
    const view = failures.map((each) => each.view).join(", ");
    throw new RefreshFailure({ kind, code, problem, remedy, view });
  }
  throw new Error(
    `${failures.length} of ${outcomes.length} views failed. ${failures.map((each) => each.message).join(" | ")}`,
  );
}

/** The body of a run in which nothing failed. */
export function responseBody(outcomes: (RefreshedView | SkippedView)[]): ResponseBody {
  const reports = outcomes.map((outcome) => ({ view: qualifiedName(outcome.view), ...viewReport(outcome) }));
  const changed = reports.filter((report) => report.refresh_type !== "skipped");
  const shown = changed.find((report) => report.refresh_type === "regular") ?? changed[0] ?? reports[0];
  return {
    success: true,
    duration_seconds: toMilliseconds(reports.reduce((sum, report) => sum + report.duration_seconds, 0)),
    refresh_type: shown?.refresh_type ?? "skipped",
    statistics: changed[0]?.statistics ?? {},
    ...(reports.length === 1 && shown?.reason !== undefined ? { reason: shown.reason } : {}),
    ...(reports.length > 1 ? { views: reports } : {}),
  };
}

function viewReport(outcome: RefreshedView | SkippedView): ViewReport {
  if (outcome.outcome === "skipped")
    return {
      success: true,
      duration_seconds: 0,
      refresh_type: "skipped",
      statistics: {},
      reason: outcome.reason,
    };
  return {
    success: true,
    duration_seconds: toMilliseconds(outcome.durationSeconds),
    refresh_type: outcome.refreshType,
    statistics: outcome.statistics,
  };
}

/** Seconds with three decimals. */
const toMilliseconds = (seconds: number): number => Math.round(seconds * 1_000) / 1_000;
