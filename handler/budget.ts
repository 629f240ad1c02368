/** A run's time as one concept: the run has a budget, every view a share of it, every statement a limit of its own. */

/** What is kept back at the end of a run at the most, and of a short run only this share. */
const LONGEST_MARGIN_MS = 2_000;
const MARGIN_SHARE = 0.05;

/** Counts down on a monotonic clock. */
class Countdown {
  private readonly endsAtMs: number;

  constructor(ms: number) {
    this.endsAtMs = performance.now() + ms;
  }

  /** Milliseconds that are left, never negative. */
  leftMs(): number {
    return Math.max(0, this.endsAtMs - performance.now());
  }
}

/**
 * The time until the invocation is killed. A margin at the end is kept for what must follow the work: the rollback, the
 * history row of a failure, the metrics. A Lambda that is killed reports nothing.
 */
export class Budget extends Countdown {
  private readonly marginMs: number;

  constructor(readonly totalMs: number) {
    super(totalMs);
    this.marginMs = Math.min(LONGEST_MARGIN_MS, totalMs * MARGIN_SHARE);
  }

  /** Milliseconds that work may still take, never negative. */
  workLeftMs(): number {
    return Math.max(0, this.leftMs() - this.marginMs);
  }

  /** Milliseconds until the connection is cut by this side, half a margin after the server should have given up. */
  cutOffMs(): number {
    return Math.max(0, this.leftMs() - this.marginMs / 2);
  }

  /** A part of the work's time that begins now, never more than is left. */
  share(ms: number): Share {
    return new Share(Math.min(ms, this.workLeftMs()));
  }
}

const LONGEST_TAIL_MS = 1_000;
const TAIL_SHARE = 0.1;

/** The time of one view. */
export class Share extends Countdown {
  /** Kept back from the statements: for the history row and COMMIT, or to find out who stood in the way. */
  readonly tailMs: number;

  constructor(readonly ms: number) {
    super(ms);
    this.tailMs = Math.min(LONGEST_TAIL_MS, ms * TAIL_SHARE);
  }

  /** Milliseconds that the next statement may take, never negative. */
  statementMs(): number {
    return Math.max(0, this.leftMs() - this.tailMs);
  }
}

/**
 * The share of a view whose turn it is: all that the others do not need. Where not all needs fit, the small ones are
 * met in full and the large ones get equal parts of the rest, so that one slow view cannot starve nine quick ones.
 */
export function shareMs(leftMs: number, ownNeedMs: number, otherNeedsMs: number[]): number {
  const needs = [ownNeedMs, ...otherNeedsMs].sort((a, b) => a - b);
  let unclaimedMs = leftMs;
  let mostMs = leftMs;
  for (const [index, need] of needs.entries()) {
    mostMs = unclaimedMs / (needs.length - index);
    if (need > mostMs) break;
    unclaimedMs -= need;
  }
  // Rounding may leave a little less than nothing.
  return Math.max(
    0,
    otherNeedsMs.reduce((left, need) => left - Math.min(need, mostMs), leftMs),
  );
}

/** The bounds of one statement, in whole milliseconds. */
export interface Limit {
  statementMs: number;
  lockMs: number;
}

// 0 would mean "no limit" to the server.
const SHORTEST_STATEMENT_MS = 100;

/** A wait for a lock ends before the statement's time does, so that it is never taken for a slow query. */
export function limitOf(ms: number, longestLockWaitMs = ms): Limit {
  const statementMs = Math.max(SHORTEST_STATEMENT_MS, Math.floor(ms));
  return { statementMs, lockMs: Math.floor(Math.min(longestLockWaitMs, statementMs / 2)) };
}

/**
 * A function that is gone without a word (its network went with it) leaves its session in a transaction, with all locks,
 * until TCP gives up after hours. Between two statements of ours there are milliseconds; a function that is starved of
 * processor time takes longer.
 */
const LONGEST_SILENCE_MS = 5_000;

/**
 * SQL that bounds the statements after it, and the pauses between them, until the transaction ends. Not done at connect,
 * since RDS Proxy refuses timeouts as startup parameters; nor by set_config, since a SELECT would fix the snapshot of a
 * fold.
 */
export function setLimit({ statementMs, lockMs }: Limit): string {
  const limits = {
    statement_timeout: statementMs,
    lock_timeout: lockMs,
    idle_in_transaction_session_timeout: LONGEST_SILENCE_MS,
  };
  return Object.entries(limits)
    .map(([name, ms]) => `SET LOCAL ${name} = ${ms}`)
    .join("; ");
}
