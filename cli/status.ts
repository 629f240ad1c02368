/** `status`: how old each view is and how its refreshes go, one line a view. */
import { Command, InvalidArgumentError } from "commander";
import { escapeIdentifier } from "pg";
import { makePlan } from "../components/plan/plan";
import { parseSettings } from "../components/settings/parseSettings";
import { readOnly } from "../doctor/reader";
import { readRuns, type Runs } from "../doctor/runs";
import { findViews } from "../doctor/scope";
import { Budget } from "../handler/budget";
import { HISTORY_TABLE } from "../handler/catalog";
import type { Session } from "../handler/connect";
import { chooseView, qualifiedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { ConnectionFaults, connectionFromEnvironment, openSession } from "./connection";
import { readStack } from "./stackConfig";
import { statusOf, statusTable, type ViewStatus } from "./statusText";
import { parseViewName } from "./viewName";

/** Exit codes of the command. */
export const EXIT = { fresh: 0, old: 1, badUsage: 2 } as const;

interface Options {
  view: QualifiedName[];
  stack?: string;
  maxAge?: number;
  json?: true;
}

const LONGEST_COMMAND_MS = 60_000;
const LONGEST_LOOK_MS = 20_000;

/** The `status` subcommand. It exits with 0, with 1 when a view is too old or cannot be looked at, 2 for bad usage. */
export function statusCommand(): Command {
  return new Command("status")
    .description("show how old each view is and how its refreshes go, one line a view")
    .option("--view <name>", "a view, qualified unless it is in public; may be repeated", collectView, [])
    .option("--stack <name>", "the views of Pulumi.<name>.yaml, with the age that the stack promises")
    .option(
      "--max-age <age>",
      "exit with 1 when a view is older, or of unknown age: 90s, 5m, 2h, 1d",
      parseAge,
    )
    .option("--json", "print everything as JSON")
    .addHelpText("after", helpText)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.fresh : EXIT.badUsage))
    .action(async (options: Options) => {
      process.exitCode = await status(options);
    });
}

const helpText = `
Without --view and --stack: every materialized or maintained view. Changes nothing.
The database comes from the environment, as for refresh: RDS_PROXY_ENDPOINT with RDS_USERNAME and RDS_PASSWORD, or
DATABASE_URL, or PGHOST and its like.

  npm run -s status -- --max-age 5m          for cron, Nagios and CI: exit code 1 says that a view is too old`;

/** The views asked for, and what is promised of them. */
interface Asked {
  /** Undefined: all there are. */
  views?: QualifiedName[];
  promiseSeconds?: number;
}

async function status(options: Options): Promise<number> {
  let asked: Asked;
  try {
    asked = read(options);
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    return EXIT.badUsage;
  }
  let session: Session | undefined;
  try {
    const connector = connectionFromEnvironment(process.env);
    const { address } = connector;
    session = await openSession(connector, new Budget(LONGEST_COMMAND_MS));
    const { views, note } = await readViews(session, asked, connector.user ?? "");
    const limitSeconds = options.maxAge;
    const statuses = views.map((runs) => statusOf(runs, { ...asked, ...(limitSeconds && { limitSeconds }) }));
    if (note !== undefined) process.stderr.write(`${note}\n`);
    if (options.json) printJson(statuses, address, note);
    else process.stdout.write(statusTable(statuses, process.stdout, process.env));
    const isWrong = statuses.some(({ isTooOld, state }) => isTooOld || state === "missing");
    return isWrong ? EXIT.old : EXIT.fresh;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (options.json)
      process.stdout.write(`${JSON.stringify({ success: false, error: error.message }, null, 2)}\n`);
    else process.stderr.write(`error: ${error.message}\n`);
    return error instanceof ConnectionFaults ? EXIT.badUsage : EXIT.old;
  } finally {
    await session?.close();
  }
}

function read({ stack, view }: Options): Asked {
  if (stack === undefined) return view.length === 0 ? {} : { views: view };
  const plan = makePlan(parseSettings(readStack(stack).settings, "local"));
  return {
    views: view.length === 0 ? plan.views : view.map((one) => chooseView(qualifiedName(one), plan.views)),
    promiseSeconds: plan.maxStalenessSeconds,
  };
}

/** What history has of each view; where it cannot be read the views alone, with what is to be done. */
async function readViews(
  session: Session,
  { views }: Asked,
  user: string,
): Promise<{ views: Runs[]; note?: string }> {
  const names = views ?? (await readOnly(session, LONGEST_LOOK_MS, findViews));
  try {
    return { views: await readOnly(session, LONGEST_LOOK_MS, (reader) => readRuns(reader, names)) };
  } catch (error) {
    const remedies: Record<string, string> = {
      "42P01": "there is no history of refreshes. To have one: npm run migrate -- --product",
      "42501": `the history of refreshes may not be read. To fix it: GRANT SELECT ON ${HISTORY_TABLE} TO ${escapeIdentifier(user)};`,
    };
    const note = remedies[(error as { code?: string }).code ?? ""];
    if (note === undefined) throw error;
    return { views: names.map(unknownRuns), note };
  }
}

const unknownRuns = (view: QualifiedName): Runs => ({
  view,
  exists: true,
  nowMs: Date.now(),
  asOfMs: null,
  last: null,
  kind: null,
  p50Seconds: null,
  p99Seconds: null,
  runs: 0,
  failures: 0,
  failuresInARow: 0,
  isCapped: false,
  hours: [],
});

function printJson(statuses: ViewStatus[], database: string, note: string | undefined): void {
  const views = statuses.map(({ runs, ages, ...facts }) => ({
    view: qualifiedName(runs.view),
    state: facts.state,
    age_seconds: facts.ageSeconds,
    as_of: timeText(runs.asOfMs),
    promise_seconds: facts.promiseSeconds ?? null,
    too_old: facts.isTooOld,
    last_outcome: runs.last?.outcome ?? null,
    last_run_at: timeText(runs.last?.atMs ?? null),
    last_reason: runs.last?.reason ?? null,
    last_sqlstate: runs.last?.sqlstate ?? null,
    kind: runs.kind,
    last_day: {
      runs: runs.runs,
      failures: runs.failures,
      is_at_least: runs.isCapped,
      p50_seconds: runs.p50Seconds,
      p99_seconds: runs.p99Seconds,
      oldest_age_by_hour: ages,
    },
  }));
  process.stdout.write(
    `${JSON.stringify({ success: true, database, note: note ?? null, views }, null, 2)}\n`,
  );
}

const timeText = (atMs: number | null): string | null =>
  atMs === null ? null : new Date(atMs).toISOString();

function collectView(text: string, views: QualifiedName[]): QualifiedName[] {
  return [...views, parseViewName(text)];
}

const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** @throws InvalidArgumentError for what is no duration. */
export function parseAge(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?$/.exec(text.trim());
  const seconds = Number(match?.[1]) * (UNIT_SECONDS[match?.[2]?.charAt(0) ?? "s"] ?? NaN);
  if (!(seconds > 0) || !Number.isFinite(seconds)) throw new InvalidArgumentError("write 90s, 5m, 2h or 1d.");
  return seconds;
}
