/** A whole run: one session, the views in order of dependency. */
import type { Connector } from "./connect";
import type { Deadline } from "./deadline";
import { classify, RefreshFailure } from "./failure";
import { displayName, qualifiedName } from "./names";
import { orderViews, readDependencies, sourcesOf, type Dependency } from "./order";
import type { Attempt, SkippedView, ViewOutcome } from "./refresh";
import type { Report } from "./report";
import { retrying } from "./retry";
import { SessionKeeper } from "./sessionKeeper";
import type { ViewSettings } from "./settings";
import { prune, record } from "./tracking";
import { context, failed, tryView } from "./tryView";

/** Everything a run needs to know. */
export interface Run {
  /** The views to refresh now. */
  views: ViewSettings[];
  connector: Connector;
  /** Wait for a view that is being refreshed by another run (by hand), or skip it (on schedule). */
  waitForLock: boolean;
  deadline: Deadline;
  /**
   * Gives up after this time where no server has answered that takes writes: somebody waits for this run, and most
   * likely the address is wrong. Undefined tries until the deadline, as a scheduled run should.
   */
  firstAnswerWithinMs?: number;
  /** Rows of history older than this are deleted; undefined leaves them to the schedule. */
  historyRetentionDays?: number;
  /** Written to history: the Lambda request, or a name for a run by hand. */
  runId: string;
  report: Report;
}

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

/** Connects for the first time. Whatever keeps it from that, or from asking, is the failure of every view. */
async function surveyDependencies(run: Run, sessions: SessionKeeper): Promise<Dependency[] | RefreshFailure> {
  const survey = async (): Promise<Dependency[]> => {
    try {
      return await readDependencies(await sessions.get(), run.views);
    } catch (error) {
      throw classify(error, context(run, sessions));
    }
  };
  try {
    return await retrying(run, sessions, survey);
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
    refreshed: asOfTimes(outcomes),
  };
  return tryView(run, sessions, attempt);
}

function asOfTimes(outcomes: Map<string, ViewOutcome>): Map<string, string> {
  const known = [...outcomes].flatMap(([name, outcome]) =>
    outcome.outcome === "refreshed" && outcome.asOf !== undefined ? [[name, outcome.asOf] as const] : [],
  );
  return new Map(known);
}

function skip(view: ViewSettings, reason: string): SkippedView {
  return { view, outcome: "skipped", reason, stalenessSeconds: undefined };
}
