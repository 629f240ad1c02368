/** The tries at one view: each a transaction, each failure classed by what is known then. */
import type { Session } from "./connect";
import { isInRecovery, suggestGrants } from "./diagnose";
import { classify, RefreshFailure, takesNoWrites, type FailureContext } from "./failure";
import { qualifiedName, quotedName } from "./names";
import { refreshView, type Attempt, type FailedView, type ViewOutcome } from "./refresh";
import { retrying } from "./retry";
import type { Run } from "./run";
import type { SessionKeeper } from "./sessionKeeper";
import type { ViewSettings } from "./settings";
import { noteFreshnessTracking, record } from "./tracking";

/** Refreshes the view, again and again while that can help, and records what became of it. Never throws. */
export async function tryView(run: Run, sessions: SessionKeeper, attempt: Attempt): Promise<ViewOutcome> {
  const startedMs = performance.now();
  try {
    const outcome = await retrying(run, sessions, () => tryOnce(run, sessions, attempt));
    if (attempt.facts !== undefined) noteFreshnessTracking(run, sessions, attempt);
    if (outcome.outcome === "refreshed") return outcome;
    return { ...outcome, stalenessSeconds: await record(run, sessions, outcome, attempt) };
  } catch (error) {
    const outcome = failed(attempt.view, classify(error, context(run, sessions, attempt)));
    const seconds = (performance.now() - startedMs) / 1_000;
    return { ...outcome, stalenessSeconds: await record(run, sessions, outcome, attempt, seconds) };
  }
}

/** One transaction. Whatever goes wrong in it comes out as a RefreshFailure, after the rollback. */
async function tryOnce(
  run: Run,
  sessions: SessionKeeper,
  attempt: Attempt,
): Promise<ViewOutcome & { outcome: "refreshed" | "skipped" }> {
  attempt.isWaitingForLock = false;
  delete attempt.statementStartedMs;
  try {
    const outcome = await refreshView(await sessions.get(), attempt);
    sessions.hasBegun = true;
    return outcome;
  } catch (error) {
    // Before the rollback, since the time a statement took tells a timeout from a cancel.
    const failure = classify(error, context(run, sessions, attempt));
    sessions.hasBegun ||= attempt.facts !== undefined;
    // Until the server notices that this end is gone, the lock is held by what was our own session: wait for it.
    if (sessions.isLost) attempt.waitForLock = true;
    throw await afterRollback(run, sessions, attempt, failure);
  }
}

/** Ends the transaction and, where a SQLSTATE leaves it open what was refused, asks the catalog. */
async function afterRollback(
  run: Run,
  sessions: SessionKeeper,
  attempt: Attempt,
  failure: RefreshFailure,
): Promise<RefreshFailure> {
  if (!sessions.isOpen) return failure;
  try {
    const session = await sessions.get();
    await session.query("ROLLBACK");
    if (failure.code === "42501") return await refusedToOwner(session, attempt, failure);
    const mayBeStandby = failure.code === "0A000" || failure.code === "25006";
    if (!mayBeStandby || !(await isInRecovery(session))) return failure;
    // The next try connects anew: after a failover the endpoint's name leads elsewhere.
    await sessions.close();
    return takesNoWrites(context(run, sessions, attempt));
  } catch {
    // The connection went too; what is known already is the answer.
    return failure;
  }
}

/** A permission refused in mid-refresh is the owner's, as whom the view's query runs: names the grants he lacks. */
async function refusedToOwner(
  session: Session,
  { mode, facts }: Attempt,
  failure: RefreshFailure,
): Promise<RefreshFailure> {
  if (mode === undefined || !facts?.oid || facts.sqlName === null) return failure;
  const grants = await suggestGrants(session, { ...facts, oid: facts.oid, sqlName: facts.sqlName });
  if (grants === undefined) return failure;
  const { kind, code, view } = failure;
  const problem = `its owner ${facts.owner} may not read what the view's query reads`;
  return new RefreshFailure({ kind, code, problem, remedy: grants, view });
}

/** What the classification may use. */
export function context(run: Run, sessions: SessionKeeper, attempt?: Attempt): FailureContext {
  const { address, auth } = run.connector;
  const base = {
    address,
    auth,
    connected: sessions.isOpen || sessions.isLost,
    connectionLost: sessions.isLost,
  };
  if (attempt === undefined) return base;
  const { view, facts, statementTimeoutMs, statementStartedMs } = attempt;
  const elapsedMs = statementStartedMs === undefined ? 0 : performance.now() - statementStartedMs;
  // A cancel and a timeout have one SQLSTATE; a statement that ran for as long as it was allowed has timed out.
  const timedOut = statementTimeoutMs !== undefined && elapsedMs >= statementTimeoutMs;
  return {
    ...base,
    view: qualifiedName(view),
    viewSql: facts?.sqlName ?? quotedName(view),
    ...(facts === undefined ? {} : { user: facts.currentUser, usableIndexes: facts.usableIndexes }),
    ...(timedOut ? { timedOutAfterSeconds: elapsedMs / 1_000 } : {}),
    waitingForLock: attempt.isWaitingForLock ?? false,
  };
}

/** The outcome of a view that was not refreshed. */
export function failed(view: ViewSettings, failure: RefreshFailure): FailedView {
  const named = new RefreshFailure({ ...failure, view: qualifiedName(view) });
  return { view, outcome: "failed", failure: named, stalenessSeconds: undefined };
}
