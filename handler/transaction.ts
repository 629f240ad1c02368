/** One try at one view, one transaction: advisory lock, catalog, REFRESH, history row, COMMIT. */
import { escapeLiteral } from "pg";
import { blockersOfRefresh, LOCK_NAMESPACE, refreshInFront } from "./blockers";
import { limitOf, setLimit, type Limit, type Share } from "./budget";
import { factsQuery, readFacts, type ViewFacts } from "./catalog";
import type { Session } from "./connect";
import { suggestGrants, suggestIndex } from "./diagnose";
import { classify, RefreshFailure, takesNoWrites } from "./failure";
import { insertOutcome, LONGEST_HISTORY_MS, readAsOf, whyUnwritten, type KnownAsOf } from "./history";
import { assertRefreshable, chooseMode, type Mode, type RefreshableFacts, type RefreshType } from "./mode";
import { displayName, qualifiedName, quotedName } from "./names";
import type { RefreshedView, SkippedView } from "./outcome";
import type { FailureContext } from "./remedies";
import type { Report } from "./report";
import type { QualifiedName, ViewSettings } from "./settings";

/** One view of a run, and what the run knows by the time that its turn comes. */
export interface ViewWork {
  view: ViewSettings;
  /** Wait for a refresh that is running already, or leave the view to it. */
  waitForLock: boolean;
  /** Times of the data of the views that this run has refreshed, by qualified name. */
  asOf: Map<string, string>;
  /** How many other views the run has. */
  otherViews: number;
  share: Share;
  runId: string;
  report: Report;
}

/*
 * A plain refresh in the queue for its lock keeps every new reader behind it. A concurrent one does not, but its
 * snapshot is as old as its wait, so that neither waits long: they are tried again.
 */
const LONGEST_LOCK_WAIT_MS: Record<RefreshType, number> = { concurrent: 5_000, regular: 1_000 };
const CONNECTION_CHECK_MS = 1_000;

/** No such schema, no such relation, not of that kind: of the view itself, or of what its query uses. */
const ABOUT_A_VIEW = new Set(["3F000", "42P01", "42809"]);

/** The other half is the view's oid, so that equal names in two schemas never wait for each other. */
const LOCK_KEY = `(${LOCK_NAMESPACE}::bigint << 32) | c.oid::bigint`;

/** No row where there is no such materialized view. */
const tryLockQuery = (view: QualifiedName): string => `
SELECT c.oid AS "oid", pg_catalog.pg_try_advisory_xact_lock(${LOCK_KEY}) AS "locked"
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ${escapeLiteral(view.schema)} AND c.relname = ${escapeLiteral(view.name)} AND c.relkind = 'm'`;

