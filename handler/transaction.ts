/**
 * One try at one view, one transaction: advisory lock, catalog, REFRESH, history row, COMMIT. For a maintained view it
 * ends after the catalog, and a second one folds what changed.
 */
import { escapeLiteral } from "pg";
import { blockersOfRefresh, LOCK_NAMESPACE, refreshInFront, type LockMode } from "./blockers";
import { limitOf, setLimit, type Limit, type Share } from "./budget";
import { factsQuery, isoTime, readFacts, type FoldFacts, type ViewFacts } from "./catalog";
import type { Session } from "./connect";
import { suggestGrants, suggestIndex } from "./diagnose";
import { classify, RefreshFailure, takesNoWrites } from "./failure";
import { insertOutcome, LONGEST_HISTORY_MS, readAsOf, whyUnwritten, type KnownAsOf } from "./history";
import {
  assertRefreshable,
  chooseFoldMode,
  chooseMode,
  pausedReason,
  type Mode,
  type RefreshableFacts,
  type RefreshType,
} from "./mode";
import { displayName, qualifiedName, quotedName, shellName } from "./names";
import type { Fold, RefreshedView, SkippedView } from "./outcome";
import { fullRunOf, type FailureContext } from "./remedies";
import type { Report } from "./report";
import { FULL_EVERY_SECONDS, type QualifiedName, type ViewSettings } from "./settings";

/** One view of a run, and what the run knows by the time that its turn comes. */
export interface ViewWork {
  view: ViewSettings;
  /** Wait for a refresh that is running already, or leave the view to it. */
  waitForLock: boolean;
  /** Compute a maintained view anew; a materialized one always is. */
  forceFull: boolean;
  /** Times of the data of the views that this run has refreshed, by qualified name. */
  asOf: Map<string, string>;
  /** How many other views the run has. */
  otherViews: number;
  share: Share;
  runId: string;
  report: Report;
}

/*
 * What each kind of refresh locks the view with, and the longest that it waits for that or another lock.
 * A plain refresh in the queue for its lock keeps every new reader behind it. A concurrent one does not, but its
 * snapshot is as old as its wait, so that neither waits long: they are tried again. So is a fold, which writes like any
 * other writer, and keeps nobody behind it but the next fold.
 */
const LOCKS: Record<RefreshType, { mode: LockMode; longestWaitMs: number }> = {
  concurrent: { mode: "ExclusiveLock", longestWaitMs: 5_000 },
  regular: { mode: "AccessExclusiveLock", longestWaitMs: 1_000 },
  incremental: { mode: "RowExclusiveLock", longestWaitMs: 5_000 },
  full: { mode: "RowExclusiveLock", longestWaitMs: 5_000 },
};
const CONNECTION_CHECK_MS = 1_000;

/** No such schema, relation or function, not of that kind: of the view itself, or of what its query uses. */
const ABOUT_A_VIEW = new Set(["3F000", "42P01", "42809", "42883"]);

const ANOTHER_IS_RUNNING = "another refresh of it is running";

/** The other half is the view's oid, so that equal names in two schemas never wait for each other. */
const LOCK_KEY = `(${LOCK_NAMESPACE}::bigint << 32) | c.oid::bigint`;

/** No row where there is no such materialized view. */
const tryLockQuery = (view: QualifiedName): string => `
SELECT c.oid AS "oid", pg_catalog.pg_try_advisory_xact_lock(${LOCK_KEY}) AS "locked"
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ${escapeLiteral(view.schema)} AND c.relname = ${escapeLiteral(view.name)} AND c.relkind = 'm'`;

/** What a fold answers, with the time at which the statement reached the server: before its snapshot. */
type FoldAnswer = Omit<Fold, "reason"> & { clock: string } & (
    { kind: "incremental" | "full"; reason: string | null } | { kind: "paused" | "refused"; reason: string }
  );

export class RefreshTransaction {
  /** The view as it was found after its lock was taken, or found taken. */
  facts: ViewFacts | undefined;
  private mode: Mode | undefined;
  /** The statement under way and since when it is (performance.now). */
  private statement: { limit: Limit; startedMs: number } | undefined;
  /** What the lock is of that another refresh holds, while it is waited for: the view, or a fold's lock table. */
  private awaitedOid: number | undefined;
  /** SQL that makes the server look after its client, where it can. */
  private watch = "";

