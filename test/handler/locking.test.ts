import assert from "node:assert/strict";
import { useDatabase } from "../database";
import {
  Gate,
  lockIsWaitedFor,
  onlyFailure,
  onlyRefreshed,
  onlySkipped,
  runViews,
  until,
  viewNamed,
} from "./harness";

describe("two runs at once", () => {
  const database = useDatabase();
  const gated = viewNamed("gated");
  let gate: Gate;

  before(async () => {
    gate = await Gate.create(database);
    const client = await database.connect();
    await client.query(`
      CREATE TABLE things (id integer PRIMARY KEY);
      CREATE MATERIALIZED VIEW gated AS SELECT id FROM things, (SELECT gate() AS g OFFSET 0) AS door;
      CREATE UNIQUE INDEX ON gated (id);
      CREATE SCHEMA other;
      CREATE MATERIALIZED VIEW other.gated AS SELECT 1 AS id;
      CREATE UNIQUE INDEX ON other.gated (id)`);
  });

  it("one tick refreshes, the other is skipped and says so", async () => {
    await gate.shut();
    const first = runViews(database, [gated]);
    await gate.reached();
    const second = await runViews(database, [gated]);
    assert.equal(onlySkipped(second).reason, "another refresh of it is running");
    assert.ok(second.lines.at(-1)?.endsWith("Skipped gated: another refresh of it is running"));
    await gate.open();
    onlyRefreshed(await first);
    const client = await database.connect();
    const { rows } = await client.query(
      "SELECT outcome, reason FROM matview_refresh_history WHERE view_name = 'gated' ORDER BY id",
    );
    assert.deepEqual(rows, [
      { outcome: "skipped", reason: "another refresh of it is running" },
      { outcome: "refreshed", reason: null },
    ]);
  });

  it("an equal name in another schema does not wait", async () => {
    await gate.shut();
    const first = runViews(database, [gated]);
    await gate.reached();
    onlyRefreshed(await runViews(database, [{ ...gated, schema: "other" }]));
    await gate.open();
    onlyRefreshed(await first);
  });

  it("a refresh by hand waits, and publishes what was committed while it waited", async () => {
    const client = await database.connect();
    await gate.shut();
    const tick = runViews(database, [gated]);
    await gate.reached();
    const manual = runViews(database, [gated], { manual: true });
    await lockIsWaitedFor(client);
    await client.query("INSERT INTO things VALUES (1)");
    await gate.open();
    onlyRefreshed(await tick);
    const waited = await manual;
    onlyRefreshed(waited);
    assert.ok(
      waited.lines.some((line) => line.endsWith("Waiting for the refresh of gated that is running...")),
    );
    assert.deepEqual((await client.query("SELECT id FROM gated")).rows, [{ id: 1 }]);
  });

  it("a refresh by hand gives up waiting when its time is up, and says which session it waited for", async () => {
    await gate.shut();
    const tick = runViews(database, [gated]);
    await gate.reached();
    const failure = onlyFailure(await runViews(database, [gated], { manual: true, timeoutMs: 2_400 }));
    const [pid] = await gate.backends();
    assert.equal(failure.code, "55P03");
    assert.match(
      failure.problem,
      new RegExp(`^another refresh of the view was still running after 2\\.\\ds, held by pid ${pid} `),
    );
    assert.equal(failure.remedy, `SELECT pg_terminate_backend(${pid});  -- or wait until it ends`);
    assert.deepEqual(
      failure.blockers?.map((each) => [each.pid, each.relation]),
      [[pid, "public.gated"]],
    );
    await gate.open();
    onlyRefreshed(await tick);
  });
});

describe("readers of a view", () => {
  const database = useDatabase();
  let gate: Gate;

  before(async () => {
    gate = await Gate.create(database);
    const client = await database.connect();
    await client.query(`
      CREATE MATERIALIZED VIEW with_index AS SELECT gate() AS id;
      CREATE UNIQUE INDEX ON with_index (id);
      CREATE MATERIALIZED VIEW plainly AS SELECT gate() AS id`);
  });

  /** What a reader with little patience gets while a refresh of the view stands at the gate. */
  async function readDuringRefresh(name: string): Promise<unknown[] | string | undefined> {
    const reader = await database.connect();
    await reader.query("SET lock_timeout = '50ms'");
    await gate.shut();
    const refresh = runViews(database, [viewNamed(name)]);
    await gate.reached();
    const read = await reader.query<{ id: number }>(`SELECT id FROM ${name}`).then(
      ({ rows }) => rows,
      (error: { code?: string }) => error.code,
    );
    await gate.open();
    onlyRefreshed(await refresh);
    return read;
  }

  it("go on reading during a concurrent refresh", async () => {
    assert.deepEqual(await readDuringRefresh("with_index"), [{ id: 1 }]);
  });

  it("are blocked by a plain one, which is what the first is measured against", async () => {
    assert.equal(await readDuringRefresh("plainly"), "55P03");
  });

  it("are let through again soon while a plain refresh waits for its lock", async () => {
    const holder = await database.connect();
    await holder.query("BEGIN; SELECT FROM plainly");
    const refresh = runViews(database, [viewNamed("plainly")], { timeoutMs: 15_000 });
    const reader = await database.connect();
    await until(
      reader,
      "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'plainly'::regclass AND NOT granted AND mode = 'AccessExclusiveLock')",
    );
    // Longer than the refresh may stand in the queue, shorter than the holder stays.
    await reader.query("SET lock_timeout = '3s'");
    await reader.query("SELECT FROM plainly");
    await holder.query("COMMIT");
    const run = await refresh;
    onlyRefreshed(run);
    assert.ok(run.lines.some((line) => line.includes("trying again") && line.includes("55P03")));
  });
});
