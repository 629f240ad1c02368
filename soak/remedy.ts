/** The remedy of a failed run, and an administrator who carries it out as it stands. */
import type { Bed, Run } from "./bed/bed";
import { runCommand } from "./command";

const REMEDY_FOLLOWS = "To fix it: ";
/** Where one failure of several ends: the next begins with its view. */
const NEXT_FAILURE = / \| (?=[^|]* \((?:SQLSTATE )?\w+\)\. To fix it: )/;

/** What a message says is to be done, one for each failure that it names; none where it says nothing. */
export function remediesOf(message: string): string[] {
  return message.split(NEXT_FAILURE).flatMap((failure) => {
    const place = failure.indexOf(REMEDY_FOLLOWS);
    return place === -1 ? [] : [failure.slice(place + REMEDY_FOLLOWS.length)];
  });
}

/** What a failed run says is to be done first: what failed later may have failed for that. */
export const remedyOf = ({ invocation }: Pick<Run, "invocation">): string | undefined =>
  remediesOf(invocation.error?.errorMessage ?? "")[0];

/** A remedy without what is said beside it. */
export const commandOf = (remedy: string): string => (remedy.split(/ {2}(?:#|--)/)[0] ?? "").trim();

/** What became of a remedy, and how: the statements or the command, or why it is for nobody here. */
interface CarriedOut {
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
  const command = commandOf(remedy);
  if (!command.startsWith("npm run ")) return { done: false, how: `nothing of this machine: ${command}` };
  if (/[…<>]/.test(command)) return { done: false, how: `somebody has to fill in: ${command}` };
  await runAsSuperuser(command, bed);
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

/** As the superuser. @throws Error with what it said, where it fails */
async function runAsSuperuser(
  command: string,
  { cluster, folder }: Pick<Bed, "cluster" | "folder">,
): Promise<void> {
  const { host = "localhost", port = 5432, user = "", database = "", password = "" } = cluster.connection();
  const login = {
    host,
    port,
    user,
    database,
    password: typeof password === "function" ? await password() : password,
  };
  const { exitCode, stdout, stderr } = await runCommand(command, login, folder);
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stdout}${stderr}`);
}
