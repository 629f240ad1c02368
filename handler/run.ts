/** A whole run: one session, the views in order of dependency, retries inside the time that is left. */
import pRetry, { AbortError } from "p-retry";
import { readFacts } from "./catalog";
import type { Connector, Session } from "./connect";
import type { Deadline } from "./deadline";
import { suggestGrants } from "./diagnose";
import { classify, RefreshFailure } from "./failure";
import { pruneHistory, recordOutcome } from "./history";
import { displayName, qualifiedName, quotedName } from "./names";
import { orderViews, readDependencies, sourcesOf, type Dependency } from "./order";
import { refreshView, type Attempt, type FailedView, type SkippedView, type ViewOutcome } from "./refresh";
import type { Report } from "./report";
import type { ViewSettings } from "./settings";

/** Everything a run needs to know. */
export interface Run {
  /** The views to refresh now. */
  views: ViewSettings[];
  /** The views of the group, among which sources are looked for. */
  configuredViews: ViewSettings[];
  connector: Connector;
  /** Wait for a view that is being refreshed by another run (by hand), or skip it (on schedule). */
  waitForLock: boolean;
  deadline: Deadline;
  /** Rows of history older than this are deleted; undefined leaves them to the schedule. */
  historyRetentionDays?: number;
  /** Written to history: the Lambda request, or a name for a run by hand. */
  runId: string;
  report: Report;
}

const FIRST_RETRY_AFTER_MS = 200;
const LONGEST_RETRY_PAUSE_MS = 3_000;

/**
 * Refreshes every view of the run that can be refreshed, and reports each as it goes.
 * @returns one outcome for each view of the run, in the order of the settings. Failures are among them, not thrown.
 */
export async function runRefresh(run: Run): Promise<ViewOutcome[]> {
  const sessions = new SessionKeeper(run);
  try {
    const dependencies = await surveyDependencies(run, sessions);
    if (dependencies instanceof RefreshFailure) return failAll(run, dependencies);
    const outcomes = new Map<string, ViewOutcome>();
    for (const view of orderViews(run.views, dependencies)) {
      const outcome = await runView(run, sessions, view, dependencies, outcomes);
      run.report.finished(outcome);
      outcomes.set(qualifiedName(view), outcome);
    }
    await prune(run, sessions);
    return run.views.flatMap((view) => outcomes.get(qualifiedName(view)) ?? []);
  } finally {
    await sessions.close();
  }
}

/** Nothing could be asked of the server, so that no view was even tried. */
function failAll(run: Run, failure: RefreshFailure): ViewOutcome[] {
  return run.views.map((view) => {
    const outcome = failed(view, failure);
    run.report.finished(outcome);
    return outcome;
  });
}

/** The run's one session, opened again when the server or the network has taken it away. */
class SessionKeeper {
  private session: Session | undefined;
  /** Whether the last history access seen allowed pruning. */
  mayPrune = false;

  constructor(private readonly run: Run) {}

  get isLost(): boolean {
    return this.session?.lost ?? false;
  }

  get isOpen(): boolean {
    return this.session !== undefined && !this.session.lost;
  }

  async get(): Promise<Session> {
    if (this.session !== undefined && !this.session.lost) return this.session;
    await this.close();
    this.run.report.connecting();
    this.session = await this.run.connector.open(this.run.deadline);
    return this.session;
  }

  async close(): Promise<void> {
    await this.session?.close();
    this.session = undefined;
  }
}

/** Connects for the first time. Whatever keeps it from that, or from asking, is the failure of every view. */
async function surveyDependencies(run: Run, sessions: SessionKeeper): Promise<Dependency[] | RefreshFailure> {
  const survey = async (): Promise<Dependency[]> => {
    try {
      return await readDependencies(await sessions.get(), run.configuredViews);
    } catch (error) {
      throw classify(error, context(run, sessions));
    }
  };
  try {
    return await retrying(run, survey);
  } catch (error) {
    return classify(error, context(run, sessions));
  }
}

async function runView(
  run: Run,
  sessions: SessionKeeper,
  view: ViewSettings,
  dependencies: Dependency[],
  outcomes: Map<string, ViewOutcome>,
): Promise<ViewOutcome> {
  const sources = sourcesOf(view, dependencies);
  const stale = sources
    .map((name) => outcomes.get(name))
    .find((source) => source && source.outcome !== "refreshed");
  if (stale !== undefined) {
    const what = stale.outcome === "failed" ? "was not refreshed" : "was skipped";
    const skipped = skip(view, `${displayName(stale.view)}, which it reads, ${what}`);
    return { ...skipped, stalenessSeconds: await record(run, sessions, skipped, undefined) };
  }
  const attempt: Attempt = {
    view,
    waitForLock: run.waitForLock,
    runId: run.runId,
    deadline: run.deadline,
    report: run.report,
    sources: run.configuredViews
      .filter((each) => sources.includes(qualifiedName(each)))
      .map((each) => ({ view: each, asOf: asOfOf(outcomes.get(qualifiedName(each))) })),
  };
  return tryView(run, sessions, attempt);
}

