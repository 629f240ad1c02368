import assert from "node:assert/strict";
import { escapeIdentifier, type Client } from "pg";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { apply, assertGone, found, look, runMain, urlOf } from "./examined";

const HISTORY = `INSERT INTO matview_refresh_history
  (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, sqlstate, reason, run_id)`;

for (const majorVersion of [18, 15] as const) {
  describe(`doctor, faults planted on PostgreSQL ${majorVersion}`, function () {
    this.timeout(60_000);
    const database = useDatabase({ majorVersion });
    const owner = useRole(database);
    const reader = useRole(database);
    let client: Client;
    const only = (name: string) => ({ views: [{ schema: "public", name, allowBlocking: true }] });
    const sql = ({ name }: { name: string }): string => escapeIdentifier(name);

    before(async () => {
      client = await database.connect();
      await client.query(`GRANT CREATE ON SCHEMA public TO ${sql(owner)}`);
    });

    /** A table and a view of the owner's, of so many rows. */
    async function makeView(name: string, rows = 10, index = true): Promise<void> {
      await client.query(`
        CREATE TABLE ${name}_rows (id integer PRIMARY KEY, text text NOT NULL);
        INSERT INTO ${name}_rows SELECT g, repeat('x', 100) FROM generate_series(1, ${rows}) g;
        ALTER TABLE ${name}_rows OWNER TO ${sql(owner)};
        CREATE MATERIALIZED VIEW ${name} AS SELECT id, text FROM ${name}_rows;
        ALTER MATERIALIZED VIEW ${name} OWNER TO ${sql(owner)}`);
      if (index) await client.query(`CREATE UNIQUE INDEX ON ${name} (id)`);
    }

    it("nothing above 'worth knowing' in a healthy database, exit code 0", async () => {
      await runMain("refresh", [], { DATABASE_URL: urlOf(database) });
      const examined = await look(database);
      assert.deepEqual(
        examined.findings.filter(({ grade }) => grade !== "worth knowing"),
        [],
      );
      assert.deepEqual(examined.notSeen, []);
      const { exitCode, stdout } = await runMain("doctor", [], { DATABASE_URL: urlOf(database) });
      assert.equal(exitCode, 0);
      assert.match(stdout, /^\d+ worth knowing \(13 checks in .* s; nothing was changed\)$/m);
    });

    it("measures what incremental maintenance would save, and says that it does", async () => {
      const { stdout, stderr } = await runMain("doctor", ["--measure"], { DATABASE_URL: urlOf(database) });
      assert.match(stderr, /^Measuring public\.job_progress: watching what is written for 10 s/);
      assert.match(stdout, /public\.job_progress: computing it takes \S+ s, and /);
    });

    it("may-not-refresh: a role without the right, exit code 1; then it refreshes", async () => {
      await makeView("borrowed");
      await client.query(`GRANT SELECT ON borrowed_rows TO ${sql(reader)}`);
      const { exitCode } = await runMain("doctor", ["--view", "borrowed", "--role", reader.name], {
        DATABASE_URL: urlOf(database),
      });
      assert.equal(exitCode, 1);
      const finding = found(
        await look(database, { ...only("borrowed"), role: reader.name }),
        "may-not-refresh",
      );
      assert.equal(finding.grade, "will fail");
      // The same by the role itself, which sees no more than it may.
      assert.equal(
        found(await look(database, { ...only("borrowed"), as: reader }), "may-not-refresh").remedy,
        finding.remedy,
      );
      await apply(finding.remedy, database, client);
      assertGone(await look(database, { ...only("borrowed"), role: reader.name }), "may-not-refresh");
      const run = await runMain("refresh", ["--view", "borrowed"], { DATABASE_URL: urlOf(database, reader) });
      assert.equal(run.exitCode, 0, run.stdout);
    });

    it("owner-may-not-read: the owner lost its right to what the query reads", async () => {
      await makeView("blind");
      await client.query(`CREATE SCHEMA hidden; ALTER TABLE blind_rows SET SCHEMA hidden;
        ALTER TABLE hidden.blind_rows OWNER TO postgres; REVOKE ALL ON hidden.blind_rows FROM ${sql(owner)}`);
      await assert.rejects(client.query("REFRESH MATERIALIZED VIEW blind"), { code: "42501" });
      const { remedy, grade } = found(await look(database, only("blind")), "owner-may-not-read");
      assert.equal(grade, "will fail");
      await apply(remedy, database, client);
      assertGone(await look(database, only("blind")), "owner-may-not-read");
      await client.query("REFRESH MATERIALIZED VIEW blind");
    });

    it("no-unique-index: then it is refreshed concurrently", async () => {
      await makeView("plain", 10, false);
      const { remedy, grade } = found(await look(database, only("plain")), "no-unique-index");
      assert.equal(grade, "will hurt");
      await apply(remedy, database, client);
      assertGone(await look(database, only("plain")), "no-unique-index");
      await client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY plain");
    });

    it("no-temporary-tables: the owner may make none; where a plain refresh is forbidden it will fail", async () => {
      await makeView("tempted");
      await client.query(`REVOKE TEMPORARY ON DATABASE ${database.name} FROM PUBLIC`);
      const strict = { views: [{ schema: "public", name: "tempted", allowBlocking: false }] };
      assert.equal(found(await look(database, strict), "readers-would-be-blocked").grade, "will fail");
      const { remedy } = found(await look(database, only("tempted")), "no-temporary-tables");
      await apply(remedy, database, client);
      assertGone(await look(database, only("tempted")), "no-temporary-tables");
      assertGone(await look(database, strict), "readers-would-be-blocked");
    });

    it("never-populated: then it has rows", async () => {
      await client.query(
        "CREATE MATERIALIZED VIEW empty AS SELECT 1 AS id WITH NO DATA; CREATE UNIQUE INDEX ON empty (id)",
      );
      const { remedy } = found(await look(database, only("empty")), "never-populated");
      await apply(remedy, database, client);
      assertGone(await look(database, only("empty")), "never-populated");
      await client.query("SELECT FROM empty");
    });

    it("null-in-unique-key", async () => {
      await client.query(
        "CREATE MATERIALIZED VIEW nulls AS SELECT NULLIF(g, 1) AS id FROM generate_series(1, 3) g; CREATE UNIQUE INDEX ON nulls (id)",
      );
      const { remedy, grade } = found(await look(database, only("nulls")), "null-in-unique-key");
      assert.equal(grade, "will hurt");
      assert.deepEqual((await client.query(remedy)).rows, [{ count: "1" }]);
    });

    it("history-not-writable: a role that may refresh and not record", async () => {
      const { remedy, grade } = found(
        await look(database, { ...only("borrowed"), role: reader.name }),
        "history-not-writable",
      );
      assert.equal(grade, "will hurt");
      await apply(remedy, database, client);
      assertGone(await look(database, { ...only("borrowed"), role: reader.name }), "history-not-writable");
      const { rows } = await client.query<{ may: boolean }>(
        `SELECT has_table_privilege($1, 'matview_refresh_history', 'INSERT') AS may`,
        [reader.name],
      );
      assert.equal(rows[0]?.may, true);
    });

    it("failing: the last runs failed", async () => {
      await makeView("unlucky");
      await client.query(
        `${HISTORY} SELECT 'public', 'unlucky', 'unlucky'::regclass, 'failed', NULL, NULL, now(), now(), 1, '55P03', 'waited 5.0s for a lock', 'r' || g FROM generate_series(1, 4) g`,
      );
      const { what, grade, remedy } = found(await look(database, only("unlucky")), "failing");
      assert.equal(grade, "will fail");
      assert.match(what, /^its last 4 runs failed: waited 5\.0s for a lock \(55P03\)$/);
      await client.query(remedy);
      await apply("npm run refresh -- --view unlucky", database, client);
      assertGone(await look(database, only("unlucky")), "failing");
    });

    it("refresh-waiting: behind whom; ending him lets it go on", async () => {
      await makeView("queued");
      const holder = await database.connect();
      await holder.query("BEGIN; LOCK TABLE queued_rows IN ACCESS EXCLUSIVE MODE");
      const { rows } = await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const waiting = await database.connect();
      const refreshed = waiting.query("REFRESH MATERIALIZED VIEW queued");
      for (;;) {
        const { rowCount } = await client.query("SELECT FROM pg_locks WHERE NOT granted");
        if (rowCount) break;
      }
      const finding = found(await look(database, only("queued")), "refresh-waiting");
      assert.equal(finding.grade, "will fail");
      assert.match(finding.what, new RegExp(`held by pid ${rows[0]?.pid} \\(postgres, idle in transaction`));
      await apply(finding.remedy, database, client);
      await refreshed;
      assertGone(await look(database, only("queued")), "refresh-waiting");
    });

    it("locked: by a prepared transaction and by an idle session, though nobody waits yet", async () => {
      const holder = await database.connect();
      await holder.query(
        "BEGIN; LOCK TABLE queued_rows IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'left over'",
      );
      const prepared = found(await look(database, { ...only("queued"), longSeconds: 0.01 }), "locked");
      assert.match(prepared.what, /prepared transaction "left over"/);
      await apply(prepared.remedy, database, client);
      await holder.query("BEGIN; LOCK TABLE queued_rows IN ACCESS EXCLUSIVE MODE");
      await client.query("SELECT pg_sleep(0.05)");
      const idle = found(await look(database, { ...only("queued"), longSeconds: 0.01 }), "locked");
      assert.equal(idle.grade, "will fail");
      await apply(idle.remedy, database, client);
      assertGone(await look(database, { ...only("queued"), longSeconds: 0.01 }), "locked");
      await client.query("SET lock_timeout = '1s'; REFRESH MATERIALIZED VIEW queued; RESET lock_timeout");
    });

    it("idle-in-transaction, long-transaction and prepared-transaction; short ones are nobody's business", async () => {
      const idle = await database.connect();
      await idle.query("BEGIN; SELECT txid_current()");
      const busy = await database.connect();
      const query = busy.query("SELECT pg_sleep(60)").catch((error: { code?: string }) => error.code);
      const third = await database.connect();
      await third.query("BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'orders-7'");
      await client.query("SELECT pg_sleep(0.2)");
      const names = ["idle-in-transaction", "long-transaction", "prepared-transaction"];
      const calm = await look(database, only("queued"));
      for (const name of names) assertGone(calm, name);
      const asked = { ...only("queued"), longSeconds: 0.1 };
      const examined = await look(database, asked);
      for (const name of names) await apply(found(examined, name).remedy, database, client);
      assert.equal(await query, "57014");
      const after = await look(database, asked);
      for (const name of names) assertGone(after, name);
    });

    it("replication-slot: one that nobody reads", async () => {
      const slot = `slot_${database.name}`;
      await client.query("SELECT pg_create_physical_replication_slot($1, true)", [slot]);
      const finding = (await look(database, only("queued"))).findings.find(
        ({ name, what }) => name === "replication-slot" && what.includes(slot),
      );
      assert.equal(finding?.grade, "will hurt");
      await apply(finding?.remedy ?? "", database, client);
      const { rowCount } = await client.query("SELECT FROM pg_replication_slots WHERE slot_name = $1", [
        slot,
      ]);
      assert.equal(rowCount, 0);
    });

    it("autovacuum-off and bloat: a snapshot kept every refresh's rows; then the view shrinks", async () => {
      await makeView("grown", 20_000);
      await client.query("ALTER MATERIALIZED VIEW grown SET (autovacuum_enabled = false)");
      const snapshot = await database.connect();
      await snapshot.query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM jobs");
      for (let n = 1; n <= 4; n += 1) {
        await client.query(
          `UPDATE grown_rows SET text = repeat('${n}', 100); REFRESH MATERIALIZED VIEW CONCURRENTLY grown`,
        );
      }
      await snapshot.query("ROLLBACK");
      await client.query("ANALYZE grown");
      const examined = await look(database, only("grown"));
      const bloat = found(examined, "bloat");
      assert.match(bloat.what, /estimated/);
      const size = async (): Promise<number> =>
        Number(
          (await client.query<{ size: string }>("SELECT pg_relation_size('grown') AS size")).rows[0]?.size,
        );
      const before = await size();
      await apply(bloat.remedy, database, client);
      assert.ok((await size()) < before / 3);
      await apply(found(examined, "autovacuum-off", "public.grown").remedy, database, client);
      await client.query("ANALYZE grown");
      const after = await look(database, only("grown"));
      for (const name of ["bloat", "autovacuum-off"]) assertGone(after, name);
    });

    it("temp-file-limit: a concurrent refresh of it does fail; with the remedy it works", async () => {
      await client.query(
        `GRANT ${sql(owner)} TO ${sql(reader)}; ALTER ROLE ${sql(reader)} SET temp_file_limit = '256kB'`,
      );
      await makeView("wide", 120_000);
      const refresh = () => runMain("refresh", ["--view", "wide"], { DATABASE_URL: urlOf(database, reader) });
      const finding = found(await look(database, { ...only("wide"), role: reader.name }), "temp-file-limit");
      assert.equal(finding.grade, "will fail");
      assert.match((await refresh()).stdout, /53400/);
      await apply(finding.remedy, database, client);
      assertGone(await look(database, { ...only("wide"), role: reader.name }), "temp-file-limit");
      const run = await refresh();
      assert.equal(run.exitCode, 0, run.stdout);
    });

    it("timeouts-by-hand and transaction-timeout: the role's own settings", async () => {
      const role = sql(reader);
      await client.query(`ALTER ROLE ${role} SET statement_timeout = '5ms'`);
      const { grade, remedy } = found(
        await look(database, { ...only("wide"), role: reader.name }),
        "timeouts-by-hand",
      );
      assert.equal(grade, "worth knowing");
      const byHand = async () =>
        (await database.connect({ user: reader.name, password: reader.password })).query(
          "REFRESH MATERIALIZED VIEW wide",
        );
      await assert.rejects(byHand(), { code: "57014" });
      await apply(remedy, database, client);
      await byHand();
      if (majorVersion < 17) return;
      await client.query(`ALTER ROLE ${role} SET transaction_timeout = '20ms'`);
      const cut = found(await look(database, { ...only("wide"), role: reader.name }), "transaction-timeout");
      assert.equal(cut.grade, "will fail");
      assert.equal(
        (
          await runMain("refresh", ["--view", "wide", "--timeout", "5"], {
            DATABASE_URL: urlOf(database, reader),
          })
        ).exitCode,
        1,
      );
      await apply(cut.remedy, database, client);
      assert.equal(
        (await runMain("refresh", ["--view", "wide"], { DATABASE_URL: urlOf(database, reader) })).exitCode,
        0,
      );
    });

    it("what a role may not see is told, with the grant that shows it", async () => {
      const other = await database.connect({ user: owner.name, password: owner.password });
      await other.query("SELECT 1");
      const { notSeen } = await look(database, { ...only("borrowed"), as: reader });
      const [unseen] = notSeen.filter(({ what }) => what.startsWith("long and idle transactions"));
      await apply(unseen?.remedy ?? "", database, client);
      const after = await look(database, { ...only("borrowed"), as: reader });
      assert.deepEqual(
        after.notSeen.filter(({ what }) => what.startsWith("long and idle transactions")),
        [],
      );
    });

    it("no-history: then runs are recorded", async () => {
      await client.query("DROP TABLE matview_refresh_history CASCADE");
      const { remedy, grade } = found(await look(database, only("plain")), "no-history");
      assert.equal(grade, "will hurt");
      await apply(remedy, database, client, "003_refresh_history.sql");
      const after = await look(database, only("plain"));
      assertGone(after, "no-history");
      await apply("npm run refresh -- --view plain", database, client);
      assertGone(await look(database, only("plain")), "never-refreshed");
    });
  });
}
