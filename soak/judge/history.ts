/**
 * Whether `matview_refresh_history` says what happened: no row claims what did not, and none is missing for a run that
 * could write it. Runs are taken at their word and their log, rows as they stand.
 */
import type { ClientConfig } from "pg";
import type { QualifiedName } from "../../handler/settings";
import type { Run } from "../bed/bed";
import { readAnswer, type ViewAnswer } from "./answer";
import { describe, HistoryReader, type HistoryRow } from "./historyRows";
import { readRunLog, type ViewStory } from "./runLog";
import { qualifiedName } from "../../handler/names";

/** What is known of a tick from elsewhere. */
export interface HistoryCircumstances {
  /** The server's clock was not this machine's in this tick, or was moved in it, there or back. */
  clockMoved: boolean;
  /** Runs are under way in processes that are paused: their rows may be there before they are. */
  someArePaused?: boolean;
  /** Connections were ended on purpose: one that is ended just after a failure keeps it from being recorded. */
  connectionsWereCut?: boolean;
}

/** Written by commands, which are no runs of the function. */
const BY_COMMANDS = "manual";

/** Clocks of two processes of one machine agree, but a row's time and a run's are not taken at once. */
const SLACK_US = 1_000_000;

/** What a run said, kept as long as the soak: a row of a run that was killed may be seen much later. */
interface KnownRun {
  run: Pick<Run, "tick" | "kind" | "endedEpochMs"> & {
    invocation: Pick<Run["invocation"], "startedEpochMs">;
  };
  isBroken: boolean;
  stories: Map<string, ViewStory>;
  answers: Map<string, ViewAnswer>;
  rows: HistoryRow[];
}

export class HistoryJudge {
  /** The rows that the last check saw for the first time, in the order of their ids. */
  newRows: HistoryRow[] = [];
  readonly counts = {
    rows: 0,
    /** Of runs that were killed, crashed or timed out before they could tell. */
    ofBrokenRuns: 0,
    /** Runs of a view that were refreshed several times, since they could not know of the first. */
    refreshedAgain: 0,
    /** Outcomes whose run said that it could not record them, or had no connection to. */
    unrecorded: 0,
  };
  private readonly names: string[];
  private readonly runs = new Map<string, KnownRun>();
  private readonly reader: HistoryReader;
  /** The newest data that each relation has shown, by oid. */
  private readonly newest = new Map<number, HistoryRow>();
  /** Rows whose run has not ended as yet. */
  private ofPaused: HistoryRow[] = [];
  private hasBegun = false;

  /** @param connection of a superuser, to the server that takes writes now. */
  constructor(connection: () => ClientConfig, views: QualifiedName[]) {
    this.reader = new HistoryReader(connection);
    this.names = views.map(qualifiedName);
  }

  /** Takes the rows that are there already, of runs that nobody judges. */
  async begin(): Promise<void> {
    await this.read();
    this.hasBegun = true;
  }

  /**
   * To be called when no run is under way, with all that have ended since the last call.
   * @returns what is wrong, a sentence each.
   */
  async check(runs: Run[], circumstances: HistoryCircumstances): Promise<string[]> {
    if (!this.hasBegun) throw new Error("begin() first");
    for (const run of runs) this.runs.set(run.invocation.requestId, this.known(run));
    const faults = await this.read();
    const concerned = new Set(runs.map(({ invocation }) => invocation.requestId));
    for (const row of this.newRows) faults.push(...this.judgeTimes(row, circumstances.clockMoved));
    for (const row of [...this.ofPaused.splice(0), ...this.newRows]) {
      if (row.runId === BY_COMMANDS) continue;
      const known = this.runs.get(row.runId ?? "");
      if (known === undefined && circumstances.someArePaused === true) {
        this.ofPaused.push(row);
        continue;
      }
      if (known === undefined) {
        faults.push(`${describe(row)}: its run_id ${row.runId} is that of no run`);
        continue;
      }
      known.rows.push(row);
      if (known.isBroken) this.counts.ofBrokenRuns += 1;
      concerned.add(row.runId ?? "");
    }
    for (const runId of concerned) {
      const known = this.runs.get(runId);
      if (known !== undefined) faults.push(...this.judgeRun(runId, known, circumstances));
    }
    return faults;
  }

  private known(run: Run): KnownRun {
    const { outcome } = run.invocation;
    const isBroken = outcome === "timedOut" || outcome === "crashed";
    return {
      run,
      isBroken,
      stories: readRunLog(run.lines, this.names, isBroken),
      answers: readAnswer(run.invocation.value, this.names),
      rows: [],
    };
  }

  private async read(): Promise<string[]> {
    const { rows, gone } = await this.reader.read();
    this.newRows = rows;
    this.counts.rows = this.reader.count;
    return gone > 0 ? [`${gone} rows of history are gone`] : [];
  }

  private judgeTimes(row: HistoryRow, clockMoved: boolean): string[] {
    const before = row.oid === null ? undefined : this.newest.get(row.oid);
    const isLast = row.outcome === "refreshed" && (before === undefined || row.id > before.id);
    if (row.oid !== null && isLast) this.newest.set(row.oid, row);
    const faults: string[] = [];
    if (clockMoved) return faults;
    if (row.startedUs > row.finishedUs) faults.push(`${describe(row)}: it ended before it began`);
    if (row.asOfUs !== null && row.asOfUs > row.finishedUs)
      faults.push(`${describe(row)}: its data is of a time after its end`);
    const backUs = isLast ? (before?.asOfUs ?? 0) - (row.asOfUs ?? Infinity) : 0;
    if (backUs > 0)
      faults.push(`${describe(row)}: as_of goes ${backUs / 1_000_000} s back behind row ${before?.id}`);
    return faults;
  }

