/** `incremental`: makes a materialized view cost what changed, looks at it, and takes it back. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { confirm } from "@inquirer/prompts";
import { Command, InvalidArgumentError, Option } from "commander";
import { Budget } from "../handler/budget";
import type { Session } from "../handler/connect";
import { qualifiedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { apply } from "../incremental/apply";
import { IncrementalFailure } from "../incremental/failure";
import { applyFiles, revertFiles, type SqlFile } from "../incremental/files";
import { consequences } from "../incremental/install/consequences";
import { assertThere, judge } from "../incremental/install/hindrances";
import { maintainedState } from "../incremental/install/maintainedState";
import type { Patience } from "../incremental/install/runner";
import { isPublished, isQueryGone, QUERY_GONE, readState } from "../incremental/install/state";
import { readTriggerRights, triggerNotes } from "../incremental/install/triggers";
import { listViews, setPaused } from "../incremental/list";
import type { Maintenance } from "../incremental/maintenance";
import { endOfRevert, revert } from "../incremental/revert";
import { verify } from "../incremental/verify";
import { compileQuery, compileView } from "./compiler";
import { ConnectionFaults, connectionFromEnvironment, openSession } from "./connection";
import {
  filesText,
  listText,
  planText,
  revertedText,
  verificationText,
  type Planned,
  type Terminal,
} from "./incrementalText";
import { parseDecimal } from "./decimal";
import { progressOn } from "./progress";
import { wrapped } from "./table";
import { parseViewName } from "./viewName";

/** Exit codes of the commands. */
export const EXIT = { done: 0, failed: 1, badUsage: 2 } as const;

interface Options {
  view?: QualifiedName;
  yes?: true;
  json?: true;
  query?: string;
  sql?: string;
  rows?: number;
  timeout?: number;
  lockTimeout?: number;
}

const DEFAULTS = { rows: 10, timeoutSeconds: 600, lockTimeoutSeconds: 2 };

/** Somebody asked for what cannot be, or nobody was there to ask. */
class BadUsage extends Error {}

const LONGEST_COMMAND_MS = 24 * 60 * 60 * 1_000;

/** The `incremental` subcommand with its own: each exits with 0 when all is well, 1 when not, 2 for bad usage. */
export function incrementalCommand(): Command {
  const command = new Command("incremental")
    .description("make a materialized view fold what changed instead of reading everything again")
    .addHelpText("after", help)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.done : EXIT.badUsage));
  const add = (name: string, description: string, run: (work: Work) => Promise<number>): Command =>
    command
      .command(name)
      .description(description)
      .option("--json", "print the result as JSON on stdout, and what is done on stderr")
      .addHelpText("after", environmentHelp)
      .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.done : EXIT.badUsage))
      .action(async (options: Options) => {
        process.exitCode = await runWith(options, run);
      });
  const view = (): Option =>
    new Option("--view <name>", "the view, qualified unless it is in public").argParser(parseViewName);
  const needed = (): Option => view().makeOptionMandatory();
  const patient = (to: Command): Command =>
    to
      .option(
        "--timeout <seconds>",
        "give up on each step after this time of waiting for others",
        parseSeconds,
        DEFAULTS.timeoutSeconds,
      )
      .option(
        "--lock-timeout <seconds>",
        "how long writers may be kept behind one try to lock",
        parseSeconds,
        DEFAULTS.lockTimeoutSeconds,
      );

  add(
    "plan",
    "say what would be done, what writers pay, and what cannot be done and why; change nothing",
    plan,
  )
    .addOption(view())
    .option("--query <file>", "judge the query of that file instead, before it is a view")
    .option("--sql <folder>", "write the whole migration as files, one for each role that has to run it");
  patient(add("apply", "make the view incremental, going on where it was broken off", applyIt))
    .addOption(needed())
    .option("--yes", "do not ask");
  add("verify", "fold, then compare the view with its own query in one snapshot", verifyIt)
    .addOption(needed())
    .option("--rows <n>", "show so many rows that differ", parseCount, DEFAULTS.rows)
    .option("--lock-timeout <seconds>", "give up on a lock after this time", parseSeconds, 30);
  patient(add("revert", "bring the materialized view back as it was, from any state", revertIt))
    .addOption(needed())
    .option("--yes", "do not ask")
    .option("--sql <folder>", "write it as files instead, one for each role that has to run it");
  patient(
    add("pause", "let no refresh fold the view; changes are logged all the same", (work) =>
      pauseIt(work, true),
    ),
  ).addOption(needed());
  patient(add("resume", "fold again", (work) => pauseIt(work, false))).addOption(needed());
  add("list", "show what is maintained, what is pending, and the last full run and why", list);
  return command;
}

const help = `
The view keeps its name, columns, indexes, readers and comment, and becomes a table that a stored function alone
writes. Whoever reads or refreshes it notices nothing else.

Exit code: plan 0 when the view can be maintained, 1 when not; apply 1, with nothing changed, for what plan refuses;
verify 0 when the view equals its query, 1 when not; revert 0 when all is as it was, 1 when its query or the view itself
was gone, so that it could only take away the rest; 2 for wrong options.

Examples:
  npm run incremental -- plan --view public.job_progress
  npm run incremental -- plan --view public.job_progress --sql migrations/
  npm run incremental -- apply --view public.job_progress --yes
  npm run incremental -- verify --view public.job_progress
  npm run incremental -- revert --view public.job_progress`;

