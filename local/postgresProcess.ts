import { execFile, spawn } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { open, readFile, readlink, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { PostgresBinaries } from "./postgresBinaries";
import type { Cluster } from "./postgresCluster";
import { PostgresStartError } from "./postgresErrors";
import { commandAs, type ServerUser } from "./postgresUser";

/** A server process, started here or found. */
export interface ServerProcess {
  pid: number;
  port: number;
  /** Settles when the process has ended, whoever ended it. Never rejects. */
  ended: Promise<void>;
  hasEnded(): boolean;
  /** The last lines this server wrote to its log. */
  logTail(): Promise<string>;
}

/** The files by which a server is recognised; the data directory with its links resolved. */
export type ClusterFiles = Pick<Cluster, "dataDirectory" | "logFile">;

const logLimitBytes = 10_000_000;
const logTailLines = 12;
const pollMilliseconds = 20;

/**
 * Starts the server program on a port of 127.0.0.1. Returns at once: the server may still be recovering, or may
 * end because another one has the folder.
 */
export async function launchServer(
  cluster: Cluster,
  binaries: PostgresBinaries,
  user: ServerUser | undefined,
  port: number,
  serverSettings: Record<string, string>,
): Promise<ServerProcess> {
  await setAsideLongLog(cluster.logFile);
  const log = await open(cluster.logFile, "a", 0o600);
  try {
    if (user) await log.chown(user.uid, user.gid);
    const logStart = (await log.stat()).size;
    const command = commandAs(user, binaries.postgres, serverArguments(cluster, port, serverSettings));
    // Detached: Ctrl-C in the terminal reaches the whole foreground group, and the server has to outlive the
    // work that is using it. It is stopped by us, last.
    const child = spawn(command.file, command.args, {
      ...command.options,
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    let over = false;
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve())).then(() => {
      over = true;
    });
    const pid = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("spawn", () => resolve(child.pid as number));
    });
    return { pid, port, ended, hasEnded: () => over, logTail: () => readLogTail(cluster.logFile, logStart) };
  } finally {
    await log.close();
  }
}

function serverArguments(cluster: Cluster, port: number, serverSettings: Record<string, string>): string[] {
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    timezone: "UTC",
    log_timezone: "UTC",
    logging_collector: "off",
    ...serverSettings,
  };
  return [
    "-D",
    cluster.dataDirectory,
    ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`]),
  ];
}

/** A port that is free on 127.0.0.1 at this moment. */
export async function findFreePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(0, "127.0.0.1", resolve);
  });
  const { port } = listener.address() as AddressInfo;
  await new Promise<void>((resolve) => listener.close(() => resolve()));
  return port;
}

/**
 * Finds a living server of this cluster by its postmaster.pid. A file left by a crash whose process id now
 * belongs to something else (usual in containers, where ids repeat) is removed: PostgreSQL would refuse to start.
 */
export async function findServer(cluster: ClusterFiles): Promise<ServerProcess | undefined> {
  const pidFile = path.join(cluster.dataDirectory, "postmaster.pid");
  const content = await readPidFile(pidFile);
  if (content === undefined) return undefined;
  const lines = content.split("\n");
  const pid = Number(lines[0]);
  if (await isServerOf(cluster, pid)) {
    // The port is in the fourth line, which a server that is just starting has not written yet.
    const port = Number(lines[3]);
    return port > 0 ? observe(cluster, pid, port) : delay(pollMilliseconds).then(() => findServer(cluster));
  }
  if ((await readPidFile(pidFile)) === content) await rm(pidFile, { force: true });
  return undefined;
}

function observe(cluster: ClusterFiles, pid: number, port: number): ServerProcess {
  let over = false;
  const watch = async (): Promise<void> => {
    while (await isServerOf(cluster, pid)) await delay(pollMilliseconds * 5, undefined, { ref: false });
    over = true;
  };
  return { pid, port, ended: watch(), hasEnded: () => over, logTail: () => readLogTail(cluster.logFile, 0) };
}

async function readPidFile(pidFile: string): Promise<string | undefined> {
  return readFile(pidFile, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
}

/** Whether that process lives and is a server working in this cluster's data directory. */
async function isServerOf(cluster: ClusterFiles, pid: number): Promise<boolean> {
  if (!Number.isInteger(pid) || pid <= 1) return false;
  if (process.platform !== "linux") return (await commandLineByPs(pid)).includes(cluster.dataDirectory);
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The state follows the program's name in parentheses. A zombie (Z) has ended; in a container nobody may ever
  // collect it.
  if (status === undefined || /^[ZX]/.test(status.slice(status.lastIndexOf(")") + 2))) return false;
  const workingDirectory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  if (workingDirectory !== undefined) return workingDirectory === cluster.dataDirectory;
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return commandLine.split("\0").includes(cluster.dataDirectory);
}

async function commandLineByPs(pid: number): Promise<string> {
  const printed = await promisify(execFile)("ps", ["-ww", "-o", "command=", "-p", String(pid)]).catch(
    () => undefined,
  );
  return printed?.stdout ?? "";
}

/** Why a server ended before it answered, as far as starting again may help. */
export type EarlyEnd = "port taken" | "folder in use" | "failed";

/** Reads from its log why a server ended early. Its messages are never translated: it runs with LC_ALL=C. */
export function classifyEarlyEnd(logTail: string): EarlyEnd {
  if (/could not bind|Address already in use/.test(logTail)) return "port taken";
  if (/lock file "postmaster.pid" already exists|pre-existing shared memory block/.test(logTail)) {
    return "folder in use";
  }
  return "failed";
}

/** The error of a server that did not come up, with the end of its log. */
export function startFailure(summary: string, cluster: Cluster, logTail: string): PostgresStartError {
  const tail = logTail.trim() === "" ? "(it wrote nothing)" : logTail;
  return new PostgresStartError(`${summary} Last lines of ${cluster.logFile}:\n${tail}`);
}

/**
 * Ends a server and waits until it is gone. `fast` rolls back what is open and writes a checkpoint; `immediate` is
 * a crash. A fast shutdown that does not end in time is followed by an immediate one.
 */
export async function endServer(server: ServerProcess, mode: "fast" | "immediate"): Promise<void> {
  const steps: { signal: NodeJS.Signals; patienceSeconds: number }[] = [
    { signal: "SIGINT", patienceSeconds: 60 },
    { signal: "SIGQUIT", patienceSeconds: 10 },
    { signal: "SIGKILL", patienceSeconds: 10 },
  ];
  for (const { signal, patienceSeconds } of mode === "fast" ? steps : steps.slice(1)) {
    if (server.hasEnded() || !sendSignal(server.pid, signal)) return server.ended;
    const patience = new AbortController();
    const inTime = await Promise.race([
      server.ended.then(() => true),
      delay(patienceSeconds * 1000, false, { signal: patience.signal }).catch(() => false),
    ]);
    patience.abort();
    if (inTime) return;
  }
  throw new Error(`The PostgreSQL server (process ${server.pid}) could not be ended.`);
}

function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

async function setAsideLongLog(logFile: string): Promise<void> {
  const found = await stat(logFile).catch(() => undefined);
  if (found && found.size > logLimitBytes) await rename(logFile, `${logFile}.old`);
}

async function readLogTail(logFile: string, fromByte: number): Promise<string> {
  const log = await readFile(logFile).catch(() => Buffer.alloc(0));
  return log.subarray(fromByte).toString("utf8").trimEnd().split("\n").slice(-logTailLines).join("\n");
}
