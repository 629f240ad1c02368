/** `start`: runs what is deployed, on this machine. */
import { join } from "node:path";
import { confirm } from "@inquirer/prompts";
import { Command, InvalidArgumentError, Option } from "commander";
import { makePlan, type Plan } from "../components/plan/plan";
import { SettingsFaults } from "../components/settings/faults";
import { parseSettings } from "../components/settings/parseSettings";
import { qualifiedName } from "../handler/names";
import { parseDurationSeconds } from "../local/duration";
import { INCREMENTAL_VIEW } from "../local/maintain";
import type { ExistingServer } from "../local/postgres/database";
import { parseOutage, type Outage } from "../local/postgres/serverGuard";
import { runLocally } from "../local/run";
import { StopSignals } from "../local/stopSignals";
import { openTerminal, type Terminal } from "../local/terminal";
import { loadRates, type LoadLevel } from "../local/workload/load";
import { migrationsOfRun } from "../local/workload/prepare";
import { sampleJobCount } from "../local/workload/workload";
import { MigrationRefusedError } from "../migrations/runner";
import { SCANNER_MIGRATIONS } from "../migrations/sets";
import { compileView } from "./compiler";
import { readTarget } from "./connection";
import { parseDecimal } from "./decimal";
import { existingServer } from "./existingServer";
import { readStack } from "./stackConfig";
import { parsePort } from "./watch";

/** Exit codes of the command. */
export const EXIT = { done: 0, failed: 1, badUsage: 2 } as const;

interface StartOptions {
  for?: number;
  stack: string;
  objects: number;
  load: LoadLevel;
  outage?: Outage;
  incremental?: true;
  yes?: true;
  fresh?: true;
  data: string;
  page: boolean;
  pagePort?: number;
}

const defaultDataFolder = join(__dirname, "..", ".local", "postgres");

const help = `
DATABASE_URL makes it use a PostgreSQL server that is there already. What would be created there is shown first, and
nothing is done without a yes or --yes. PGPASSWORD, .pgpass, PGSSLMODE and PGSSLROOTCERT count as for refresh. Tables named jobs and job_objects that are there already are never written to.

Ticks come at the refreshRate of the stack's file: every 15 seconds with Pulumi.local.yaml.

--incremental measures a full refresh, makes public.job_progress incremental and, at the end, lets a full run count the
rows that folding has missed. The view stays incremental in its database; a start without the option folds, and says how
to go back.

Exit code: 0 when no refresh failed, 1 when one did, no tick fell inside --for, drift was found or not counted, or the
run could not start, 2 for bad options or settings. With --outage, failures from the stop of the database until the next
refresh are expected, and the code is 0 if there was such a refresh.

Examples:
  npm start
  npm start -- --for 60s --load heavy
  npm start -- --incremental --for 2m --load heavy
  npm start -- --incremental --for 2m --load heavy --fresh --objects 1250000
  npm start -- --for 2m --outage 20s,30s
  npm start -- --stack dev
  npm start -- --fresh --objects 1250000`;

/** The `start` subcommand. */
export function startCommand(): Command {
  return new Command("start")
    .description(
      "run the function on this machine, on its schedule, against a real PostgreSQL with a busy scanner",
    )
    .option("--for <duration>", "stop by itself after 60s, 5m, 2h", readBy(parseDurationSeconds))
    .option("--stack <name>", "take the settings of Pulumi.<name>.yaml", "local")
    .option("--objects <n>", "objects of the first fill", readBy(parseObjects), 100_000)
    .addOption(
      new Option("--load <level>", "objects processed a minute: light 5k, medium 50k, heavy 120k, off none")
        .choices(
          Object.keys(loadRates)
            .filter((level) => level !== "off")
            .concat("off"),
        )
        .default("medium"),
    )
    .option("--incremental", "make the view incremental first: refreshes fold what changed, and are compared")
    .option("--outage <at,for>", "stop the database: 20s,30s is after 20 s, for 30 s", readBy(parseOutage))
    .option("--fresh", "drop the local database first and fill it anew")
    .addOption(
      new Option("--data <folder>", "folder of the local database, kept between runs").default(
        defaultDataFolder,
        ".local/postgres",
      ),
    )
    .option("--no-page", "serve no page beside the log")
    .option("--page-port <n>", "port of the page (default: a free one)", parsePort)
    .option("--yes", "use the server of DATABASE_URL without asking")
    .addHelpText("after", help)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.done : EXIT.badUsage))
    .action(async (options: StartOptions) => {
      process.exitCode = await start(options);
    });
}

async function start(options: StartOptions): Promise<number> {
  const terminal = openTerminal();
  let plan: Plan;
  let existing: ExistingServer | undefined;
  try {
    plan = makePlan(parseSettings(readStack(options.stack).settings, "local"));
    existing = process.env.DATABASE_URL ? await existingServer(readTarget(process.env)) : undefined;
    refuseOnExisting(options, existing);
    refuseLateOutage(options);
    refuseOtherViews(options, plan);
  } catch (error) {
    return report(error, EXIT.badUsage);
  }
  if (existing !== undefined && !(await mayUse(existing, plan, options, terminal))) return EXIT.badUsage;
  const signals = new StopSignals();
  try {
    return await runLocally(
      {
        plan,
        stack: options.stack,
        objects: options.objects,
        load: options.load,
        dataDirectory: options.data,
        fresh: options.fresh === true,
        ...(options.for !== undefined && { forSeconds: options.for }),
        ...(options.outage !== undefined && { outage: options.outage }),
        ...(existing !== undefined && { existing }),
        ...(options.incremental && { compile: compileView }),
        ...(options.page && { page: { port: options.pagePort } }),
      },
      terminal,
      signals,
    );
  } catch (error) {
    if (existing === undefined && error instanceof MigrationRefusedError) {
      return report(
        `${error.message}\nThe local database can be dropped and made anew: npm start -- --fresh`,
        EXIT.failed,
      );
    }
    return report(error, EXIT.failed);
  } finally {
    signals.release();
  }
}

