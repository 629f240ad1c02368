import assert from "node:assert/strict";
import type { Client } from "pg";
import { migrate, MigrationFailedError, type MigrationEvent } from "../../migrations/runner";
import { migrationsDirectory as directory, useDatabase } from "../database";

const files = [
  "001_jobs.sql",
  "002_optimize_for_scale.sql",
  "003_refresh_history.sql",
  "004_refresher_role.sql",
  "005_job_objects_index.sql",
  "006_unknown_as_of.sql",
];

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
      const { applied } = await migrate(database.options(), { directory });
      assert.deepEqual(
        applied.map(({ name }) => name),
        files,
      );
      const again = await migrate(database.options(), { directory });
      assert.deepEqual(again, { applied: [], alreadyApplied: files });
    });

    it("count each job's objects by status", async () => {
      await migrate(database.options(), { directory });
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
      await migrate(database.options(), { directory });
      assert.deepEqual(await describeTables(), before);
      assert.deepEqual(await rows("SELECT team FROM jobs"), [{ team: "red" }]);
      assert.deepEqual(await rows("SELECT processed_objects FROM job_progress"), [
        { processed_objects: "1" },
      ]);
    });

    it("say which columns they miss in tables that are already there", async () => {
      await client.query(
        "CREATE TABLE jobs (id int, status text); CREATE TABLE job_objects (job_id int, state text)",
      );
      await assert.rejects(migrate(database.options(), { directory }), (error: Error) => {
        assert.ok(error instanceof MigrationFailedError);
        assert.equal(error.migration, "002_optimize_for_scale.sql");
        assert.match(
          error.message,
          /public\.jobs\.job_id, public\.job_objects\.status, public\.job_objects\.updated_at/,
        );
        return true;
      });
    });

    for (const dropped of ["MATERIALIZED VIEW job_progress", "TABLE jobs", "TABLE matview_refresh_history"]) {
      it(`make a dropped ${dropped} again, with its views and rights`, async () => {
        await migrate(database.options(), { directory });
        const relations = (): Promise<Record<string, unknown>[]> =>
          rows(`SELECT relname, relkind, relowner, relacl::text, obj_description(oid, 'pg_class') AS comment FROM pg_class
                 WHERE relnamespace = 'public'::regnamespace ORDER BY relname`);
        const before = await relations();
        await client.query(`DROP ${dropped} CASCADE`);
        await assert.rejects(migrate(database.options(), { directory }), (error: Error) => {
          const [, file] = /npm run migrate -- (\S+)$/.exec(error.message) ?? [];
          assert.ok(file !== undefined && files.includes(file), error.message);
          return true;
        });
        await migrate(database.options(), { directory, makeAgain: true });
        assert.deepEqual(await relations(), before);
      });
    }

    it("replace an index whose concurrent build failed, and keep one that is valid", async () => {
      await migrate(database.options(), { directory, only: "001_jobs.sql" });
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
      await migrate(database.options(), { directory });
      const [built] = await index();
      assert.deepEqual([built?.indisvalid, built?.indisunique], [true, false]);
      await client.query("DELETE FROM matview_refresh_migrations WHERE name LIKE '005%'");
      const events: MigrationEvent[] = [];
      await migrate(database.options(), { directory, onEvent: (event) => events.push(event) });
      assert.deepEqual(await index(), [built]);
      assert.ok(
        events.some((event) => event.type === "notice" && /already exists, skipping/.test(event.message)),
      );
    });
  });
}
