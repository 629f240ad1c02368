import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client } from "pg";
import { connectorFor } from "../../handler/connect";
import { Budget } from "../../handler/budget";
import { previewRun } from "../../handler/preview";
import type { DatabaseSettings } from "../../handler/settings";
import { startPostgres, type LocalPostgres } from "../../local/postgres/postgres";
import { runMain } from "../doctor/examined";
import { onlyFailure, onlyRefreshed, runViews, until, viewNamed } from "./harness";

/** A server of the describe's own, for what may not be done to the one that all tests share. */
function useOwnServer() {
  let directory: string;
  let server: LocalPostgres;
  const start = async (): Promise<void> => {
    server = await startPostgres({ dataDirectory: directory, serverSettings: { fsync: "off" } });
  };
  const connect = async (): Promise<Client> => {
    const { host, port, user, password } = server;
    const client = new Client({ host, port, user, password, database: "postgres", ssl: false });
    client.on("error", () => undefined);
    await client.connect();
    return client;
  };
  before(async function () {
    this.timeout(60_000);
    directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-standby-"));
    await start();
    const client = await connect();
    await client.query("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id; CREATE UNIQUE INDEX ON v (id)");
    await client.end();
  });
  after(async function () {
    this.timeout(60_000);
    await server.stop();
    await rm(directory, { recursive: true });
  });
  return {
    connect,
    /** Stops the server and starts it again as a standby: it replays, and takes no writes. */
    async becomeStandby(): Promise<void> {
      await server.stop();
      await writeFile(path.join(directory, "cluster", "standby.signal"), "");
      await start();
    },
    server: () => server,
    databaseSettings(): DatabaseSettings {
      const { host, port, user, passwordFile } = server;
      return {
        host,
        port: String(port),
        name: "postgres",
        user,
        auth: "password",
        passwordFile,
        tls: "disable",
      };
    },
  };
}

describe("a standby", () => {
  const own = useOwnServer();
  const view = viewNamed("v");
  before(async function () {
    this.timeout(60_000);
    await own.becomeStandby();
  });

  it("25006: is no place for a refresh, which is tried again and says which endpoint to take", async () => {
    const run = await runViews(own, [view], { timeoutMs: 4_500 });
    const failure = onlyFailure(run);
    assert.deepEqual([failure.code, failure.kind], ["25006", "transient"]);
    assert.match(failure.problem, /standby or a reader endpoint/);
    assert.match(failure.remedy, /writer endpoint/);
    // A connection each, since the name behind an endpoint is looked up anew only with a new one.
    const connects = run.lines.filter((line) => line.endsWith("Connecting to database...")).length;
    const retries = run.lines.filter((line) => line.includes("trying again")).length;
    assert.ok(retries > 0 && connects === retries + 1, run.lines.join("\n"));
  });

  it("25006: is told by a preview too", async () => {
    const [preview] = await previewRun(connectorFor(own.databaseSettings()), [view], new Budget(10_000));
    assert.ok(preview?.outcome === "failed");
    assert.deepEqual([preview.failure.code, preview.failure.view], ["25006", "public.v"]);
  });

  it("that is promoted meanwhile takes the refresh", async () => {
    const client = await own.connect();
    const run = await runViews(own, [view], {
      onLine: (line) => {
        if (line.includes("25006")) void client.query("SELECT pg_promote(false)").catch(() => undefined);
      },
    });
    await client.end();
    onlyRefreshed(run);
  }).timeout(30_000);
});

describe("a server that shuts down once its clients have left", () => {
  const own = useOwnServer();

  it("57P03: takes nobody in, and the run gets through when it is back", async () => {
    const client = await own.connect();
    process.kill(own.server().pid, "SIGTERM");
    let restarted: Promise<void> | undefined;
    const run = await runViews(own, [viewNamed("v")], {
      onLine: (line) => {
        if (line.includes("57P03")) restarted ??= client.end().then(() => own.server().restart());
      },
    });
    await restarted;
    onlyRefreshed(run);
    const retry = run.lines.find((line) => line.includes("trying again")) ?? "";
    assert.match(retry, /SQLSTATE 57P03\)\. To fix it: SELECT pg_postmaster_start_time\(\);/);
  }).timeout(30_000);
});

describe("a server whose COMMIT waits for a standby that is gone", () => {
  const own = useOwnServer();

  it("55P03: is told by who holds the lock, and by the doctor, with what brings the standby back", async () => {
    const [client, committing] = [await own.connect(), await own.connect()];
    await client.query("ALTER SYSTEM SET synchronous_standby_names = 'gone'");
    await client.query("SELECT pg_reload_conf()");
    await until(committing, "SELECT current_setting('synchronous_standby_names') = 'gone'");
    const refreshed = committing.query("REFRESH MATERIALIZED VIEW v");
    await until(client, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')");

    const failure = onlyFailure(await runViews(own, [viewNamed("v")], { timeoutMs: 4_500 }));
    assert.equal(failure.code, "55P03");
    assert.match(failure.problem, /held by pid \d+ \(\S+, waiting for a synchronous standby for \d+ s\)/);
    assert.match(failure.remedy, /bring back a standby/);

    const { host, port, user, password } = own.server();
    const environment = { DATABASE_URL: `postgres://${user}:${password}@${host}:${port}/postgres` };
    const run = await runMain("doctor", ["--json"], environment);
    const { findings } = JSON.parse(run.stdout) as { findings: { name: string; remedy: string }[] };
    assert.equal(run.exitCode, 1, run.stdout);
    assert.equal(findings[0]?.name, "synchronous-standby", run.stdout);
    assert.equal(findings[0]?.remedy, failure.remedy);

    await client.query("ALTER SYSTEM RESET synchronous_standby_names");
    await client.query("SELECT pg_reload_conf()");
    await refreshed;
    onlyRefreshed(await runViews(own, [viewNamed("v")]));
    await Promise.all([client.end(), committing.end()]);
  }).timeout(60_000);
});
