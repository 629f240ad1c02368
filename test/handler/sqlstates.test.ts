import assert from "node:assert/strict";
import type { Client } from "pg";
import type { RefreshFailure } from "../../handler/failure";
import type { ViewSettings } from "../../handler/settings";
import { useDatabase } from "../database";
import { passwordFileWith } from "./roles";
import { Gate, lockIsWaitedFor, onlyFailure, onlyRefreshed, runViews, until, viewNamed } from "./harness";

for (const majorVersion of [18, 15] as const) {
  describe(`failures on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });

    async function execute(sql: string): Promise<void> {
      await (await database.connect()).query(sql);
    }

    async function failureOf(view: ViewSettings, timeoutMs?: number): Promise<RefreshFailure> {
      const run = await runViews(database, [view], timeoutMs === undefined ? {} : { timeoutMs });
      const failure = onlyFailure(run);
      assert.ok(failure.message.startsWith(`${view.schema}.${view.name}: `));
      assert.ok(
        failure.message.includes(`SQLSTATE ${failure.code}`) && failure.message.includes(failure.remedy),
      );
      return failure;
    }

    /** The SQLSTATE of the server's own refusal, which ours must not differ from. */
    async function serversCode(statement: string): Promise<string | undefined> {
      const client = await database.connect();
      return client.query(statement).then(
        () => undefined,
        (error: { code?: string }) => error.code,
      );
    }

    it("42P01: the view is missing", async () => {
      const client = await database.connect();
      await client.query("ALTER MATERIALIZED VIEW job_progress RENAME TO hidden");
      const failure = await failureOf(viewNamed("job_progress"));
      assert.equal(await serversCode("REFRESH MATERIALIZED VIEW job_progress"), "42P01");
      await client.query("ALTER MATERIALIZED VIEW hidden RENAME TO job_progress");
      assert.deepEqual([failure.code, failure.kind], ["42P01", "permanent"]);
      assert.equal(failure.remedy, "npm run migrate");
    });

    const wrongNames = [
      {
        what: "the schema is missing",
        code: "3F000",
        view: { ...viewNamed("a"), schema: "nowhere" },
        sql: "nowhere.a",
      },
      { what: "it is a table", code: "0A000", view: viewNamed("jobs"), sql: "jobs" },
      {
        what: "it is a plain view",
        code: "42809",
        view: viewNamed("matview_freshness"),
        sql: "matview_freshness",
      },
    ];
    for (const { what, code, view, sql } of wrongNames) {
      it(`${code}: ${what}: the server's SQLSTATE, and how to find the right name`, async () => {
        const failure = await failureOf(view);
        assert.equal(failure.code, await serversCode(`REFRESH MATERIALIZED VIEW ${sql}`));
        assert.deepEqual([failure.code, failure.kind], [code, "permanent"]);
        assert.match(failure.remedy, /^SELECT schemaname, matviewname FROM pg_matviews;/);
      });
    }

    it("21000 and 23505: duplicate rows, with the index and a query that finds them, but no row", async () => {
      await execute(`
        CREATE TABLE events (id text, n integer); INSERT INTO events VALUES ('row-secret', 1);
        CREATE MATERIALIZED VIEW doubled AS SELECT id, n FROM events;
        CREATE UNIQUE INDEX doubled_id_idx ON doubled (id)`);
      for (const [code, row] of [
        ["21000", "('row-secret', 1)"],
        ["23505", "('row-secret', 2)"],
      ] as const) {
        await execute(`TRUNCATE events; INSERT INTO events VALUES ('row-secret', 1), ${row}`);
        assert.equal(await serversCode("REFRESH MATERIALIZED VIEW CONCURRENTLY doubled"), code);
        const run = await runViews(database, [viewNamed("doubled")]);
        const failure = onlyFailure(run);
        assert.deepEqual([failure.code, failure.kind], [code, "permanent"]);
        assert.match(failure.problem, /doubled_id_idx/);
        assert.ok(
          !`${failure.stack} ${run.lines.join(" ")} ${JSON.stringify(failure)}`.includes("row-secret"),
        );
        const client = await database.connect();
        const format = /SELECT format\(.*\)(?= \\gexec)/s.exec(failure.remedy)?.[0] ?? "";
        const [formatted] = (await client.query<{ format: string }>(format)).rows;
        const found = await client.query(formatted?.format ?? "");
        assert.deepEqual(found.rows, [{ id: "row-secret", count: "2" }]);
      }
    });

    it("withholds a message that may quote a row", async () => {
      await execute(`CREATE MATERIALIZED VIEW "cast's" AS
        SELECT ('row-' || 'secret' || j.name)::integer AS id FROM jobs j WITH NO DATA;
        INSERT INTO jobs (name) VALUES ('x')`);
      const failure = await failureOf(viewNamed("cast's"));
      assert.equal(failure.server, undefined);
      assert.deepEqual([failure.code, failure.kind], ["22P02", "permanent"]);
      assert.ok(!failure.message.includes("secretx"));
      assert.equal(
        failure.remedy,
        `REFRESH MATERIALIZED VIEW public."cast's";  -- shows the server's full error`,
      );
      assert.equal(await serversCode(failure.remedy), "22P02");
    });

    it("withholds it whatever the SQLSTATE says: parsers of texts in rows, and a RAISE that has a code of its own", async () => {
      await execute(`
        CREATE MATERIALIZED VIEW searched AS SELECT to_tsquery('row secret' || j.name) AS q FROM jobs j WITH NO DATA;
        CREATE MATERIALIZED VIEW named AS SELECT ('row secret' || j.name)::regclass AS r FROM jobs j WITH NO DATA;
        CREATE FUNCTION complain(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
          RAISE EXCEPTION 'row secret%', $1 USING ERRCODE = '55000'; END $$;
        CREATE MATERIALIZED VIEW complaining AS SELECT complain(j.name) AS c FROM jobs j WITH NO DATA`);
      for (const [name, code] of [
        ["searched", "42601"],
        ["named", "42602"],
        ["complaining", "55000"],
      ] as const) {
        const run = await runViews(database, [viewNamed(name)]);
        const failure = onlyFailure(run);
        assert.deepEqual([failure.code, failure.kind], [code, "permanent"]);
        assert.ok(!`${failure.stack} ${run.lines.join(" ")} ${JSON.stringify(failure)}`.includes("secret"));
        assert.equal(await serversCode(failure.remedy), code);
      }
    });

    it("42P01: what is missing is not the view but what its query uses", async () => {
      await execute(`CREATE TABLE gone (id integer);
        CREATE FUNCTION count_gone() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM public.gone); END';
        CREATE MATERIALIZED VIEW job_counts AS SELECT count_gone() AS n; DROP TABLE gone`);
      const failure = await failureOf(viewNamed("job_counts"));
      assert.deepEqual([failure.code, failure.kind], ["42P01", "permanent"]);
      assert.match(failure.problem, /^the refresh failed: /);
      assert.equal(await serversCode(failure.remedy), "42P01");
    });

    it("shows at a terminal what a log withholds, and keeps it out of history", async () => {
      const run = await runViews(database, [viewNamed("cast's")], { attended: true });
      const { server, message } = onlyFailure(run);
      assert.match(server?.message ?? "", /"row-secretx"/);
      assert.ok(run.lines.some((line) => line.endsWith(`The server said: ${server?.message}`)));
      const { rows } = await (
        await database.connect()
      ).query<{ row: string }>(
        "SELECT h::text AS row FROM matview_refresh_history h ORDER BY id DESC LIMIT 1",
      );
      assert.ok(!`${message} ${rows[0]?.row}`.includes("secretx"));
    });

    it("22012: says in a log too what cannot quote a row", async () => {
      await execute(
        "CREATE MATERIALIZED VIEW divided AS SELECT 1 / count(*) AS n FROM jobs WHERE false WITH NO DATA",
      );
      const failure = await failureOf(viewNamed("divided"));
      assert.equal(failure.problem, "the refresh failed: division by zero");
      assert.equal(failure.server, undefined);
    });

    /** A session that holds a lock until it is rolled back, and its process id. */
    async function hold(sql: string): Promise<{ pid: number; release(): Promise<unknown> }> {
      const holder = await database.connect();
      await holder.query(`BEGIN; ${sql}`);
      const { rows } = await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      return { pid: rows[0]?.pid ?? 0, release: () => holder.query("ROLLBACK") };
    }

    it("55P03: somebody else refreshes the view in an open transaction: who, and how to end it", async () => {
      await execute("CREATE MATERIALIZED VIEW locked AS SELECT 1 AS id; CREATE UNIQUE INDEX ON locked (id)");
      const holder = await hold("REFRESH MATERIALIZED VIEW locked");
      const failure = await failureOf(viewNamed("locked"), 2_000);
      assert.deepEqual([failure.code, failure.kind], ["55P03", "transient"]);
      assert.match(
        failure.problem,
        new RegExp(
          `^waited 0\\.\\ds for a lock on public\\.locked, held by pid ${holder.pid} \\(\\w+, idle in transaction for \\d+ s\\)`,
        ),
      );
      const [recorded] = (
        await (
          await database.connect()
        ).query<Record<string, unknown>>(
          "SELECT reason, remedy, blockers FROM matview_refresh_history ORDER BY id DESC LIMIT 1",
        )
      ).rows;
      const { blockers, ...said } = recorded ?? {};
      assert.deepEqual(said, { reason: failure.problem, remedy: failure.remedy });
      assert.equal((blockers as string[]).length, 1);
      assert.match(
        (blockers as string[])[0] ?? "",
        new RegExp(`^public\\.locked, held by pid ${holder.pid} \\(\\w+, idle in transaction for \\d+ s\\)$`),
      );
      await execute(failure.remedy);
      onlyRefreshed(await runViews(database, [viewNamed("locked")]));
    });

    it("55P03: a prepared transaction that was left behind holds it: which, and how to end it", async () => {
      await execute(
        "CREATE MATERIALIZED VIEW prepared AS SELECT 1 AS id; CREATE UNIQUE INDEX ON prepared (id)",
      );
      await execute("BEGIN; REFRESH MATERIALIZED VIEW prepared; PREPARE TRANSACTION 'nobody''s'");
      const failure = await failureOf(viewNamed("prepared"), 2_000);
      assert.match(failure.problem, /on public\.prepared, held by prepared transaction "nobody's"$/);
      await execute(failure.remedy);
      onlyRefreshed(await runViews(database, [viewNamed("prepared")]));
    });

    it("55P03: the lock is on a table that the view reads through another view, down to a partition", async () => {
      await execute(`CREATE TABLE parted (id integer) PARTITION BY RANGE (id);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (9);
        CREATE VIEW through AS SELECT id FROM parted;
        CREATE MATERIALIZED VIEW reader AS SELECT id FROM through`);
      const holder = await hold("LOCK TABLE ONLY parted_1");
      const failure = await failureOf(viewNamed("reader"), 1_500);
      assert.equal(failure.code, "55P03");
      assert.deepEqual(
        failure.blockers?.map(({ pid, relation, isGranted }) => [pid, relation, isGranted]),
        [[holder.pid, "public.parted_1", true]],
      );
      await holder.release();
    });

    it("40001: a concurrent change, and the next try succeeds", async () => {
      // As from a view over another server's tables: the first refresh meets one, and a sequence forgets no rollback.
      await execute(`CREATE SEQUENCE tries;
        CREATE FUNCTION met_a_change() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN
          IF pg_catalog.nextval('public.tries') = 1 THEN
            RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
          END IF;
          RETURN 1; END $$;
        CREATE MATERIALIZED VIEW contested AS SELECT met_a_change() AS id WITH NO DATA`);
      const run = await runViews(database, [viewNamed("contested")]);
      onlyRefreshed(run);
      const retry = run.lines.find((line) => line.includes("trying again")) ?? "";
      assert.match(
        retry,
        /the refresh met a concurrent change: .*\(SQLSTATE 40001\)\. To fix it: SELECT a\.pid, /,
      );
    });

    it("53400: a limit on temporary files", async () => {
      await execute(`
        CREATE MATERIALIZED VIEW sorted AS
          SELECT DISTINCT md5(g::text) AS id FROM generate_series(1, 60000) g ORDER BY 1 WITH NO DATA;
        ALTER DATABASE ${database.name} SET temp_file_limit = '64kB';
        ALTER DATABASE ${database.name} SET work_mem = '64kB'`);
      const failure = await failureOf(viewNamed("sorted"));
      await execute(`ALTER DATABASE ${database.name} RESET temp_file_limit;
        ALTER DATABASE ${database.name} RESET work_mem`);
      assert.deepEqual([failure.code, failure.kind], ["53400", "permanent"]);
      assert.match(failure.remedy, /temp_file_limit/);
    });

    it("53300: no connection free, tried again until there is one", async () => {
      const held = await database.connect();
      await execute(`CREATE MATERIALIZED VIEW busy AS SELECT 1 AS id;
        CREATE ROLE ${database.name}_limited LOGIN CONNECTION LIMIT 0 PASSWORD 'limited';
        GRANT ALL ON SCHEMA public TO ${database.name}_limited;
        ALTER MATERIALIZED VIEW busy OWNER TO ${database.name}_limited`);
      const { passwordFile } = await passwordFileWith("limited");
      const run = await runViews(database, [viewNamed("busy")], {
        database: { user: `${database.name}_limited`, passwordFile },
        onLine: (line) => {
          if (line.includes("trying again"))
            void held.query(`ALTER ROLE ${database.name}_limited CONNECTION LIMIT 5`);
        },
      });
      onlyRefreshed(run);
      assert.ok(run.lines.some((line) => line.includes("SQLSTATE 53300")));
      await execute(`DROP OWNED BY ${database.name}_limited; DROP ROLE ${database.name}_limited`);
    });

    it("3D000, 28P01: a wrong database, a wrong password", async () => {
      const wrongDatabase = await runViews(database, [viewNamed("jobs")], { database: { name: "nowhere" } });
      assert.deepEqual(
        [onlyFailure(wrongDatabase).code, onlyFailure(wrongDatabase).kind],
        ["3D000", "permanent"],
      );
      const { passwordFile } = await passwordFileWith("not the password");
      const refused = await runViews(database, [viewNamed("jobs")], { database: { passwordFile } });
      const failure = onlyFailure(refused);
      assert.deepEqual([failure.code, failure.kind], ["28P01", "permanent"]);
      assert.match(failure.remedy, /^ALTER ROLE "postgres" PASSWORD '…';/);
      assert.ok(!refused.lines.join().includes("not the password"));
    });

    it("28000: a role that is locked out, and its remedy lets it in again", async () => {
      const name = `${database.name}_closed`;
      await execute(`CREATE ROLE ${name} NOLOGIN PASSWORD 'its password'`);
      const login = { user: name, ...(await passwordFileWith("its password")) };
      const failure = onlyFailure(await runViews(database, [viewNamed("jobs")], { database: login }));
      assert.deepEqual([failure.code, failure.kind], ["28000", "permanent"]);
      await execute(failure.remedy);
      const next = onlyFailure(await runViews(database, [viewNamed("jobs")], { database: login }));
      assert.notEqual(next.code, "28000");
      await execute(`DROP ROLE ${name}`);
    });

    it("ECONNREFUSED: nobody listens, tried again, with what to check", async () => {
      const run = await runViews(database, [viewNamed("jobs")], {
        database: { port: "1" },
        timeoutMs: 4_000,
      });
      const failure = onlyFailure(run);
      assert.deepEqual([failure.code, failure.kind, failure.sqlstate], ["ECONNREFUSED", "transient", null]);
      assert.match(failure.remedy, /^pg_isready -h 127\.0\.0\.1 -p 1 .*security group.*subnets/);
      assert.ok(run.lines.filter((line) => line.endsWith("Connecting to database...")).length > 1);
    });

    describe("in mid-refresh", () => {
      let gate: Gate;
      let client: Client;
      const gated = viewNamed("gated");
      before(async () => {
        gate = await Gate.create(database);
        client = await database.connect();
        await client.query(
          "CREATE MATERIALIZED VIEW gated AS SELECT gate() AS id; CREATE UNIQUE INDEX ON gated (id)",
        );
      });

      it("57014: its own timeout, told by the clock", async () => {
        await gate.shut();
        const failure = await failureOf(gated, 1_500);
        await gate.open();
        assert.deepEqual([failure.code, failure.kind], ["57014", "permanent"]);
        assert.match(failure.problem, /not done after 1\.\ds, all the time it had$/);
        assert.match(failure.remedy, /^pulumi config set matview-refresh:timeoutSeconds/);
        const { rows } = await client.query(
          "SELECT outcome, sqlstate FROM matview_refresh_history WHERE view_name = 'gated' ORDER BY id DESC LIMIT 1",
        );
        assert.deepEqual(rows, [{ outcome: "failed", sqlstate: "57014" }]);
      });

      it("57014: somebody's cancel, told by the clock", async () => {
        await gate.shut();
        const failing = failureOf(gated);
        await gate.reached();
        await client.query("SELECT pg_cancel_backend($1)", [(await gate.backends())[0]]);
        const failure = await failing;
        await gate.open();
        assert.equal(failure.code, "57014");
        assert.equal(failure.problem, "somebody cancelled the refresh");
      });

      it("57P01: the backend was terminated, and the next try succeeds", async () => {
        await gate.shut();
        const running = runViews(database, [gated]);
        await gate.reached();
        await client.query("SELECT pg_terminate_backend($1)", [(await gate.backends())[0]]);
        await gate.left();
        await gate.open();
        const run = await running;
        onlyRefreshed(run);
        assert.ok(run.lines.some((line) => line.includes("SQLSTATE 57P01")));
        assert.equal(run.lines.filter((line) => line.endsWith("Connecting to database...")).length, 2);
      });

      it("40P01: a deadlock is broken, and the next try succeeds", async () => {
        const other = await database.connect();
        await client.query(`CREATE TABLE late (id integer);
          CREATE FUNCTION read_late() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN PERFORM public.gate(); RETURN (SELECT count(*) FROM public.late); END';
          CREATE MATERIALIZED VIEW crossed AS SELECT read_late() AS id; CREATE UNIQUE INDEX ON crossed (id);
          ALTER DATABASE ${database.name} SET deadlock_timeout = '100ms'`);
        await gate.shut();
        const running = runViews(database, [viewNamed("crossed")]);
        await gate.reached();
        // Patient, so that the refresh is the one that looks for a deadlock and is ended.
        await other.query("SET deadlock_timeout = '20s'; BEGIN; LOCK TABLE late");
        const blocked = other.query("ANALYZE crossed");
        await until(
          client,
          "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'crossed'::regclass AND NOT granted)",
        );
        await gate.open();
        await blocked;
        await other.query("ROLLBACK");
        const run = await running;
        onlyRefreshed(run);
        assert.ok(run.lines.some((line) => line.includes("SQLSTATE 40P01")));
      });
    });

    it("57014 while waiting is no cancel: a manual refresh that somebody cancels says so", async () => {
      const client = await database.connect();
      await client.query("CREATE MATERIALIZED VIEW waited AS SELECT 1 AS id");
      const holder = await database.connect();
      await holder.query("BEGIN");
      await holder.query(
        `SELECT pg_advisory_xact_lock((${0x6d767266}::bigint << 32) | 'waited'::regclass::oid::bigint)`,
      );
      const waiting = runViews(database, [viewNamed("waited")], { manual: true });
      await lockIsWaitedFor(client);
      await client.query(
        "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 'waited'::regclass::oid",
      );
      assert.equal(onlyFailure(await waiting).problem, "somebody cancelled the refresh");
      await holder.query("ROLLBACK");
    });

    it("is recorded in a history table from before migration 009", async () => {
      await execute("ALTER TABLE matview_refresh_history DROP COLUMN remedy, DROP COLUMN blockers");
      const run = await runViews(database, [viewNamed("gone")]);
      const { code, problem } = onlyFailure(run);
      assert.ok(!run.lines.some((line) => line.includes("history")), run.lines.join("\n"));
      const client = await database.connect();
      const { rows } = await client.query(
        "SELECT outcome, sqlstate, reason FROM matview_refresh_history ORDER BY id DESC LIMIT 1",
      );
      assert.deepEqual(rows, [{ outcome: "failed", sqlstate: code, reason: problem }]);
    });
  });
}
