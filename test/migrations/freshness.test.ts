import assert from "node:assert/strict";
import type { Client } from "pg";
import { useDatabase } from "../database";

for (const majorVersion of [18, 15] as const) {
  describe(`matview_freshness on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;

    before(async () => {
      client = await database.connect();
    });

    beforeEach(async () => {
      await client.query("TRUNCATE matview_refresh_history");
    });

    /** Adds a run that ended so many seconds ago and took one second. */
    const addRun = async (run: {
      outcome: string;
      secondsAgo: number;
      name?: string;
      oid?: string;
      sqlstate?: string;
      foundRight?: boolean;
      unknownBecause?: string;
    }): Promise<void> => {
      const { outcome, secondsAgo, name = "job_progress", oid = "'job_progress'::regclass" } = run;
      const hasTime =
        run.unknownBecause === undefined && (outcome === "refreshed" || run.foundRight === true);
      await client.query(
        `INSERT INTO matview_refresh_history
           (view_schema, view_name, view_oid, outcome, as_of, started_at, finished_at, duration_seconds, sqlstate, reason)
         VALUES ('public', $1, ${oid}, $2, CASE WHEN $3 THEN now() - make_interval(secs => $4 + 1) END,
                 now() - make_interval(secs => $4 + 1), now() - make_interval(secs => $4), 1, $5, $6)`,
        [name, outcome, hasTime, secondsAgo, run.sqlstate ?? null, run.unknownBecause ?? null],
      );
    };

    /** The view's row, its times as whole seconds ago. */
    const freshness = async (name = "job_progress"): Promise<Record<string, unknown> | undefined> => {
      const ago = (column: string): string =>
        `round(extract(epoch FROM now() - ${column}))::int AS ${column}`;
      const { rows } = await client.query<Record<string, unknown>>(
        `SELECT ${ago("as_of")}, ${ago("checked_at")}, round(age_seconds)::int AS age_seconds,
                extract(epoch FROM age)::float = age_seconds AS ages_agree, last_outcome, ${ago("last_failure_at")},
                last_failure_sqlstate
           FROM matview_freshness WHERE view_schema = 'public' AND view_name = $1`,
        [name],
      );
      assert.ok(rows.length <= 1);
      return rows[0];
    };

    const unknownAge = {
      as_of: null,
      checked_at: null,
      age_seconds: null,
      ages_agree: null,
      last_outcome: null,
      last_failure_at: null,
      last_failure_sqlstate: null,
    };

    it("looks each view up in an index, whatever the planner thinks of the others", async () => {
      await client.query("SET enable_seqscan = off; SET enable_sort = off");
      const { rows } = await client.query<{ "QUERY PLAN": string }>(
        "EXPLAIN (COSTS OFF) SELECT * FROM matview_freshness",
      );
      await client.query("RESET ALL");
      const plan = rows.map((row) => row["QUERY PLAN"].trim());
      const lookups = plan.flatMap((line, index) =>
        /Scan .*on matview_refresh_history h(_\d)?$/.test(line) ? [[line, plan[index + 1]]] : [],
      );
      // The first name of all is found without a condition; the next one, and four facts of each view, with one.
      assert.equal(lookups.length, 6, plan.join("\n"));
      const walks = lookups.filter(([, condition]) => !/^Index Cond: .*ROW\(/.test(condition ?? ""));
      assert.equal(walks.length, 1, walks.join("\n"));
    });

    it("shows a view that no run has touched, with no age", async () => {
      assert.deepEqual(await freshness(), unknownAge);
    });

    it("keeps the data's time through later failures and skips", async () => {
      await addRun({ outcome: "refreshed", secondsAgo: 900 });
      await addRun({ outcome: "refreshed", secondsAgo: 600 });
      await addRun({ outcome: "failed", secondsAgo: 300, sqlstate: "57014" });
      await addRun({ outcome: "skipped", secondsAgo: 60 });
      assert.deepEqual(await freshness(), {
        as_of: 601,
        checked_at: 600,
        age_seconds: 601,
        ages_agree: true,
        last_outcome: "skipped",
        last_failure_at: 300,
        last_failure_sqlstate: "57014",
      });
    });

    it("moves checked_at alone when a run found that nothing had to be done", async () => {
      await addRun({ outcome: "refreshed", secondsAgo: 600 });
      await addRun({ outcome: "skipped", secondsAgo: 60, foundRight: true });
      const row = await freshness();
      assert.deepEqual([row?.as_of, row?.checked_at], [601, 60]);
    });

    it("does not give a view made anew the age of its predecessor", async () => {
      await client.query("CREATE MATERIALIZED VIEW again AS SELECT 1 AS one");
      await addRun({ outcome: "refreshed", secondsAgo: 60, name: "again", oid: "'again'::regclass" });
      assert.equal((await freshness("again"))?.as_of, 61);
      await client.query("DROP MATERIALIZED VIEW again; CREATE MATERIALIZED VIEW again AS SELECT 1 AS one");
      assert.deepEqual(await freshness("again"), { ...unknownAge, last_outcome: "refreshed" });
      await client.query("DROP MATERIALIZED VIEW again");
    });

    it("shows a table that is maintained as a view, by its oid too, and no other table", async () => {
      await client.query("CREATE TABLE maintained (); CREATE TABLE other ()");
      await addRun({
        outcome: "refreshed",
        secondsAgo: 60,
        name: "maintained",
        oid: "'maintained'::regclass",
      });
      assert.equal((await freshness("maintained"))?.as_of, 61);
      assert.equal(await freshness("other"), undefined);
      await client.query("DROP TABLE maintained; CREATE TABLE maintained ()");
      assert.deepEqual(await freshness("maintained"), { ...unknownAge, last_outcome: "refreshed" });
      await client.query("DROP TABLE maintained, other");
    });

    it("still shows views of the history that are gone, and those that never were", async () => {
      await addRun({ outcome: "refreshed", secondsAgo: 60, name: "dropped", oid: "1" });
      await addRun({ outcome: "failed", secondsAgo: 30, name: "mistyped", oid: "NULL", sqlstate: "42P01" });
      const { rows } = await client.query<{ view_name: string }>(
        "SELECT view_name FROM matview_freshness ORDER BY 1",
      );
      assert.deepEqual(
        rows.map(({ view_name }) => view_name),
        ["dropped", "job_progress", "mistyped"],
      );
      assert.equal((await freshness("dropped"))?.as_of, 61);
      assert.deepEqual(await freshness("mistyped"), {
        ...unknownAge,
        last_outcome: "failed",
        last_failure_at: 30,
        last_failure_sqlstate: "42P01",
      });
    });

    it("has no age for a view that was refreshed from a source of unknown age, and says when it was checked", async () => {
      await addRun({ outcome: "refreshed", secondsAgo: 600 });
      await addRun({
        outcome: "refreshed",
        secondsAgo: 60,
        unknownBecause: "no refresh of its source is recorded",
      });
      const row = await freshness();
      assert.deepEqual([row?.as_of, row?.age_seconds, row?.checked_at], [null, null, 60]);
    });

    it("takes every kind of refresh there is, and no other", async () => {
      const add = (type: string) =>
        client.query(
          `INSERT INTO matview_refresh_history (view_schema, view_name, outcome, refresh_type, as_of, started_at, finished_at,
             duration_seconds, handler_version, changes, changed_rows, drift)
           VALUES ('public', 'job_progress', 'refreshed', $1, now(), now(), now(), 1, '0.2.0', 5000000000, 1, 0)`,
          [type],
        );
      for (const type of ["concurrent", "regular", "incremental", "full"]) await add(type);
      await assert.rejects(add("partial"), { code: "23514" });
    });

    it("refuses a refreshed row with neither the time of its data nor a reason", async () => {
      await assert.rejects(
        client.query(`INSERT INTO matview_refresh_history
          (view_schema, view_name, outcome, started_at, finished_at, duration_seconds)
          VALUES ('public', 'job_progress', 'refreshed', now(), now(), 1)`),
        { code: "23514" },
      );
    });
  });
}
