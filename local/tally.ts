/** How the ticks of a run ended, counted. */
import { quantileSorted } from "simple-statistics";
import type { Invocation } from "./lambda/lambdaProcess";

/** How a tick ended, as the summary counts it. */
export type TickOutcome = "refreshed" | "skipped" | "failed" | "timedOut" | "crashed";

/** What the handler's answer holds, as far as the local run reads it. */
interface AnswerBody {
  success: boolean;
  duration_seconds: number;
  refresh_type: "concurrent" | "regular" | "skipped";
}

/** One finished tick. */
export interface Tick {
  outcome: TickOutcome;
  /** The run as Lambda bills it, without the start of a process. */
  runSeconds: number;
  /** The handler's own figure for the refresh; with `refreshed` alone. */
  refreshSeconds?: number;
  /** Whether it ended inside a planned outage, whose errors are expected. */
  expectedToFail: boolean;
}

/** Reads a run as a tick. */
export function tickOf(invocation: Invocation, expectedToFail: boolean): Tick {
  const runSeconds = invocation.durationMs / 1000;
  if (invocation.outcome !== "succeeded") {
    return { outcome: invocation.outcome, runSeconds, expectedToFail };
  }
  const body = answerBody(invocation.value);
  if (body?.success !== true) return { outcome: "failed", runSeconds, expectedToFail };
  if (body.refresh_type === "skipped") return { outcome: "skipped", runSeconds, expectedToFail };
  return { outcome: "refreshed", runSeconds, refreshSeconds: body.duration_seconds, expectedToFail };
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

  add(tick: Tick): void {
    this.counts[tick.outcome] += 1;
    if (isFailure(tick.outcome) && !tick.expectedToFail) this.unexpectedFailures += 1;
    if (tick.outcome === "refreshed") this.runSeconds.push(tick.runSeconds);
    if (tick.refreshSeconds !== undefined) this.refreshSeconds.push(tick.refreshSeconds);
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
}

/** What CloudWatch counts in the function's Errors. */
export function isFailure(outcome: TickOutcome): boolean {
  return outcome === "failed" || outcome === "timedOut" || outcome === "crashed";
}
