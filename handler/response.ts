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
  /** Of a maintained view: logged changes taken. */
  changes?: number;
  /** Of a maintained view: rows inserted, updated or deleted. */
  changed_rows?: number;
  /** Of a maintained view: rows that a full run found different after folding; null where they were not counted. */
  drift?: number | null;
  /** Why it was skipped, or computed anew. */
  reason?: string;
}

/**
 * With one view, its report. With several: `duration_seconds` is their sum, `refresh_type` the least welcome of
 * theirs that changed a view (see {@link LEAST_WELCOME}; skipped only if all were), `statistics` those of the first
 * view that was refreshed, and `views` has the report of each by name, what a fold did included.
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
  // Where each needs something else to be done, such as a grant of its own, each has to be told.
  const isOne = (each: RefreshFailure): boolean =>
    each.code === code && each.problem === problem && each.remedy === remedy;
  if (failures.every(isOne)) {
    const view = failures.map((each) => each.view).join(", ");
    throw new RefreshFailure({ kind, code, problem, remedy, view });
  }
  throw new Error(
    `${failures.length} of ${outcomes.length} views failed. ${failures.map((each) => each.message).join(" | ")}`,
  );
}

/** What blocks readers first, then what cost most. */
const LEAST_WELCOME: RefreshType[] = ["regular", "full", "concurrent", "incremental"];

/** The body of a run in which nothing failed. */
export function responseBody(outcomes: (RefreshedView | SkippedView)[]): ResponseBody {
  const [only, ...others] = outcomes;
  if (only !== undefined && others.length === 0) return viewReport(only);
  const reports = outcomes.map((outcome) => ({ view: qualifiedName(outcome.view), ...viewReport(outcome) }));
  const changed = reports.filter((report) => report.refresh_type !== "skipped");
  return {
    success: true,
    duration_seconds: toMilliseconds(reports.reduce((sum, report) => sum + report.duration_seconds, 0)),
    refresh_type:
      LEAST_WELCOME.find((type) => changed.some((report) => report.refresh_type === type)) ?? "skipped",
    statistics: changed[0]?.statistics ?? {},
    views: reports,
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
  const { fold } = outcome;
  return {
    success: true,
    duration_seconds: toMilliseconds(outcome.durationSeconds),
    refresh_type: outcome.refreshType,
    statistics: outcome.statistics,
    ...(fold && {
      changes: fold.changes,
      changed_rows: fold.changedRows,
      drift: fold.drift,
      ...(fold.reason !== null && { reason: fold.reason }),
    }),
  };
}

/** Seconds with three decimals. */
const toMilliseconds = (seconds: number): number => Math.round(seconds * 1_000) / 1_000;
