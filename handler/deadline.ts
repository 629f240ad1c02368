/** The time an invocation has left, and the part of it that may be spent on work. */
import { statementMarginMs } from "./timeouts";

/**
 * Counts down on a monotonic clock. A margin at the end is kept for what must follow the work: the rollback, the
 * history row of a failure, the metrics. A Lambda that is killed reports nothing.
 */
export class Deadline {
  readonly marginMs: number;
  private readonly endsAtMs: number;

  constructor(totalMs: number) {
    this.marginMs = statementMarginMs(totalMs);
    this.endsAtMs = performance.now() + totalMs;
  }

  /** Milliseconds until the invocation is killed, never negative. */
  leftMs(): number {
    return Math.max(0, this.endsAtMs - performance.now());
  }

  /** Milliseconds a statement may still take, never negative. */
  workLeftMs(): number {
    return Math.max(0, this.leftMs() - this.marginMs);
  }

  /** Milliseconds until the connection is cut by this side, half a margin after the server should have given up. */
  cutOffMs(): number {
    return Math.max(0, this.leftMs() - this.marginMs / 2);
  }
}
