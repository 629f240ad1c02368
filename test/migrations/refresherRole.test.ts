import assert from "node:assert/strict";
import path from "node:path";
import { Client, type ClientConfig } from "pg";
import type { LocalPostgres } from "../../local/postgres/postgres";
import { migrate, type MigrationEvent } from "../../migrations/runner";
import { ALL_MIGRATIONS as directories } from "../../migrations/sets";
import { useServerFolders } from "../local/serverFolder";

/*
 * Roles belong to a whole server, and the shared test servers have matview_refresher already: these tests use
 * servers of their own, set up as on RDS. There the administrator is no superuser but may create roles.
 */
for (const majorVersion of [18, 15] as const) {
  describe(`the role matview_refresher on PostgreSQL ${majorVersion}`, () => {
    const clients: Client[] = [];
    // Before the hook that stops the server.
    after(() => Promise.all(clients.map((client) => client.end())));
    const folders = useServerFolders();
    let server: LocalPostgres;
    let member: Client;

    const options = (user: string, database: string): ClientConfig => ({
      host: server.host,
      port: server.port,
      user,
      password: user === server.user ? server.password : user,
      database,
    });
    const connectAs = async (user: string, database: string): Promise<Client> => {
      const client = new Client(options(user, database));
      await client.connect();
      clients.push(client);
      return client;
    };

    before(async () => {
      server = await folders.start(path.join(await folders.make(), "server"), { majorVersion });
      const superuser = await connectAs(server.user, "postgres");
      for (const [role, attributes] of [
        ["administrator", "LOGIN CREATEROLE CREATEDB"],
        ["developer", "LOGIN"],
        ["function", "LOGIN"],
        ["reader", "LOGIN"],
      ]) {
        await superuser.query(`CREATE ROLE ${role} ${attributes} PASSWORD '${role}'`);
      }
      await superuser.query("CREATE DATABASE restricted OWNER developer");
      await superuser.query("CREATE DATABASE scanner OWNER administrator");
      await superuser.query("CREATE DATABASE tight");
    });

    it("is left out with a notice when the user may not create roles", async () => {
      const events: MigrationEvent[] = [];
      const { applied } = await migrate(options("developer", "restricted"), {
        directories,
        onEvent: (event) => events.push(event),
      });
      assert.equal(applied.length, 10);
      const notices = events.flatMap((event) => (event.type === "notice" ? [event.message] : []));
      assert.ok(
        notices.some((notice) =>
          /^matview_refresher was not created: developer may not create roles/.test(notice),
        ),
        notices.join("\n"),
      );
      const developer = await connectAs("developer", "restricted");
      const { rows } = await developer.query("SELECT FROM pg_roles WHERE rolname = 'matview_refresher'");
      assert.equal(rows.length, 0);
      await developer.query("REFRESH MATERIALIZED VIEW CONCURRENTLY job_progress");
    });

    it("needs no right to create schemas: a notice says who makes that of maintained views, and the rest works", async () => {
      const superuser = await connectAs(server.user, "tight");
      await superuser.query("GRANT CREATE, USAGE ON SCHEMA public TO developer");
      const events: MigrationEvent[] = [];
      const onEvent = (event: MigrationEvent): unknown => events.push(event);
      assert.equal(
        (await migrate(options("developer", "tight"), { directories, onEvent })).applied.length,
        10,
      );
      const notices = (): string[] =>
        events.flatMap((event) =>
          event.type === "notice" && /matview_refresh /.test(event.message) ? [event.message] : [],
        );
      assert.match(
        notices().join("\n"),
        /^Schema matview_refresh was not created: developer has no CREATE on database tight\. .*npm run incremental -- apply/,
      );
      const developer = await connectAs("developer", "tight");
      await developer.query("REFRESH MATERIALIZED VIEW CONCURRENTLY job_progress");
      // Somebody else's schema is left as it is, and run again the file says nothing more than it must.
      await superuser.query("CREATE SCHEMA matview_refresh");
      events.length = 0;
      await migrate(options("developer", "tight"), { directories, only: "008_incremental.sql", onEvent });
      assert.deepEqual(notices(), []);
    });

    it("is made by an administrator who is no superuser, and cannot log in", async () => {
      const events: MigrationEvent[] = [];
      await migrate(options("administrator", "scanner"), {
        directories,
        onEvent: (event) => events.push(event),
      });
      assert.deepEqual(
        events.filter(({ type }) => type === "notice"),
        [],
      );
      const administrator = await connectAs("administrator", "scanner");
      const { rows } = await administrator.query(
        `SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolinherit FROM pg_roles
          WHERE rolname = 'matview_refresher'`,
      );
      assert.deepEqual(rows, [
        { rolcanlogin: false, rolsuper: false, rolcreaterole: false, rolcreatedb: false, rolinherit: true },
      ]);
      await administrator.query(`
        GRANT matview_refresher TO function;
        CREATE TABLE matview_refresh.kept ();
        CREATE MATERIALIZED VIEW other_view AS SELECT 1 AS one;
        INSERT INTO jobs (job_id, name, status) VALUES (1, 'bucket', 'running');
        INSERT INTO job_objects (job_id, object_key, status) VALUES (1, 'a', 'processed');`);
    });

    it("lets a member do a whole run", async () => {
      member = await connectAs("function", "scanner");
      await member.query(`
        BEGIN;
        REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress;
        INSERT INTO public.matview_refresh_history
          (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds)
        VALUES ('public', 'job_progress', 'public.job_progress'::regclass, 'refreshed', 'concurrent', now(), now(), now(), 0);
        COMMIT;
        REFRESH MATERIALIZED VIEW public.job_progress;
        DELETE FROM public.matview_refresh_history WHERE finished_at < now() - interval '14 days';`);
      const statistics = await member.query("SELECT * FROM public.job_progress_statistics");
      assert.deepEqual(statistics.rows, [
        { total_jobs: "1", total_objects: "1", processed_objects: "1", active_jobs: "1" },
      ]);
      const freshness = await member.query(
        "SELECT last_outcome FROM public.matview_freshness WHERE view_name = 'job_progress'",
      );
      assert.deepEqual(freshness.rows, [{ last_outcome: "refreshed" }]);
    });

    const forbidden = [
      "INSERT INTO public.jobs (name) VALUES ('x')",
      "UPDATE public.job_objects SET status = 'failed'",
      "DELETE FROM public.jobs",
      "UPDATE public.matview_refresh_history SET outcome = 'failed'",
      "TRUNCATE public.matview_refresh_history",
      "SELECT FROM public.matview_refresh_migrations",
      "REFRESH MATERIALIZED VIEW public.other_view",
      "CREATE TABLE public.mine (a int)",
      "CREATE ROLE mine",
      "CREATE TABLE matview_refresh.mine (a int)",
      "SELECT FROM matview_refresh.kept",
      "SET ROLE administrator",
      "ALTER VIEW public.matview_freshness RENAME TO mine",
      // Before 17 the role has to own the view and so needs to read its tables.
      ...(majorVersion >= 17
        ? [
            "SELECT FROM public.jobs",
            "SELECT FROM public.job_objects",
            "DROP MATERIALIZED VIEW public.job_progress",
            "ALTER MATERIALIZED VIEW public.job_progress RENAME TO mine",
          ]
        : []),
    ];
    for (const statement of forbidden) {
      it(`does not let a member: ${statement}`, async () => {
        await assert.rejects(member.query(statement), { code: "42501" });
      });
    }

    it("leaves its administrator everything, and others nothing", async () => {
      const administrator = await connectAs("administrator", "scanner");
      await administrator.query("REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress");
      assert.equal((await administrator.query("SELECT FROM public.job_progress_statistics")).rows.length, 1);
      const reader = await connectAs("reader", "scanner");
      for (const statement of [
        "REFRESH MATERIALIZED VIEW public.job_progress",
        "SELECT FROM public.job_progress",
        "SELECT FROM public.matview_refresh_history",
      ]) {
        await assert.rejects(reader.query(statement), { code: "42501" });
      }
    });

    it("comes out the same when its file is run again", async () => {
      const administrator = await connectAs("administrator", "scanner");
      const grants = async (): Promise<unknown[]> => {
        const { rows } = await administrator.query<object>(
          "SELECT relname, relacl::text, relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        );
        return rows;
      };
      const before = await grants();
      await administrator.query(
        "DELETE FROM matview_refresh_migrations WHERE name = '004_refresher_role.sql'",
      );
      const { applied } = await migrate(options("administrator", "scanner"), { directories });
      assert.deepEqual(
        applied.map(({ name }) => name),
        ["004_refresher_role.sql"],
      );
      assert.deepEqual(await grants(), before);
    });
  });
}
