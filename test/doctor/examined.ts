/** What tests of the doctor share: a look at a database, and a finding's remedy run as somebody would who copies it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import type { Client } from "pg";
import { connectionFromEnvironment } from "../../cli/connection";
import { examine, type Examination } from "../../doctor/examine";
import type { Finding } from "../../doctor/finding";
import type { Request } from "../../doctor/scope";
import { makePlan } from "../../components/plan/plan";
import { parseSettings } from "../../components/settings/parseSettings";
import { Budget } from "../../handler/budget";
import type { TestDatabase } from "../database";
import type { TestRole } from "../handler/roles";

export const ROOT = path.join(__dirname, "..", "..");

export function urlOf({ server, name }: TestDatabase, role?: Pick<TestRole, "name" | "password">): string {
  const { name: user, password } = role ?? { name: server.user, password: server.password };
  return `postgres://${user}:${password}@${server.host}:${server.port}/${name}`;
}

export type Asked = Partial<Omit<Request, "stack">> & {
  /** Values of a stack's file. */
  settings?: Record<string, unknown>;
  /** Who looks; the superuser unless given. */
  as?: Pick<TestRole, "name" | "password">;
};

/** What the command would find. */
export async function look(database: TestDatabase, asked: Asked = {}): Promise<Examination> {
  const { settings, as, ...request } = asked;
  const connector = connectionFromEnvironment({ DATABASE_URL: urlOf(database, as) });
  const session = await connector.open(new Budget(120_000));
  const plan = settings && makePlan(parseSettings(settings, "local"));
  const { host, port } = database.server;
  try {
    const examined = await examine(
      session,
      { address: connector.address, connection: { host, port, isTlsAsked: false } },
      { longSeconds: 300, ...(plan && { stack: { name: "prod", plan }, views: plan.views }), ...request },
    );
    assert.deepEqual(
      examined.notSeen.filter(({ remedy }) => remedy.includes("should have seen this")),
      [],
    );
    return examined;
  } finally {
    await session.close();
  }
}

/** The one finding of that name, which has all its parts. */
export function found({ findings }: Examination, name: string, view?: string): Finding {
  const all = findings.filter(
    (finding) => finding.name === name && (view === undefined || finding.view === view),
  );
  assert.equal(all.length, 1, `${name}: ${JSON.stringify(findings, null, 1)}`);
  const [finding] = all as [Finding];
  for (const text of [finding.what, finding.why, finding.remedy]) assert.ok(text.length > 10, text);
  return finding;
}

export function assertGone({ findings }: Examination, name: string): void {
  assert.deepEqual(
    findings.filter((finding) => finding.name === name),
    [],
  );
}

/** Runs a remedy: SQL through the client, a command as it stands but for what follows `#`. */
export async function apply(
  remedy: string,
  database: TestDatabase,
  client: Client,
  ...more: string[]
): Promise<string> {
  if (!remedy.startsWith("npm run ")) {
    await client.query(remedy);
    return "";
  }
  const [, command = "", rest = ""] = /^npm run (\S+)(?: -- ([^#]*))?/.exec(remedy) ?? [];
  const words = [...rest.trim().split(/\s+/), ...more].filter((word) => word !== "");
  const run = await runMain(command, words, { DATABASE_URL: urlOf(database) });
  assert.equal(run.exitCode, 0, `${remedy}\n${run.stdout}${run.stderr}`);
  return run.stdout;
}

/** A subcommand in a process of its own, its output in a pipe. */
export async function runMain(
  command: string,
  args: string[],
  environment: Record<string, string>,
  cwd = ROOT,
) {
  const child = spawn(
    process.execPath,
    ["-r", require.resolve("tsx/cjs"), path.join(ROOT, "cli", "main.ts"), command, ...args],
    { env: { PATH: process.env.PATH, LANG: "C.UTF-8", ...environment }, cwd },
  );
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [exitCode] = (await once(child, "close")) as [number];
  return { exitCode, stdout, stderr };
}
