import assert from "node:assert/strict";
import type { Client } from "pg";
import { previewRun } from "../../handler/preview";
import { connectorFor } from "../../handler/connect";
import { Budget } from "../../handler/budget";
import { responseBody } from "../../handler/response";
import { HANDLER_VERSION } from "../../handler/version";
import { useDatabase } from "../database";
import { onlyFailure, onlyRefreshed, onlySkipped, runViews, until, viewNamed } from "./harness";
import { ITEMS, maintain, objectsOf, TOTALS } from "./maintainedView";
import { useRole } from "./roles";

const totals = viewNamed("totals");
const { lock, status, query, fold, log, published } = objectsOf("totals");

/** The view's rows that its query does not have, and the other way round. */
const DIFFERENCE = `
  SELECT count(*)::int AS n FROM ((TABLE ${published} EXCEPT ALL TABLE ${query})
                        UNION ALL (TABLE ${query} EXCEPT ALL TABLE ${published})) d`;

for (const majorVersion of [18, 15] as const) {
  describe(`a maintained view on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query(ITEMS);
      await maintain(client, TOTALS);
    });

    const one = async <Row extends object>(text: string): Promise<Row | undefined> =>
      (await client.query<Row>(text)).rows[0];
    const lastRow = async () =>
      one<Record<string, unknown>>(`
        SELECT outcome, refresh_type, reason, changes::int, changed_rows::int, drift::int, handler_version
          FROM matview_refresh_history WHERE view_name = 'totals' ORDER BY id DESC LIMIT 1`);
    const assertRight = async () => assert.deepEqual(await one(DIFFERENCE), { n: 0 });
    const age = async () =>
      one<{ as_of: Date; isFresh: boolean }>(
        `SELECT as_of, age >= interval '0' AS "isFresh" FROM matview_freshness WHERE view_name = 'totals'`,
      );

    it("is folded, and says so in log, response, history and freshness", async () => {
      await client.query("UPDATE items SET n = n + 1 WHERE grp <> 'group 0'; DELETE FROM items WHERE id = 1");
      const before = await one<{ now: Date }>("SELECT clock_timestamp() AS now");
      const run = await runViews(database, [totals]);
      const outcome = onlyRefreshed(run);
      await assertRight();
      assert.deepEqual(
        run.lines
          .slice(1)
          .map((line) => line.replace(/^\[[\d: -]+\]/, "[]").replace(/\d+\.\d{3}s/, "0.003s")),
        [
          "[] Refreshing totals materialized view...",
          "[] ✓ Refresh completed in 0.003s (incremental, 13 changes, 2 rows)",
          "  Rows: 3",
        ],
      );
      const { duration_seconds: _, ...body } = responseBody([outcome]);
      assert.deepEqual(body, {
        success: true,
        refresh_type: "incremental",
        statistics: { total_rows: 3 },
        changes: 13,
        changed_rows: 2,
        drift: null,
      });
      assert.deepEqual(await lastRow(), {
        ...{ outcome: "refreshed", refresh_type: "incremental", reason: null },
        ...{ changes: 13, changed_rows: 2, drift: null, handler_version: HANDLER_VERSION },
      });
      const { as_of, isFresh } = (await age()) ?? {};
      assert.ok(
        isFresh && before && as_of && as_of >= before.now && +as_of === +new Date(outcome.asOf ?? ""),
      );
    });

    it("costs a tick that finds no change nothing, and makes the view fresh", async () => {
      const before = await age();
      const outcome = onlyRefreshed(await runViews(database, [totals]));
      assert.deepEqual(outcome.fold, { changes: 0, changedRows: 0, drift: null, reason: null });
      assert.ok(((await age())?.as_of ?? 0) > (before?.as_of ?? 0));
    });

    it("is left alone by a tick while another fold runs", async () => {
      const other = await database.connect();
      await other.query(`BEGIN; LOCK TABLE ${lock} IN EXCLUSIVE MODE`);
      const reason = "another refresh of it is running";
      assert.equal(onlySkipped(await runViews(database, [totals])).reason, reason);
      await other.query("ROLLBACK");
      assert.deepEqual([(await lastRow())?.outcome, (await lastRow())?.reason], ["skipped", reason]);
    });

    const FOLD_WAITS = `
      SELECT EXISTS (SELECT FROM pg_locks WHERE relation = '${lock}'::regclass AND NOT granted)`;

    it("is waited for by hand, and has what was committed meanwhile", async () => {
      const other = await database.connect();
      await other.query(`BEGIN; LOCK TABLE ${lock} IN EXCLUSIVE MODE`);
      const manual = runViews(database, [totals], { manual: true });
      await until(client, FOLD_WAITS);
      const { now } = (await one<{ now: Date }>(
        "INSERT INTO items VALUES (20, 'late', 1) RETURNING clock_timestamp() AS now",
      )) ?? { now: new Date(0) };
      await other.query("COMMIT");
      const run = await manual;
      assert.equal(onlyRefreshed(run).fold?.changes, 1);
      assert.ok(
        run.lines.some((line) => line.endsWith("Waiting for the refresh of totals that is running...")),
      );
      await assertRight();
      assert.ok(
        new Date(onlyRefreshed(run).asOf ?? 0) >= now,
        "as_of is that of the snapshot, not of the wait",
      );
    });

    it("55P03: names who has the lock where waiting by hand was in vain", async () => {
      const other = await database.connect();
      const { rows } = await other.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      await other.query(`BEGIN; LOCK TABLE ${lock} IN EXCLUSIVE MODE`);
      const failure = onlyFailure(await runViews(database, [totals], { manual: true, timeoutMs: 1_500 }));
      await other.query("ROLLBACK");
      assert.equal(failure.code, "55P03");
      assert.match(
        failure.problem,
        new RegExp(
          `^another refresh of the view was still running after 1\\.\\ds, held by pid ${rows[0]?.pid} `,
        ),
      );
    });

    it("55P03: and who has locked a table of the query", async () => {
      const other = await database.connect();
      await other.query("BEGIN; LOCK TABLE items");
      const failure = onlyFailure(await runViews(database, [totals], { timeoutMs: 1_500 }));
      await other.query("ROLLBACK");
      assert.match(failure.problem, /^waited \d\.\ds for a lock on public\.items, held by pid \d+ /);
    });

    it("55P03: or the table that readers read", async () => {
      const other = await database.connect();
      await client.query("INSERT INTO items VALUES (21, 'late', 1)");
      await other.query(`BEGIN; LOCK TABLE ${published} IN SHARE MODE`);
      const failure = onlyFailure(await runViews(database, [totals], { timeoutMs: 1_500 }));
      await other.query("ROLLBACK");
      assert.match(failure.problem, /^waited \d\.\ds for a lock on public\.totals, held by pid \d+ /);
      await runViews(database, [totals]);
      await assertRight();
    });

    it("55P03: or a table that the fold keeps, and the remedy ends who has it", async () => {
      const other = await database.connect();
      await client.query("INSERT INTO items VALUES (23, 'logged', 1)");
      await other.query(`BEGIN; LOCK TABLE ${log} IN SHARE MODE`);
      const failure = onlyFailure(await runViews(database, [totals], { timeoutMs: 1_500 }));
      assert.match(
        failure.problem,
        /^waited \d\.\ds for a lock on matview_refresh\.public__totals__log_1, held by pid \d+ /,
      );
      await client.query(failure.remedy);
      onlyRefreshed(await runViews(database, [totals]));
      await assertRight();
    });

    it("55P03: or the log of a view that reads this one", async () => {
      const other = await database.connect();
      await client.query(`
        CREATE TABLE matview_refresh.public__reader__log_1 (n integer);
        CREATE FUNCTION matview_refresh.public__reader__log_1_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN INSERT INTO matview_refresh.public__reader__log_1 VALUES (1); RETURN NULL; END $$;
        CREATE TRIGGER tells_reader AFTER INSERT OR UPDATE ON ${published}
          FOR EACH STATEMENT EXECUTE FUNCTION matview_refresh.public__reader__log_1_write();
        INSERT INTO items VALUES (24, 'logged', 1)`);
      await other.query("BEGIN; LOCK TABLE matview_refresh.public__reader__log_1 IN SHARE MODE");
      const { problem } = onlyFailure(await runViews(database, [totals], { timeoutMs: 1_500 }));
      await other.query("ROLLBACK");
      assert.match(
        problem,
        /^waited \d\.\ds for a lock on matview_refresh\.public__reader__log_1, held by pid /,
      );
      await client.query(`
        DROP TRIGGER tells_reader ON ${published};
        DROP FUNCTION matview_refresh.public__reader__log_1_write; DROP TABLE matview_refresh.public__reader__log_1`);
      await runViews(database, [totals]);
      await assertRight();
    });

    it("reads one snapshot, taken when all its locks are held", async () => {
      const other = await database.connect();
      await other.query("BEGIN; LOCK TABLE items; INSERT INTO items VALUES (22, 'locked in', 1)");
      const run = runViews(database, [totals]);
      await until(
        client,
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'items'::regclass AND mode = 'AccessShareLock' AND NOT granted)",
      );
      await other.query("COMMIT");
      assert.equal(onlyRefreshed(await run).fold?.changes, 1);
      await assertRight();
    });

    it("is skipped while it is paused, and the dry run warns of it", async () => {
      await client.query(`UPDATE ${status} SET paused = true`);
      const reason = "it is paused: npm run incremental -- resume --view public.totals";
      assert.equal(onlySkipped(await runViews(database, [totals])).reason, reason);
      const [preview] = await previewRun(
        connectorFor(database.databaseSettings()),
        [totals],
        new Budget(5_000),
      );
      assert.ok(preview?.outcome === "planned");
      assert.deepEqual([preview.mode, preview.warning], [{ type: "incremental" }, reason]);
      await client.query(`UPDATE ${status} SET paused = false`);
    });

    it("is computed anew where it must be, with the reason in log, response and history", async () => {
      await client.query("TRUNCATE items; INSERT INTO items VALUES (1, 'a', 1)");
      const run = await runViews(database, [totals]);
      const reason = "public.items was truncated";
      const { refresh_type, reason: told } = responseBody([onlyRefreshed(run)]);
      assert.deepEqual([refresh_type, told], ["full", reason]);
      assert.ok(
        run.lines.some((line) =>
          new RegExp(`✓ Refresh completed in \\d\\.\\d\\ds \\(full: ${reason}\\)$`).test(line),
        ),
      );
      const { refresh_type: type, reason: kept } = (await lastRow()) ?? {};
      assert.deepEqual([type, kept], ["full", reason]);
      await assertRight();
    });

    it("is computed anew as often as its settings say, and no more often", async () => {
      await client.query(`UPDATE ${status} SET last_full_at = now() - interval '90 minutes'`);
      const typeWith = async (fullEverySeconds?: number) =>
        onlyRefreshed(
          await runViews(database, [
            viewNamed("totals", fullEverySeconds === undefined ? {} : { fullEverySeconds }),
          ]),
        ).refreshType;
      assert.equal(await typeWith(7_200), "incremental");
      assert.equal(await typeWith(), "incremental");
      assert.equal(await typeWith(3_600), "full");
    });

    it("fails where it would have to be, and the settings forbid it; nothing is lost", async () => {
      const strict = viewNamed("totals", { allowFullRuns: false });
      await client.query("TRUNCATE items; INSERT INTO items VALUES (2, 'b', 2)");
      const failure = onlyFailure(await runViews(database, [strict]));
      assert.deepEqual([failure.kind, failure.code], ["permanent", "55000"]);
      assert.equal(
        failure.problem,
        "it has to be computed anew (public.items was truncated) and allowFullRuns is false",
      );
      assert.equal(failure.remedy, "npm run refresh -- --view public.totals --full");
      assert.equal((await one<{ n: number }>(`SELECT count(*)::int AS n FROM ${log}`))?.n, 2);
      onlyRefreshed(await runViews(database, [totals]));
      await assertRight();
    });

    it("warns of rows that no log had told of, counts them, and says how to find out", async () => {
      await client.query(`
        BEGIN; SET LOCAL session_replication_role = replica;
        INSERT INTO items VALUES (3, 'unseen', 1), (4, 'unseen too', 1); COMMIT;
        UPDATE ${status} SET last_full_at = '-infinity'`);
      const run = await runViews(database, [totals]);
      assert.equal(onlyRefreshed(run).fold?.drift, 2);
      const at = run.lines.findIndex((line) =>
        /Warning: totals: 2 rows differed from its query after folding/.test(line),
      );
      assert.match(
        run.lines[at] ?? "",
        /session_replication_role = replica.*logical replication.*triggers were disabled/,
      );
      assert.equal(run.lines[at + 1], "  To find out: npm run incremental -- verify --view public.totals");
      assert.equal((await lastRow())?.drift, 2);
      await assertRight();
    });

    it("57014: a run that takes too long is to be done from here, with time enough", async () => {
      await client.query(`
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER INSERT OR UPDATE ON ${published} EXECUTE FUNCTION slow();
        INSERT INTO items VALUES (5, 'slow', 1)`);
      const failure = onlyFailure(await runViews(database, [totals], { timeoutMs: 1_200 }));
      await client.query(`DROP TRIGGER slow ON ${published}`);
      assert.equal(failure.code, "57014");
      assert.equal(failure.remedy, "npm run refresh -- --view public.totals --full --timeout 3600");
      onlyRefreshed(await runViews(database, [totals]));
      await assertRight();
    });

    it("keeps a row's value out of what a failing fold is told of, and says how to see it", async () => {
      await client.query(
        "ALTER TABLE totals ADD CHECK (grp <> 'secret'); INSERT INTO items VALUES (6, 'secret', 1)",
      );
      const run = await runViews(database, [totals]);
      const failure = onlyFailure(run);
      assert.equal(failure.code, "23514");
      assert.equal(
        failure.remedy,
        "npm run refresh -- --view public.totals  # shows the server's full error",
      );
      assert.ok(!run.lines.join().includes("secret"));
      await client.query("DELETE FROM items WHERE id = 6");
      onlyRefreshed(await runViews(database, [totals]));
    });

    it("40001: is tried again where the snapshot met a concurrent change", async () => {
      await client.query(`
        CREATE SEQUENCE tries;
        CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('public.tries') = 1 THEN RAISE EXCEPTION 'clash' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;
        CREATE TRIGGER clash AFTER INSERT ON ${published} EXECUTE FUNCTION clash();
        INSERT INTO items VALUES (7, 'clash', 1)`);
      const run = await runViews(database, [totals]);
      assert.equal(onlyRefreshed(run).fold?.changes, 1);
      assert.ok(run.lines.some((line) => /trying again: .*40001/.test(line)));
      await client.query(`DROP TRIGGER clash ON ${published}`);
    });

    describe("among other views", () => {
      const [top, plain] = [viewNamed("top"), viewNamed("by_size")];

      before(async () => {
        await client.query(`
          CREATE VIEW between_them AS SELECT grp, total FROM totals;
          CREATE MATERIALIZED VIEW by_size AS SELECT total, count(*) AS n FROM between_them GROUP BY total`);
        await maintain(client, {
          ...{ name: "top", table: "public.totals", key: "grp" },
          ...{ query: "SELECT grp, total * 2 AS twice FROM public.between_them", columns: ["twice"] },
        });
      });

      it("comes before those that read it, maintained or not, and after what it reads", async () => {
        await client.query("INSERT INTO items VALUES (30, 'chain', 5)");
        const run = await runViews(database, [plain, top, totals]);
        const refreshing = run.lines.flatMap((line) => /Refreshing (\w+) /.exec(line)?.[1] ?? []);
        assert.deepEqual(refreshing, ["totals", "by_size", "top"]);
        assert.deepEqual((await client.query("SELECT twice::int FROM top WHERE grp = 'chain'")).rows, [
          { twice: 10 },
        ]);
        const times = run.outcomes.map((outcome) => outcome.outcome === "refreshed" && outcome.asOf);
        assert.equal(new Set(times).size, 1, "nobody claims to be fresher than what he reads");
        assert.equal(responseBody(run.outcomes as never).refresh_type, "regular");
      });

      it("gives its age to them from history, as it was in their own snapshot", async () => {
        const source = onlyRefreshed(await runViews(database, [totals])).asOf;
        assert.equal(onlyRefreshed(await runViews(database, [top])).asOf, source);
        assert.equal(onlyRefreshed(await runViews(database, [plain])).asOf, source);
        await client.query("DELETE FROM matview_refresh_history WHERE view_name = 'totals'");
        const unknown = await runViews(database, [top]);
        assert.equal(onlyRefreshed(unknown).asOf, undefined);
        assert.ok(
          unknown.lines.some((line) =>
            line.endsWith("age of top is unknown: no refresh of totals, which it reads, is recorded"),
          ),
        );
      });
    });

    it("is folded by hand, and computed anew with --full, a strict setting notwithstanding", async () => {
      const strict = viewNamed("totals", { allowFullRuns: false });
      const run = await runViews(database, [strict], { forceFull: true });
      assert.equal(onlyRefreshed(run).refreshType, "full");
      assert.equal((await lastRow())?.reason, "it was asked for");
    });

    it("is a table like any other once its fold is not its owner's, or not for it", async () => {
      const failures: string[] = [];
      const giveTo = (role: string): string =>
        [`FUNCTION ${fold}`, `TABLE ${lock}`, `VIEW ${query}`]
          .map((object) => `ALTER ${object} OWNER TO ${role}`)
          .join("; ");
      for (const [undo, redo] of [
        [
          `COMMENT ON FUNCTION ${fold} IS 'matview-refresh: folds public.other'`,
          `COMMENT ON FUNCTION ${fold} IS 'matview-refresh: folds public.totals'`,
        ],
        [giveTo("matview_refresher"), giveTo("CURRENT_USER")],
        [`ALTER FUNCTION ${fold} SECURITY INVOKER`, `ALTER FUNCTION ${fold} SECURITY DEFINER`],
        [
          `ALTER SCHEMA matview_refresh RENAME TO elsewhere`,
          `ALTER SCHEMA elsewhere RENAME TO matview_refresh`,
        ],
      ] as const) {
        await client.query(undo);
        const failure = onlyFailure(await runViews(database, [totals]));
        failures.push(failure.code);
        assert.match(
          failure.remedy,
          /^SELECT schemaname, matviewname FROM pg_matviews;.*npm run incremental -- list$/,
        );
        await client.query(redo);
      }
      assert.deepEqual(failures, ["0A000", "0A000", "0A000", "0A000"]);
      onlyRefreshed(await runViews(database, [totals]));
    });

    it("is what a refresh finds that waited while the view was replaced by it", async () => {
      await client.query(`
        CREATE MATERIALIZED VIEW swapped AS SELECT grp, sum(n) AS total FROM items GROUP BY grp;
        CREATE UNIQUE INDEX ON swapped (grp)`);
      const other = await database.connect();
      await other.query("BEGIN; DROP MATERIALIZED VIEW swapped");
      const run = runViews(database, [viewNamed("swapped")]);
      await until(
        client,
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'swapped'::regclass AND NOT granted)",
      );
      await maintain(other, {
        ...{ name: "swapped", table: "public.items", key: "grp", columns: ["total"] },
        query: "SELECT grp, sum(n) AS total FROM public.items GROUP BY grp",
      });
      const { lines } = await run;
      assert.equal(onlyRefreshed(await run).refreshType, "incremental");
      assert.ok(
        lines.some((line) => /trying again: .*the view became a maintained one/.test(line)),
        lines.join("\n"),
      );
    });

    it("is recorded with its age in a history table from before migration 008", async () => {
      await client.query(`
        ALTER TABLE matview_refresh_history
          DROP COLUMN handler_version, DROP COLUMN changes, DROP COLUMN changed_rows, DROP COLUMN drift,
          DROP COLUMN remedy, DROP COLUMN blockers,
          DROP CONSTRAINT matview_refresh_history_refresh_type_check,
          ADD CONSTRAINT matview_refresh_history_refresh_type_check CHECK (refresh_type IN ('concurrent', 'regular')) NOT VALID`);
      const run = await runViews(database, [totals]);
      onlyRefreshed(run);
      assert.ok(!run.lines.some((line) => line.includes("history")), run.lines.join("\n"));
      const row = await one(`
        SELECT outcome, refresh_type, as_of IS NOT NULL AS known FROM matview_refresh_history ORDER BY id DESC LIMIT 1`);
      assert.deepEqual(row, { outcome: "refreshed", refresh_type: null, known: true });
    });
  });

  describe(`privileges on a maintained view on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const owner = useRole(database);
    const refresher = useRole(database);
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query(`
        GRANT CREATE ON SCHEMA public, matview_refresh TO ${owner.name};
        GRANT USAGE ON SCHEMA matview_refresh TO ${owner.name};
        ${ITEMS};
        GRANT SELECT, TRIGGER ON items TO ${owner.name}`);
      await maintain(await database.connect({ user: owner.name, password: owner.password }), TOTALS);
    });

    const run = () => runViews(database, [totals], { database: refresher.settings() });

    it("42501: who may not fold is told every grant that lets him, and with them he can", async () => {
      await client.query(`GRANT INSERT, SELECT ON matview_refresh_history TO ${refresher.name}`);
      await client.query("INSERT INTO items VALUES (40, 'new', 1)");
      const { code, remedy } = onlyFailure(await run());
      assert.equal(code, "42501");
      const needed = [
        "USAGE ON SCHEMA matview_refresh",
        "EXECUTE ON FUNCTION matview_refresh.public__totals__fold(boolean, interval, boolean)",
        "UPDATE ON matview_refresh.public__totals__lock",
        "SELECT ON matview_refresh.public__totals__query",
        "SELECT ON public.totals",
      ];
      assert.equal(remedy, needed.map((what) => `GRANT ${what} TO "${refresher.name}";`).join(" "));
      await client.query(remedy);
      assert.equal(onlyRefreshed(await run()).fold?.changes, 1);
      await client.query(remedy.replaceAll("GRANT", "REVOKE").replaceAll(" TO ", " FROM "));
    });

    it("a member of matview_refresher folds, and can do nothing else to it", async () => {
      await client.query(`GRANT matview_refresher TO ${refresher.name}; UPDATE items SET n = 100`);
      const outcome = onlyRefreshed(await run());
      assert.equal(outcome.refreshType, "incremental");
      assert.deepEqual((await client.query(DIFFERENCE)).rows, [{ n: 0 }]);
      const member = await database.connect({ user: refresher.name, password: refresher.password });
      for (const statement of [
        "INSERT INTO public.totals VALUES ('x')",
        "UPDATE public.totals SET total = 0",
        "TRUNCATE public.totals",
        `DELETE FROM ${log}`,
        `SELECT FROM ${log}`,
        `UPDATE ${status} SET paused = true`,
        "SELECT FROM public.items",
      ]) {
        await assert.rejects(member.query(statement), { code: "42501" }, statement);
      }
    });

    it("42501 in mid-fold: the owner lacks SELECT on what the view reads, and the remedy grants it", async () => {
      await client.query(`REVOKE SELECT ON items FROM ${owner.name}; UPDATE items SET n = 101`);
      const failure = onlyFailure(await run());
      assert.deepEqual(
        [failure.code, failure.remedy],
        ["42501", `GRANT SELECT ON public.items TO "${owner.name}";`],
      );
      await client.query(failure.remedy);
      onlyRefreshed(await run());
    });
  });
}