/** Options that speak of the server that this command starts itself. */
function refuseOnExisting(options: StartOptions, existing: ExistingServer | undefined): void {
  if (existing === undefined) return;
  const refused = [options.outage && "--outage", options.fresh && "--fresh"].filter(Boolean);
  if (refused.length > 0) {
    throw new InvalidArgumentError(
      `${refused.join(" and ")} cannot be used with DATABASE_URL: that server is not ours to stop or to empty`,
    );
  }
}

/** A run that ends inside its outage could not show that the refresh recovers. */
function refuseLateOutage({ for: forSeconds = Infinity, outage }: StartOptions): void {
  if (outage === undefined) return;
  const endSeconds = outage.afterSeconds + outage.lastsSeconds;
  if (endSeconds < forSeconds) return;
  throw new InvalidArgumentError(
    `--outage ends ${endSeconds} s after the start, when --for ${forSeconds}s is over: leave time to recover`,
  );
}

/** The option is about the scanner; views of one's own are made incremental by a command that shows what it does. */
function refuseOtherViews({ incremental, stack }: StartOptions, { views }: Plan): void {
  const wanted = qualifiedName(INCREMENTAL_VIEW);
  if (incremental === undefined || views.some((view) => qualifiedName(view) === wanted)) return;
  const [first = INCREMENTAL_VIEW] = views;
  throw new InvalidArgumentError(
    `--incremental is for ${wanted}, which stack "${stack}" does not refresh; ` +
      `for a view of your own: npm run incremental -- plan --view ${qualifiedName(first)}`,
  );
}

/** Everything that a run creates, grants and does on a server that is not its own. */
function whatWillBeDone({ settings, views: relations }: Plan, incremental: boolean): string[] {
  const views = settings.views.map(({ name }) => name).join(", ");
  const ofScanner = (...lines: string[]): string[] =>
    migrationsOfRun(relations, false).includes(SCANNER_MIGRATIONS) ? lines : [];
  return [
    "Created in schema public, where it is missing:",
    "  tables matview_refresh_history, matview_refresh_migrations, with their indexes; view matview_freshness",
    "  (and beside it schema matview_refresh, empty, if the user may create schemas)",
    ...ofScanner(
      "  tables jobs, job_objects, with their indexes",
      "  materialized view job_progress, with its index; view job_progress_statistics",
      "  sample data, only if neither jobs nor job_objects is there yet",
    ),
    "If the user may create roles: the role matview_refresher (no login) with USAGE on the schema, SELECT, INSERT,",
    "DELETE on matview_refresh_history and SELECT on matview_freshness",
    ...ofScanner(
      "and, where they were created, SELECT on job_progress and job_progress_statistics, MAINTAIN on job_progress",
      "(before PostgreSQL 17 its ownership, and SELECT on jobs and job_objects)",
    ),
    `Every tick refreshes ${views} and writes to matview_refresh_history.`,
    "Relations of these names that are there already keep their owner, rights, comments and indexes.",
    ...(incremental ? whatIncrementalDoes() : []),
  ];
}

function whatIncrementalDoes(): string[] {
  const view = qualifiedName(INCREMENTAL_VIEW);
  return [
    `--incremental changes ${view} for good, unless it is incremental already:`,
    `  the materialized view is replaced by a table of the same name, columns, indexes, readers and comment`,
    "  schema matview_refresh gets the tables, views and functions that maintain it",
    "  four triggers on each table that its query reads, which log what every writer changes",
    "  before that up to three full refreshes to compare with, and a full run at the end",
    `  To go back: npm run incremental -- revert --view ${view}`,
  ];
}

/** Shows what will be done to somebody's server, and asks. */
async function mayUse(
  existing: ExistingServer,
  plan: Plan,
  { yes, incremental }: StartOptions,
  terminal: Terminal,
): Promise<boolean> {
  const { host, port, database, user } = existing.connection;
  terminal.line(`DATABASE_URL: ${host}:${port}, database ${database}, user ${user}`);
  for (const line of whatWillBeDone(plan, incremental === true)) terminal.line(line);
  if (yes) return true;
  if (process.stdin.isTTY !== true) {
    process.stderr.write("error: nobody is here to ask. Say --yes to go ahead; nothing was touched.\n");
    return false;
  }
  try {
    const message = incremental
      ? `Go ahead, and make ${qualifiedName(INCREMENTAL_VIEW)} incremental?`
      : "Go ahead?";
    return await confirm({ message, default: false });
  } catch {
    // Ctrl-C at the question is a no.
    return false;
  }
}

function report(error: unknown, exitCode: number): number {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(error instanceof SettingsFaults ? `${message}\n` : `error: ${message}\n`);
  return exitCode;
}

function parseObjects(text: string): number {
  const objects = parseDecimal(text.replaceAll("_", ""));
  if (!Number.isInteger(objects) || objects < sampleJobCount || objects > 20_000_000) {
    throw new Error(`"${text}" is not a whole number from ${sampleJobCount} to 20000000`);
  }
  return objects;
}

/** Lets commander tell the user what a parser found wrong. */
function readBy<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError((error as Error).message);
    }
  };
}
