/** How the ticks of a run ended, counted. */
import { quantileSorted } from "simple-statistics";
import type { RefreshType } from "../handler/mode";
import type { Invocation } from "./lambda/lambdaProcess";

/** How a tick ended, as the summary counts it. */
export type TickOutcome = "refreshed" | "skipped" | "failed" | "timedOut" | "crashed";

/** What the handler's answer holds of one view, as far as the local run reads it. */
export interface ViewAnswer {
  duration_seconds: number;
  refresh_type: RefreshType | "skipped";
  /** Of a maintained view: logged changes taken, rows written, and rows that a full run found different. */
  changes?: number;
  changed_rows?: number;
  drift?: number | null;
  /** Why a full run. */
  reason?: string;
}

/** Its whole answer: that of the one view, or their sum and each of them. */
interface AnswerBody extends ViewAnswer {
  success: boolean;
  views?: ViewAnswer[];
}

/** One finished tick. */
export interface Tick {
  outcome: TickOutcome;
  /** The run as Lambda bills it, without the start of a process. */
  runSeconds: number;
  /** The handler's own figure for the refresh; with `refreshed` alone. */
  refreshSeconds?: number;
  /** Each view that was refreshed; empty but with `refreshed`. */
  refreshes: ViewAnswer[];
  /** Whether it ended inside a planned outage, whose errors are expected. */
  expectedToFail: boolean;
}

/** Reads a run as a tick. */
export function tickOf(invocation: Invocation, expectedToFail: boolean): Tick {
  const runSeconds = invocation.durationMs / 1000;
  if (invocation.outcome !== "succeeded") {
    return { outcome: invocation.outcome, runSeconds, refreshes: [], expectedToFail };
  }
  const body = answerBody(invocation.value);
  if (body?.success !== true) return { outcome: "failed", runSeconds, refreshes: [], expectedToFail };
  if (body.refresh_type === "skipped")
    return { outcome: "skipped", runSeconds, refreshes: [], expectedToFail };
  return {
    outcome: "refreshed",
    runSeconds,
    refreshSeconds: body.duration_seconds,
    refreshes: (body.views ?? [body]).filter((view) => view.refresh_type !== "skipped"),
    expectedToFail,
  };
}

function answerBody(value: unknown): AnswerBody | undefined {
  const body = (value as { body?: unknown } | null)?.body;
  if (typeof body !== "string") return undefined;
  try {
    return JSON.parse(body) as AnswerBody;
  } catch {
    return undefined;
  }
}

/** Middle and far end of a list of durations in seconds; undefined when the list is empty. */
export interface Spread {
  p50Seconds: number;
  p99Seconds: number;
  worstSeconds: number;
}

/** @param seconds in any order */
function spreadOf(seconds: number[]): Spread | undefined {
  if (seconds.length === 0) return undefined;
  const sorted = [...seconds].sort((a, b) => a - b);
  return {
    p50Seconds: quantileSorted(sorted, 0.5),
    p99Seconds: quantileSorted(sorted, 0.99),
    worstSeconds: sorted.at(-1) as number,
  };
}

/** @param values at least one, in any order */
export function medianOf(values: number[]): number {
  return quantileSorted(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

/** Refreshes of one kind. */
export interface Kind {
  type: RefreshType;
  times: number;
  seconds: Spread;
}

/** What maintained views have taken in. */
export interface Folded {
  changes: number;
  changedRows: number;
  /** As far as it was counted. */
  drift: number;
  /** Why there were full runs, each reason once. */
  fullReasons: string[];
}

/** Counts the ticks of a run. */
export class Tally {
  readonly counts: Record<TickOutcome, number> = {
    refreshed: 0,
    skipped: 0,
    failed: 0,
    timedOut: 0,
    crashed: 0,
  };
  /** Failures outside a planned outage. */
  unexpectedFailures = 0;
  private readonly runSeconds: number[] = [];
  private readonly refreshSeconds: number[] = [];
  private readonly views: ViewAnswer[] = [];

  add(tick: Tick): void {
    this.counts[tick.outcome] += 1;
    if (isFailure(tick.outcome) && !tick.expectedToFail) this.unexpectedFailures += 1;
    if (tick.outcome === "refreshed") this.runSeconds.push(tick.runSeconds);
    if (tick.refreshSeconds !== undefined) this.refreshSeconds.push(tick.refreshSeconds);
    this.views.push(...tick.refreshes);
  }

  get ticks(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0);
  }

  get failures(): number {
    return this.counts.failed + this.counts.timedOut + this.counts.crashed;
  }

  /** Runs that refreshed, as Lambda bills them. */
  get runs(): Spread | undefined {
    return spreadOf(this.runSeconds);
  }

  /** The refresh alone, as the handler reports it. */
  get refreshes(): Spread | undefined {
    return spreadOf(this.refreshSeconds);
  }

  /** Refreshes of each view by what they were; kinds that there were none of are left out. */
  get kinds(): Kind[] {
    return (["incremental", "full", "concurrent", "regular"] as const).flatMap((type) => {
      const of = this.views.filter(({ refresh_type }) => refresh_type === type);
      const seconds = spreadOf(of.map(({ duration_seconds }) => duration_seconds));
      return seconds === undefined ? [] : [{ type, times: of.length, seconds }];
    });
  }

  /** Undefined where no maintained view was refreshed. */
  get folded(): Folded | undefined {
    const folds = this.views.filter(({ changes }) => changes !== undefined);
    if (folds.length === 0) return undefined;
    const total = (of: (view: ViewAnswer) => number | null | undefined): number =>
      folds.reduce((sum, view) => sum + (of(view) ?? 0), 0);
    return {
      changes: total(({ changes }) => changes),
      changedRows: total(({ changed_rows }) => changed_rows),
      drift: total(({ drift }) => drift),
      fullReasons: [...new Set(folds.flatMap(({ reason }) => reason ?? []))],
    };
  }
}

/** What CloudWatch counts in the function's Errors. */
export function isFailure(outcome: TickOutcome): boolean {
  return outcome === "failed" || outcome === "timedOut" || outcome === "crashed";
}
