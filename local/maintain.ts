/** Makes the scanner's view incremental before a run, and says what earlier runs have left of that. */
import { isAbsolute, relative } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { ClientConfig } from "pg";
import { Budget } from "../handler/budget";
import { Session } from "../handler/connect";
import { qualifiedName, shellName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { apply } from "../incremental/apply";
import { IncrementalFailure } from "../incremental/failure";
import { judge } from "../incremental/install/hindrances";
import { generatedBy } from "../incremental/install/objects";
import { isPublished, readState, type ViewState } from "../incremental/install/state";
import type { Compilation, Finding, Maintenance } from "../incremental/maintenance";
import type { LambdaFunction } from "./lambda/lambdaFunction";
import type { RunDatabase } from "./postgres/database";
import { medianOf, tickOf } from "./tally";
import { done, type Terminal } from "./terminal";

/** Reads a view and compiles it. Passed in, since it brings PostgreSQL's parser, which few runs need. */
export type CompileView = (session: Session, view: QualifiedName) => Promise<Compilation>;

/** The one view that a local run makes incremental. */
export const INCREMENTAL_VIEW: QualifiedName = { schema: "public", name: "job_progress" };

/** Full refreshes of the materialized view, by the function itself and before the load begins. */
export interface FullRefresh {
  medianSeconds: number;
  times: number;
  /** `concurrent` or `regular`. */
  kind: string;
}

/** What making a view incremental needs to know of the run. */
export interface Maintaining {
  database: RunDatabase;
  fn: LambdaFunction;
  compile: CompileView;
  terminal: Terminal;
  stop: AbortSignal;
}

const LONGEST_APPLY_MS = 24 * 60 * 60 * 1_000;
const PATIENCE = { lockTimeoutMs: 2_000, totalMs: 600_000 };
const FULL_REFRESHES = 3;
/** No further full refresh once they have taken so long together. */
const LONGEST_COMPARISON_SECONDS = 5;
/** A step that takes longer is announced before it has ended. */
const SAID_AFTER_MS = 2_000;

/**
 * Makes the scanner's view incremental, going on where an earlier run was stopped; leaves it where it is.
 * @returns what a full refresh took before; undefined where the view was incremental already
 * @throws IncrementalFailure where it cannot be, with nothing changed; whatever comes of it when `stop` is given
 */
export async function makeIncremental(work: Maintaining): Promise<FullRefresh | undefined> {
  const { database, compile, terminal, stop } = work;
  const view = INCREMENTAL_VIEW;
  const session = await Session.open(database.connection, new Budget(LONGEST_APPLY_MS));
  const close = (): void => void session.close();
  stop.addEventListener("abort", close, { once: true });
  try {
    const { findings, maintenance } = await compile(session, view);
    if (maintenance === undefined) throw refusal(view, findings);
    // A function that is deployed on another's server has to be noticed before a run of ours is the last in history.
    if (database.server === undefined) await refuseHindrances(session, view);
    if (isUpToDate(await readState(session, view), maintenance)) {
      sayMaintained(database, view, terminal);
      return undefined;
    }
    const fullRefresh = isPublished(await readState(session, view)) ? undefined : await measure(work);
    stop.throwIfAborted();
    await install(session, maintenance, findings, terminal);
    sayWayBack(database, view, terminal);
    return fullRefresh;
  } catch (error) {
    if (stop.aborted) await sayMaintenance(database, [view], terminal).catch(() => undefined);
    throw error;
  } finally {
    stop.removeEventListener("abort", close);
    await session.close();
  }
}

/** Says of each view that is incremental, or on its way, that an earlier run or a command has made it so. */
export async function sayMaintenance(
  database: RunDatabase,
  views: QualifiedName[],
  terminal: Terminal,
): Promise<void> {
  for (const state of await readStates(database.connection, views)) {
    const { view, relation, objects } = state;
    if (isPublished(state)) sayMaintained(database, view, terminal);
    else if (relation?.kind === "m" && objects.length > 0) {
      warn(terminal, `${qualifiedName(view)} is half way to being incremental: its changes are logged for`);
      terminal.line("    nothing until npm start -- --incremental goes on with it");
      sayWayBack(database, view, terminal);
    }
  }
}

async function readStates(connection: ClientConfig, views: QualifiedName[]): Promise<ViewState[]> {
  const session = await Session.open(connection, new Budget(30_000));
  try {
    const states: ViewState[] = [];
    for (const view of views) states.push(await readState(session, view));
    return states;
  } catch (error) {
    // Who may not read how far a view has come is told by its first fold what he lacks.
    if ((error as { code?: string }).code !== "42501") throw error;
    return [];
  } finally {
    await session.close();
  }
}

function sayMaintained(database: RunDatabase, view: QualifiedName, terminal: Terminal): void {
  done(terminal, `${qualifiedName(view)} is incremental since an earlier run: ticks fold what has changed`);
  sayWayBack(database, view, terminal);
}

function sayWayBack(database: RunDatabase, view: QualifiedName, terminal: Terminal): void {
  const when = database.server === undefined ? "" : " (while this runs, in another terminal)";
  terminal.line(`    It stays so. To have the materialized view back${when}:`);
  terminal.line(`    ${revertCommand(database, view)}`);
}

/** The password of the server that a run has started stands in a file, and nowhere else. */
function revertCommand({ server, connection }: RunDatabase, view: QualifiedName): string {
  const command = `npm run incremental -- revert --view ${shellName(view)}`;
  if (server === undefined) return command;
  const { host, port, user, passwordFile } = server;
  const near = relative(process.cwd(), passwordFile);
  const file = near.startsWith("..") || isAbsolute(near) ? passwordFile : near;
  return [
    `PGHOST=${host} PGPORT=${port} PGUSER=${user} PGDATABASE=${connection.database}`,
    `PGPASSWORD="$(cat '${file.replaceAll("'", `'\\''`)}')" ${command}`,
  ].join(" ");
}