  constructor(
    private readonly session: Session,
    private readonly work: ViewWork,
  ) {}

  /**
   * Refreshes the view, or finds that another session is doing so. Statistics are none as yet.
   * @throws the server's or the connection's error, or a RefreshFailure: {@link explain} ends the transaction then.
   */
  async run(): Promise<RefreshedView | SkippedView> {
    const { view } = this.work;
    const { lockedOid, facts } = await this.begin();
    this.facts = facts;
    if (lockedOid === "taken") return this.skip(ANOTHER_IS_RUNNING);
    assertRefreshable(view, facts);
    if (facts.fold !== null) return this.foldView(facts, facts.fold);
    if (lockedOid !== facts.oid) throw changedMeanwhile(view, "40001", "the view was replaced");
    this.mode = chooseMode(view, facts, await suggestIndex(this.session, facts));
    const time = await this.dataTime(facts, facts.clock);
    const durationSeconds = await this.refresh(facts, this.mode);
    return this.commit(facts, { mode: this.mode, time, durationSeconds });
  }

  /** Folds what changed, in a transaction of its own: a snapshot for all that it reads, and locked before that. */
  private async foldView(facts: RefreshableFacts, fold: FoldFacts): Promise<RefreshedView | SkippedView> {
    const { view, report, forceFull } = this.work;
    this.mode = chooseFoldMode(forceFull);
    if (!(await this.lockFold(fold))) return this.skip(ANOTHER_IS_RUNNING);
    report.refreshing(view);
    const { kind, clock, ...did } = await this.callFold(fold);
    if (kind === "paused") return this.skip(pausedReason(view));
    if (kind === "refused") {
      // Nothing was folded, but that triggers are missing is to be remembered.
      await this.session.query("COMMIT");
      throw new RefreshFailure({
        kind: "permanent",
        code: "55000",
        problem: `it has to be computed anew (${did.reason}) and allowFullRuns is false`,
        remedy: fullRunOf(shellName(view)),
        view: qualifiedName(view),
      });
    }
    const durationSeconds = this.elapsedMs / 1_000;
    // Asked in the snapshot that the fold has read its sources in.
    const time = await this.dataTime(facts, clock);
    const mode = { type: kind, ...(did.reason === null ? {} : { reason: did.reason }) };
    return this.commit(facts, { mode, time, durationSeconds, fold: did });
  }

  private async skip(reason: string): Promise<SkippedView> {
    await this.session.query("ROLLBACK");
    return { view: this.work.view, outcome: "skipped", reason, stalenessSeconds: undefined };
  }

  /** What the statement under way has taken so far. */
  private get elapsedMs(): number {
    return this.statement === undefined ? 0 : performance.now() - this.statement.startedMs;
  }

  private startStatement(limit: Limit): string {
    this.statement = { limit, startedMs: performance.now() };
    return setLimit(limit);
  }

