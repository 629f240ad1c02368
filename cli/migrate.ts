/** `migrate`: applies the files of migrations/ to the database the environment names. */
import path from "node:path";
import { Command, Option } from "commander";
import { parseSettings } from "../components/settings/parseSettings";
import { viewSettingsOf } from "../components/settings/rules";
import { Budget } from "../handler/budget";
import { readMigrations } from "../migrations/files";
import {
  migrate,
  MigrationFailedError,
  status,
  UnknownMigrationError,
  type MigrationEvent,
  type MigrationSession,
  type MigrationStatus,
} from "../migrations/runner";
import { ALL_MIGRATIONS, migrationsFor, PRODUCT_MIGRATIONS, SCANNER_MIGRATIONS } from "../migrations/sets";
import { ConnectionFaults, connectionFromEnvironment, openSession } from "./connection";
import { readStack } from "./stackConfig";
import { renderTable } from "./table";

/** Exit codes of the command. */
export const EXIT = { done: 0, failed: 1, badUsage: 2 } as const;

interface Options {
  stack?: string;
  product?: true;
  status?: true;
  json?: true;
}

/** Building an index on a large table takes hours; a session is cut at the end of its time. */
const longestRunMilliseconds = 24 * 60 * 60 * 1000;

/** The `migrate` subcommand. It exits with 0 when all is applied, 1 when something failed, 2 for bad usage. */
export function migrateCommand(): Command {
  return new Command("migrate")
    .description(
      "apply the database migrations that are pending: the product's, and the scanner's tables and view (a demo)",
    )
    .argument(
      "[file]",
      "apply this one alone; one that is applied is run again with those that stand on it: 002_optimize_for_scale.sql",
    )
    .option("--stack <name>", "only what the views of Pulumi.<name>.yaml need")
    .addOption(
      new Option("--product", "only history, freshness and role: nothing of the scanner").conflicts("stack"),
    )
    .option("--status", "list the migrations and what is applied; change nothing")
    .option("--json", "print the result as JSON on stdout")
    .addHelpText("after", environmentHelp)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.done : EXIT.badUsage))
    .action(async (file: string | undefined, options: Options) => {
      process.exitCode = await run(file, options);
    });
}

const environmentHelp = `
The database comes from the environment, as for refresh: RDS_PROXY_ENDPOINT with RDS_USERNAME and RDS_PASSWORD, or
DATABASE_URL, or PGHOST and its like.

With views of your own, --product or --stack leaves the scanner out.`;

async function run(file: string | undefined, options: Options): Promise<number> {
  if (file !== undefined && options.status) {
    process.stderr.write("error: --status lists all migrations: leave the file out\n");
    return EXIT.badUsage;
  }
  let directories: string[];
  try {
    directories = directoriesFor(options);
  } catch (error) {
    reportError(error, options.json === true);
    return EXIT.badUsage;
  }
  try {
    const connector = connectionFromEnvironment(process.env);
    const connect = (): Promise<MigrationSession> =>
      openSession(connector, new Budget(longestRunMilliseconds));
    if (options.status) await showStatus(connect, directories, options.json === true);
    else await applyPending(connect, directories, file && path.basename(file), options.json === true);
    return EXIT.done;
  } catch (error) {
    const isScanners =
      error instanceof MigrationFailedError && directories[error.migration.set] === SCANNER_MIGRATIONS;
    return reportError(error, options.json === true, isScanners ? productAloneHint : "");
  }
}

/** @throws Error where the stack has no file, SettingsFaults where its settings are wrong. */
function directoriesFor({ stack, product }: Options): string[] {
  if (product === true) return [PRODUCT_MIGRATIONS];
  if (stack === undefined) return ALL_MIGRATIONS;
  return migrationsFor(parseSettings(readStack(stack).settings, "local").views.map(viewSettingsOf));
}

async function applyPending(
  connect: () => Promise<MigrationSession>,
  directories: string[],
  only: string | undefined,
  json: boolean,
): Promise<void> {
  const log = json ? process.stderr : process.stdout;
  const result = await migrate(connect, {
    directories,
    ...(only === undefined ? {} : { only }),
    onEvent: (event) => log.write(eventLine(event)),
  });
  if (json) {
    const applied = result.applied.map(({ name, durationSeconds }) => ({
      name,
      duration_seconds: roundToMs(durationSeconds),
    }));
    printJson({ success: true, applied, already_applied: result.alreadyApplied });
  } else if (result.applied.length === 0) {
    const isProduct = !directories.includes(SCANNER_MIGRATIONS);
    const example = isProduct ? "003_refresh_history.sql" : "002_optimize_for_scale.sql";
    process.stdout.write(
      `Nothing to do: all ${result.alreadyApplied.length} migrations were applied before\n` +
        `To make what was dropped since, name its file: npm run migrate -- ${example}\n`,
    );
  }
}

function eventLine(event: MigrationEvent): string {
  switch (event.type) {
    case "applying":
      return `Applying ${event.name}...\n`;
    case "applied":
      return `✓ Applied ${event.name} in ${event.durationSeconds.toFixed(2)}s\n`;
    case "waiting":
      return "Waiting for another migration of this database to end...\n";
    case "notice":
      return `  ${event.message.replaceAll("\n", "\n  ")}\n`;
  }
}

async function showStatus(
  connect: () => Promise<MigrationSession>,
  directories: string[],
  json: boolean,
): Promise<void> {
  const wanted = new Set((await readMigrations(directories)).map(({ name }) => name));
  const all = await status(connect, ALL_MIGRATIONS);
  const migrations = all.filter(({ name, state }) => state !== "pending" || wanted.has(name));
  if (json) printJson({ success: true, migrations: migrations.map(statusFacts) });
  else process.stdout.write(statusTable(migrations, process.stdout.isTTY));
}

function statusFacts({ name, state, appliedAt, durationSeconds }: MigrationStatus): object {
  return {
    name,
    state,
    applied_at: appliedAt?.toISOString() ?? null,
    duration_seconds: durationSeconds === undefined ? null : roundToMs(durationSeconds),
  };
}

const stateWords: Record<MigrationStatus["state"], string> = {
  applied: "applied",
  pending: "pending",
  changed: "changed since it was applied",
  unknown: "applied, file not here",
};

function statusTable(migrations: MigrationStatus[], isDecorated: boolean): string {
  const rows = migrations.map(({ name, state, appliedAt, durationSeconds }) => [
    name,
    stateWords[state],
    appliedAt?.toISOString() ?? "-",
    durationSeconds?.toFixed(2) ?? "-",
  ]);
  return renderTable(["migration", "state", "applied at", "seconds"], rows, {
    isDecorated,
    rightAligned: [3],
  });
}

const productAloneHint =
  "\nViews of your own need nothing of the scanner. To leave it out: npm run migrate -- --product";

function reportError(error: unknown, json: boolean, hint = ""): number {
  if (!(error instanceof Error)) throw error;
  if (json) printJson({ success: false, error: error.message + hint });
  else process.stderr.write(`${error.message}${hint}\n`);
  return error instanceof ConnectionFaults || error instanceof UnknownMigrationError
    ? EXIT.badUsage
    : EXIT.failed;
}

function roundToMs(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
