/** What one view of a run came to. */
import type { RefreshFailure } from "./failure";
import type { RefreshType } from "./mode";
import type { ViewSettings } from "./settings";

/** Column name to number. Null is SQL's NULL; text is what a double cannot hold: NaN, Infinity, a very large number. */
export type Statistics = Record<string, number | string | null>;

/** What the fold of a maintained view did. */
export interface Fold {
  /** Logged changes taken. */
  changes: number;
  /** Rows of the view inserted, updated or deleted. */
  changedRows: number;
  /** Rows that a full run found different after folding; null where they were not counted. */
  drift: number | null;
  /** Why a full run; null for an incremental one. */
  reason: string | null;
}

export interface RefreshedView {
  view: ViewSettings;
  outcome: "refreshed";
  refreshType: RefreshType;
  /** Seconds of the REFRESH statement, or of the fold, itself. */
  durationSeconds: number;
  /** Absent for a materialized view. */
  fold?: Fold;
  /** Time of the data, ISO 8601; undefined where a view it reads has no known one. */
  asOf: string | undefined;
  /** Age of what readers saw until this refresh; undefined where history does not tell. */
  stalenessSeconds: number | undefined;
  statistics: Statistics;
}

export interface SkippedView {
  view: ViewSettings;
  outcome: "skipped";
  reason: string;
  stalenessSeconds: number | undefined;
}

export interface FailedView {
  view: ViewSettings;
  outcome: "failed";
  failure: RefreshFailure;
  stalenessSeconds: number | undefined;
}

export type ViewOutcome = RefreshedView | SkippedView | FailedView;