  /**
   * Opens the transaction, takes the view's lock until its end or finds it taken, and reads the view's facts after
   * that: all in one round trip.
   *
   * The isolation level is said aloud, since a role may default to REPEATABLE READ, in which a concurrent refresh
   * fails and a plain one goes back in time; so is READ WRITE. The server looks after its client from 14 on, where the
   * platform lets it: a query whose client is gone must not run on.
   * @returns the oid that is locked, `taken` when somebody else has it, or null when there is no such view.
   */
  private async begin(): Promise<{ lockedOid: number | "taken" | null; facts: ViewFacts }> {
    const { view, share } = this.work;
    const limit = this.startStatement(limitOf(share.statementMs(), LOCKS.regular.longestWaitMs));
    const watch = `
      SELECT CASE WHEN pg_catalog.current_setting('client_connection_check_interval', true) IS NOT NULL
                   AND pg_catalog.version() ~* '(linux|darwin|freebsd)'
                  THEN pg_catalog.set_config('client_connection_check_interval', '${CONNECTION_CHECK_MS}', true) END
             IS NOT NULL AS "isWatched"`;
    const results = await this.session.results(
      `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${limit}; ${watch}; ${tryLockQuery(view)}; ${factsQuery(view)}`,
    );
    const { isWatched } = results.at(-3)?.rows[0] as { isWatched: boolean };
    if (isWatched) this.watch = `SET LOCAL client_connection_check_interval = ${CONNECTION_CHECK_MS};`;
    const lock = results.at(-2)?.rows[0] as { oid: number; locked: boolean } | undefined;
    const facts = results.at(-1)?.rows[0] as ViewFacts;
    if (lock === undefined) return { lockedOid: null, facts };
    if (lock.locked) return { lockedOid: lock.oid, facts };
    if (!this.work.waitForLock) return { lockedOid: "taken", facts };
    this.facts = facts;
    const takeLock = `SELECT pg_catalog.pg_advisory_xact_lock(${LOCK_KEY}) FROM (SELECT ${lock.oid}::oid AS oid) AS c`;
    await this.wait(lock.oid, (limits) => `${limits}; ${takeLock}`);
    await this.session.query(this.startStatement(limitOf(share.statementMs(), LOCKS.regular.longestWaitMs)));
    return { lockedOid: lock.oid, facts: await readFacts(this.session, view) };
  }

  /** Waits for the other refresh for as long as the view's share lasts. */
  private async wait(oid: number, takeLock: (limits: string) => string): Promise<void> {
    const { view, share, report } = this.work;
    report.waiting(view);
    this.awaitedOid = oid;
    const waitMs = Math.max(1, Math.floor(share.statementMs()));
    const limit = { statementMs: waitMs + Math.ceil(share.tailMs) + 1, lockMs: waitMs };
    await this.session.query(takeLock(this.startStatement(limit)));
    this.awaitedOid = undefined;
  }

  /**
   * Begins the fold's transaction and takes its locks: that of the view's folds, then those of all tables that the
   * query reads, without which a TRUNCATE between snapshot and read would show one empty. Neither SET nor LOCK fixes the
   * snapshot, as any SELECT would.
   * @returns false where another fold is running, which is left alone.
   */
  private async lockFold({ lock, lockOid, query }: FoldFacts): Promise<boolean> {
    const { session, work } = this;
    const begin = (limits: string): string =>
      `ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE; ${this.watch} ${limits}`;
    const takeOwn = `LOCK TABLE ${lock} IN EXCLUSIVE MODE`;
    const takeTables = `LOCK TABLE ${query} IN ACCESS SHARE MODE`;
    const limitNow = (): Limit => limitOf(work.share.statementMs(), LOCKS.incremental.longestWaitMs);
    const limit = limitNow();
    try {
      await session.query(`${begin(this.startStatement(limit))}; ${takeOwn} NOWAIT; ${takeTables}`);
      return true;
    } catch (error) {
      // Both locks are refused with 55P03, but that of the tables not before its time.
      if ((error as { code?: string }).code !== "55P03" || this.elapsedMs >= limit.lockMs) throw error;
    }
    if (!work.waitForLock) return false;
    await this.wait(lockOid, (limits) => `${begin(limits)}; ${takeOwn}`);
    await session.query(`${this.startStatement(limitNow())}; ${takeTables}`);
    return true;
  }

  private async callFold({ name }: FoldFacts): Promise<FoldAnswer> {
    const { view, share, forceFull } = this.work;
    const { fullEverySeconds = FULL_EVERY_SECONDS, allowFullRuns = true } = view;
    const limit = this.startStatement(limitOf(share.statementMs(), LOCKS.incremental.longestWaitMs));
    const results = await this.session.results(
      `${limit};
       SELECT f.kind AS "kind", f.reason AS "reason", coalesce(f.changes, 0)::double precision AS "changes",
              coalesce(f.changed_rows, 0)::double precision AS "changedRows", f.drift::double precision AS "drift",
              ${isoTime("pg_catalog.statement_timestamp()")} AS "clock"
         FROM ${name}(${forceFull}, pg_catalog.make_interval(secs => ${fullEverySeconds}), ${forceFull || allowFullRuns}) AS f;
       SAVEPOINT history; ${setLimit(this.historyLimit())}`,
    );
    return results.find(({ command }) => command === "SELECT")?.rows[0] as FoldAnswer;
  }

