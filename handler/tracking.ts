/** What a run leaves in the history table beside its refreshes: skips, failures, and no old rows. */
import { readFacts } from "./catalog";
import { pruneHistory, recordOutcome } from "./history";
import { displayName } from "./names";
import type { Attempt, FailedView, SkippedView } from "./refresh";
import type { Run } from "./run";
import type { SessionKeeper } from "./sessionKeeper";

/**
 * Writes a skip or a failure to history in a statement of its own. It never hides what it records: where it cannot,
 * the log has it.
 * @returns seconds since the time of the data that readers see now, where history tells.
 */
export async function record(
  run: Run,
  sessions: SessionKeeper,
  outcome: SkippedView | FailedView,
  attempt: Attempt | undefined,
  durationSeconds = 0,
): Promise<number | undefined> {
  if (!sessions.isOpen) return undefined;
  try {
    const session = await sessions.get();
    const facts = attempt?.facts ?? (await readFacts(session, outcome.view));
    if (!facts.history.mayInsert) return undefined;
    return await recordOutcome(session, facts.history, {
      view: outcome.view,
      oid: facts.oid,
      outcome: outcome.outcome,
      refreshType: null,
      asOf: null,
      startedAt: attempt?.facts === undefined ? null : facts.clock,
      durationSeconds,
      sqlstate: outcome.outcome === "failed" ? outcome.failure.sqlstate : null,
      reason: outcome.outcome === "failed" ? outcome.failure.problem : outcome.reason,
      runId: run.runId,
    });
  } catch (error) {
    run.report.note(
      `history: ${outcome.outcome} could not be recorded (${(error as { code?: string }).code})`,
    );
    return undefined;
  }
}

/** Notes what may be done with the history table, and says where that leaves freshness untracked. */
export function noteFreshnessTracking(run: Run, sessions: SessionKeeper, { view, facts }: Attempt): void {
  if (facts === undefined) return;
  sessions.mayPrune = facts.history.mayDelete && facts.history.maySelect;
  if (!facts.history.mayInsert) {
    run.report.note(
      `freshness of ${displayName(view)} is untracked: role ${facts.currentUser} has no INSERT on public.matview_refresh_history, or it is not there`,
    );
  }
}

/** Deletes old rows of history, where the run's settings say which and the role may. */
export async function prune(run: Run, sessions: SessionKeeper): Promise<void> {
  const { historyRetentionDays } = run;
  if (historyRetentionDays === undefined || !sessions.isOpen || !sessions.mayPrune) return;
  try {
    await pruneHistory(await sessions.get(), historyRetentionDays);
  } catch (error) {
    run.report.note(`history: old rows were not deleted (${(error as { code?: string }).code})`);
  }
}