  private judgeRun(runId: string, known: KnownRun, circumstances: HistoryCircumstances): string[] {
    const views = new Set([
      ...known.stories.keys(),
      ...known.answers.keys(),
      ...known.rows.map(({ view }) => view),
    ]);
    const what = `run ${runId} (${known.run.kind} of tick ${known.run.tick})`;
    return [...views].flatMap((view) =>
      this.judgeView(view, known, circumstances).map((fault) => `${what}: ${fault}`),
    );
  }

  private judgeView(view: string, known: KnownRun, circumstances: HistoryCircumstances): string[] {
    const story = known.stories.get(view) ?? { openCommits: 0, saysUnrecorded: false };
    const answer = known.answers.get(view);
    const rows = known.rows.filter((row) => row.view === view);
    const refreshed = rows.filter(({ outcome }) => outcome === "refreshed");
    const others = rows.filter(({ outcome }) => outcome !== "refreshed");
    const faults = judgeRefreshed(view, story, answer, refreshed);
    if (refreshed.length > 1) this.counts.refreshedAgain += 1;
    faults.push(...this.judgeUnrefreshed(view, known, { story, others }, circumstances));
    if (!known.isBroken && !circumstances.clockMoved)
      faults.push(...rows.flatMap((row) => judgeWindow(row, known, story)));
    return faults;
  }

  private judgeUnrefreshed(
    view: string,
    known: KnownRun,
    { story, others }: { story: ViewStory; others: HistoryRow[] },
    { connectionsWereCut = false }: HistoryCircumstances,
  ): string[] {
    const { outcome, code } = story;
    const told = outcome === "skipped" || outcome === "failed" ? outcome : undefined;
    const faults: string[] = [];
    for (const row of others) {
      const mayBe = known.isBroken && outcome === undefined;
      if (row.outcome !== told && !mayBe)
        faults.push(`${describe(row)}, but the run says that ${view} was ${outcome ?? "not ended"}`);
      const sqlstate = code !== undefined && /^(?=.*\d)[0-9A-Z]{5}$/.test(code) ? code : null;
      if (row.outcome === "failed" && told === "failed" && row.sqlstate !== sqlstate)
        faults.push(`${describe(row)}: its sqlstate is ${row.sqlstate}, the run failed with ${code}`);
    }
    if (others.length > 1) faults.push(`${others.length} rows say that ${view} was not refreshed`);
    if (told === undefined || others.length > 0) return faults;
    if (story.saysUnrecorded || story.wasConnected !== true || wasNoneTried(known)) {
      this.counts.unrecorded += 1;
      return faults;
    }
    if (connectionsWereCut) this.counts.unrecorded += 1;
    else
      faults.push(
        `${view} ${told} (${code ?? "no code"}), which history does not have and the log does not say`,
      );
    return faults;
  }
}

/**
 * One row for a refresh that the run tells of, and one at the most for each of its connections that was lost, or was
 * cut by the run's own end, when the refresh had begun: only then could it not know that it had been committed.
 */
function judgeRefreshed(
  view: string,
  { outcome, openCommits, saysUnrecorded }: ViewStory,
  answer: ViewAnswer | undefined,
  rows: HistoryRow[],
): string[] {
  const claimsIt = outcome === "refreshed" || (answer !== undefined && answer.refresh_type !== "skipped");
  const most = (claimsIt ? 1 : 0) + openCommits;
  const faults: string[] = [];
  if (claimsIt && rows.length === 0 && !saysUnrecorded)
    faults.push(`says that ${view} was refreshed, which history does not have`);
  if (rows.length > most) {
    const ids = rows.map(({ id }) => id).join(", ");
    const said = outcome ?? "nothing";
    faults.push(
      `history says ${rows.length} times that ${view} was refreshed (rows ${ids}), the run says ${said} and lost ` +
        `its connection ${openCommits} times in a refresh of it`,
    );
  }
  const last = rows.at(-1);
  if (last === undefined || answer === undefined || !claimsIt || saysUnrecorded) return faults;
  if (last.refreshType !== null && last.refreshType !== answer.refresh_type)
    faults.push(`${describe(last)}: it was ${last.refreshType}, the run answers ${answer.refresh_type}`);
  if (answer.drift !== undefined && last.drift !== answer.drift)
    faults.push(`${describe(last)}: drift ${last.drift}, the run answers ${answer.drift}`);
  return faults;
}

/** A run that told of its end has written its rows while it lasted, unless it lost sight of one. */
function judgeWindow(row: HistoryRow, { run }: KnownRun, { openCommits }: ViewStory): string[] {
  if (openCommits > 0) return [];
  const isEarly = row.startedUs < run.invocation.startedEpochMs * 1_000 - SLACK_US;
  const isLate = row.finishedUs > run.endedEpochMs * 1_000 + SLACK_US;
  return isEarly || isLate ? [`${describe(row)}: it is not of the time in which its run lasted`] : [];
}

/** All views failed for one reason and none was tried: the run learned nothing of the server, not even their order. */
function wasNoneTried({ stories, isBroken }: KnownRun): boolean {
  const all = [...stories.values()];
  const [first] = all;
  return (
    !isBroken &&
    all.length > 1 &&
    all.every(
      ({ outcome, code, problem }) =>
        outcome === "failed" && code === first?.code && problem === first?.problem,
    )
  );
}
