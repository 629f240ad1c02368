import assert from "node:assert/strict";
import type { Client } from "pg";
import { migrate, MigrationFailedError, type MigrationEvent } from "../../migrations/runner";
import { ALL_MIGRATIONS as directories, migrationsFor } from "../../migrations/sets";
import { useDatabase } from "../database";

const productFiles = [
  "003_refresh_history.sql",
  "006_unknown_as_of.sql",
  "007_refresher_role.sql",
  "008_incremental.sql",
  "009_failure_detail.sql",
  "010_fast_freshness.sql",
];
const scannerFiles = [
  "001_jobs.sql",
  "002_optimize_for_scale.sql",
  "004_refresher_role.sql",
  "005_job_objects_index.sql",
];

/** Relations of the product alone. */
const productRelations = ["matview_freshness", "matview_refresh_history", "matview_refresh_migrations"];

for (const majorVersion of [18, 15] as const) {
  describe(`the project's migrations on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion, template: "empty" });
    let client: Client;

    before(async () => {
      client = await database.connect();
    });

    beforeEach(async () => {
      await client.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    });

    const rows = async (statement: string): Promise<Record<string, unknown>[]> =>
      (await client.query<Record<string, unknown>>(statement)).rows;

    it("apply to an empty database, each once", async () => {
      const { applied } = await migrate(database.options(), { directories });
      assert.deepEqual(
        applied.map(({ name }) => name),
        [...productFiles, ...scannerFiles],
      );
      const again = await migrate(database.options(), { directories });
      assert.deepEqual(again, { applied: [], alreadyApplied: [...scannerFiles, ...productFiles].sort() });
    });

    it("make nothing of the scanner where no view is the scanner's, and the rest when one is", async () => {
      const relations = async (): Promise<unknown[]> =>
        (
          await rows(`SELECT relname FROM pg_class
                       WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm') ORDER BY 1`)
        ).map(({ relname }) => relname);
      const others = migrationsFor([{ schema: "reporting", name: "job_progress" }]);
      await migrate(database.options(), { directories: others });
      assert.deepEqual(await relations(), productRelations);
      assert.deepEqual(
        await rows(`SELECT has_table_privilege('matview_refresher', 'matview_refresh_history', 'INSERT') AS writes,
                           has_table_privilege('matview_refresher', 'matview_freshness', 'SELECT') AS reads`),
        [{ writes: true, reads: true }],
      );
      const both = migrationsFor([
        { schema: "reporting", name: "sales" },
        { schema: "public", name: "job_progress" },
      ]);
      const { applied } = await migrate(database.options(), { directories: both });
      assert.deepEqual(
        applied.map(({ name }) => name),
        scannerFiles,
      );
      await client.query("SET ROLE matview_refresher");
      await client
        .query("REFRESH MATERIALIZED VIEW CONCURRENTLY job_progress")
        .finally(() => client.query("RESET ROLE"));
    });

    it("go on in a database that has the ledger and checksums of earlier releases", async () => {
      await migrate(database.options(), { directories });
      const entries = Object.entries({
        "001_jobs.sql": "49713cc14fc91254f7ea36d6ed472db4b0a48c2cf58e002cf4a1840990942a16",
        "002_optimize_for_scale.sql": "a0d29d3c391b6452c8a5c6ef31df6dc9aad4e9a8dc3226cf3acbb6ed9860acbd",
        "003_refresh_history.sql": "575a3982f922123dfa136b2450ce757df1d2e73a7ea10976a5d044abb3999fc9",
        "004_refresher_role.sql": "2ac9a035a0ddcdf69d8c89704b8bb61c6be842c258bdba99fd9456ccfecf3011",
        "005_job_objects_index.sql": "de2038da5e739f474de96c5a27b84807b9c244015db141e1f0da9562e5479a6a",
        "006_unknown_as_of.sql": "ad3fa8bd6e778741edd5710d3989fd08b2f8271094cd4204ef4d4f9cbda08a19",
      });
      await client.query(`
        DROP TABLE matview_refresh_migrations;
        CREATE TABLE matview_refresh_migrations (
          name text PRIMARY KEY, checksum text NOT NULL,
          applied_at timestamptz NOT NULL DEFAULT now(), duration_seconds double precision NOT NULL)`);
      for (const entry of entries) {
        await client.query("INSERT INTO matview_refresh_migrations VALUES ($1, $2, now(), 0.01)", entry);
      }
      const { applied, alreadyApplied } = await migrate(database.options(), { directories });
      assert.deepEqual(
        alreadyApplied,
        entries.map(([name]) => name),
      );
      assert.deepEqual(
        applied.map(({ name }) => name),
        ["007_refresher_role.sql", "008_incremental.sql", "009_failure_detail.sql", "010_fast_freshness.sql"],
      );
    });

    it("count each job's objects by status", async () => {
      await migrate(database.options(), { directories });
      await client.query(`
        INSERT INTO jobs (job_id, name, status) VALUES (1, 'bucket', 'running'), (2, 'drive', 'queued'), (3, 'mail', 'running');
        INSERT INTO job_objects (job_id, object_key, status, updated_at)
        SELECT 1, 'object-' || n, CASE WHEN n <= 5 THEN 'processed' WHEN n = 6 THEN 'failed' WHEN n = 7 THEN 'processing' ELSE 'pending' END,
               timestamptz '2026-01-01' + n * interval '1 minute'
          FROM generate_series(1, 8) n;
        INSERT INTO job_objects (job_id, object_key) VALUES (3, 'letter');
        REFRESH MATERIALIZED VIEW CONCURRENTLY job_progress;`);
      assert.deepEqual(
        await rows(`SELECT job_id::int, status, total_objects::int AS total, processed_objects::int AS processed,
                           failed_objects::int AS failed, pending_objects::int AS pending, percent_complete::float AS percent,
                           last_activity_at = timestamptz '2026-01-01 00:08' AS last
                      FROM job_progress WHERE job_id < 3 ORDER BY job_id`),
        [
          {
            job_id: 1,
            status: "running",
            total: 8,
            processed: 5,
            failed: 1,
            pending: 2,
            percent: 75,
            last: true,
          },
          {
            job_id: 2,
            status: "queued",
            total: 0,
            processed: 0,
            failed: 0,
            pending: 0,
            percent: 0,
            last: null,
          },
        ],
      );
      assert.deepEqual(await rows("SELECT * FROM job_progress_statistics"), [
        { total_jobs: "3", total_objects: "9", processed_objects: "5", active_jobs: "2" },
      ]);
    });

    it("leave tables that are already there as they are, with their rows", async () => {
      await client.query(`
        CREATE TABLE jobs (job_id uuid PRIMARY KEY, status text, team text);
        CREATE TABLE job_objects (job_id uuid, status text, updated_at timestamptz, path text);
        INSERT INTO jobs VALUES ('00000000-0000-0000-0000-000000000001', 'running', 'red');
        INSERT INTO job_objects VALUES ('00000000-0000-0000-0000-000000000001', 'processed', now(), '/a');`);
      const describeTables = (): Promise<Record<string, unknown>[]> =>
        rows(`SELECT relname, relfilenode, (SELECT count(*) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS columns,
                     (SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid) AS constraints
                FROM pg_class c WHERE relname IN ('jobs', 'job_objects') ORDER BY relname`);
      const before = await describeTables();
      await migrate(database.options(), { directories });
      assert.deepEqual(await describeTables(), before);
      assert.deepEqual(await rows("SELECT team FROM jobs"), [{ team: "red" }]);
      assert.deepEqual(await rows("SELECT processed_objects FROM job_progress"), [
        { processed_objects: "1" },
      ]);
    });

    it("say which columns they miss in tables that are already there, once history and role are made", async () => {
      await client.query(
        "CREATE TABLE jobs (id int, status text); CREATE TABLE job_objects (job_id int, state text)",
      );
      await assert.rejects(migrate(database.options(), { directories }), (error: Error) => {
        assert.ok(error instanceof MigrationFailedError);
        assert.match(
          error.message,
          /^002_optimize_for_scale\.sql.* public\.jobs\.job_id, public\.job_objects\.status, public\.job_objects\.updated_at/,
        );
        return true;
      });
      assert.deepEqual(await rows("SELECT name FROM matview_refresh_migrations ORDER BY 1"), [
        { name: "001_jobs.sql" },
        ...productFiles.map((name) => ({ name })),
      ]);
    });

    const droppedOfFiles = [
      ["TABLE jobs", "001_jobs.sql"],
      ["MATERIALIZED VIEW job_progress", "002_optimize_for_scale.sql"],
      ["TABLE matview_refresh_history", "003_refresh_history.sql"],
      ["SCHEMA matview_refresh", "008_incremental.sql"],
    ] as const;
    for (const [dropped, only] of droppedOfFiles) {
      it(`make a dropped ${dropped} again, with its views and rights, by the file's name`, async () => {
        await migrate(database.options(), { directories });
        const relations = (): Promise<Record<string, unknown>[]> =>
          rows(`SELECT relname, relkind, relowner, relacl::text, obj_description(oid, 'pg_class') AS comment FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace
                 UNION ALL
                SELECT nspname, 'n', nspowner, nspacl::text, obj_description(oid, 'pg_namespace') FROM pg_namespace
                 WHERE nspname = 'matview_refresh'
                 ORDER BY relname`);
        const before = await relations();
        await client.query(`DROP ${dropped} CASCADE`);
        await migrate(database.options(), { directories, only });
        assert.deepEqual(await relations(), before);
      });
    }

    it("replace an index whose concurrent build failed, and keep one that is valid", async () => {
      await migrate(database.options(), { directories, only: "001_jobs.sql" });
      await client.query(`
        INSERT INTO jobs (job_id, name) VALUES (1, 'bucket');
        INSERT INTO job_objects (job_id, object_key) VALUES (1, 'a'), (1, 'a');`);
      // What a failed build leaves behind: an index of that name which is not valid.
      await assert.rejects(
        client.query(
          "CREATE UNIQUE INDEX CONCURRENTLY idx_job_objects_job_id_status ON job_objects (job_id, status)",
        ),
        { code: "23505" },
      );
      const index = (): Promise<Record<string, unknown>[]> =>
        rows(`SELECT indisvalid, indisunique, indexrelid::int AS oid FROM pg_index
               WHERE indexrelid = to_regclass('idx_job_objects_job_id_status')`);
      assert.equal((await index())[0]?.indisvalid, false);
      await migrate(database.options(), { directories });
      const [built] = await index();
      assert.deepEqual([built?.indisvalid, built?.indisunique], [true, false]);
      await client.query("DELETE FROM matview_refresh_migrations WHERE name LIKE '005%'");
      const events: MigrationEvent[] = [];
      await migrate(database.options(), { directories, onEvent: (event) => events.push(event) });
      assert.deepEqual(await index(), [built]);
      assert.ok(
        events.some((event) => event.type === "notice" && /already exists, skipping/.test(event.message)),
      );
    });
  });
}
