/** `refresh`: the function's own run, by hand and from here. */
import { Command, InvalidArgumentError } from "commander";
import type { Connector } from "../handler/connect";
import { Budget } from "../handler/budget";
import { RefreshFailure } from "../handler/failure";
import { displayName, qualifiedName } from "../handler/names";
import { previewRun } from "../handler/preview";
import { textReport } from "../handler/report";
import { responseBody, throwFailures } from "../handler/response";
import { runRefresh } from "../handler/run";
import type { QualifiedName, ViewSettings } from "../handler/settings";
import { ConnectionFaults, connectionFromEnvironment } from "./connection";
import { parseDecimal } from "./decimal";
import { parseViewName } from "./viewName";

/** Exit codes of the command. */
export const EXIT = { refreshed: 0, failed: 1, badUsage: 2 } as const;

interface Options {
  view: QualifiedName[];
  json: boolean;
  dryRun: boolean;
  full: boolean;
  timeout: number;
}

const DEFAULT_VIEW: QualifiedName = { schema: "public", name: "job_progress" };
const DEFAULT_TIMEOUT_SECONDS = 300;
const FIRST_ANSWER_WITHIN_MS = 15_000;

/** The `refresh` subcommand. It exits with 0 when all was refreshed, 1 when something failed, 2 for bad usage. */
export function refreshCommand(): Command {
  return new Command("refresh")
    .description("refresh materialized views now, waiting for a refresh that is running")
    .option("--view <name>", "a view, qualified unless it is in public; may be repeated", collectView, [])
    .option("--full", "compute maintained views anew instead of folding what changed", false)
    .option("--json", "print the result as JSON on stdout, and the log on stderr", false)
    .option("--dry-run", "print the refresh each view would get and why; change nothing", false)
    .option("--timeout <seconds>", "give up after this time", parseSeconds, DEFAULT_TIMEOUT_SECONDS)
    .addHelpText("after", ENVIRONMENT_HELP)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.refreshed : EXIT.badUsage))
    .action(async (options: Options) => {
      process.exitCode = await refresh(options);
    });
}

const ENVIRONMENT_HELP = `
The database comes from the environment, from the first of these that is set:
  RDS_PROXY_ENDPOINT, RDS_USERNAME, RDS_PASSWORD, RDS_DATABASE (scanner_db), RDS_PORT (5432)
  DATABASE_URL
  PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD or the file PGPASSFILE (~/.pgpass)
TLS: PGSSLMODE and PGSSLROOTCERT as in libpq. Without PGSSLMODE: none on this machine, verify-full elsewhere.`;

async function refresh(options: Options): Promise<number> {
  let connector: Connector;
  try {
    connector = connectionFromEnvironment(process.env);
  } catch (error) {
    if (!(error instanceof ConnectionFaults)) throw error;
    for (const fault of error.faults) process.stderr.write(`${fault}\n`);
    return EXIT.badUsage;
  }
  const views = (options.view.length > 0 ? options.view : [DEFAULT_VIEW]).map(viewSettings);
  const budget = new Budget(options.timeout * 1_000);
  try {
    await (options.dryRun ? preview : run)(connector, views, budget, options);
    return EXIT.refreshed;
  } catch (error) {
    if (options.json) printJson({ success: false, ...errorFacts(error) });
    return EXIT.failed;
  }
}

/** The configuration of a view asked for by hand; job_progress has its statistics as in the deployed settings. */
function viewSettings(view: QualifiedName): ViewSettings {
  const isDefault = qualifiedName(view) === qualifiedName(DEFAULT_VIEW);
  return {
    ...view,
    allowBlocking: true,
    ...(isDefault ? { statistics: { schema: "public", name: "job_progress_statistics" } } : {}),
  };
}

async function run(
  connector: Connector,
  views: ViewSettings[],
  budget: Budget,
  { json, full }: Options,
): Promise<void> {
  const log = json ? process.stderr : process.stdout;
  const outcomes = await runRefresh({
    views,
    connector,
    waitForLock: true,
    forceFull: full,
    budget,
    attended: true,
    firstAnswerWithinMs: FIRST_ANSWER_WITHIN_MS,
    runId: "manual",
    report: textReport((line) => log.write(`${line}\n`)),
  });
  throwFailures(outcomes);
  if (json) printJson(responseBody(outcomes));
}

async function preview(
  connector: Connector,
  views: ViewSettings[],
  budget: Budget,
  { json, full }: Options,
): Promise<void> {
  const previews = await previewRun(connector, views, budget, full).catch((error: unknown) => {
    if (!json && error instanceof Error) process.stdout.write(`${error.message}\n`);
    throw error;
  });
  const planned = previews.flatMap((each) => (each.outcome === "planned" ? [each] : []));
  const failed = previews.flatMap((each) => (each.outcome === "failed" ? [each] : []));
  if (!json) {
    for (const { view, mode, facts, warning } of planned) {
      const how = facts.fold
        ? `changes are folded by ${facts.fold.name}`
        : `unique index ${facts.usableIndexes.join(", ")}`;
      const why = mode.reason ?? how;
      process.stdout.write(`${displayName(view)} would be refreshed (${mode.type}): ${why}\n`);
      if (mode.remedy !== undefined) process.stdout.write(`  To fix it: ${mode.remedy}\n`);
      if (warning !== undefined) process.stdout.write(`  Warning: ${warning}\n`);
    }
    for (const { failure } of failed) process.stdout.write(`${failure.message}\n`);
  }
  throwFailures(failed);
  if (json) {
    const reports = planned.map(({ view, mode, facts, warning }) => ({
      view: qualifiedName(view),
      refresh_type: mode.type,
      reason: mode.reason,
      remedy: mode.remedy,
      unique_indexes: facts.usableIndexes,
      warning,
    }));
    printJson({ success: true, dry_run: true, views: reports });
  }
}

function errorFacts(error: unknown): Record<string, unknown> {
  if (!(error instanceof RefreshFailure)) return { error: (error as Error).message };
  const { view, code, problem, remedy, blockers, server } = error;
  return { error: error.message, view, code, problem, remedy, blockers, server };
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function collectView(text: string, views: QualifiedName[]): QualifiedName[] {
  return [...views, parseViewName(text)];
}

function parseSeconds(text: string): number {
  const seconds = parseDecimal(text);
  if (!(seconds >= 1 && seconds <= 86_400)) throw new InvalidArgumentError("write seconds from 1 to 86400.");
  return seconds;
}
