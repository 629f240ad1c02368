/** One view, one transaction: lock, catalog, REFRESH, history, statistics, commit. */
import { beginWithLock, readFacts, waitForLock, type ViewFacts } from "./catalog";
import type { Session } from "./connect";
import type { Deadline } from "./deadline";
import { suggestIndex } from "./diagnose";
import { lastAsOf, recordOutcome } from "./history";
import { assertRefreshable, chooseMode, type Mode, type RefreshableFacts, type RefreshType } from "./mode";
import { displayName, qualifiedName } from "./names";
import { RefreshFailure } from "./failure";
import type { Report } from "./report";
import type { ViewSettings } from "./settings";
import { readStatistics, type Statistics } from "./statistics";

/** What one view of a run came to. */
export type ViewOutcome = RefreshedView | SkippedView | FailedView;

export interface RefreshedView {
  view: ViewSettings;
  outcome: "refreshed";
  refreshType: RefreshType;
  /** Seconds of the REFRESH statement itself. */
  durationSeconds: number;
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

/** One try at one view, and what it has learnt so far, for whoever must explain its failure. */
export interface Attempt {
  view: ViewSettings;
  /** Wait for a refresh that is running already, or leave the view to it. */
  waitForLock: boolean;
  /** Times of the data of the views that this run has refreshed, by qualified name. */
  refreshed: Map<string, string>;
  runId: string;
  deadline: Deadline;
  report: Report;
  facts?: ViewFacts;
  mode?: Mode;
  /** What the statement under way may take, and since when (performance.now). */
  statementTimeoutMs?: number;
  statementStartedMs?: number;
  isWaitingForLock?: boolean;
}

/*
 * A plain refresh in the queue for its lock keeps every new reader behind it. A concurrent one does not, but its
 * snapshot is as old as its wait, so that neither waits long: they are tried again.
 */
const LOCK_TIMEOUT_MS: Record<RefreshType, number> = { concurrent: 5_000, regular: 1_000 };
const SHORTEST_STATEMENT_TIMEOUT_MS = 100;
const CONNECTION_CHECK_MS = 1_000;

/**
 * Refreshes the view, or finds that another session is doing so.
 * @throws the server's or the connection's error, or a RefreshFailure; the transaction is then still open.
 */
export async function refreshView(session: Session, attempt: Attempt): Promise<RefreshedView | SkippedView> {
  const { view } = attempt;
  const { locked, facts } = await begin(session, attempt);
  attempt.facts = facts;
  if (locked === "taken") {
    await session.query("ROLLBACK");
    return {
      view,
      outcome: "skipped",
      reason: "another refresh of it is running",
      stalenessSeconds: undefined,
    };
  }
  assertRefreshable(view, facts);
  if (locked !== facts.oid) throw replacedMeanwhile(view);
  const mode = chooseMode(view, facts, await suggestIndex(session, facts));
  attempt.mode = mode;
  const asOf = await oldestSource(session, attempt, facts);
  const durationSeconds = await runRefresh(session, attempt, facts, mode);
  return finish(session, attempt, facts, { refreshType: mode.type, durationSeconds, asOf });
}

/** A transaction that has begun, and the view as it was found after its lock was taken. */
interface Begun {
  /** The oid that is locked, `taken` when somebody else has it, or null when there is no such view. */
  locked: number | "taken" | null;
  facts: ViewFacts;
}

/**
 * The isolation level is said aloud, since a role may default to REPEATABLE READ, in which a concurrent refresh
 * fails and a plain one goes back in time; so is READ WRITE. Timeouts are set in here and not at connect, because
 * RDS Proxy refuses them as startup parameters. The server looks after its client from 14 on, where the platform lets
 * it: a query whose client is gone must not run on.
 */
async function begin(session: Session, attempt: Attempt): Promise<Begun> {
  const { view } = attempt;
  const watch = `
    CASE WHEN pg_catalog.current_setting('client_connection_check_interval', true) IS NOT NULL
          AND pg_catalog.version() ~* '(linux|darwin|freebsd)'
         THEN pg_catalog.set_config('client_connection_check_interval', '${CONNECTION_CHECK_MS}', true) END`;
  const { lock, facts } = await beginWithLock(
    session,
    view,
    `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${timeouts(attempt, LOCK_TIMEOUT_MS.regular)}, ${watch}`,
  );
  if (lock === undefined) return { locked: null, facts };
  if (lock.locked) return { locked: lock.oid, facts };
  if (!attempt.waitForLock) return { locked: "taken", facts };
  attempt.facts = facts;
  await wait(session, attempt, lock.oid);
  return { locked: lock.oid, facts: await readFacts(session, view) };
}

/** Waits for the other refresh as long as there is time: without a lock_timeout. */
async function wait(session: Session, attempt: Attempt, oid: number): Promise<void> {
  attempt.report.waiting(attempt.view);
  await session.query(timeouts(attempt, 0));
  attempt.isWaitingForLock = true;
  attempt.statementStartedMs = performance.now();
  await waitForLock(session, oid);
  attempt.isWaitingForLock = false;
}

/** SQL that bounds the statements to come by the time that is left now. */
function timeouts(attempt: Attempt, lockTimeoutMs: number): string {
  const statementTimeoutMs = Math.max(
    SHORTEST_STATEMENT_TIMEOUT_MS,
    Math.floor(attempt.deadline.workLeftMs()),
  );
  attempt.statementTimeoutMs = statementTimeoutMs;
  return (
    `SELECT pg_catalog.set_config('statement_timeout', '${statementTimeoutMs}', true), ` +
    `pg_catalog.set_config('lock_timeout', '${lockTimeoutMs}', true)`
  );
}

/**
 * The time of the data this refresh will show: its own, or that of the oldest view it reads, so that a chain never
 * claims to be fresher than its sources.
 */
async function oldestSource(
  session: Session,
  attempt: Attempt,
  facts: ViewFacts,
): Promise<string | undefined> {
  let oldest: string | undefined = facts.clock;
  for (const source of facts.sources) {
    const known = attempt.refreshed.get(qualifiedName(source));
    const asOf = known ?? (facts.history.maySelect ? await lastAsOf(session, source) : undefined);
    if (asOf === undefined) {
      const [reader, read] = [displayName(attempt.view), displayName(source)];
      attempt.report.note(
        `freshness of ${reader} is untracked: no refresh of ${read}, which it reads, is recorded`,
      );
      return undefined;
    }
    if (oldest > asOf) oldest = asOf;
  }
  return oldest;
}

/** @returns seconds the statement took. */
async function runRefresh(
  session: Session,
  attempt: Attempt,
  facts: RefreshableFacts,
  mode: Mode,
): Promise<number> {
  attempt.report.refreshing(attempt.view);
  if (mode.reason !== undefined) attempt.report.fallingBack(attempt.view, mode.reason, mode.remedy);
  const setTimeouts = timeouts(attempt, LOCK_TIMEOUT_MS[mode.type]);
  attempt.statementStartedMs = performance.now();
  await session.query(
    `${setTimeouts}; REFRESH MATERIALIZED VIEW ${mode.type === "concurrent" ? "CONCURRENTLY " : ""}${facts.sqlName}`,
  );
  return (performance.now() - attempt.statementStartedMs) / 1_000;
}

async function finish(
  session: Session,
  attempt: Attempt,
  facts: RefreshableFacts,
  done: { refreshType: RefreshType; durationSeconds: number; asOf: string | undefined },
): Promise<RefreshedView> {
  const { view, runId } = attempt;
  const { asOf } = done;
  // Without a time for its data the row would have to claim one. Left out, the view counts as old as it was before.
  const isTracked = facts.history.mayInsert && asOf !== undefined;
  const stalenessSeconds = isTracked
    ? await recordOutcome(session, facts.history, {
        view,
        oid: facts.oid,
        outcome: "refreshed",
        refreshType: done.refreshType,
        asOf,
        startedAt: facts.clock,
        durationSeconds: done.durationSeconds,
        sqlstate: null,
        reason: attempt.mode?.reason ?? null,
        runId,
      })
    : undefined;
  const statistics = await statisticsOrNone(session, attempt, facts);
  await session.query("COMMIT");
  return { view, outcome: "refreshed", ...done, stalenessSeconds, statistics };
}

async function statisticsOrNone(
  session: Session,
  attempt: Attempt,
  facts: RefreshableFacts,
): Promise<Statistics> {
  const { view, report } = attempt;
  const isReadable = view.statistics === undefined ? facts.viewReadable : facts.statisticsReadable;
  const relation = view.statistics ?? view;
  if (!isReadable) {
    report.note(
      `no statistics: role ${facts.currentUser} cannot read ${displayName(relation)}, or it is not there`,
    );
    return {};
  }
  try {
    return await readStatistics(session, view);
  } catch (error) {
    if (session.lost) throw error;
    report.note(
      `no statistics: reading ${displayName(relation)} failed (${(error as { code?: string }).code})`,
    );
    return {};
  }
}

/** Dropped and made again between the lock and the catalog check: the next try finds the new one. */
function replacedMeanwhile(view: ViewSettings): RefreshFailure {
  return new RefreshFailure({
    kind: "transient",
    code: "40001",
    problem: "the view was replaced while its refresh began",
    remedy: "npm run refresh",
    view: qualifiedName(view),
  });
}
