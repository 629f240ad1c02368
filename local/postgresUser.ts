import { execFile, type SpawnOptions } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { PostgresStartError } from "./postgresErrors";

/**
 * The system user the server runs as. PostgreSQL refuses to run as root, so a start by root hands the server
 * (and nothing else) to another user.
 */
export interface ServerUser {
  uid: number;
  gid: number;
  /**
   * True when a folder on the way (a clone under /root, mode 700) is closed to that user. The server then keeps
   * one capability of root's, CAP_DAC_OVERRIDE, with which it can still reach its files.
   */
  crossesClosedFolders: boolean;
}

/** A program with the arguments and options that make it run as the server's user. */
export interface ServerCommand {
  file: string;
  args: string[];
  options: SpawnOptions;
}

const runFile = promisify(execFile);

/**
 * Decides who runs the server: for an ordinary user that user (undefined); for root the owner of an existing
 * data folder, else the owner of the folder it will be in, else `nobody`.
 *
 * @param dataDirectory the folder of the local server; need not exist yet.
 * @param program a program of the installed PostgreSQL, which that user must be able to run.
 * @throws PostgresStartError when root's files are out of that user's reach and setpriv cannot help.
 */
export async function chooseServerUser(
  dataDirectory: string,
  program: string,
): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const owner = await ownerOfNearestFolder(dataDirectory);
  const user = (await isKnownUser(owner.uid)) ? owner : await nobody();
  const reachable =
    (await isReachable(path.dirname(dataDirectory), user)) && (await isReachable(program, user));
  if (!reachable) await requireSetpriv(user, dataDirectory);
  return { ...user, crossesClosedFolders: !reachable };
}

/** How to run one of PostgreSQL's programs as that user. */
export function commandAs(user: ServerUser | undefined, file: string, args: string[]): ServerCommand {
  // The working directory of the caller may be closed to the user; the root folder never is.
  const options: SpawnOptions = { cwd: "/", env: serverEnvironment() };
  if (user === undefined) return { file, args, options };
  if (user.crossesClosedFolders) {
    return { file: "setpriv", args: [...setprivArguments(user), file, ...args], options };
  }
  return { file, args, options: { ...options, uid: user.uid, gid: user.gid } };
}

/** Nothing of the caller's environment but the search path: no PG* setting and no secret reaches the server. */
function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C" };
}

function setprivArguments(user: { uid: number; gid: number }): string[] {
  return [
    `--reuid=${user.uid}`,
    `--regid=${user.gid}`,
    "--clear-groups",
    "--no-new-privs",
    // initdb asks access(2) whether it may run the server program. The kernel answers that call without the
    // capabilities of a user other than root, unless this bit is set.
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
    "--",
  ];
}

async function requireSetpriv(user: { uid: number; gid: number }, dataDirectory: string): Promise<void> {
  try {
    await runFile("setpriv", [...setprivArguments(user), "true"]);
  } catch (error) {
    throw new PostgresStartError(
      `PostgreSQL refuses to run as root, and user ${user.uid} cannot reach ${dataDirectory} because a folder on ` +
        `the way is closed to it. setpriv, which would let it through, ` +
        `${isMissing(error) ? "is not installed" : `fails here: ${(error as Error).message.trim()}`}. ` +
        `Install it (package util-linux), move the clone to a folder that every user may enter, ` +
        `or run this as an ordinary user.`,
      { cause: error },
    );
  }
}

async function ownerOfNearestFolder(folder: string): Promise<{ uid: number; gid: number }> {
  const found = await stat(folder).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
  return found ?? ownerOfNearestFolder(path.dirname(folder));
}

/** initdb looks its user up by id, so one that /etc/passwd does not know (a mounted clone) cannot be used. */
async function isKnownUser(uid: number): Promise<boolean> {
  return uid !== 0 && (await readUsers()).some((user) => user.uid === uid);
}

async function nobody(): Promise<{ uid: number; gid: number }> {
  const found = (await readUsers()).find((user) => user.name === "nobody");
  if (!found) {
    throw new PostgresStartError(
      "PostgreSQL refuses to run as root, and there is no user `nobody` to run it as. Run this as an ordinary user.",
    );
  }
  return { uid: found.uid, gid: found.gid };
}

async function readUsers(): Promise<{ name: string; uid: number; gid: number }[]> {
  const lines = (await readFile("/etc/passwd", "utf8")).split("\n");
  return lines.map((line) => {
    const [name = "", , uid, gid] = line.split(":");
    return { name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
  });
}

/** Whether the user may enter every folder down to the file and the file itself, by their mode bits. */
async function isReachable(file: string, user: { uid: number; gid: number }): Promise<boolean> {
  const found = await stat(file).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
  if (found) {
    const bit = found.uid === user.uid ? 0o100 : found.gid === user.gid ? 0o010 : 0o001;
    if ((found.mode & bit) === 0) return false;
  }
  const parent = path.dirname(file);
  return parent === file || isReachable(parent, user);
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
