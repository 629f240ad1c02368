/** The soak's servers: a primary, and a synchronous standby that can take its place. */
import { appendFile, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { escapeIdentifier, escapeLiteral } from "pg";
import { withClient } from "../../local/postgres/database";
import { startPostgres, type LocalPostgres } from "../../local/postgres/postgres";
import { isRunning, PostgresStartError } from "../../local/postgres/serverFolder";
import type { Cluster } from "./bed";
import { startStandby, STANDBY_NAME } from "./standby";
import { SteppedClock } from "./steppedClock";

const SOAK_DATABASE = "soak";

/** What a server is started with. No fault may want another value of these: the command line has the last word. */
const STARTED_WITH = {
  // Here processes die, never the machine.
  fsync: "off",
  shared_buffers: "16MB",
  max_connections: "40",
  // For writers, judges and faults, which are to get in when the function cannot.
  superuser_reserved_connections: "12",
  max_prepared_transactions: "4",
  wal_level: "replica",
  max_wal_senders: "4",
  // The plan's time goes by so much faster than the server's.
  autovacuum_naptime: "10s",
};

/** What {@link Cluster.setting} goes back to. */
const CONFIGURED = `
synchronous_commit = on
synchronous_standby_names = '${STANDBY_NAME}'
wal_retrieve_retry_interval = 100ms
wal_receiver_status_interval = 1s
min_wal_size = 32MB
max_wal_size = 64MB
allow_in_place_tablespaces = on
`;

/** Of the soak's own connections, so that a fault by a server's setting reaches the function and nobody else. */
const SPARED = "-c default_transaction_read_only=off -c temp_file_limit=-1";

const LONGEST_START_MS = 20_000;

export interface RunningCluster extends Cluster {
  /** Of the server that takes writes now. */
  port(): number;
  stop(): Promise<void>;
}

/** Starts both servers with an empty database; resolves when a COMMIT reaches the standby. */
export async function startCluster(folder: string): Promise<RunningCluster> {
  await mkdir(folder, { recursive: true });
  const servers = new Servers(folder, await SteppedClock.create(folder));
  try {
    await servers.start();
    return servers;
  } catch (error) {
    await servers.stop();
    throw error;
  }
}

interface Server {
  folder: string;
  postgres: LocalPostgres;
}

class Servers implements RunningCluster {
  readonly stepClock?: (aheadSeconds: number) => Promise<void>;
  private primary: Server | undefined;
  private standby: Server | undefined;
  private foldersMade = 0;
  /** As faults have them now: the server that takes over gets them too. */
  private readonly settings = new Map<string, string>();

  constructor(
    private readonly folder: string,
    private readonly clock: SteppedClock | undefined,
  ) {
    if (clock !== undefined) this.stepClock = (aheadSeconds) => clock.step(aheadSeconds);
  }

  async start(): Promise<void> {
    const options = this.startOptions();
    this.primary = { folder: options.dataDirectory, postgres: await startPostgres(options) };
    await withClient({ ...this.connection(), database: "postgres" }, (client) =>
      client.query(`CREATE DATABASE ${escapeIdentifier(SOAK_DATABASE)}`),
    );
    await appendFile(path.join(this.primary.folder, "cluster", "postgresql.conf"), CONFIGURED);
    // Before the standby comes: a process that serves one learns late that it is the synchronous one.
    await this.reload();
    await this.makeStandby();
  }

  connection() {
    const { host, port, user, password } = this.takesWrites.postgres;
    return { host, port, user, password, database: SOAK_DATABASE, ssl: false, options: SPARED };
  }

  port(): number {
    return this.takesWrites.postgres.port;
  }

  standbyPort(): number {
    if (this.standby === undefined) throw new Error("there is no standby");
    return this.standby.postgres.port;
  }

  async execute(sql: string): Promise<void> {
    await withClient(this.connection(), (client) => client.query(sql));
  }

  async stopPrimary(how: "kill" | "immediate" | "fast"): Promise<void> {
    const { postgres } = this.takesWrites;
    if (how === "immediate") return postgres.kill();
    if (!(await isRunning(postgres.pid))) return;
    process.kill(postgres.pid, how === "kill" ? "SIGKILL" : "SIGINT");
    // Backends outlive a postmaster that was killed until they look up: the next start waits for those.
    if (how === "fast") await postgres.ended;
    else while (await isRunning(postgres.pid)) await pause(5);
  }

  async startPrimary(): Promise<void> {
    const { postgres } = this.takesWrites;
    if (await isRunning(postgres.pid)) return;
    await startAgain(postgres);
  }

  async failOver(): Promise<void> {
    const { primary: old, standby } = this;
    if (old === undefined || standby === undefined) throw new Error("there is no standby to fail over to");
    await old.postgres.kill();
    const { host, port, user, password } = standby.postgres;
    await withClient({ host, port, user, password, database: "postgres", ssl: false }, (client) =>
      client.query("SELECT pg_promote()"),
    );
    this.primary = standby;
    this.standby = undefined;
    for (const [name, value] of this.settings) await this.write(name, value);
    await rm(old.folder, { recursive: true });
    await this.makeStandby();
  }

  async loseStandby(): Promise<void> {
    await this.standby?.postgres.kill();
  }

  async bringStandbyBack(): Promise<void> {
    if (this.standby !== undefined && !(await isRunning(this.standby.postgres.pid)))
      await startAgain(this.standby.postgres);
    await this.standbyHasCommits();
  }

  async setting(name: string, value: string | undefined): Promise<void> {
    if (value === undefined) this.settings.delete(name);
    else this.settings.set(name, value);
    await this.write(name, value);
  }

  async stop(): Promise<void> {
    // A primary that shuts down in peace waits until its standby has everything, unless there is none.
    await this.standby?.postgres.kill();
    await this.standby?.postgres.stop();
    await this.primary?.postgres.stop();
  }

  private get takesWrites(): Server {
    if (this.primary === undefined) throw new Error("the cluster has not been started");
    return this.primary;
  }

  private startOptions() {
    this.foldersMade += 1;
    return {
      dataDirectory: path.join(this.folder, `server-${this.foldersMade}`),
      serverSettings: STARTED_WITH,
      environment: this.clock?.environment ?? {},
    };
  }

  private async makeStandby(): Promise<void> {
    const options = this.startOptions();
    const postgres = await startStandby(this.connection(), this.takesWrites.folder, options);
    this.standby = { folder: options.dataDirectory, postgres };
    await this.standbyHasCommits();
  }

  /** Resolves when the standby is the one that COMMIT waits for, and has sent a COMMIT back. */
  private async standbyHasCommits(): Promise<void> {
    await withClient(this.connection(), async (client) => {
      const serves = "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'";
      while ((await client.query(serves)).rowCount === 0) await pause(5);
      await client.query("SELECT pg_logical_emit_message(true, 'soak', '')");
    });
  }

  private async write(name: string, value: string | undefined): Promise<void> {
    const setting = escapeIdentifier(name);
    await this.execute(
      value === undefined
        ? `ALTER SYSTEM RESET ${setting}`
        : `ALTER SYSTEM SET ${setting} = ${escapeLiteral(value)}`,
    );
    await this.reload();
  }

  /** Resolves when new sessions have what the files say. */
  private async reload(): Promise<void> {
    const loaded = `SELECT pg_conf_load_time()::text AS time`;
    const ask = async (sql: string): Promise<string | undefined> =>
      withClient(
        this.connection(),
        async (client) => (await client.query<{ time: string }>(sql)).rows[0]?.time,
      );
    const before = await ask(`${loaded}, pg_reload_conf()`);
    // A new session each time, since it has what the postmaster has.
    while ((await ask(loaded)) === before) await pause(5);
  }
}

/** After a crash its processes may live on for a little, and keep the shared memory and with it the folder. */
async function startAgain(postgres: LocalPostgres): Promise<void> {
  const giveUpAtMs = performance.now() + LONGEST_START_MS;
  for (;;) {
    try {
      return await postgres.start(postgres.port);
    } catch (error) {
      if (!(error instanceof PostgresStartError) || performance.now() > giveUpAtMs) throw error;
      await pause(50);
    }
  }
}
