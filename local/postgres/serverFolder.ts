/** The folder of a local server: whether it may be used, and which server is running on it. */
import { execFile } from "node:child_process";
import { readFile, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

/** The server could not be started; the message says why and what to do next. */
export class PostgresStartError extends Error {
  override readonly name = "PostgresStartError";
}

/** A server that is running on a folder. */
interface FoundServer {
  pid: number;
  /** At 127.0.0.1. */
  port: number;
  /** Process id of the run that started it. */
  ownerPid: number;
}

/** The setting by which a server's command line names the run that started it. */
export const ownerSetting = "matview_refresh.owner_pid";

/** File that is made before all others: other programs write a `password` or a `server.log` too. */
export const markName = "made-by-matview-refresh";

const ownNames = /^(cluster|password|server\.log)(\.part-\d+(-[0-9a-f]+)?|\.old)?$/;

/**
 * Looks into the folder before anything in it is changed.
 * @returns whether a database is in it already
 * @throws PostgresStartError when it holds anybody else's files, another version's database, or a database
 * whose password is lost
 */
export async function inspectFolder(directory: string, majorVersion: number): Promise<boolean> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [] as string[];
    if (error.code !== "EACCES" && error.code !== "ENOTDIR") throw error;
    const reason = error.code === "EACCES" ? "belongs to another user" : "is not a folder";
    throw new PostgresStartError(`${directory} ${reason}. Use another folder.`, { cause: error });
  });
  const isOurs = names.length === 0 || names.includes(markName) || (await isFromBeforeTheMark(directory));
  const foreign = names.find((name) => !isOurs || (name !== markName && !ownNames.test(name)));
  if (foreign !== undefined) {
    throw new PostgresStartError(
      `${directory} holds files that are not of a local database, such as ${foreign}. ` +
        "Use a folder that is empty or does not exist; nothing was changed.",
    );
  }
  if (!names.includes("cluster")) return false;
  const remedy = `To start with an empty database, remove it: rm -rf '${directory}'`;
  const version = (await readIfThere(path.join(directory, "cluster", "PG_VERSION")))?.trim();
  if (version !== String(majorVersion)) {
    throw new PostgresStartError(
      `The data in ${directory} was written by PostgreSQL ${version}; this is PostgreSQL ${majorVersion}, ` +
        `which cannot read it. ${remedy}`,
    );
  }
  if (!names.includes("password")) {
    throw new PostgresStartError(`The password of the database in ${directory} is gone. ${remedy}`);
  }
  return true;
}

/** Earlier versions wrote no mark; their finished folders hold a cluster and its password. */
async function isFromBeforeTheMark(directory: string): Promise<boolean> {
  const files = [path.join("cluster", "PG_VERSION"), "password"].map((name) => path.join(directory, name));
  const contents = await Promise.all(files.map(readIfThere));
  return contents.every((content) => content !== undefined);
}

/**
 * Finds the living server of the folder by its lock file. A lock file left by a crash whose process id now
 * belongs to another program (usual in containers, where ids repeat) is removed: PostgreSQL would not start.
 */
export async function findServer(directory: string): Promise<FoundServer | undefined> {
  const lockFile = path.join(directory, "cluster", "postmaster.pid");
  const pid = Number((await readIfThere(lockFile))?.split("\n")[0]);
  if (!(pid > 1)) return undefined;
  const command = await commandLine(pid);
  if (command.includes(` -D ${path.join(directory, "cluster")} -p `)) {
    const port = Number(/ -p (\d+)/.exec(command)?.[1]);
    return { pid, port, ownerPid: Number(new RegExp(`${ownerSetting}=(\\d+)`).exec(command)?.[1]) };
  }
  if (command !== "") await rm(lockFile, { force: true });
  return undefined;
}

/** Whether a process is there and has not ended: one that waits to be collected has. */
export async function isRunning(pid: number): Promise<boolean> {
  return pid > 1 && (await commandLine(pid)) !== "";
}

/** Empty when there is no such process, or when it has ended and nobody has collected it. */
async function commandLine(pid: number): Promise<string> {
  // Small Linux images have no ps.
  if (process.platform === "linux") {
    return ((await readIfThere(`/proc/${pid}/cmdline`)) ?? "").replaceAll("\0", " ");
  }
  const ps = promisify(execFile)("ps", ["-ww", "-o", "command=", "-p", String(pid)]);
  return ps.then(
    ({ stdout }) => stdout.trim(),
    () => "",
  );
}

async function readIfThere(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (!["ENOENT", "ENOTDIR", "ESRCH"].includes(error.code ?? "")) throw error;
    return undefined;
  });
}
