/** One view's turn in a run: its tries, its statistics, and the record of what became of it. */
import type { Budget, Share } from "./budget";
import type { ViewFacts } from "./catalog";
import { classify, RefreshFailure } from "./failure";
import { missingInsert, recordUnrefreshed } from "./history";
import { displayName, qualifiedName } from "./names";
import type { FailedView, RefreshedView, SkippedView, ViewOutcome } from "./outcome";
import type { RunSession } from "./session";
import type { ViewSettings } from "./settings";
import { readStatistics } from "./statistics";
import { RefreshTransaction, type ViewWork } from "./transaction";

/** A view that failed while others waited for their turn, and may be tried once more after them. */
export interface PutOffView {
  view: ViewSettings;
  outcome: "put off";
  failure: RefreshFailure;
  /** The time that was not enough; undefined where it was a lock that was in the way, and not time. */
  usedUpMs: number | undefined;
  /** How long it was tried. */
  durationSeconds: number;
}

/** What is fixed for the view; its share of the time is measured when a try begins. */
interface Turn extends Omit<ViewWork, "share"> {
  budget: Budget;
  takeShare(): Share;
  /** Whether others, which do not read this view, wait for their turn. */
  mayPutOff: boolean;
}

/** Refreshes the view, again and again while that can help. Never throws. */
export async function refreshView(db: RunSession, turn: Turn): Promise<ViewOutcome | PutOffView> {
  const { view, report, budget } = turn;
  const startedMs = performance.now();
  let share = turn.takeShare();
  let waitForLock = turn.waitForLock;
  let last: RefreshTransaction | undefined;

  /** One transaction. Whatever goes wrong in it comes out as a RefreshFailure, after the rollback. */
  const tryOnce = async (): Promise<RefreshedView | SkippedView> => {
    try {
      const isNew = !db.isOpen;
      const session = await db.get();
      // What went into having a connection again was not this view's doing.
      if (isNew) share = turn.takeShare();
      last = new RefreshTransaction(session, { ...turn, waitForLock, share });
      const outcome = await last.run();
      db.hasAnswered = true;
      const { facts } = last;
      if (outcome.outcome === "skipped" || facts === undefined) return outcome;
      const statistics = await readStatistics(session, view, facts, { budget, share }, report);
      return { ...outcome, statistics };
    } catch (error) {
      const context = { ...db.failureContext, view: qualifiedName(view) };
      const failure = db.isOpen && last ? await last.explain(error, context) : classify(error, context);
      db.hasAnswered ||= last?.facts !== undefined;
      // Until the server notices that this end is gone, the lock is held by what was our own session: wait for it.
      if (!db.isOpen) waitForLock = true;
      // The next try connects anew: after a failover the endpoint's name leads elsewhere.
      if (failure.code === "25006") await db.close();
      throw failure;
    }
  };

  const isLockWait = (failure: RefreshFailure): boolean => failure.code === "55P03";
  try {
    const outcome = await db.retrying(
      tryOnce,
      () => share.leftMs(),
      (failure) => !(turn.mayPutOff && isLockWait(failure)),
    );
    noteTracking(db, turn, outcome, last?.facts);
    return outcome.outcome === "skipped" ? await recorded(db, turn, outcome, last?.facts) : outcome;
  } catch (error) {
    const failure = classify(error, { ...db.failureContext, view: qualifiedName(view) });
    const usedUpMs = failure.isOutOfTime ? share.ms : undefined;
    const durationSeconds = (performance.now() - startedMs) / 1_000;
    if (turn.mayPutOff && (isLockWait(failure) || failure.isOutOfTime))
      return { view, outcome: "put off", failure, usedUpMs, durationSeconds };
    return recorded(db, turn, failed(view, failure), last?.facts, durationSeconds);
  }
}

/** The outcome of a view that was not refreshed. */
export function failed(view: ViewSettings, failure: RefreshFailure): FailedView {
  const named = new RefreshFailure({ ...failure, view: qualifiedName(view) });
  return { view, outcome: "failed", failure: named, stalenessSeconds: undefined };
}

/** The outcome with the age of what readers see now, once it is written to history. */
export async function recorded<Outcome extends SkippedView | FailedView>(
  db: RunSession,
  { report, runId }: Pick<ViewWork, "report" | "runId">,
  outcome: Outcome,
  facts?: ViewFacts,
  durationSeconds = 0,
): Promise<Outcome> {
  if (!db.isOpen) return outcome;
  const run = { runId, facts, durationSeconds };
  return { ...outcome, stalenessSeconds: await recordUnrefreshed(await db.get(), report, outcome, run) };
}

/** Remembers what may be done with the history table, and says where that leaves the age of a view that was refreshed untracked. */
function noteTracking(
  db: RunSession,
  { view, report }: Turn,
  { outcome }: RefreshedView | SkippedView,
  facts: ViewFacts | undefined,
): void {
  if (facts === undefined) return;
  db.historyAccess = facts.history;
  if (facts.history.mayInsert || outcome === "skipped") return;
  report.note(`freshness of ${displayName(view)} is untracked: ${missingInsert(facts.currentUser)}`);
}