function isUpToDate(state: ViewState, maintenance: Maintenance): boolean {
  const { status } = state;
  if (status?.phase !== "maintained" || !isPublished(state)) return false;
  return isDeepStrictEqual(status.original.generated, generatedBy(maintenance));
}

function refusal(view: QualifiedName, findings: Finding[]): IncrementalFailure {
  const faults = findings.filter(({ possible }) => possible === "no");
  const lines = faults.map(({ place, reason, remedy }) => {
    const help = remedy === undefined ? "" : `\n    To fix it: ${remedy}`;
    return `\n  ${oneLine(place)}: ${oneLine(reason)}${help}`;
  });
  return new IncrementalFailure(`${qualifiedName(view)} cannot be made incremental${lines.join("")}`);
}

async function refuseHindrances(session: Session, view: QualifiedName): Promise<void> {
  const { findings } = await judge(session, view);
  if (findings.some(({ possible }) => possible === "no")) throw refusal(view, findings);
}

/** By hand, so that it waits for a refresh that is running; undefined where it fails, which says why. */
async function measure({ fn, terminal, stop }: Maintaining): Promise<FullRefresh | undefined> {
  const event = { source: "manual-npm-start", view: qualifiedName(INCREMENTAL_VIEW) };
  // A stop ends the run under way.
  const end = (): void => void fn.stop();
  stop.addEventListener("abort", end, { once: true });
  try {
    const seconds: number[] = [];
    let kind = "";
    while (seconds.length < FULL_REFRESHES && sum(seconds) < LONGEST_COMPARISON_SECONDS) {
      const invocation = await fn.invoke(event);
      const [refresh] = tickOf(invocation, false).refreshes;
      if (refresh === undefined) {
        const reason = invocation.error?.errorMessage ?? invocation.outcome;
        if (!stop.aborted) warn(terminal, `No full refresh to compare with: ${reason}`);
        return undefined;
      }
      seconds.push(refresh.duration_seconds);
      kind = refresh.refresh_type;
    }
    const measured = { medianSeconds: medianOf(seconds), times: seconds.length, kind };
    done(terminal, `A full refresh, to compare with: ${describeFullRefresh(measured)}`);
    return measured;
  } finally {
    stop.removeEventListener("abort", end);
  }
}

/** `0.034 s (concurrent, median of 3, no load)`. */
export function describeFullRefresh({ medianSeconds, kind, times }: FullRefresh): string {
  return `${medianSeconds.toFixed(3)} s (${kind}, ${times === 1 ? "once" : `median of ${times}`}, no load)`;
}

async function install(
  session: Session,
  maintenance: Maintenance,
  findings: Finding[],
  terminal: Terminal,
): Promise<void> {
  const view = qualifiedName(maintenance.view);
  terminal.line(`  Making ${view} incremental, so that a refresh costs what has changed. Its query has`);
  for (const { capability, possible, place, reason } of findings) {
    // What follows from the key would only be repeated.
    if (capability === "restricted scan" && possible === "yes") continue;
    const limit = possible === "note" ? "a limit, " : "";
    terminal.line(`    ${limit}${capability}: ${oneLine(place)}, ${oneLine(reason)}`);
  }
  const startedMs = performance.now();
  const steps = new Steps(terminal);
  try {
    await apply(session, maintenance, { ...PATIENCE, report: (line) => steps.report(line) });
    steps.end();
  } finally {
    steps.cancel();
  }
  done(terminal, `${view} is incremental now (${secondsSince(startedMs)})`);
}

/** Prints each step when it has ended, with its time; a long one already while it runs. */
class Steps {
  private step: { title: string; startedMs: number; timer: NodeJS.Timeout } | undefined;

  constructor(private readonly terminal: Terminal) {}

  /** A step begins, which ends the one before it; with two blanks in front, a remark on the one that runs. */
  report(line: string): void {
    if (line.startsWith("  ")) return this.terminal.line(`    ${line}`);
    this.end();
    const timer = setTimeout(() => this.terminal.line(`    ${line}…`), SAID_AFTER_MS);
    this.step = { title: line, startedMs: performance.now(), timer };
  }

  end(): void {
    if (this.step !== undefined) {
      this.terminal.line(`    ${this.step.title}: ${secondsSince(this.step.startedMs)}`);
    }
    this.cancel();
  }

  /** It has failed, and somebody else says so. */
  cancel(): void {
    clearTimeout(this.step?.timer);
    this.step = undefined;
  }
}

const secondsSince = (startedMs: number): string =>
  `${((performance.now() - startedMs) / 1_000).toFixed(2)} s`;
const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();
const warn = (terminal: Terminal, text: string): void =>
  terminal.line(`  ${terminal.colors.yellow("!")} ${text}`);
