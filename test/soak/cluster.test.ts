import assert from "node:assert/strict";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ClientConfig } from "pg";
import { withClient } from "../../local/postgres/database";
import { startBouncer, whyNoBouncer } from "../../soak/bed/bouncer";
import { startCluster, type RunningCluster } from "../../soak/bed/cluster";

describe("the soak's servers", () => {
  let folder: string;
  let cluster: RunningCluster;

  before(async function () {
    this.timeout(60_000);
    folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-cluster-"));
    await chmod(folder, 0o755);
    cluster = await startCluster(folder);
    await cluster.execute("CREATE TABLE written (number integer)");
  });
  after(async function () {
    this.timeout(60_000);
    await cluster.stop();
    await rm(folder, { recursive: true });
  });

  async function ask(sql: string, connection: ClientConfig = cluster.connection()): Promise<unknown> {
    return withClient(connection, async (client) => {
      const { rows } = await client.query<unknown[]>({ text: sql, rowMode: "array" });
      return rows[0]?.[0];
    });
  }

  const write = (number: number): Promise<void> => cluster.execute(`INSERT INTO written VALUES (${number})`);
  const isWritten = (number: number): Promise<unknown> =>
    ask(`SELECT EXISTS (SELECT FROM written WHERE number = ${number})`);
  const at = (port: number): ClientConfig => ({ ...cluster.connection(), port });

  for (const how of ["kill", "immediate", "fast"] as const) {
    it(`${how}: the primary comes back on its port with all that was committed`, async () => {
      const port = cluster.port();
      await write(1);
      await cluster.stopPrimary(how);
      // Backends that outlive their postmaster for a moment still have its socket.
      await assert.rejects(cluster.execute("SELECT"), { code: /^ECONN(REFUSED|RESET)$/ });
      await cluster.startPrimary();
      assert.equal(cluster.port(), port);
      assert.equal(await isWritten(1), true);
      await write(2);
    }).timeout(30_000);
  }

  it("a primary that runs is not started twice, and one that is gone not stopped", async () => {
    await cluster.startPrimary();
    await cluster.stopPrimary("kill");
    for (const how of ["kill", "immediate", "fast"] as const) await cluster.stopPrimary(how);
    await cluster.startPrimary();
    await write(3);
  }).timeout(30_000);

  it("fails over and back, with all that was committed and the settings that faults have made", async () => {
    await cluster.setting("temp_file_limit", "1MB");
    for (const number of [10, 11]) {
      const [old, next] = [cluster.port(), cluster.standbyPort()];
      await write(number);
      await cluster.failOver();
      assert.equal(cluster.port(), next);
      assert.ok(![old, next].includes(cluster.standbyPort()));
      assert.equal(await isWritten(number), true);
      assert.equal(await ask("SELECT pg_is_in_recovery()", at(cluster.standbyPort())), true);
      // As a server's setting, which our own connections are spared.
      assert.equal(await ask("SELECT reset_val FROM pg_settings WHERE name = 'temp_file_limit'"), "-1");
      assert.equal(
        await ask("SELECT setting FROM pg_file_settings WHERE name = 'temp_file_limit' AND applied"),
        "1MB",
      );
    }
    await cluster.setting("temp_file_limit", undefined);
    assert.equal(await ask("SELECT count(*)::int FROM pg_file_settings WHERE name = 'temp_file_limit'"), 0);
  }).timeout(60_000);

  it("COMMIT waits for a standby that is lost, and until it is back", async () => {
    await cluster.loseStandby();
    const commit = write(20);
    await withClient(cluster.connection(), async (client) => {
      const waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
      while ((await client.query(waits)).rowCount === 0);
    });
    assert.equal(await isWritten(20), false);
    await cluster.bringStandbyBack();
    await commit;
    assert.equal(await isWritten(20), true);
  }).timeout(30_000);

  it("a clock that is stepped steps at once, and leaves the server's timeouts as they are", async function () {
    if (cluster.stepClock === undefined) return this.skip();
    for (const aheadSeconds of [3_600, -3_600, 0]) {
      await cluster.stepClock(aheadSeconds);
      const ahead = await ask(
        `SELECT abs(extract(epoch FROM clock_timestamp()) - ${Date.now() / 1_000 + aheadSeconds}) < 60`,
      );
      assert.equal(ahead, true);
      await assert.rejects(ask("SET statement_timeout = 50; SELECT pg_sleep(600)"), { code: "57014" });
      await withClient(cluster.connection(), async (client) => {
        await client.query("BEGIN; LOCK TABLE written");
        await assert.rejects(ask("SET lock_timeout = 50; TABLE written"), { code: "55P03" });
      });
    }
  });

  it("a bouncer shares a server's connection among transactions, and lets every login through", async function () {
    if (whyNoBouncer() !== undefined) return this.skip();
    await cluster.execute("CREATE ROLE guest LOGIN PASSWORD 'of the guest'");
    const bouncer = await startBouncer(path.join(folder, "bouncer"), cluster.connection());
    try {
      const guest = { ...cluster.connection(), options: undefined, port: bouncer.port };
      Object.assign(guest, { user: "guest", password: "of the guest" });
      const pids = [];
      for (const _ of [1, 2]) pids.push(await ask("SELECT pg_backend_pid()", guest));
      assert.deepEqual(pids[0], pids[1]);
      await assert.rejects(withClient({ ...guest, password: "wrong" }, (c) => c.query("SELECT")));
    } finally {
      await bouncer.stop();
    }
    await assert.rejects(ask("SELECT", at(bouncer.port)), { code: "ECONNREFUSED" });
    assert.equal(await ask("SELECT count(*)::int FROM pg_stat_activity WHERE usename = 'guest'"), 0);
  });
});
