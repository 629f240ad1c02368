import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmod,
  chown,
  link,
  mkdir,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { isAlive } from "./livingProcess";
import type { MajorVersion, PostgresBinaries } from "./postgresBinaries";
import { PostgresStartError } from "./postgresErrors";
import { commandAs, type ServerUser } from "./postgresUser";

/** The superuser initdb creates. */
export const superuser = "postgres";

/** A folder with an initialised database cluster in it. */
export interface Cluster {
  /** The folder as a whole: cluster, password and server log. */
  directory: string;
  /** PGDATA. */
  dataDirectory: string;
  /** The superuser's password alone, mode 0600. */
  passwordFile: string;
  password: string;
  logFile: string;
}

/**
 * Makes sure that the folder holds a cluster of the binaries' major version. Safe when two do it at once: both
 * use one password, and the first complete cluster is kept.
 *
 * @throws PostgresStartError when the folder is another version's or another user's, or initdb fails.
 */
export async function prepareCluster(
  directory: string,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  options: { sync: boolean; onProgress: (message: string) => void },
): Promise<Cluster> {
  await createDirectory(directory, user);
  // The server reports the folder it works in with links resolved, and is recognised by it.
  const resolved = await realpath(directory);
  const cluster = {
    directory: resolved,
    dataDirectory: path.join(resolved, "cluster"),
    passwordFile: path.join(resolved, "password"),
    logFile: path.join(resolved, "server.log"),
  };
  await removeAbandonedParts(resolved);
  let found = await readClusterVersion(cluster.dataDirectory);
  const password = await keepPassword(cluster.passwordFile, user, found !== undefined);
  if (found === undefined) {
    options.onProgress(`Creating the database folder ${directory}`);
    await initialise(cluster, binaries, user, options.sync);
    found = String(binaries.majorVersion);
  }
  refuseOtherVersion(found, binaries.majorVersion, directory);
  return { ...cluster, password };
}

async function createDirectory(directory: string, user: ServerUser | undefined): Promise<void> {
  const firstCreated = await mkdir(directory, { recursive: true });
  if (user) {
    for (let created = directory; ; created = path.dirname(created)) {
      await chown(created, user.uid, user.gid);
      if (firstCreated === undefined || created === firstCreated || created === path.dirname(created)) break;
    }
  }
  await chmod(directory, 0o700).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EPERM") throw error;
    throw new PostgresStartError(
      `${directory} belongs to another user, and PostgreSQL serves only its own user's folders. ` +
        `Remove it as that user, or use another folder.`,
      { cause: error },
    );
  });
}

async function readClusterVersion(dataDirectory: string): Promise<string | undefined> {
  const version = await readFile(path.join(dataDirectory, "PG_VERSION"), "utf8").catch(ignoreMissing);
  return version?.trim();
}

function refuseOtherVersion(found: string, wanted: MajorVersion, directory: string): void {
  if (found === String(wanted)) return;
  throw new PostgresStartError(
    `The data in ${directory} was written by PostgreSQL ${found}; this is PostgreSQL ${wanted}, which cannot ` +
      `read it. To start with an empty database, remove it: rm -rf '${directory}'`,
  );
}

/** Reads the password, or creates it once: several starts at the same time all end with the same one. */
async function keepPassword(
  passwordFile: string,
  user: ServerUser | undefined,
  clusterExists: boolean,
): Promise<string> {
  const kept = await readFile(passwordFile, "utf8").catch(ignoreMissing);
  if (kept !== undefined) return kept.trim();
  if (clusterExists) {
    throw new PostgresStartError(
      `${passwordFile} is gone, and with it the way into the database beside it. ` +
        `To start with an empty database, remove the folder: rm -rf '${path.dirname(passwordFile)}'`,
    );
  }
  const part = abandonablePath(path.dirname(passwordFile), "password");
  await writeFile(part, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600 });
  if (user) await chown(part, user.uid, user.gid);
  await link(part, passwordFile).catch(ignoreExisting);
  await rm(part, { force: true });
  return (await readFile(passwordFile, "utf8")).trim();
}

async function initialise(
  cluster: { directory: string; dataDirectory: string; passwordFile: string },
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  sync: boolean,
): Promise<void> {
  // A start that is killed half-way must not leave something that looks like a cluster: it gets its name last.
  const part = abandonablePath(cluster.directory, "cluster");
  const output = await runInitdb(commandAs(user, binaries.initdb, initdbArguments(part, cluster, sync)));
  if (output !== undefined) {
    await rm(part, { recursive: true, force: true });
    throw new PostgresStartError(`initdb could not create ${cluster.dataDirectory}:\n${output}`);
  }
  await rename(part, cluster.dataDirectory).catch(async (error: NodeJS.ErrnoException) => {
    await rm(part, { recursive: true, force: true });
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
  });
}

function initdbArguments(dataDirectory: string, cluster: { passwordFile: string }, sync: boolean): string[] {
  return [
    `--pgdata=${dataDirectory}`,
    `--username=${superuser}`,
    `--pwfile=${cluster.passwordFile}`,
    "--auth=scram-sha-256",
    "--locale=C",
    "--encoding=UTF8",
    "--no-instructions",
    ...(sync ? [] : ["--no-sync"]),
  ];
}

/** Runs initdb; returns undefined when it succeeded, else what it printed. */
async function runInitdb(command: ReturnType<typeof commandAs>): Promise<string | undefined> {
  const child = spawn(command.file, command.args, { ...command.options, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout?.on("data", (data: Buffer) => (output += data.toString()));
  child.stderr?.on("data", (data: Buffer) => (output += data.toString()));
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return exitCode === 0 ? undefined : output.trim() || `it ended with ${exitCode ?? child.signalCode}`;
}

/** A name that tells whose unfinished work it is. */
function abandonablePath(directory: string, what: string): string {
  return path.join(directory, `${what}.part-${process.pid}-${randomBytes(4).toString("hex")}`);
}

/** Removes what starts that were killed have left: parts whose process is no more. */
async function removeAbandonedParts(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const pid = /^(?:cluster|password)\.part-(\d+)-[0-9a-f]{8}$/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    await rm(path.join(directory, name), { recursive: true, force: true });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}
