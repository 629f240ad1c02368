import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ClientConfig } from "pg";
import { prepareBinaries, type MajorVersion, type PostgresBinaries } from "./postgresBinaries";
import { prepareCluster, superuser, type Cluster } from "./postgresCluster";
import { AlreadyRunningError, PostgresStartError } from "./postgresErrors";
import { Ownership } from "./postgresOwnership";
import {
  classifyEarlyEnd,
  endServer,
  findFreePort,
  findServer,
  launchServer,
  startFailure,
  type ServerProcess,
} from "./postgresProcess";
import { chooseServerUser, type ServerUser } from "./postgresUser";

export { AlreadyRunningError, PostgresStartError };
export type { MajorVersion };

/** What a local server is started with. */
export interface StartOptions {
  /**
   * Folder of the server: `cluster/` (PGDATA), `password` and `server.log`. Created when missing, kept when the
   * server stops. The folder is the server's own: its mode becomes 700 and, under root, its owner the user that
   * runs the server.
   */
  dataDirectory: string;
  /** 18 unless given. */
  majorVersion?: MajorVersion;
  /** Server settings beside ours, as `postgres -c` takes them. */
  serverSettings?: Record<string, string>;
  /** Told, in a sentence, what is being done when it is worth a user's notice. */
  onProgress?: (message: string) => void;
}

/** A running PostgreSQL server on this machine. */
export interface LocalPostgres {
  readonly host: "127.0.0.1";
  readonly port: number;
  /** The superuser. */
  readonly user: string;
  readonly password: string;
  /** File with the password alone, mode 0600. */
  readonly passwordFile: string;
  readonly majorVersion: MajorVersion;
  /** Process id of the server. Another one after {@link restart}. */
  readonly pid: number;
  /** File the server logs to. */
  readonly logFile: string;
  /** Fast shutdown; settles when the process is gone. May be called again, and after the server has died. */
  stop(): Promise<void>;
  /** Ends the server as a crash would (immediate shutdown); settles when the process is gone. */
  kill(): Promise<void>;
  /**
   * Stops the server if it runs, then starts it on the same port.
   * @throws PostgresStartError also when another program has taken the port meanwhile; may be called again then
   */
  restart(): Promise<void>;
}

const startSeconds = 60;
/** A port that a restart has to have and that is taken for longer is another program's. */
const portPatienceSeconds = 1;
const connectSeconds = 5;
const retryMilliseconds = 20;

/**
 * Starts PostgreSQL from the installed npm packages: on 127.0.0.1 only, with a random password, as an ordinary
 * user even when called by root. A server that an earlier run left behind on the same folder is taken over, with
 * the settings it was started with.
 *
 * @throws AlreadyRunningError when another living process runs a server on this folder.
 * @throws PostgresStartError when the server cannot be started; the message holds the end of its log.
 */
export async function startPostgres(options: StartOptions): Promise<LocalPostgres> {
  refuseWindows();
  const onProgress = options.onProgress ?? (() => undefined);
  const directory = path.resolve(options.dataDirectory);
  const binaries = await prepareBinaries(options.majorVersion ?? 18);
  if (binaries.mended.length > 0) {
    onProgress(`Mended the PostgreSQL ${binaries.majorVersion} programs: ${binaries.mended.join(", ")}`);
  }
  const user = await chooseServerUser(directory, binaries.postgres);
  const serverSettings = options.serverSettings ?? {};
  const sync = serverSettings.fsync !== "off";
  const cluster = await prepareCluster(directory, binaries, user, { sync, onProgress });
  const place: Place = { cluster, binaries, user, serverSettings, onProgress };
  return new OwnedServer(place, await startOrAdopt(place));
}

/** Everything about a server that stays the same when it restarts. */
interface Place {
  cluster: Cluster;
  binaries: PostgresBinaries;
  user: ServerUser | undefined;
  serverSettings: Record<string, string>;
  onProgress: (message: string) => void;
}

/** A server together with our hold on it. */
interface Owned {
  server: ServerProcess;
  ownership: Ownership;
}

class OwnedServer implements LocalPostgres {
  readonly host = "127.0.0.1";
  readonly user = superuser;
  readonly password: string;
  readonly passwordFile: string;
  readonly majorVersion: MajorVersion;
  readonly logFile: string;