const environmentHelp = `
The database comes from the environment, as for refresh: RDS_PROXY_ENDPOINT with RDS_USERNAME and RDS_PASSWORD, or
DATABASE_URL, or PGHOST and its like. Log in as the view's owner, or as a role that may act as him.`;

/** A command under way. */
interface Work {
  session: Session;
  options: Options;
  patience: Patience;
  /** Where text for people goes: not among JSON. */
  say: (text: string) => void;
  /** What a command that had steps came to. */
  conclude: (line: string) => void;
  terminal: Terminal;
}

async function runWith(options: Options, run: (work: Work) => Promise<number>): Promise<number> {
  const stream = options.json ? process.stderr : process.stdout;
  const progress = progressOn(stream);
  let session: Session | undefined;
  try {
    session = await openSession(connectionFromEnvironment(process.env), new Budget(LONGEST_COMMAND_MS));
    const patience: Patience = {
      lockTimeoutMs: (options.lockTimeout ?? DEFAULTS.lockTimeoutSeconds) * 1_000,
      totalMs: (options.timeout ?? DEFAULTS.timeoutSeconds) * 1_000,
      report: progress.report,
    };
    const say = (text: string): void => void stream.write(text);
    const { conclude } = progress;
    const code = await run({ session, options, patience, say, conclude, terminal: stream });
    progress.done(true);
    return code;
  } catch (error) {
    progress.done(false);
    return reportError(error, options.json === true);
  } finally {
    await session?.close();
  }
}

async function planView(session: Session, view: QualifiedName, ownersMakeTriggers = false): Promise<Planned> {
  const { findings: hindrances, state } = await judge(session, view);
  assertThere(state);
  const owner = state.maintainer;
  if (isQueryGone(state) && isPublished(state)) {
    return { view, findings: hindrances, maintenance: undefined, owner };
  }
  const { findings, maintenance } = await compileView(session, view, ownersMakeTriggers);
  const rights = await readTriggerRights(session, maintenance?.logs ?? [], state);
  const all = [
    ...findings,
    ...hindrances,
    ...triggerNotes(rights, state, ownersMakeTriggers),
    ...(maintenance === undefined ? [] : await consequences(session, state, maintenance.logs)),
  ];
  const isRefused = all.some(({ possible }) => possible === "no");
  return { view, findings: all, maintenance: isRefused ? undefined : maintenance, owner };
}

async function plan({ session, options, patience, say, terminal }: Work): Promise<number> {
  const { view, query, sql } = options;
  if (query === undefined && view === undefined) throw new BadUsage("plan needs --view or --query");
  if (query !== undefined && sql !== undefined)
    throw new BadUsage("--sql needs a view that is there: leave --query out");
  let planned: Planned;
  if (query === undefined) planned = await planView(session, view as QualifiedName, sql !== undefined);
  else {
    const compilation = await compileQuery(session, query, view).catch((error: NodeJS.ErrnoException) => {
      throw error.syscall === "open" ? new BadUsage(error.message) : error;
    });
    planned = {
      view: view ?? compilation.maintenance?.view ?? { schema: "public", name: "query" },
      findings: compilation.findings,
      maintenance: compilation.maintenance,
      owner: undefined,
    };
  }
  const { maintenance } = planned;
  say(planText(planned, terminal));
  const files =
    sql === undefined || maintenance === undefined
      ? []
      : await applyFiles(session, maintenance, patience.lockTimeoutMs);
  if (sql !== undefined && files.length > 0) say(`\n${filesText(sql, await writeFiles(sql, files))}`);
  if (options.json) {
    printJson({
      view: qualifiedName(planned.view),
      maintainable: maintenance !== undefined,
      findings: planned.findings,
      logs: maintenance?.logs.map(({ table, name, form }) => ({ table: qualifiedName(table), name, form })),
      files: sql === undefined ? undefined : files.map(({ name, role }) => ({ name, role })),
    });
  }
  return maintenance === undefined ? EXIT.failed : EXIT.done;
}

async function applyIt(work: Work): Promise<number> {
  const { session, options, patience, say, conclude, terminal } = work;
  const planned = await planView(session, viewOf(options));
  say(`${planText(planned, terminal)}\n`);
  if (planned.maintenance === undefined) {
    if (options.json) printJson({ success: false, findings: planned.findings });
    return EXIT.failed;
  }
  if (!(await mayGoOn(options, "Make it incremental?"))) return EXIT.failed;
  const maintenance: Maintenance = planned.maintenance;
  const applied = await apply(session, maintenance, patience);
  conclude(
    applied === "made"
      ? `${qualifiedName(planned.view)} is maintained incrementally from now on`
      : `${qualifiedName(planned.view)} is maintained by what version ${maintenance.generatorVersion} generates`,
  );
  if (options.json) printJson({ success: true, view: qualifiedName(planned.view), applied });
  return EXIT.done;
}

