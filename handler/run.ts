/** A whole run: one session, the views in order of dependency, each within its share of the time. */
import { shareMs } from "./budget";
import type { Session } from "./connect";
import { classify, RefreshFailure } from "./failure";
import { pruneHistory, readLongest } from "./history";
import { displayName, qualifiedName } from "./names";
import { orderViews, readDependencies, sourcesByReader, type Sources } from "./order";
import type { ViewOutcome } from "./outcome";
import { failed, recorded, refreshView, type PutOffView } from "./refreshView";
import { harmless, type Report } from "./report";
import { RunSession, type SessionOptions } from "./session";
import type { ViewSettings } from "./settings";

/** Everything a run needs to know. */
interface Run extends SessionOptions {
  /** The views to refresh now. */
  views: ViewSettings[];
  /** Wait for a view that is being refreshed by another run (by hand), or skip it (on schedule). */
  waitForLock: boolean;
  /** Compute maintained views anew instead of folding what changed. */
  forceFull?: boolean;
  /** Rows of history older than this are deleted; undefined leaves them to the schedule. */
  historyRetentionDays?: number;
  /** Written to history: the Lambda request, or a name for a run by hand. */
  runId: string;
}

/**
 * Refreshes every view of the run that can be refreshed, and reports each as it goes.
 * @returns one outcome for each view of the run, in the order of the settings. Failures are among them, not thrown.
 */
export async function runRefresh(asked: Run): Promise<ViewOutcome[]> {
  const run = { ...asked, report: harmless(asked.report) };
  const db = new RunSession(run);
  try {
    const known = await surveyViews(run, db);
    // Nothing could be asked of the server, so that no view was even tried.
    if (known instanceof RefreshFailure)
      return run.views.map((view) => reported(run.report, failed(view, known)));
    const outcomes = await new Rounds(run, db, known).refreshAll();
    const mayPrune = db.isOpen && db.historyAccess?.mayDelete === true && db.historyAccess.maySelect;
    if (run.historyRetentionDays !== undefined && mayPrune)
      await pruneHistory(await db.get(), run.report, run.historyRetentionDays);
    return run.views.flatMap((view) => outcomes.get(qualifiedName(view)) ?? []);
  } finally {
    await db.close();
  }
}

/** What is known of a run's views before the first of them is refreshed. */
interface Survey {
  sources: Sources;
  /** Longest of each view's last few refreshes in seconds, by qualified name, as far as history tells. */
  longest: Map<string, number>;
}

const LARGEST_SURVEY_SHARE = 0.5;

/** Connects for the first time. Whatever keeps it from that, or from asking, is the failure of every view. */
async function surveyViews(run: Run, db: RunSession): Promise<Survey | RefreshFailure> {
  const survey = async (): Promise<Survey> => {
    try {
      const session = await db.get();
      // With one view there is nothing to put in order, and nothing to divide.
      if (run.views.length < 2) return { sources: new Map(), longest: new Map() };
      const ask = async (query: string): Promise<object[]> =>
        (await session.resultWithin(run.budget.workLeftMs() * LARGEST_SURVEY_SHARE, query)).rows as object[];
      const { dependencies, mayReadHistory } = await readDependencies(ask, run.views);
      return {
        sources: sourcesByReader(dependencies),
        longest: mayReadHistory ? await longestKnown(run, session) : new Map<string, number>(),
      };
    } catch (error) {
      const { code } = error as { code?: string };
      throw db.isOpen && (code === "55P03" || code === "57014")
        ? unsurveyed(code)
        : classify(error, db.failureContext);
    }
  };
  return db
    .retrying(survey, () => run.budget.workLeftMs())
    .catch((error: unknown) => classify(error, db.failureContext));
}

/** The catalogs are locked or very slow, which is the fault of no view. */
function unsurveyed(code: string): RefreshFailure {
  return new RefreshFailure({
    kind: "transient",
    code,
    problem: "the catalogs did not tell in time which view reads which",
    remedy:
      "SELECT pid, relation::regclass FROM pg_locks WHERE mode = 'AccessExclusiveLock';  " +
      "-- end what holds a lock on pg_depend, pg_rewrite or pg_class, or wait",
  });
}

async function longestKnown(run: Run, session: Session): Promise<Map<string, number>> {
  try {
    return await readLongest(session, run.views);
  } catch (error) {
    if (session.lost) throw error;
    const { code } = error as { code?: string };
    run.report.note(`history: durations could not be read, so that the views get equal time (${code})`);
    return new Map();
  }
}

/** A view may need half again as long as it did, and a little for what is around its statement. */
const NEED_FACTOR = 1.5;
const NEED_BESIDES_MS = 250;
/** Share of the time it had that a view which used it up must get before it is tried once more. */
const WORTH_ANOTHER_GO = 1.2;

