/** `watch`: the page that shows how fresh the views of a database are. */
import { existsSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { estimateOf } from "../components/plan/estimate";
import { makePlan } from "../components/plan/plan";
import { SettingsFaults } from "../components/settings/faults";
import { parseSettings } from "../components/settings/parseSettings";
import type { Connector } from "../handler/connect";
import { parseDurationSeconds } from "../local/duration";
import type { WatchedPlan } from "../watch/facts";
import { servePage, type PageServer } from "../watch/server";
import { ConnectionFaults, connectionFromEnvironment } from "./connection";
import { readStack } from "./stackConfig";

const EXIT = { done: 0, failed: 1, badUsage: 2 } as const;

interface WatchCommandOptions {
  port?: number;
  stack?: string;
  maxAge?: number;
}

/** Whose settings count where nobody asks for a stack, if the database has a view of theirs. */
const LOCAL_STACK = "local";
const DEFAULT_REGION = "us-east-1";

const help = `
The page is served on 127.0.0.1 alone. It reads and changes nothing; what the role may not read, it says.

Promises, schedule and alarms are those of --stack; without it those of Pulumi.local.yaml count, where the database has
one of its views. With neither, --max-age says when a view is late.

The database comes from the environment, as for refresh: see npm run refresh -- --help.

Examples:
  DATABASE_URL=postgres://reader@db.example.com/shop npm run watch
  npm run watch -- --stack dev --port 8321
  npm run watch -- --max-age 15m`;

/** The `watch` subcommand. It ends with 0 when it is stopped, 1 when it cannot serve, 2 for bad usage. */
export function watchCommand(): Command {
  return new Command("watch")
    .description("serve a page that shows how fresh the views of a database are, and why they are not")
    .option("--port <n>", "port of the page (default: a free one)", parsePort)
    .option("--stack <name>", "take schedule, promises and alarms of Pulumi.<name>.yaml")
    .option("--max-age <duration>", "the promise where no stack has one: 90s, 5m, 2h", parseAge)
    .addHelpText("after", help)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.done : EXIT.badUsage))
    .action(async (options: WatchCommandOptions) => {
      process.exitCode = await watch(options);
    });
}

async function watch({ port, stack, maxAge }: WatchCommandOptions): Promise<number> {
  let connector: Connector;
  let plan: WatchedPlan | undefined;
  try {
    connector = connectionFromEnvironment(process.env);
    plan = watchedPlan(stack);
  } catch (error) {
    const lines =
      error instanceof ConnectionFaults
        ? error.faults
        : [error instanceof SettingsFaults ? error.message : `error: ${messageOf(error)}`];
    for (const line of lines) process.stderr.write(`${line}\n`);
    return EXIT.badUsage;
  }
  let server: PageServer;
  try {
    server = await servePage({ connector, plan, maxAgeSeconds: maxAge, port });
  } catch (error) {
    process.stderr.write(`error: ${messageOf(error)}\n`);
    return EXIT.failed;
  }
  const whose = plan === undefined ? "" : `, with the settings of Pulumi.${plan.stack}.yaml`;
  process.stdout.write(`Watching ${connector.address}${plan?.isAssumed ? "" : whose}\n`);
  process.stdout.write(`${server.url}\nCtrl-C stops.\n`);
  await stopped();
  await server.close();
  return EXIT.done;
}

function watchedPlan(stack: string | undefined): WatchedPlan | undefined {
  if (stack !== undefined) return planOf(stack, false);
  if (!existsSync(`Pulumi.${LOCAL_STACK}.yaml`)) return undefined;
  try {
    return planOf(LOCAL_STACK, true);
  } catch {
    // Nobody asked for it.
    return undefined;
  }
}

/** Promises and alarms hold of any database, so that of the stack need not be known yet. */
function planOf(stack: string, isAssumed: boolean): WatchedPlan {
  const { settings, region = DEFAULT_REGION } = readStack(stack);
  const plan = makePlan(parseSettings(settings, "local"));
  return { plan, stack, monthlyUsd: monthlyUsd(settings, region), isAssumed };
}

/** Null for settings that could not be deployed. */
function monthlyUsd(settings: Record<string, unknown>, region: string): number | null {
  try {
    return estimateOf(makePlan(parseSettings(settings, "deploy", region)), region).totalUsd;
  } catch (error) {
    if (error instanceof SettingsFaults) return null;
    throw error;
  }
}

function stopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** For the options of commands that serve the page. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError("write a port from 1 to 65535.");
}

function parseAge(text: string): number {
  try {
    return parseDurationSeconds(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}