async function verifyIt({ session, options, patience, say, terminal }: Work): Promise<number> {
  const view = viewOf(options);
  const found = await verify(session, view, {
    mostExamples: options.rows ?? DEFAULTS.rows,
    lockTimeoutMs: patience.lockTimeoutMs,
  });
  const isEqual = found.missing + found.extra + found.different === 0;
  if (options.json) printJson({ view: qualifiedName(view), equal: isEqual, ...found });
  else say(verificationText(view, found, terminal));
  return isEqual ? EXIT.done : EXIT.failed;
}

async function revertIt({ session, options, patience, say, conclude }: Work): Promise<number> {
  const view = viewOf(options);
  const name = qualifiedName(view);
  const state = await readState(session, view);
  if (options.sql !== undefined) {
    const files = await revertFiles(session, view, patience.lockTimeoutMs);
    if (endOfRevert(state) === "kept") say(`What these files come to: ${revertedText(state, "kept")}\n\n`);
    say(filesText(options.sql, await writeFiles(options.sql, files)));
    if (options.json)
      printJson({ view: name, files: files.map(({ name: file, role }) => ({ name: file, role })) });
    return EXIT.done;
  }
  const question = {
    kept: `${name}: ${QUERY_GONE}. Drop what maintains it, and leave its table as an ordinary one?`,
    gone: `${name} is gone. Drop what maintained it?`,
    reverted: `Bring the materialized view ${name} back, and drop what maintains it?`,
    untouched: `${name} is not maintained. Go on?`,
  }[endOfRevert(state)];
  if (!(await mayGoOn(options, question))) return EXIT.failed;
  const reverted = await revert(session, view, patience);
  conclude(revertedText(state, reverted));
  const isAsBefore = reverted === "reverted" || reverted === "untouched";
  if (options.json) printJson({ success: isAsBefore, view: name, reverted });
  return isAsBefore ? EXIT.done : EXIT.failed;
}

async function pauseIt({ session, options, patience, say }: Work, paused: boolean): Promise<number> {
  const view = viewOf(options);
  await setPaused(session, view, paused, patience);
  const { status } = await maintainedState(session, view);
  if (options.json) printJson({ view: qualifiedName(view), paused: status.paused });
  else
    say(
      `${qualifiedName(view)} is ${status.paused ? "paused: its changes are logged and not folded" : "folded again"}\n`,
    );
  return EXIT.done;
}

async function list({ session, options, say, terminal }: Work): Promise<number> {
  const listed = await listViews(session);
  if (options.json) {
    const views = listed.map(({ view, pending, trouble, status: { original: _, ...status } }) => ({
      view: qualifiedName(view),
      pending,
      trouble,
      ...status,
    }));
    printJson({ views });
  } else say(listText(listed, terminal));
  return EXIT.done;
}

function viewOf({ view }: Options): QualifiedName {
  if (view === undefined) throw new BadUsage("--view is missing");
  return view;
}

/** @throws BadUsage where nobody is there to answer. */
async function mayGoOn({ yes }: Options, message: string): Promise<boolean> {
  if (yes) return true;
  if (process.stdin.isTTY !== true) {
    throw new BadUsage("nobody is here to ask. Say --yes to go ahead; nothing was touched.");
  }
  // Ctrl-C at the question is a no.
  return confirm({ message, default: false }).catch(() => false);
}

async function writeFiles(directory: string, files: SqlFile[]): Promise<SqlFile[]> {
  await mkdir(directory, { recursive: true });
  for (const { name, text } of files) await writeFile(path.join(directory, name), text);
  return files;
}

function reportError(error: unknown, json: boolean): number {
  if (!(error instanceof Error)) throw error;
  const { detail, hint } = error as { detail?: string; hint?: string };
  const more = [detail, hint].filter((each) => each !== undefined).map((each) => `\n  ${each}`);
  const [problem, remedy] =
    error instanceof IncrementalFailure ? [error.problem, error.remedy] : [error.message, undefined];
  // What is to be copied stays whole.
  const fix = remedy === undefined ? "" : `\n  To fix it: ${remedy}`;
  const { isTTY, columns } = process.stderr;
  if (json) printJson({ success: false, error: error.message, remedy });
  else {
    const text = wrapped(`error: ${problem}`, isTTY && columns > 0 ? columns : undefined);
    process.stderr.write(`${text}${fix}${more.join("")}\n`);
  }
  return error instanceof ConnectionFaults || error instanceof BadUsage ? EXIT.badUsage : EXIT.failed;
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function parseSeconds(text: string): number {
  const seconds = parseDecimal(text);
  if (!(seconds >= 0.05 && seconds <= 86_400))
    throw new InvalidArgumentError("write seconds from 0.05 to 86400.");
  return seconds;
}

function parseCount(text: string): number {
  const count = parseDecimal(text);
  if (!Number.isInteger(count) || count < 0 || count > 10_000) {
    throw new InvalidArgumentError("write a whole number from 0 to 10000.");
  }
  return count;
}