  constructor(
    private readonly place: Place,
    private owned: Owned,
  ) {
    this.password = place.cluster.password;
    this.passwordFile = place.cluster.passwordFile;
    this.majorVersion = place.binaries.majorVersion;
    this.logFile = place.cluster.logFile;
  }

  get port(): number {
    return this.owned.server.port;
  }

  get pid(): number {
    return this.owned.server.pid;
  }

  async stop(): Promise<void> {
    await this.owned.ownership.release();
    await endServer(this.owned.server, "fast");
  }

  async kill(): Promise<void> {
    await this.owned.ownership.release();
    await endServer(this.owned.server, "immediate");
  }

  async restart(): Promise<void> {
    await this.stop();
    this.owned = await startOrAdopt(this.place, this.port);
  }
}

/**
 * Several starts may do this at once. PostgreSQL's own lock file lets one server live, the owner lock lets one
 * start have it, and the others find it taken.
 */
async function startOrAdopt(place: Place, wantedPort?: number): Promise<Owned> {
  const { cluster, binaries, user, serverSettings, onProgress } = place;
  const startEpochMs = Date.now();
  const deadline = startEpochMs + startSeconds * 1000;
  for (;;) {
    const found = await findServer(cluster);
    const server =
      found ??
      (await launchServer(cluster, binaries, user, wantedPort ?? (await findFreePort()), serverSettings));
    const ownership = await ownWhenReady(cluster, server, deadline);
    if (ownership) {
      if (found) onProgress(`Took over the PostgreSQL server of an earlier run (process ${found.pid})`);
      return { server, ownership };
    }
    const logTail = await server.logTail();
    const reason = classifyEarlyEnd(logTail);
    if (reason === "failed" && !found) throw startFailure("PostgreSQL did not start.", cluster, logTail);
    const waitedSeconds = (Date.now() - startEpochMs) / 1000;
    if (reason === "port taken" && wantedPort !== undefined && waitedSeconds > portPatienceSeconds) {
      throw new PostgresStartError(`Its port ${wantedPort} is taken by another program.`);
    }
    if (Date.now() > deadline) {
      throw startFailure(`PostgreSQL did not start within ${startSeconds} s.`, cluster, logTail);
    }
    // The port or the folder was taken when we came, or the server found was on its way out: look again.
    await delay(retryMilliseconds);
  }
}

/** Connects until the server answers, and takes it; undefined when it ended before that. */
async function ownWhenReady(
  cluster: Cluster,
  server: ServerProcess,
  deadline: number,
): Promise<Ownership | undefined> {
  for (;;) {
    if (server.hasEnded()) return undefined;
    const answer = await Ownership.take(connectionTo(cluster, server), () => server.hasEnded()).catch(
      (error: unknown) => error as Error,
    );
    if (answer instanceof Ownership) return answer;
    if (answer === undefined) throw new AlreadyRunningError(server.pid, server.port, cluster.directory);
    if (isRefusedForGood(answer)) {
      throw startFailure(
        `PostgreSQL refuses our connection: ${answer.message}.`,
        cluster,
        await server.logTail(),
      );
    }
    if (Date.now() > deadline) {
      await endServer(server, "fast");
      throw startFailure(
        `PostgreSQL did not answer within ${startSeconds} s.`,
        cluster,
        await server.logTail(),
      );
    }
    await Promise.race([server.ended, delay(retryMilliseconds)]);
  }
}

function connectionTo(cluster: Cluster, server: ServerProcess): ClientConfig {
  return {
    host: "127.0.0.1",
    port: server.port,
    user: superuser,
    password: cluster.password,
    database: "postgres",
    ssl: false,
    connectionTimeoutMillis: connectSeconds * 1000,
  };
}

/** Class 28: wrong password or no such user. Anything else passes while a server starts or stops. */
function isRefusedForGood(error: Error): boolean {
  return "code" in error && typeof error.code === "string" && error.code.startsWith("28");
}

function refuseWindows(): void {
  if (process.platform === "win32") {
    throw new PostgresStartError(
      "The local PostgreSQL runs on Linux and macOS. On Windows, run this inside WSL.",
    );
  }
}