  /**
   * The time of the data this refresh will show: its own, or that of the oldest view it reads, so that a chain never
   * claims to be fresher than its sources.
   * @param clock of the server, read before the snapshot.
   */
  private async dataTime(facts: ViewFacts, clock: string): Promise<KnownAsOf> {
    const { view, asOf, report } = this.work;
    const others = facts.sources.filter((source) => !asOf.has(qualifiedName(source)));
    const times = [
      { asOf: clock },
      ...facts.sources.map((source) => ({ asOf: asOf.get(qualifiedName(source)) ?? clock })),
      ...(await readAsOf(this.session, facts.history, others, setLimit(this.historyLimit()))),
    ];
    const unknown = times.find((time) => "unknown" in time);
    if (unknown !== undefined) report.note(`age of ${displayName(view)} is unknown: ${unknown.unknown}`);
    return unknown ?? { asOf: times.map((time) => ("asOf" in time ? time.asOf : "")).sort()[0] ?? clock };
  }

  private historyLimit(): Limit {
    return limitOf(Math.min(LONGEST_HISTORY_MS, this.work.share.tailMs));
  }

  /** @returns seconds the statement took. */
  private async refresh(facts: RefreshableFacts, mode: Mode): Promise<number> {
    const { view, share, report } = this.work;
    report.refreshing(view);
    if (mode.reason !== undefined) report.fallingBack(view, mode.reason, mode.remedy);
    const limit = this.startStatement(limitOf(share.statementMs(), LOCKS[mode.type].longestWaitMs));
    // The name may be another view's by now. From here on it stays that of the one that was refreshed, which is locked.
    const results = await this.session.results(
      `${limit}; REFRESH MATERIALIZED VIEW ${mode.type === "concurrent" ? "CONCURRENTLY " : ""}${facts.sqlName};
       SELECT ${escapeLiteral(facts.sqlName)}::pg_catalog.regclass::pg_catalog.oid AS "oid";
       SAVEPOINT history; ${setLimit(this.historyLimit())}`,
    );
    const refreshed = results.find(({ command }) => command === "SELECT")?.rows[0] as { oid: number };
    if (refreshed.oid !== facts.oid) throw changedMeanwhile(view, "40001", "the view was replaced");
    return this.elapsedMs / 1_000;
  }

  /** The history row is left out rather than the refresh, where it cannot be written soon. */
  private async commit(
    facts: RefreshableFacts,
    { mode, time, durationSeconds, fold }: Done,
  ): Promise<RefreshedView> {
    const { view, runId, report } = this.work;
    const outcome: RefreshedView = {
      view,
      outcome: "refreshed",
      refreshType: mode.type,
      durationSeconds,
      ...(fold && { fold }),
      asOf: "asOf" in time ? time.asOf : undefined,
      stalenessSeconds: undefined,
      statistics: {},
    };
    const reasons = [mode.reason, "unknown" in time ? `as_of is unknown: ${time.unknown}` : undefined];
    const reason = reasons.filter((each) => each !== undefined).join("; ") || undefined;
    let refusal: unknown;
    if (facts.history.mayInsert) {
      try {
        const run = { runId, startedAt: facts.clock, durationSeconds, reason };
        outcome.stalenessSeconds = await insertOutcome(this.session, facts, outcome, run);
      } catch (error) {
        if (this.session.lost) throw error;
        refusal = error;
      }
    }
    await this.session.query(refusal === undefined ? "COMMIT" : "ROLLBACK TO SAVEPOINT history; COMMIT");
    if (refusal !== undefined) {
      const what = `the refresh of ${displayName(view)} is done and not recorded`;
      report.note(await whyUnwritten(this.session, what, refusal));
    }
    return outcome;
  }

