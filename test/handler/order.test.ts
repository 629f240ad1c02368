import assert from "node:assert/strict";
import fc from "fast-check";
import { RefreshFailure } from "../../handler/failure";
import { orderViews, sourcesByReader, type Dependency } from "../../handler/order";
import type { FailedView } from "../../handler/outcome";
import { respond, type ResponseBody } from "../../handler/response";
import { useDatabase } from "../database";
import { onlyRefreshed, runViews, viewNamed } from "./harness";

for (const majorVersion of [18, 15] as const) {
  describe(`several views on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const [totals, daily, unrelated] = [viewNamed("totals"), viewNamed("daily"), viewNamed("unrelated")];

    before(async () => {
      const client = await database.connect();
      await client.query(`
        CREATE TABLE sales (day integer, amount integer); INSERT INTO sales VALUES (1, 10);
        CREATE MATERIALIZED VIEW daily AS SELECT day, sum(amount) / min(amount) AS share, sum(amount) AS amount FROM sales GROUP BY day;
        CREATE VIEW between_them AS SELECT amount FROM daily;
        CREATE MATERIALIZED VIEW totals AS SELECT sum(amount) AS amount FROM between_them;
        CREATE MATERIALIZED VIEW unrelated AS SELECT count(*) AS n FROM sales`);
    });

    const publishedTotal = async (): Promise<unknown> =>
      (await (await database.connect()).query<{ amount: string }>("SELECT amount FROM totals")).rows[0]
        ?.amount;

    it("come in the order of what they read, through a plain view, whatever the settings' order", async () => {
      await (await database.connect()).query("INSERT INTO sales VALUES (2, 32)");
      const run = await runViews(database, [totals, unrelated, daily]);
      assert.equal(await publishedTotal(), "42");
      const refreshing = run.lines.flatMap((line) => /Refreshing (\w+) /.exec(line)?.[1] ?? []);
      assert.deepEqual(refreshing, ["unrelated", "daily", "totals"]);

      const body = JSON.parse(respond(run.outcomes).body) as ResponseBody;
      assert.equal(body.refresh_type, "regular");
      assert.deepEqual(
        body.views?.map(({ view, refresh_type }) => [view, refresh_type]),
        [
          ["public.totals", "regular"],
          ["public.unrelated", "regular"],
          ["public.daily", "regular"],
        ],
      );
    });

    it("never claim to be fresher than what they read", async () => {
      const run = await runViews(database, [totals, daily]);
      const [asOfTotals, asOfDaily] = run.outcomes.map(
        (outcome) => outcome.outcome === "refreshed" && outcome.asOf,
      );
      assert.equal(asOfTotals, asOfDaily);
      const alone = onlyRefreshed(await runViews(database, [totals]));
      assert.equal(alone.asOf, asOfDaily);
    });

    it("are recorded without an age where a source has no known one, with the reason", async () => {
      const client = await database.connect();
      await client.query("DELETE FROM matview_refresh_history WHERE view_name = 'daily'");
      const run = await runViews(database, [totals]);
      assert.equal(onlyRefreshed(run).asOf, undefined);
      const why = "no refresh of daily, which it reads, is recorded";
      assert.ok(run.lines.some((line) => line.endsWith(`age of totals is unknown: ${why}`)));
      const { rows } = await client.query<{ reason: string }>(`
        SELECT f.as_of, f.age_seconds, f.checked_at = h.finished_at AS checked, h.reason
          FROM matview_freshness f
         CROSS JOIN LATERAL (SELECT * FROM matview_refresh_history h
                              WHERE h.view_name = f.view_name ORDER BY id DESC LIMIT 1) h
         WHERE f.view_name = 'totals'`);
      const reason = rows[0]?.reason ?? "";
      assert.deepEqual(rows, [{ as_of: null, age_seconds: null, checked: true, reason }]);
      assert.ok(reason.endsWith(`; as_of is unknown: ${why}`), reason);
      onlyRefreshed(await runViews(database, [daily]));
      assert.notEqual(onlyRefreshed(await runViews(database, [totals])).asOf, undefined);
    });

    it("are refreshed though the table of history is older, and told which migration is missing", async () => {
      const client = await database.connect();
      await client.query(`DELETE FROM matview_refresh_history;
        ALTER TABLE matview_refresh_history DROP CONSTRAINT refreshed_rows_have_as_of,
          ADD CONSTRAINT refreshed_rows_have_as_of CHECK (outcome <> 'refreshed' OR as_of IS NOT NULL)`);
      const run = await runViews(database, [totals]);
      onlyRefreshed(run);
      assert.ok(
        run.lines.some((line) => line.includes("npm run migrate (23514)")),
        run.lines.join("\n"),
      );
    });

    it("are not refreshed on top of a source that failed, and the unrelated ones are", async () => {
      await (await database.connect()).query("INSERT INTO sales VALUES (3, 0)");
      const run = await runViews(database, [totals, daily, unrelated]);
      assert.deepEqual(
        run.outcomes.map(({ outcome }) => outcome),
        ["skipped", "failed", "refreshed"],
      );
      assert.ok(
        run.lines.some((line) => line.endsWith("Skipped totals: daily, which it reads, was not refreshed")),
      );
      assert.throws(() => respond(run.outcomes), /^RefreshFailure: public\.daily: .*SQLSTATE 22012/);
      const { rows } = await (
        await database.connect()
      ).query(
        "SELECT outcome, reason FROM matview_refresh_history WHERE view_name = 'totals' ORDER BY id DESC LIMIT 1",
      );
      assert.deepEqual(rows, [{ outcome: "skipped", reason: "daily, which it reads, was not refreshed" }]);
    });

    it("are told by what failed, and not by what was skipped because of it, at the end of a chain too", async () => {
      const client = await database.connect();
      await client.query(
        "INSERT INTO sales VALUES (3, 0); CREATE MATERIALIZED VIEW average AS SELECT avg(amount) AS amount FROM totals",
      );
      const run = await runViews(database, [viewNamed("average"), totals, daily]);
      const reasons = run.outcomes.map((outcome) => outcome.outcome === "skipped" && outcome.reason);
      const why = "daily, which it reads, was not refreshed";
      assert.deepEqual(reasons, [why, why, false]);
    });

    it("fail together when the catalogs do not tell their order, and none is blamed for it", async () => {
      const holder = await database.connect();
      await holder.query("BEGIN; LOCK pg_catalog.pg_depend");
      const run = await runViews(database, [totals, daily], { timeoutMs: 2_000 });
      await holder.query("ROLLBACK");
      assert.throws(
        () => respond(run.outcomes),
        /public\.totals, public\.daily: the catalogs did not tell in time .*SQLSTATE 55P03.*pg_depend/,
      );
    });

    it("fail together, each by name, when nothing can be reached", async () => {
      const run = await runViews(database, [totals, daily], { database: { port: "1" }, timeoutMs: 1_000 });
      assert.throws(
        () => respond(run.outcomes),
        /public\.totals, public\.daily: could not connect .*ECONNREFUSED/,
      );
    });
  });
}

describe("the order of views", () => {
  it("has every source before its readers, and loses no view", () => {
    const graph = fc.integer({ min: 1, max: 8 }).chain((size) =>
      fc.record({
        names: fc.shuffledSubarray(
          Array.from({ length: size }, (_, index) => String(index)),
          { minLength: size },
        ),
        // A view reads only what has a lower number, as no view can read itself.
        edges: fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 20 }),
      }),
    );
    fc.assert(
      fc.property(graph, ({ names, edges }) => {
        const dependencies: Dependency[] = edges
          .filter(([reader, source]) => source < reader)
          .map(([reader, source]) => ({ reader: `public.${reader}`, source: `public.${source}` }));
        const ordered = orderViews(
          names.map((name) => viewNamed(name)),
          sourcesByReader(dependencies),
        ).map(({ name }) => `public.${name}`);
        assert.deepEqual([...ordered].sort(), names.map((name) => `public.${name}`).sort());
        for (const { reader, source } of dependencies)
          assert.ok(ordered.indexOf(source) < ordered.indexOf(reader));
      }),
    );
  });
});

describe("the error of a run", () => {
  const failing = (name: string, remedy: string): FailedView => ({
    view: viewNamed(name),
    outcome: "failed",
    failure: new RefreshFailure({
      ...{ kind: "permanent", code: "42501", problem: "role r may not refresh it", remedy },
      view: `public.${name}`,
    }),
    stalenessSeconds: undefined,
  });

  it("has each view's own remedy, and one that they share once", () => {
    const grants = ["daily", "totals"].map((name) =>
      failing(name, `GRANT MAINTAIN ON public.${name} TO "r";`),
    );
    assert.throws(
      () => respond(grants),
      /2 of 2 views failed\..*ON public\.daily TO .*ON public\.totals TO /,
    );
    const shared = ["daily", "totals"].map((name) => failing(name, "npm run migrate"));
    assert.throws(
      () => respond(shared),
      /public\.daily, public\.totals: role .*\. To fix it: npm run migrate$/,
    );
  });
});
