/**
 * Whether `matview_refresh_history` says what happened: no row claims what did not, and none is missing for a run that
 * could write it. Runs are taken at their word and their log, rows as they stand.
 */
import type { ClientConfig } from "pg";
import { qualifiedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import type { Run } from "../bed/bed";
import { describe, HistoryReader, type HistoryRow } from "./historyRows";
import { isBroken, isSqlstate, readAnswer, readRunLog, type ViewAnswer, type ViewStory } from "./runLog";

/** What is known of a tick from elsewhere. */
interface HistoryCircumstances {
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
  run: Run;
  stories: Map<string, ViewStory>;
  answers: Map<string, ViewAnswer>;
  rows: HistoryRow[];
}

export class HistoryJudge {
  /** The rows that the last check saw for the first time, in the order of their ids. */
  newRows: HistoryRow[] = [];
  private readonly names: string[];
  private readonly runs = new Map<string, KnownRun>();
  private readonly reader: HistoryReader;
  /** The newest data that each relation has shown, by oid. */
  private readonly newest = new Map<number, HistoryRow>();
  /** Row of each time of data, by {@link timeOf}. */
  private readonly rowOf = new Map<string, number>();
  /** Rows whose run has not ended as yet. */
  private ofPaused: HistoryRow[] = [];

  /**
   * @param connection of a superuser, to the server that takes writes now.
   * @param sources views that a view reads, by `schema.name`: a refresh may claim their time.
   */
  constructor(
    connection: () => ClientConfig,
    views: QualifiedName[],
    private readonly sources: Record<string, string[]> = {},
  ) {
    this.reader = new HistoryReader(connection);
    this.names = views.map(qualifiedName);
  }

  /** Rows that were judged so far. */
  get count(): number {
    return this.reader.count;
  }

  /** Takes the rows that are there already, of runs that nobody judges. */
  async begin(): Promise<void> {
    const { rows } = await this.reader.read();
    for (const row of rows) this.judgeTimes(row, true);
  }

  /**
   * To be called when no run is under way, with all that have ended since the last call.
   * @returns what is wrong, a sentence each.
   */
  async check(runs: Run[], circumstances: HistoryCircumstances): Promise<string[]> {
    for (const run of runs)
      this.runs.set(run.invocation.requestId, {
        run,
        stories: readRunLog(run, this.names),
        answers: readAnswer(run.invocation.value, this.names),
        rows: [],
      });
    const { rows, gone } = await this.reader.read();
    this.newRows = rows;
    const faults = gone > 0 ? [`${gone} rows of history are gone`] : [];
    const concerned = new Set(runs.map(({ invocation }) => invocation.requestId));
    for (const row of rows) faults.push(...this.judgeTimes(row, circumstances.clockMoved));
    for (const row of [...this.ofPaused.splice(0), ...rows]) {
      const runId = row.runId ?? "";
      if (runId === BY_COMMANDS) continue;
      const known = this.runs.get(runId);
      concerned.add(runId);
      if (known !== undefined) known.rows.push(row);
      else if (circumstances.someArePaused === true) this.ofPaused.push(row);
      else faults.push(`${describe(row)}: its run_id ${row.runId} is that of no run`);
    }
    for (const runId of concerned) {
      const known = this.runs.get(runId);
      if (known !== undefined) faults.push(...judgeRun(runId, known, circumstances));
    }
    return faults;
  }

  /** Each time of data once, within its run, and never back. */
  private judgeTimes(row: HistoryRow, clockMoved: boolean): string[] {
    const { id, oid, view, outcome, asOfUs, startedUs, finishedUs } = row;
    const faults: string[] = [];
    if (!clockMoved && startedUs > finishedUs) faults.push(`${describe(row)}: it ended before it began`);
    if (outcome !== "refreshed" || asOfUs === null) return faults;
    // What reads a view that was not refreshed meanwhile is of the same time again.
    const isOfSource = this.sources[view]?.some((source) => this.rowOf.has(timeOf(source, asOfUs))) ?? false;
    const twin = this.rowOf.get(timeOf(view, asOfUs));
    this.rowOf.set(timeOf(view, asOfUs), id);
    if (twin !== undefined && !isOfSource)
      faults.push(`${describe(row)}: its as_of is that of row ${twin} too`);
    const before = oid === null ? undefined : this.newest.get(oid);
    const isLast = before === undefined || id > before.id;
    if (oid !== null && isLast) this.newest.set(oid, row);
    if (clockMoved) return faults;
    if (!isOfSource && !this.isOfUnrecorded(row) && (asOfUs < startedUs || asOfUs > finishedUs))
      faults.push(`${describe(row)}: its as_of is no time of its run, nor of what the view reads`);
    const backUs = isLast ? (before?.asOfUs ?? 0) - asOfUs : 0;
    if (backUs > 0)
      faults.push(`${describe(row)}: as_of goes ${backUs / 1_000_000} s back behind row ${before?.id}`);
    return faults;
  }

  /** What reads a view that its own run has refreshed, and not recorded, is of a time of that run that no row has. */
  private isOfUnrecorded({ view, runId, asOfUs }: HistoryRow): boolean {
    const known = this.runs.get(runId ?? "");
    const beganUs = (known?.run.invocation.startedEpochMs ?? 0) * 1_000 - SLACK_US;
    const isUnrecorded = (source: string): boolean =>
      known?.stories.get(source)?.saysUnrecorded ?? runId === BY_COMMANDS;
    return (asOfUs ?? 0) > beganUs && (this.sources[view] ?? []).some(isUnrecorded);
  }
}

const timeOf = (view: string, asOfUs: number): string => `${view} ${asOfUs}`;

function judgeRun(runId: string, known: KnownRun, circumstances: HistoryCircumstances): string[] {
  const { stories, answers, rows, run } = known;
  const views = new Set([...stories.keys(), ...answers.keys(), ...rows.map(({ view }) => view)]);
  const what = `run ${runId} (${run.kind} of tick ${run.tick})`;
  return [...views].flatMap((view) =>
    judgeView(view, known, circumstances).map((fault) => `${what}: ${fault}`),
  );
}

function judgeView(view: string, known: KnownRun, circumstances: HistoryCircumstances): string[] {
  const story = known.stories.get(view) ?? { openCommits: 0, saysUnrecorded: false };
  const rows = known.rows.filter((row) => row.view === view);
  const refreshed = rows.filter(({ outcome }) => outcome === "refreshed");
  const others = rows.filter(({ outcome }) => outcome !== "refreshed");
  const isTimed = !isBroken(known.run) && !circumstances.clockMoved;
  return [
    ...judgeRefreshed(view, story, known.answers.get(view), refreshed),
    ...judgeUnrefreshed(view, known, { story, others }, circumstances),
    ...(isTimed ? rows.flatMap((row) => judgeWindow(row, known, story)) : []),
  ];
}

function judgeUnrefreshed(
  view: string,
  known: KnownRun,
  { story, others }: { story: ViewStory; others: HistoryRow[] },
  { connectionsWereCut = false }: HistoryCircumstances,
): string[] {
  const { outcome, code } = story;
  const told = outcome === "refreshed" ? undefined : outcome;
  const faults: string[] = [];
  for (const row of others) {
    const mayBe = isBroken(known.run) && outcome === undefined;
    if (row.outcome !== told && !mayBe)
      faults.push(`${describe(row)}, but the run says that ${view} was ${outcome ?? "not ended"}`);
    const sqlstate = code !== undefined && isSqlstate(code) ? code : null;
    if (row.outcome === "failed" && told === "failed" && row.sqlstate !== sqlstate)
      faults.push(`${describe(row)}: its sqlstate is ${row.sqlstate}, the run failed with ${code}`);
  }
  if (others.length > 1) faults.push(`${others.length} rows say that ${view} was not refreshed`);
  const couldRecord = !story.saysUnrecorded && story.wasConnected === true && !wasNoneTried(known);
  if (told !== undefined && others.length === 0 && couldRecord && !connectionsWereCut)
    faults.push(
      `${view} ${told} (${code ?? "no code"}), which history does not have and the log does not say`,
    );
  return faults;
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
function wasNoneTried({ stories, run }: KnownRun): boolean {
  const all = [...stories.values()];
  const [first] = all;
  return (
    !isBroken(run) &&
    all.length > 1 &&
    all.every(
      ({ outcome, code, problem }) =>
        outcome === "failed" && code === first?.code && problem === first?.problem,
    )
  );
}
