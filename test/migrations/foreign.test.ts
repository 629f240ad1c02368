import assert from "node:assert/strict";
import { Client } from "pg";
import { migrate } from "../../migrations/runner";
import { ALL_MIGRATIONS as directories } from "../../migrations/sets";
import { useDatabase } from "../database";

/** Somebody's own tables and view, of the names that the migrations would use. */
const tables = `
  CREATE TABLE public.jobs (job_id bigint PRIMARY KEY, status text NOT NULL);
  CREATE TABLE public.job_objects (job_id bigint NOT NULL, status text NOT NULL, updated_at timestamptz);`;
const view = `
  CREATE MATERIALIZED VIEW public.job_progress AS SELECT job_id, status FROM public.jobs;
  COMMENT ON MATERIALIZED VIEW public.job_progress IS 'theirs';`;

for (const majorVersion of [18, 15] as const) {
  describe(`a database with relations of somebody else on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion, template: "empty" });
    const owner = `${database.name}_owner`;
    let admin: Client;
    let theirs: Client;

    before(async () => {
      admin = await database.connect();
      await admin.query(`CREATE ROLE ${owner} LOGIN PASSWORD 'theirs'`);
      theirs = await database.connect({ user: owner, password: "theirs" });
    });
    beforeEach(() =>
      admin.query(`DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO ${owner}`),
    );
    // The database, with all that is theirs, is gone by then.
    after(async () => {
      const client = new Client({ ...database.options(), database: "postgres" });
      await client.connect();
      await client.query(`DROP ROLE ${owner}`);
      await client.end();
    });

    /** Everything about their relations that a migration could change. */
    const facts = async (): Promise<Record<string, unknown>[]> => {
      const { rows } = await admin.query<Record<string, unknown>>(
        `SELECT c.oid::regclass::text AS relation, c.relowner::regrole::text AS owner, c.relacl::text, c.relfilenode,
                c.relhastriggers, c.relchecks, obj_description(c.oid, 'pg_class') AS comment,
                ARRAY(SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = c.oid ORDER BY 1) AS indexes,
                ARRAY(SELECT ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
                       WHERE d.refobjid = c.oid AND r.ev_class <> c.oid AND r.ev_class <> to_regclass('public.job_progress')
                       ORDER BY 1) AS readers
           FROM pg_class c
          WHERE c.relowner = $1::regrole AND c.relkind IN ('r', 'm') ORDER BY 1`,
        [owner],
      );
      return rows;
    };
    const applyAll = async (): Promise<string> => {
      const notices: string[] = [];
      await migrate(database.options(), {
        directories,
        onEvent: (event) => event.type === "notice" && notices.push(event.message),
      });
      return notices.join("\n");
    };

    it("keeps their tables and their view as they were, and is told the SQL instead", async () => {
      await theirs.query(tables + view);
      const before = await facts();
      assert.equal(before.length, 3);
      const notices = await applyAll();
      // Twice: every file may be run again, and must then recognise what is not its own.
      await admin.query("TRUNCATE public.matview_refresh_migrations");
      await applyAll();
      assert.deepEqual(await facts(), before);
      await theirs.query("REFRESH MATERIALIZED VIEW public.job_progress");
      assert.match(
        notices,
        /^CREATE UNIQUE INDEX CONCURRENTLY ON public\.job_progress \(job_id\);$/m,
        "the index that is missing",
      );
      assert.match(notices, /^CREATE INDEX CONCURRENTLY ON public\.job_objects \(job_id, status\);$/m);
      const grants = [...notices.matchAll(/^GRANT .* TO matview_refresher;$/gm)].map(([line]) => line);
      assert.deepEqual(
        grants,
        majorVersion >= 17
          ? ["GRANT SELECT, MAINTAIN ON public.job_progress TO matview_refresher;"]
          : [`GRANT ${owner} TO matview_refresher;`],
      );
      // What the notices say is what is needed.
      for (const [statement] of notices.matchAll(/^(CREATE|GRANT) .*;$/gm)) await admin.query(statement);
      await admin.query(`SET ROLE matview_refresher`);
      await admin
        .query("REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress")
        .finally(() => admin.query("RESET ROLE"));
      const again = await reapply();
      assert.doesNotMatch(again, /^(CREATE|GRANT) /m, "what has been done is not asked for again");
    });

    it("puts its view on their tables without touching them", async () => {
      await theirs.query(tables);
      const before = await facts();
      const notices = await applyAll();
      const after = await facts();
      assert.deepEqual(after, before);
      await admin.query("REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress");
      for (const [statement] of notices.matchAll(/^(CREATE|GRANT|ALTER) .*;$/gm))
        await admin.query(statement);
      await admin.query(`SET ROLE matview_refresher`);
      await admin
        .query("REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress")
        .finally(() => admin.query("RESET ROLE"));
    });

    it("makes no key to a table of theirs", async () => {
      await theirs.query("CREATE TABLE public.jobs (job_id bigint PRIMARY KEY, status text NOT NULL)");
      const before = await facts();
      await applyAll();
      assert.deepEqual(await facts(), before);
    });

    it("says so when the name is taken by what is no materialized view", async () => {
      await theirs.query("CREATE VIEW public.job_progress AS SELECT 1 AS job_id");
      await assert.rejects(applyAll(), /002_optimize_for_scale\.sql.*public\.job_progress is there already/s);
    });

    const reapply = async (): Promise<string> => {
      await admin.query("TRUNCATE public.matview_refresh_migrations");
      return applyAll();
    };
  });
}