function asOfOf(outcome: ViewOutcome | undefined): string | undefined {
  return outcome?.outcome === "refreshed" ? outcome.asOf : undefined;
}

async function tryView(run: Run, sessions: SessionKeeper, attempt: Attempt): Promise<ViewOutcome> {
  const startedMs = performance.now();
  try {
    const outcome = await retrying(run, () => tryOnce(run, sessions, attempt));
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
    return await refreshView(await sessions.get(), attempt);
  } catch (error) {
    // Before the rollback, since the time a statement took tells a timeout from a cancel.
    const failure = classify(error, context(run, sessions, attempt));
    // Until the server notices that this end is gone, the lock is held by what was our own session: wait for it.
    if (sessions.isLost) attempt.waitForLock = true;
    throw await afterRollback(sessions, attempt, failure);
  }
}

/** Ends the transaction and, where a permission was refused in mid-refresh, asks the catalog which. */
async function afterRollback(
  sessions: SessionKeeper,
  attempt: Attempt,
  failure: RefreshFailure,
): Promise<RefreshFailure> {
  if (!sessions.isOpen) return failure;
  try {
    const session = await sessions.get();
    await session.query("ROLLBACK");
    const { facts } = attempt;
    if (failure.code !== "42501" || attempt.mode === undefined || !facts?.oid || facts.sqlName === null)
      return failure;
    const grants = await suggestGrants(session, { ...facts, oid: facts.oid, sqlName: facts.sqlName });
    if (grants === undefined) return failure;
    const problem = `its owner ${facts.owner} may not read what the view's query reads`;
    return new RefreshFailure({
      ...failure,
      code: failure.code,
      problem,
      remedy: grants,
      view: failure.view,
    });
  } catch {
    // The connection went too; what is known already is the answer.
    return failure;
  }
}

/** Tries again with growing pauses while the failure is transient and there is time for the pause and the work. */
async function retrying<Result>(run: Run, task: () => Promise<Result>): Promise<Result> {
  return pRetry(
    async () => {
      try {
        return await task();
      } catch (error) {
        // p-retry takes a TypeError for a bug unless it knows the message; ours are failures by now.
        throw error instanceof Error ? error : new AbortError(String(error));
      }
    },
    {
      retries: Number.POSITIVE_INFINITY,
      minTimeout: FIRST_RETRY_AFTER_MS,
      maxTimeout: LONGEST_RETRY_PAUSE_MS,
      randomize: true,
      shouldRetry: ({ error }) => {
        const isTransient = error instanceof RefreshFailure && error.kind === "transient";
        return isTransient && run.deadline.workLeftMs() > LONGEST_RETRY_PAUSE_MS;
      },
      onFailedAttempt: ({ error, attemptNumber }) => {
        const isTransient = error instanceof RefreshFailure && error.kind === "transient";
        if (isTransient && run.deadline.workLeftMs() > LONGEST_RETRY_PAUSE_MS)
          run.report.retrying(error, attemptNumber);
      },
    },
  );
}

/**
 * Writes a skip or a failure to history in a statement of its own. It never hides what it records: where it cannot,
 * the log has it.
 * @returns seconds since the time of the data that readers see now, where history tells.
 */
async function record(
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

function noteFreshnessTracking(run: Run, sessions: SessionKeeper, { view, facts }: Attempt): void {
  if (facts === undefined) return;
  sessions.mayPrune = facts.history.mayDelete && facts.history.maySelect;
  if (!facts.history.mayInsert) {
    run.report.note(
      `freshness of ${displayName(view)} is untracked: role ${facts.currentUser} has no INSERT on public.matview_refresh_history, or it is not there`,
    );
  }
}

async function prune(run: Run, sessions: SessionKeeper): Promise<void> {
  const { historyRetentionDays } = run;
  if (historyRetentionDays === undefined || !sessions.isOpen || !sessions.mayPrune) return;
  try {
    await pruneHistory(await sessions.get(), historyRetentionDays);
  } catch (error) {
    run.report.note(`history: old rows were not deleted (${(error as { code?: string }).code})`);
  }
}

/** What the classification may use. */
function context(run: Run, sessions: SessionKeeper, attempt?: Attempt): Parameters<typeof classify>[1] {
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

function skip(view: ViewSettings, reason: string): SkippedView {
  return { view, outcome: "skipped", reason, stalenessSeconds: undefined };
}

function failed(view: ViewSettings, failure: RefreshFailure): FailedView {
  const named = new RefreshFailure({ ...failure, view: qualifiedName(view) });
  return { view, outcome: "failed", failure: named, stalenessSeconds: undefined };
}