/** The views one after the other, and those that were put off once more after them. */
class Rounds {
  private readonly outcomes = new Map<string, ViewOutcome>();
  /** By qualified name; undefined for a view whose source was put off. */
  private readonly putOff = new Map<string, PutOffView | undefined>();
  private readonly equalShareMs: number;

  constructor(
    private readonly run: Run,
    private readonly db: RunSession,
    private readonly known: Survey,
  ) {
    this.equalShareMs = run.budget.workLeftMs() / run.views.length;
  }

  /** Outcomes by qualified name. */
  async refreshAll(): Promise<Map<string, ViewOutcome>> {
    let waiting = orderViews(this.run.views, this.known.sources);
    for (const isLast of [false, true]) {
      const again: ViewSettings[] = [];
      for (const [index, view] of waiting.entries()) {
        const outcome = await this.takeTurn(view, waiting.slice(index + 1), isLast);
        if (outcome === "put off") again.push(view);
        else this.outcomes.set(qualifiedName(view), reported(this.run.report, outcome));
      }
      waiting = again;
    }
    return this.outcomes;
  }

  private async takeTurn(
    view: ViewSettings,
    others: ViewSettings[],
    isLast: boolean,
  ): Promise<ViewOutcome | "put off"> {
    const { run, db, outcomes, putOff } = this;
    const name = qualifiedName(view);
    const sources = this.sourcesOf(view);
    const isEarly = (source: ViewSettings): boolean =>
      sources.has(qualifiedName(source)) && putOff.has(qualifiedName(source));
    const early = isLast ? undefined : run.views.find(isEarly);
    if (early !== undefined)
      return this.putOffView(view, undefined, `${displayName(early)}, which it reads, is put off`);

    const came = [...sources].flatMap((source) => outcomes.get(source) ?? []);
    // What failed says more than what was skipped because of it, however many views are between them.
    const stale =
      came.find(({ outcome }) => outcome === "failed") ?? came.find(({ outcome }) => outcome === "skipped");
    if (stale !== undefined) {
      const what = stale.outcome === "failed" ? "was not refreshed" : "was skipped";
      const reason = `${displayName(stale.view)}, which it reads, ${what}`;
      return recorded(db, run, { view, outcome: "skipped", reason, stalenessSeconds: undefined });
    }

    // What reads this view has no use for time of its own where this one fails: it is skipped then.
    const isUnrelated = (other: ViewSettings): boolean => !this.sourcesOf(other).has(name);
    const unrelated = others.filter(isUnrelated);
    const otherNeedsMs = unrelated.map((other) => this.needMs(other));
    const shareNowMs = (): number => shareMs(run.budget.workLeftMs(), this.needMs(view), otherNeedsMs);
    const before = putOff.get(name);
    // About the same time again would end the same way.
    if (before?.usedUpMs !== undefined && shareNowMs() < before.usedUpMs * WORTH_ANOTHER_GO)
      return recorded(db, run, failed(view, before.failure), undefined, before.durationSeconds);

    const outcome = await refreshView(db, {
      ...{ view, waitForLock: run.waitForLock, forceFull: run.forceFull ?? false },
      ...{ runId: run.runId, report: run.report, budget: run.budget },
      asOf: this.asOfTimes(),
      otherViews: run.views.length - 1,
      takeShare: () => run.budget.share(shareNowMs()),
      mayPutOff: !isLast && unrelated.length > 0,
    });
    return outcome.outcome === "put off" ? this.putOffView(view, outcome, outcome.failure.problem) : outcome;
  }

  private putOffView(view: ViewSettings, why: PutOffView | undefined, reason: string): "put off" {
    this.putOff.set(qualifiedName(view), why);
    this.run.report.puttingOff(view, reason);
    return "put off";
  }

  /** Qualified names of the run's views that a view reads. */
  private sourcesOf(view: ViewSettings): ReadonlySet<string> {
    return this.known.sources.get(qualifiedName(view)) ?? new Set();
  }

  private needMs(view: ViewSettings): number {
    const seconds = this.known.longest.get(qualifiedName(view));
    return seconds === undefined ? this.equalShareMs : seconds * 1_000 * NEED_FACTOR + NEED_BESIDES_MS;
  }

  private asOfTimes(): Map<string, string> {
    const known = [...this.outcomes].flatMap(([name, outcome]) =>
      outcome.outcome === "refreshed" && outcome.asOf !== undefined ? [[name, outcome.asOf] as const] : [],
    );
    return new Map(known);
  }
}

function reported(report: Report, outcome: ViewOutcome): ViewOutcome {
  report.finished(outcome);
  return outcome;
}
