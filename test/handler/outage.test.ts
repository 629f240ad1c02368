import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { bundleHandler } from "../../components/bundle";
import { LOCK_NAMESPACE } from "../../handler/blockers";
import { toEnvironment } from "../../handler/settings";
import { useDatabase } from "../database";
import { startRelay, type Relay } from "../relay";
import { Gate, onlyFailure, onlyRefreshed, runViews, until, viewNamed } from "./harness";
import { invokeBundle } from "./invocation";

const gated = viewNamed("gated");
const GATED = "CREATE MATERIALIZED VIEW gated AS SELECT gate() AS id; CREATE UNIQUE INDEX ON gated (id)";

/** The view's lock of a refresh in this database. */
const LOCKED = `
  SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
   WHERE l.locktype = 'advisory' AND l.classid = ${LOCK_NAMESPACE} AND d.datname = current_database()`;

describe("the server goes away in mid-refresh", () => {
  const database = useDatabase();

  for (const [how, stop] of [
    ["is restarted", () => database.server.restart()],
    [
      "loses another of its backends to kill -9 and restarts itself",
      async () => {
        const other = await database.connect();
        const { rows } = await other.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
        // What the server then tells everybody is 57P02, but as a warning: the run sees a lost connection.
        process.kill(rows[0]?.pid ?? 0, "SIGKILL");
      },
    ],
    ["crashes and recovers", () => database.server.kill().then(() => database.server.restart())],
  ] as const) {
    it(`${how}: the run gets through without help`, async () => {
      const client = await database.connect();
      await client.query("DROP MATERIALIZED VIEW IF EXISTS gated; DROP FUNCTION IF EXISTS gate");
      const gate = await Gate.create(database);
      await client.query(GATED);
      await gate.shut();
      const running = runViews(database, [gated]);
      await gate.reached();
      // The gate's keeper goes down with the server, so that the next try finds it open.
      await stop();
      const run = await running;
      onlyRefreshed(run);
      assert.ok(run.lines.some((line) => line.includes("trying again")));
    }).timeout(30_000);
  }
});

describe("the network in mid-refresh", () => {
  const database = useDatabase();
  let gate: Gate;
  let relay: Relay;

  before(async () => {
    gate = await Gate.create(database);
    await (await database.connect()).query(GATED);
  });
  beforeEach(async () => {
    relay = await startRelay(database.server.port);
    await gate.shut();
  });
  afterEach(async () => {
    await relay.close();
    await gate.open();
  });

  it("cuts the connection: the run connects again and waits for what was its own session", async () => {
    let opened: Promise<void> | undefined;
    const running = runViews(database, [gated], {
      database: { port: String(relay.port) },
      onLine: (line) => {
        if (line.includes("trying again")) opened ??= gate.open();
      },
    });
    await gate.reached();
    relay.cut();
    const run = await running;
    await opened;
    await gate.shut();
    onlyRefreshed(run);
    assert.ok(run.lines.some((line) => line.includes("was lost (")));
  });

  it("falls silent: the run ends by itself, with nothing left on the server", async () => {
    const running = runViews(database, [gated], { database: { port: String(relay.port) }, timeoutMs: 2_500 });
    await gate.reached();
    relay.freeze();
    const failure = onlyFailure(await running);
    // The relay closes nothing, so that this end alone can have ended it.
    assert.deepEqual([failure.code, failure.kind], ["ETIMEDOUT", "transient"]);
    await gate.left();
  });

  it("falls silent between two statements: the server ends the session, and with it its locks", async () => {
    await gate.open();
    const running = runViews(database, [gated], {
      database: { port: String(relay.port) },
      timeoutMs: 1_000,
      onLine: (line) => {
        if (line.includes("Refreshing")) relay.freeze();
      },
    });
    assert.equal(onlyFailure(await running).code, "ETIMEDOUT");
    const client = await database.connect();
    const { rows } = await client.query(LOCKED);
    assert.equal(rows.length, 1, "the function is gone, and its session has the view's lock");
    await until(client, `SELECT NOT EXISTS (${LOCKED})`);
    await gate.shut();
  });

  it("ends the connection before the login is done: the run connects again", async () => {
    await gate.open();
    let connects = 0;
    // As a server does that stops, or a proxy that gives up: no error, just the end.
    const ending = createServer((socket) => {
      connects += 1;
      socket.on("error", () => undefined);
      if (connects <= 2) socket.once("data", () => socket.end());
      else {
        const outward = connect(database.server.port, "127.0.0.1").on("error", () => undefined);
        socket.pipe(outward).pipe(socket);
      }
    });
    await new Promise<void>((resolve) => ending.listen(0, "127.0.0.1", resolve));
    const port = String((ending.address() as AddressInfo).port);
    const run = await runViews(database, [gated], { database: { port } });
    ending.close();
    await gate.shut();
    onlyRefreshed(run);
    const retries = run.lines.filter((line) => line.includes("trying again"));
    assert.ok(
      connects === 3 && retries.length === 2 && /ECONNRESET/.test(retries[0] ?? ""),
      run.lines.join("\n"),
    );
  });

  it("never lets a connect through: the run ends by itself", async () => {
    relay.freeze();
    const run = await runViews(database, [gated], {
      database: { port: String(relay.port) },
      timeoutMs: 1_000,
    });
    const failure = onlyFailure(run);
    assert.equal(failure.code, "ETIMEDOUT");
    assert.match(failure.problem, /no connection within \d+ ms$/);
  });
});

describe("a function killed in mid-refresh", () => {
  const database = useDatabase();
  let directory: string;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), "matview-refresh-bundle-"));
  });
  after(() => rm(directory, { recursive: true }));

  it("leaves no query running on the server, long before its timeout", async () => {
    const { file } = await bundleHandler("handler/index.ts", directory);
    const gate = await Gate.create(database);
    await (await database.connect()).query(GATED);
    const environment = toEnvironment({
      group: "gated",
      views: [gated],
      database: database.databaseSettings(),
      logFormat: "text",
      historyRetentionDays: 7,
    });
    await gate.shut();
    const { child, finished } = invokeBundle(file, environment, { source: "manual-test" }, 600_000);
    await gate.reached();
    child.kill("SIGKILL");
    await finished;
    // Its statement_timeout is minutes away, so that nothing but the check of the client can end it.
    await gate.left();
  });
});
