import assert from "node:assert/strict";
import { readFacts } from "../../handler/catalog";
import { responseBody } from "../../handler/response";
import { useDatabase } from "../database";
import { onlyFailure, onlyRefreshed, runViews, viewNamed } from "./harness";

const jobProgress = viewNamed("job_progress", {
  statistics: { schema: "public", name: "job_progress_statistics" },
});

for (const majorVersion of [18, 15] as const) {
  describe(`a refresh on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });

    it("publishes what the tables hold, and reports it in the documented words", async () => {
      const client = await database.connect();
      await client.query(`
        INSERT INTO jobs (job_id, name, status) SELECT g, 'job-' || g, CASE WHEN g <= 2 THEN 'running' ELSE 'completed' END
          FROM generate_series(1, 3) g;
        INSERT INTO job_objects (job_id, object_key, status)
          SELECT 1 + g % 3, 'object-' || g, CASE WHEN g <= 1000 THEN 'processed' ELSE 'pending' END
            FROM generate_series(1, 1200) g`);
      const run = await runViews(database, [jobProgress]);
      const outcome = onlyRefreshed(run);
      assert.deepEqual(outcome.statistics, {
        total_jobs: 3,
        total_objects: 1200,
        processed_objects: 1000,
        active_jobs: 2,
      });
      const { rows } = await client.query("SELECT sum(total_objects)::int AS sum FROM job_progress");
      assert.deepEqual(rows, [{ sum: 1200 }]);

      const withoutTimes = run.lines.map((line) =>
        line.replace(/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] /, "[] "),
      );
      assert.deepEqual(
        withoutTimes.map((line) => line.replace(/\d+\.\d\ds/, "0.85s")),
        [
          "[] Connecting to database...",
          "[] Refreshing job_progress materialized view...",
          "[] ✓ Refresh completed in 0.85s (concurrent)",
          "  Jobs: 3",
          "  Total objects: 1,200",
          "  Processed: 1,000",
          "  Active jobs: 2",
        ],
      );
    });

    it("writes the history row that matview_freshness reads, with the time before its snapshot", async () => {
      const client = await database.connect();
      const clock = async (): Promise<Date> =>
        (await client.query<{ now: Date }>("SELECT clock_timestamp() AS now")).rows[0]?.now ?? new Date(0);
      const before = await clock();
      const outcome = onlyRefreshed(await runViews(database, [jobProgress]));
      const after = await clock();
      const { rows } = await client.query<{
        as_of: Date;
        outcome: string;
        refresh_type: string;
        run_id: string;
      }>("SELECT as_of, outcome, refresh_type, run_id FROM matview_refresh_history ORDER BY id DESC LIMIT 1");
      const [row] = rows;
      assert.ok(row && row.as_of >= before && row.as_of <= after);
      assert.deepEqual([row.outcome, row.refresh_type, row.run_id], ["refreshed", "concurrent", "test"]);
      assert.equal(new Date(outcome.asOf ?? "").getTime(), row.as_of.getTime());
      const freshness = await client.query(
        "SELECT age >= interval '0' AS known FROM matview_freshness WHERE view_name = 'job_progress'",
      );
      assert.deepEqual(freshness.rows, [{ known: true }]);
      assert.ok(outcome.stalenessSeconds !== undefined && outcome.stalenessSeconds > 0);
    });

    it("quotes a name that would be SQL", async () => {
      const client = await database.connect();
      const name = 'x"; drop table jobs; --';
      await client.query(`CREATE MATERIALIZED VIEW "x""; drop table jobs; --" AS SELECT 1 AS "a b"`);
      const run = await runViews(database, [viewNamed(name, { allowBlocking: false })]);
      const { remedy } = onlyFailure(run);
      const statement = remedy.slice(0, remedy.indexOf(";  --") + 1);
      assert.equal(
        statement,
        'CREATE UNIQUE INDEX CONCURRENTLY ON public."x""; drop table jobs; --" ("a b");',
      );
      await client.query(statement);
      assert.equal(onlyRefreshed(await runViews(database, [viewNamed(name)])).refreshType, "concurrent");
      assert.equal((await client.query("SELECT FROM jobs LIMIT 1")).rowCount, 1);
    });

    it("counts the view's rows where no statistics are named", async () => {
      const outcome = onlyRefreshed(await runViews(database, [viewNamed("job_progress")]));
      assert.deepEqual(outcome.statistics, { total_rows: 3 });
    });

    it("keeps the refresh when its statistics fail, and says so without quoting a row", async () => {
      const client = await database.connect();
      await client.query("CREATE VIEW broken AS SELECT ('secret-' || count(*))::int AS n FROM job_progress");
      await client.query("UPDATE jobs SET status = 'failed' WHERE job_id = 3");
      const run = await runViews(database, [
        viewNamed("job_progress", { statistics: { schema: "public", name: "broken" } }),
      ]);
      assert.deepEqual(onlyRefreshed(run).statistics, {});
      assert.ok(run.lines.some((line) => line.endsWith("reading broken failed (22P02)")));
      assert.ok(!run.lines.join().includes("secret-"));
      const { rows } = await client.query("SELECT status FROM job_progress WHERE job_id = 3");
      assert.deepEqual(rows, [{ status: "failed" }]);
    });

    it("works where a role defaults to REPEATABLE READ and to read only", async () => {
      const client = await database.connect();
      await client.query(`
        ALTER DATABASE ${database.name} SET default_transaction_isolation = 'repeatable read';
        ALTER DATABASE ${database.name} SET default_transaction_read_only = on`);
      try {
        const other = await database.connect();
        await assert.rejects(other.query("REFRESH MATERIALIZED VIEW CONCURRENTLY job_progress"), {
          code: "25006",
        });
        assert.equal(onlyRefreshed(await runViews(database, [jobProgress])).refreshType, "concurrent");
      } finally {
        await client.query(`
          BEGIN READ WRITE;
          ALTER DATABASE ${database.name} RESET default_transaction_isolation;
          ALTER DATABASE ${database.name} RESET default_transaction_read_only;
          COMMIT`);
      }
    });

    it("prunes old history, but never a view's last refresh", async () => {
      const client = await database.connect();
      await client.query(`
        INSERT INTO matview_refresh_history
          (view_schema, view_name, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds)
        SELECT 'public', v.name, v.outcome, 'regular', past.at, past.at, past.at, 1
          FROM (VALUES ('gone', 'refreshed'), ('gone', 'refreshed'), ('gone', 'failed')) v (name, outcome),
               (SELECT now() - interval '40 days' AS at) AS past;
        UPDATE matview_refresh_history SET finished_at = now() - interval '40 days' WHERE view_name = 'job_progress'`);
      onlyRefreshed(await runViews(database, [jobProgress], { historyRetentionDays: 30 }));
      const { rows } = await client.query(
        "SELECT view_name, outcome, count(*)::int AS n FROM matview_refresh_history WHERE view_name IN ('gone', 'job_progress') GROUP BY 1, 2",
      );
      assert.deepEqual(
        new Set(rows.map((row) => JSON.stringify(row))),
        new Set([
          '{"view_name":"gone","outcome":"refreshed","n":1}',
          '{"view_name":"job_progress","outcome":"refreshed","n":1}',
        ]),
      );
    });

    it("refreshes without a history table, and says that freshness is untracked", async () => {
      const client = await database.connect();
      await client.query("DROP TABLE matview_refresh_history CASCADE");
      const run = await runViews(database, [jobProgress]);
      onlyRefreshed(run);
      assert.ok(run.lines.some((line) => line.includes("freshness of job_progress is untracked")));
      const failed = await runViews(database, [viewNamed("absent")]);
      assert.equal(onlyFailure(failed).code, "42P01");
      assert.ok(
        failed.lines.some((line) => /history: absent failed is not recorded: .*npm run migrate$/.test(line)),
      );
      await client.query(
        "CREATE MATERIALIZED VIEW bare AS SELECT 1 AS id; CREATE MATERIALIZED VIEW above AS SELECT id FROM bare",
      );
      const views = [viewNamed("bare", { allowBlocking: false }), viewNamed("above")];
      const { lines, outcomes } = await runViews(database, views);
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ["failed", "skipped"],
      );
      assert.ok(
        lines.some((line) => line.includes("history: above skipped is not recorded: ")),
        lines.join("\n"),
      );
    });
  });
}

describe("numbers in a response", () => {
  const database = useDatabase();

  it("are exact, and what is no number stays out", async () => {
    const client = await database.connect();
    await client.query(`CREATE VIEW odd AS
      SELECT 9007199254740993::bigint AS too_large, 12.5::numeric AS share, 'a row''s text'::text AS words,
             NULL::bigint AS nothing, 7::smallint AS small`);
    const outcome = onlyRefreshed(
      await runViews(database, [
        viewNamed("job_progress", { statistics: { schema: "public", name: "odd" } }),
      ]),
    );
    assert.deepEqual(outcome.statistics, {
      too_large: "9007199254740993",
      share: 12.5,
      nothing: null,
      small: 7,
    });
    const body = responseBody([{ ...outcome, durationSeconds: 0.8501 }]);
    assert.equal(
      JSON.stringify(body),
      '{"success":true,"duration_seconds":0.85,"refresh_type":"concurrent","statistics":{"too_large":"9007199254740993","share":12.5,"nothing":null,"small":7}}',
    );
  });

  it("come with facts that mirror the server's rule for unique indexes", async () => {
    const client = await database.connect();
    await client.query(`
      CREATE MATERIALIZED VIEW indexed AS SELECT g AS a, g * 2 AS b, 'n' || g AS c FROM generate_series(1, 5) g;
      CREATE UNIQUE INDEX partial_idx ON indexed (a) WHERE a > 0;
      CREATE UNIQUE INDEX expression_idx ON indexed ((a + 1));
      CREATE INDEX plain_idx ON indexed (a)`);
    const session = {
      query: async (text: string, values: unknown[]): Promise<object[]> =>
        (await client.query<object>(text, values)).rows,
    };
    const facts = async () => readFacts(session as never, viewNamed("indexed"));
    const serverAccepts = async () =>
      client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY indexed").then(
        () => true,
        (error: { code?: string }) => (assert.equal(error.code, "55000"), false),
      );
    assert.deepEqual((await facts()).usableIndexes, []);
    assert.equal(await serverAccepts(), false);
    await client.query("CREATE UNIQUE INDEX usable_idx ON indexed (b, c) INCLUDE (a)");
    assert.deepEqual((await facts()).usableIndexes, ["usable_idx (b, c, a)"]);
    assert.equal(await serverAccepts(), true);
  });
});
