/** The remedy of a failed run, and an administrator who carries it out as it stands. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import type { ClientConfig } from "pg";
import type { Bed, Run } from "./bed/bed";

const REPOSITORY = path.join(__dirname, "..");
const LONGEST_COMMAND_MS = 120_000;

const REMEDY_FOLLOWS = "To fix it: ";
/** Where one failure of several ends: the next begins with its view. */
const NEXT_FAILURE = / \| (?=[^|]* \((?:SQLSTATE )?\w+\)\. To fix it: )/;

/** What a failed run says is to be done, one for each failure that it names; none where it said nothing. */
export function remediesOf({ invocation }: Pick<Run, "invocation">): string[] {
  const failures = (invocation.error?.errorMessage ?? "").split(NEXT_FAILURE);
  return failures.flatMap((failure) => {
    const place = failure.indexOf(REMEDY_FOLLOWS);
    return place === -1 ? [] : [failure.slice(place + REMEDY_FOLLOWS.length)];
  });
}

/** The first of them: what failed later may have failed for that. */
export function remedyOf(run: Pick<Run, "invocation">): string | undefined {
  return remediesOf(run)[0];
}

/** What became of a remedy, and how: the statements or the command, or why it is for nobody here. */
export interface CarriedOut {
  done: boolean;
  how: string;
}

/** Statements that an administrator can send as they stand. */
const SQL = /^(ALTER|ANALYZE|COMMIT|CREATE|DROP|GRANT|REFRESH|REVOKE|ROLLBACK|SELECT|SHOW|SET|UPDATE) /;

/**
 * Does what a remedy says, once, as the superuser.
 * @throws the server's error, or the command's with what it said
 */
export async function carryOut(remedy: string, bed: Pick<Bed, "cluster" | "folder">): Promise<CarriedOut> {
  if (SQL.test(remedy)) {
    const statements = statementsOf(remedy);
    const all = statements.join("; ");
    if (/…|\\g/.test(all) || statements.some(hasPlaceholder))
      return { done: false, how: `somebody has to fill in: ${all}` };
    // One by one: some of them run outside of a transaction alone.
    for (const statement of statements) await bed.cluster.execute(statement);
    return { done: true, how: all };
  }
  const command = (remedy.split(/\s+# /)[0] ?? "").trim();
  if (!command.startsWith("npm run ")) return { done: false, how: `nothing of this machine: ${command}` };
  if (/[…<>]/.test(command)) return { done: false, how: `somebody has to fill in: ${command}` };
  await runCommand(command, bed);
  return { done: true, how: command };
}

/** A word in angle brackets where a name should be: `"<user>"` quoted is one too. */
const hasPlaceholder = (statement: string): boolean => /<[a-z][^<>]*>/.test(statement);

/** Statements without their comments; a semicolon or a comment's dashes within quotes are neither. */
export function statementsOf(sql: string): string[] {
  const pieces = sql.match(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|;|[^;'"-]+|-|['"]/g) ?? [];
  const statements = [""];
  for (const piece of pieces) {
    if (piece.startsWith("--")) continue;
    if (piece === ";") statements.push("");
    else statements.push(`${statements.pop() ?? ""}${piece}`);
  }
  return statements.map((statement) => statement.trim()).filter((statement) => statement !== "");
}

/** In the repository, with the superuser's connection; his password stands in a file that lives as long as the command. */
async function runCommand(
  command: string,
  { cluster, folder }: Pick<Bed, "cluster" | "folder">,
): Promise<void> {
  const connection = cluster.connection();
  const passwordFile = path.join(folder, `pgpass-${randomUUID()}`);
  await writeFile(passwordFile, await passwordLine(connection), { mode: 0o600, flag: "wx" });
  const { host = "localhost", port = 5432, user = "", database = "" } = connection;
  try {
    await promisify(execFile)("sh", ["-c", command], {
      cwd: REPOSITORY,
      timeout: LONGEST_COMMAND_MS,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        ...{ PGHOST: host, PGPORT: String(port), PGUSER: user, PGDATABASE: database },
        PGPASSFILE: passwordFile,
      },
    });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** @see https://www.postgresql.org/docs/current/libpq-pgpass.html */
async function passwordLine({ password = "" }: ClientConfig): Promise<string> {
  const text = typeof password === "function" ? await password() : password;
  return `*:*:*:*:${text.replaceAll(/[\\:]/g, String.raw`\$&`)}\n`;
}
