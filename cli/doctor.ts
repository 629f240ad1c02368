/** `doctor`: what will go wrong with the refreshes of a database, before it does, and what puts it right. */
import { Command } from "commander";
import { makePlan, type Plan } from "../components/plan/plan";
import { parseSettings } from "../components/settings/parseSettings";
import type * as Examine from "../doctor/examine";
import type { Request } from "../doctor/scope";
import { Budget } from "../handler/budget";
import type { Session } from "../handler/connect";
import { classify, RefreshFailure } from "../handler/failure";
import { chooseView, qualifiedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { ConnectionFaults, connectionFromEnvironment, readTarget, type ConnectionTarget } from "./connection";
import { reportJson, reportText, type Report } from "./doctorText";
import { readStack } from "./stackConfig";
import { parseAge } from "./status";
import { parseViewName } from "./viewName";

/** Exit codes of the command. */
export const EXIT = { well: 0, willFail: 1, badUsage: 2 } as const;

interface Options {
  view: QualifiedName[];
  stack?: string;
  role?: string;
  measure?: true;
  json?: true;
  long: number;
}

const LONGEST_COMMAND_MS = 60 * 60_000;
const LONG_TRANSACTION_SECONDS = 300;

/** It brings PostgreSQL's parser, which no other command needs: loaded when it is asked for. */
/* eslint-disable-next-line @typescript-eslint/no-require-imports -- import() would need the file to be an ES module */
const doctor = () => require("../doctor/examine") as typeof Examine;

/** The `doctor` subcommand. It exits with 0, with 1 when something will fail or nothing can be asked, 2 for bad usage. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description("find what will go wrong with the refreshes, before it does; change nothing")
    .option("--view <name>", "a view, qualified unless it is in public; may be repeated", collectView, [])
    .option("--stack <name>", "the views of Pulumi.<name>.yaml, held against its settings and its promise")
    .option("--role <name>", "judge the rights of this role (default: the stack's user, else who logs in)")
    .option(
      "--long <time>",
      "tell transactions that have been open for so long",
      parseAge,
      LONG_TRANSACTION_SECONDS,
    )
    .option(
      "--measure",
      "run each view's query to find what incremental maintenance would save: loads the database",
    )
    .option("--json", "print everything as JSON on stdout")
    .addHelpText("after", helpText)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.well : EXIT.badUsage))
    .action(async (options: Options) => {
      process.exitCode = await run(options);
    });
}

const helpText = `
Without --view and --stack: every materialized or maintained view. It reads, in READ ONLY transactions with a limit of
5 s for each statement; --measure alone runs the views' queries. What the role may not see is told, with the grant.
The database comes from the environment, as for refresh: RDS_PROXY_ENDPOINT with RDS_USERNAME and RDS_PASSWORD, or
DATABASE_URL, or PGHOST and its like.

Grades: what will fail (exit code 1), what will hurt, what is worth knowing.`;

async function run(options: Options): Promise<number> {
  const startedMs = performance.now();
  let request: Request;
  let target: ConnectionTarget;
  try {
    request = read(options);
    target = readTarget(process.env);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const faults = error instanceof ConnectionFaults ? error.faults : [`error: ${error.message}`];
    for (const fault of faults) process.stderr.write(`${fault}\n`);
    return EXIT.badUsage;
  }
  const report = await look(target, request, options);
  const seconds = (performance.now() - startedMs) / 1_000;
  process.stdout.write(
    options.json ? reportJson(report) : reportText({ ...report, seconds }, process.stdout, process.env),
  );
  return report.findings.some(({ grade }) => grade === "will fail") ? EXIT.willFail : EXIT.well;
}

/** A database that cannot be reached is a finding too. */
async function look(target: ConnectionTarget, request: Request, options: Options): Promise<Report> {
  const connector = connectionFromEnvironment(process.env);
  const { address, auth } = connector;
  const { host, port, sslMode, rootCertificateFile } = target;
  const isFile = rootCertificateFile !== undefined && rootCertificateFile !== "system";
  const connection = {
    host,
    port,
    isTlsAsked: sslMode.startsWith("verify"),
    ...(isFile && { caFile: rootCertificateFile }),
  };
  let session: Session | undefined;
  try {
    session = await connector.open(new Budget(LONGEST_COMMAND_MS));
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    return await doctor().examine(
      session,
      { address, connection },
      request,
      options.measure ? say : undefined,
    );
  } catch (error) {
    const connected = session !== undefined;
    if (connected && session?.lost === false && !(error instanceof RefreshFailure)) throw error;
    const failure = classify(error, {
      address,
      auth,
      user: target.user,
      connected,
      connectionLost: session?.lost ?? false,
    });
    return {
      address,
      findings: [
        {
          name: "connection",
          grade: "will fail",
          what: `${failure.problem} (${failure.code})`,
          why: "Nothing else could be looked at.",
          remedy: failure.remedy,
        },
      ],
      notSeen: [],
    };
  } finally {
    await session?.close();
  }
}

function read({ stack, view, role, long }: Options): Request {
  if (stack === undefined) {
    const views = view.map((one) => ({ ...one, allowBlocking: true }));
    return { longSeconds: long, ...(role !== undefined && { role }), ...(views.length > 0 && { views }) };
  }
  const plan = makePlan(parseSettings(readStack(stack).settings, "local"));
  const user = role ?? userOf(plan);
  return {
    longSeconds: long,
    stack: { name: stack, plan },
    views: view.length === 0 ? plan.views : view.map((one) => chooseView(qualifiedName(one), plan.views)),
    ...(user !== undefined && { role: user }),
  };
}

/** Whom the function logs in as; only the secret knows where there is one. */
function userOf({ settings: { database } }: Plan): string | undefined {
  return database.auth === "secret" ? undefined : database.user;
}

function collectView(text: string, views: QualifiedName[]): QualifiedName[] {
  return [...views, parseViewName(text)];
}
