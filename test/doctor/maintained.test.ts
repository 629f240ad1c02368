import assert from "node:assert/strict";
import type { Client } from "pg";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { apply, assertGone, found, look, runMain, urlOf } from "./examined";

const STATUS = "matview_refresh.public__job_progress__status";
const LOG = "matview_refresh.public__job_progress__log_2";

for (const majorVersion of [18, 15] as const) {
  describe(`doctor, a maintained view on PostgreSQL ${majorVersion}`, function () {
    this.timeout(60_000);
    const database = useDatabase({ majorVersion });
    const reader = useRole(database);
    let client: Client;

    const main = async (command: string, ...args: string[]) => {
      const run = await runMain(command, args, { DATABASE_URL: urlOf(database) });
      assert.equal(run.exitCode, 0, run.stdout + run.stderr);
    };
    const fold = () => main("refresh");

    before(async () => {
      client = await database.connect();
      await client.query(`
        INSERT INTO jobs (name) SELECT 'job ' || g FROM generate_series(1, 20) g;
        INSERT INTO job_objects (job_id, object_key, status) SELECT 1 + g % 20, 'key ' || clock_timestamp() || g, 'pending' FROM generate_series(1, 2000) g`);
      await fold();
      await main("incremental", "apply", "--view", "public.job_progress", "--yes");
      await fold();
    });

    it("nothing above 'worth knowing' while all is well", async () => {
      const { findings, notSeen } = await look(database);
      assert.deepEqual(
        findings.filter(({ grade }) => grade !== "worth knowing"),
        [],
      );
      assert.deepEqual(notSeen, []);
    });

    it("paused: then it is folded again", async () => {
      await main("incremental", "pause", "--view", "public.job_progress");
      const { remedy, grade } = found(await look(database), "paused");
      assert.equal(grade, "will hurt");
      await apply(remedy, database, client);
      assertGone(await look(database), "paused");
    });

    it("triggers-broken: disabled ones, and dropped ones; where full runs are forbidden it will fail", async () => {
      const { rows } = await client.query<{ name: string }>(
        "SELECT tgname AS name FROM pg_trigger WHERE tgrelid = 'job_objects'::regclass AND NOT tgisinternal AND tgname LIKE 'matview%update'",
      );
      const trigger = rows[0]?.name ?? "";
      await client.query(`ALTER TABLE job_objects DISABLE TRIGGER ${trigger}`);
      const disabled = found(await look(database), "triggers-broken");
      assert.match(disabled.remedy, /ENABLE TRIGGER/);
      // By the catalog alone, for a role that may not call the view's function.
      assert.equal(found(await look(database, { as: reader }), "triggers-broken").remedy, disabled.remedy);
      await apply(disabled.remedy, database, client);
      assertGone(await look(database), "triggers-broken");

      await client.query(`DROP TRIGGER ${trigger} ON job_objects`);
      const strict = {
        views: [{ schema: "public", name: "job_progress", allowBlocking: true, allowFullRuns: false }],
      };
      assert.equal(found(await look(database, strict), "triggers-broken").grade, "will fail");
      const dropped = found(await look(database), "triggers-broken");
      assert.equal(dropped.grade, "will hurt");
      await apply(dropped.remedy, database, client, "--yes");
      assertGone(await look(database), "triggers-broken");
      assertGone(await look(database, { as: reader }), "triggers-broken");
    });

    it("shape-changed: a table is not as it was; apply makes it anew", async () => {
      await client
        .query("ALTER TABLE job_objects ALTER COLUMN status TYPE varchar(40)")
        .catch(() => undefined);
      await client.query(`UPDATE ${STATUS} SET shape = 'another'`);
      const { remedy } = found(await look(database), "shape-changed");
      await fold();
      await client.query(`GRANT SELECT ON matview_refresh_history TO ${reader.name}`);
      assert.equal(found(await look(database, { as: reader }), "shape-changed").remedy, remedy);
      await apply(remedy, database, client, "--yes");
      await fold();
      assertGone(await look(database), "shape-changed");
    });

    it("no-unique-index: readers' table has lost its key", async () => {
      const { rows } = await client.query<{ index: string }>(
        "SELECT indexrelid::regclass::text AS index FROM pg_index WHERE indrelid = 'job_progress'::regclass AND indisunique",
      );
      for (const { index } of rows) await client.query(`DROP INDEX ${index}`);
      await apply(found(await look(database), "no-unique-index").remedy, database, client);
      assertGone(await look(database), "no-unique-index");
    });

    it("old-generator and drift", async () => {
      await client.query(`UPDATE ${STATUS} SET generator_version = 0, drift = 3, drift_at = now()`);
      const examined = await look(database);
      assert.equal(found(examined, "drift").grade, "will hurt");
      await apply(found(examined, "drift").remedy, database, client);
      await apply(found(examined, "old-generator").remedy, database, client, "--yes");
      assertGone(await look(database), "old-generator");
      await client.query(`UPDATE ${STATUS} SET drift_at = now() - interval '30 days'`);
      assert.equal(found(await look(database), "drift").grade, "worth knowing");
    });

    it("full-runs: a day of them", async () => {
      await client.query(`INSERT INTO matview_refresh_history
          (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, reason, run_id)
        SELECT 'public', 'job_progress', 'job_progress'::regclass, 'refreshed', 'full', now(), now(), now(), 1, 'jobs was truncated', 'f' || g
          FROM generate_series(1, 60) g`);
      assert.match(found(await look(database), "full-runs").what, /jobs was truncated/);
      await client.query("DELETE FROM matview_refresh_history WHERE run_id LIKE 'f%'");
    });

    it("silent-writer: a role whose writes fire no trigger", async () => {
      await client.query(`ALTER ROLE ${reader.name} SET session_replication_role = replica`);
      const { remedy } = found(await look(database), "silent-writer");
      await apply(remedy, database, client);
      assertGone(await look(database), "silent-writer");
    });

    it("changes-pending: then they are folded", async () => {
      await client.query(
        `INSERT INTO job_objects (job_id, object_key, status) SELECT 1 + g % 20, 'key ' || clock_timestamp() || g, 'pending' FROM generate_series(1, 10) g`,
      );
      const { rows } = await client.query<{ n: string }>(`SELECT count(*) AS n FROM ${LOG}`);
      assert.ok(Number(rows[0]?.n) > 0, "the log that the next lines fill");
      await client.query(
        `ALTER TABLE ${LOG} SET (autovacuum_enabled = false); INSERT INTO ${LOG} SELECT l.* FROM (SELECT * FROM ${LOG} LIMIT 1) l, generate_series(1, 120000)`,
      );
      const { remedy } = found(await look(database), "changes-pending");
      await apply(remedy, database, client);
      assertGone(await look(database), "changes-pending");
    });

    it("change-table-bloat: what was folded is still there; VACUUM removes it", async () => {
      const { remedy, what } = found(await look(database), "change-table-bloat");
      assert.match(what, /takes [\d.]+ MB for 0 changes/);
      await apply(remedy, database, client);
      assertGone(await look(database), "change-table-bloat");
    });

    it("not-configured and not-maintained: where the stack's settings and the database disagree", async () => {
      assert.equal(found(await look(database, { settings: {} }), "not-configured").grade, "worth knowing");
      const views = [{ name: "public.job_progress", incremental: {} }];
      assertGone(await look(database, { settings: { views } }), "not-configured");
      await main("incremental", "revert", "--view", "public.job_progress", "--yes");
      const { remedy } = found(await look(database, { settings: { views } }), "not-maintained");
      await apply(remedy, database, client, "--yes");
      assertGone(await look(database, { settings: { views } }), "not-maintained");
    });
  });
}