  /**
   * Ends the transaction and says what {@link run} threw: by SQLSTATE and clock, and where those leave it open, by
   * what the catalog and the lock table say.
   * @param base what is known of any failure of the run.
   */
  async explain(error: unknown, base: FailureContext): Promise<RefreshFailure> {
    const { session, mode, facts } = this;
    const { view } = this.work;
    const context = { ...base, ...this.known(error) };
    const failure = classify(error, context);
    if (session.lost) return failure;
    try {
      await session.query("ROLLBACK");
      if (failure.code === "55P03") return classify(error, { ...context, blockers: await this.blockers() });
      if (failure.code === "42501") return await this.refusedToOwner(failure);
      const isOfAView = ABOUT_A_VIEW.has(failure.code);
      // A standby refuses a transaction that would write as 0A000, a feature it has not.
      const mayBeStandby = failure.code === "0A000" || failure.code === "25006";
      if (failure.code !== "55000" && !isOfAView && !mayBeStandby) return failure;
      const now = await readFacts(session, view);
      if (failure.code === "55000" && mode?.type === "concurrent" && now.usableIndexes.length === 0)
        return changedMeanwhile(view, failure.code, "the view's unique index was dropped");
      if (facts !== undefined && (facts.fold === null) !== (now.fold === null))
        return changedMeanwhile(view, failure.code, "the view became a maintained one, or ceased to be one,");
      if (isOfAView && mode !== undefined && (now.relkind === "m" || now.fold !== null))
        return classify(error, { ...context, isInsideQuery: true });
      return mayBeStandby && now.inRecovery ? takesNoWrites(context) : failure;
    } catch {
      // The connection went too; what is known already is the answer.
      return failure;
    }
  }

  /** What the classification may use of this try. A statement that ran for as long as it was allowed has timed out. */
  private known(error: unknown): Partial<FailureContext> {
    const { work, facts, statement, elapsedMs } = this;
    const waitedOut = statement !== undefined && (error as { code?: string }).code === "55P03";
    const timedOut = statement !== undefined && elapsedMs >= statement.limit.statementMs;
    return {
      view: qualifiedName(work.view),
      viewSql: facts?.sqlName ?? quotedName(work.view),
      otherViews: work.otherViews,
      waitedForRefresh: this.awaitedOid !== undefined,
      ...(facts && { user: facts.currentUser, usableIndexes: facts.usableIndexes }),
      ...(facts?.fold && { maintained: { shellName: shellName(work.view), query: facts.fold.query } }),
      ...(timedOut ? { timedOutAfterSeconds: elapsedMs / 1_000 } : {}),
      ...(waitedOut ? { waitedSeconds: statement.limit.lockMs / 1_000 } : {}),
    };
  }

  private async blockers() {
    const { session, facts, mode, awaitedOid, work } = this;
    if (awaitedOid !== undefined) return refreshInFront(session, work.share.tailMs, awaitedOid);
    if (!facts?.oid) return [];
    return blockersOfRefresh(session, work.share.tailMs, facts, LOCKS[mode?.type ?? "regular"].mode);
  }

  /** A permission refused in mid-refresh is the owner's, as whom the view's query runs: names the grants he lacks. */
  private async refusedToOwner(failure: RefreshFailure): Promise<RefreshFailure> {
    const { session, mode, facts } = this;
    if (mode === undefined || !facts?.oid || facts.sqlName === null) return failure;
    const remedy = await suggestGrants(session, facts.fold?.queryOid ?? facts.oid, facts.owner);
    if (remedy === undefined) return failure;
    const problem = `its owner ${facts.owner} may not read what the view's query reads`;
    return new RefreshFailure({ ...failure, problem, remedy });
  }
}

/** A refresh that is ready to be recorded. */
interface Done {
  mode: Mode;
  time: KnownAsOf;
  durationSeconds: number;
  fold?: Fold;
}

/** The next try asks the catalog anew, and refreshes what is there then, in the way that is open to it. */
function changedMeanwhile(view: ViewSettings, code: string, what: string): RefreshFailure {
  return new RefreshFailure({
    kind: "transient",
    code,
    problem: `${what} while its refresh began`,
    remedy: "npm run refresh",
    view: qualifiedName(view),
  });
}