export class RefreshTransaction {
  /** The view as it was found after its lock was taken, or found taken. */
  facts: ViewFacts | undefined;
  private mode: Mode | undefined;
  /** The statement under way and since when it is (performance.now). */
  private statement: { limit: Limit; startedMs: number } | undefined;
  /** The view's oid while another refresh of it is waited for. */
  private awaitedOid: number | undefined;

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
    if (lockedOid === "taken") {
      await this.session.query("ROLLBACK");
      const reason = "another refresh of it is running";
      return { view, outcome: "skipped", reason, stalenessSeconds: undefined };
    }
    assertRefreshable(view, facts);
    if (lockedOid !== facts.oid) throw changedMeanwhile(view, "40001", "the view was replaced");
    this.mode = chooseMode(view, facts, await suggestIndex(this.session, facts));
    const asOf = await this.dataTime(facts);
    const durationSeconds = await this.refresh(facts, this.mode);
    return this.commit(facts, this.mode, asOf, durationSeconds);
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
    const limit = this.startStatement(limitOf(share.statementMs(), LONGEST_LOCK_WAIT_MS.regular));
    const watch = `
      CASE WHEN pg_catalog.current_setting('client_connection_check_interval', true) IS NOT NULL
            AND pg_catalog.version() ~* '(linux|darwin|freebsd)'
           THEN pg_catalog.set_config('client_connection_check_interval', '${CONNECTION_CHECK_MS}', true) END`;
    const results = await this.session.results(
      `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${limit}, ${watch}; ${tryLockQuery(view)}; ${factsQuery(view)}`,
    );
    const lock = results.at(-2)?.rows[0] as { oid: number; locked: boolean } | undefined;
    const facts = results.at(-1)?.rows[0] as ViewFacts;
    if (lock === undefined) return { lockedOid: null, facts };
    if (lock.locked) return { lockedOid: lock.oid, facts };
    if (!this.work.waitForLock) return { lockedOid: "taken", facts };
    this.facts = facts;
    await this.wait(lock.oid);
    return { lockedOid: lock.oid, facts: await readFacts(this.session, view) };
  }

  /** Waits for the other refresh for as long as the view's share lasts. */
  private async wait(oid: number): Promise<void> {
    const { view, share, report } = this.work;
    report.waiting(view);
    this.awaitedOid = oid;
    const waitMs = Math.max(1, Math.floor(share.statementMs()));
    await this.session.query(
      this.startStatement({ statementMs: waitMs + Math.ceil(share.tailMs) + 1, lockMs: waitMs }),
    );
    await this.session.query(
      `SELECT pg_catalog.pg_advisory_xact_lock(${LOCK_KEY}) FROM (SELECT $1::pg_catalog.oid AS oid) AS c`,
      [oid],
    );
    this.awaitedOid = undefined;
    await this.session.query(this.startStatement(limitOf(share.statementMs(), LONGEST_LOCK_WAIT_MS.regular)));
  }

  /**
   * The time of the data this refresh will show: its own, or that of the oldest view it reads, so that a chain never
   * claims to be fresher than its sources.
   */
  private async dataTime(facts: ViewFacts): Promise<KnownAsOf> {
    const { view, asOf, report } = this.work;
    const others = facts.sources.filter((source) => !asOf.has(qualifiedName(source)));
    const times = [
      { asOf: facts.clock },
      ...facts.sources.map((source) => ({ asOf: asOf.get(qualifiedName(source)) ?? facts.clock })),
      ...(await readAsOf(this.session, facts.history, others, setLimit(this.historyLimit()))),
    ];
    const unknown = times.find((time) => "unknown" in time);
    if (unknown !== undefined) report.note(`age of ${displayName(view)} is unknown: ${unknown.unknown}`);
    return (
      unknown ?? { asOf: times.map((time) => ("asOf" in time ? time.asOf : "")).sort()[0] ?? facts.clock }
    );
  }

  private historyLimit(): Limit {
    return limitOf(Math.min(LONGEST_HISTORY_MS, this.work.share.tailMs));
  }

  /** @returns seconds the statement took. */
  private async refresh(facts: RefreshableFacts, mode: Mode): Promise<number> {
    const { view, share, report } = this.work;
    report.refreshing(view);
    if (mode.reason !== undefined) report.fallingBack(view, mode.reason, mode.remedy);
    const limit = this.startStatement(limitOf(share.statementMs(), LONGEST_LOCK_WAIT_MS[mode.type]));
    await this.session.query(
      `${limit}; REFRESH MATERIALIZED VIEW ${mode.type === "concurrent" ? "CONCURRENTLY " : ""}${facts.sqlName};
       SAVEPOINT history; ${setLimit(this.historyLimit())}`,
    );
    return this.elapsedMs / 1_000;
  }

  /** The history row is left out rather than the refresh, where it cannot be written soon. */
  private async commit(
    facts: RefreshableFacts,
    mode: Mode,
    time: KnownAsOf,
    durationSeconds: number,
  ): Promise<RefreshedView> {
    const { view, runId, report } = this.work;
    const outcome: RefreshedView = {
      view,
      outcome: "refreshed",
      refreshType: mode.type,
      durationSeconds,
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
    const { session, mode } = this;
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
      if (isOfAView && mode !== undefined && now.relkind === "m")
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
      ...(facts === undefined ? {} : { user: facts.currentUser, usableIndexes: facts.usableIndexes }),
      ...(timedOut ? { timedOutAfterSeconds: elapsedMs / 1_000 } : {}),
      ...(waitedOut ? { waitedSeconds: statement.limit.lockMs / 1_000 } : {}),
    };
  }

  private async blockers() {
    const { session, facts, mode, awaitedOid, work } = this;
    if (awaitedOid !== undefined) return refreshInFront(session, work.share.tailMs, awaitedOid);
    if (!facts?.oid) return [];
    return blockersOfRefresh(session, work.share.tailMs, facts.oid, mode?.type ?? "regular");
  }

  /** A permission refused in mid-refresh is the owner's, as whom the view's query runs: names the grants he lacks. */
  private async refusedToOwner(failure: RefreshFailure): Promise<RefreshFailure> {
    const { session, mode, facts } = this;
    if (mode === undefined || !facts?.oid || facts.sqlName === null) return failure;
    const remedy = await suggestGrants(session, { ...facts, oid: facts.oid, sqlName: facts.sqlName });
    if (remedy === undefined) return failure;
    const problem = `its owner ${facts.owner} may not read what the view's query reads`;
    return new RefreshFailure({ ...failure, problem, remedy });
  }
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
