import assert from "node:assert/strict";
import type { Client } from "pg";
import { ITEMS, maintain, TOTALS } from "../handler/maintainedView";
import { runViews, viewNamed } from "../handler/harness";
import { useRole } from "../handler/roles";
import { useDatabase } from "../database";
import { detailOf, every, look, optionsFor, plant, summaryOf, watched } from "./harness";

for (const majorVersion of [18, 15] as const) {
  describe(`the page's snapshot on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;

    before(async () => {
      client = await database.connect();
    });
    beforeEach(() => client.query("TRUNCATE matview_refresh_history"));

    const near = (actual: number | null | undefined, expected: number, tolerance = 1): void =>
      assert.ok(
        actual != null && Math.abs(actual - expected) <= tolerance,
        `${actual} is not about ${expected}`,
      );

    it("draws the age as the sawtooth it is, from the server's clock", async () => {
      await plant(client, [
        { startedAgo: 300, seconds: 2 },
        { startedAgo: 200, seconds: 2 },
        { startedAgo: 150, outcome: "failed", seconds: 1, sqlstate: "55P03", reason: "waited" },
        { startedAgo: 100, seconds: 2 },
      ]);
      const snapshot = await look(optionsFor(database));
      const { age } = detailOf(snapshot);
      const { nowMs } = snapshot.server;
      const points = age.atMs.map((at, index) => [(nowMs - at) / 1_000, age.seconds[index]] as const);
      const expected = [
        [298, 2],
        [198, 102],
        [198, 2],
        [98, 102],
        [98, 2],
        [0, 100],
      ] as const;
      assert.equal(points.length, expected.length, JSON.stringify(points));
      for (const [index, [ago, seconds]] of expected.entries()) {
        near(points[index]?.[0], ago);
        near(points[index]?.[1], seconds);
      }
      near(summaryOf(snapshot).ageSeconds, 100);
      assert.equal(summaryOf(snapshot).verdict, "ok");
    });

    it("begins the line with the refresh before the range, and breaks it where the age is unknown", async () => {
      await plant(client, [
        { startedAgo: 400 },
        { startedAgo: 100, asOfAgo: null, reason: "as_of is unknown: no refresh of other is recorded" },
        { startedAgo: 50 },
      ]);
      const { age } = detailOf(await look(optionsFor(database), "5m"));
      near(age.seconds[0], 100);
      near(age.seconds[1], 301);
      assert.equal(age.seconds[2], null);
      near(age.seconds[3], 1);
      assert.equal(age.seconds.length, 5);
    });

    it("tells a late view first, with the share of time within its promise", async () => {
      await client.query("CREATE MATERIALIZED VIEW other AS SELECT 1 AS id");
      await plant(client, [
        { startedAgo: 3_000, view: "other" },
        { startedAgo: 1_800 },
        ...every(60, 5, 5, { view: "other" }),
      ]);
      const snapshot = await look(optionsFor(database, { maxAgeSeconds: 600 }));
      assert.deepEqual(
        snapshot.views.map(({ view, verdict }) => [view, verdict]),
        [
          ["public.job_progress", "late"],
          ["public.other", "ok"],
        ],
      );
      const late = summaryOf(snapshot);
      // Known for half an hour, ten minutes of it within the promise.
      near(late.withinPromise, 600 / 1_800, 0.01);
      assert.match(late.cause, /^no run for 30 min$/);
      assert.equal(late.remedy, "npm run refresh -- --view public.job_progress");
      // From 600 s after the first on, and until the next came: 2,400 of 3,000 s less the refreshes since.
      near(summaryOf(snapshot, "public.other").withinPromise, 1 - (3_000 - 600 - 244) / 3_000, 0.01);
      await client.query("DROP MATERIALIZED VIEW other");
    });

    it("names who stands in the way now, and a remedy that works", async () => {
      await plant(client, [{ startedAgo: 900 }]);
      const holder = await database.connect();
      await holder.query("BEGIN; LOCK TABLE jobs");
      const { rows } = await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const pid = rows[0]?.pid;
      const late = summaryOf(await look(optionsFor(database, { maxAgeSeconds: 60 })));
      assert.match(
        late.cause,
        new RegExp(
          `^waits for pid ${pid}, idle in transaction for .* \\(\\w+\\), which locked public\\.jobs$`,
        ),
      );
      assert.equal(late.remedy, `SELECT pg_terminate_backend(${pid})`);
      const ended = new Promise((resolve) => holder.once("end", resolve));
      await client.query(late.remedy ?? "");
      await ended;
      assert.doesNotMatch(summaryOf(await look(optionsFor(database, { maxAgeSeconds: 60 }))).cause, /waits/);
    });

    it("keeps what a failure said then: reason, remedy and who was in the way", async () => {
      const holder = await database.connect();
      await holder.query("BEGIN; LOCK TABLE jobs");
      await runViews(database, [viewNamed("job_progress")], { timeoutMs: 1_500 });
      await holder.query("ROLLBACK");
      const snapshot = await look(optionsFor(database));
      const [failure] = detailOf(snapshot).failures;
      assert.equal(failure?.sqlstate, "55P03");
      assert.match(failure.reason, /^waited \d\.\ds for a lock on public\.jobs?_?\w*/);
      assert.match(failure.remedy ?? "", /^SELECT pg_terminate_backend\(\d+\)/);
      assert.match(
        failure.blockers[0] ?? "",
        /^public\.jobs, held by pid \d+ \(\w+, idle in transaction for \d+ s\)$/,
      );
      const summary = summaryOf(snapshot);
      assert.equal(summary.verdict, "failing");
      assert.match(summary.cause, /^failed, waited .*\(55P03\)$/);
      assert.equal(summary.remedy, failure.remedy);
    });

    it("shows ticks that never came: by the schedule, or by the rhythm that was seen", async () => {
      await plant(client, [...every(60, 20, 665), ...every(60, 5, 5)]);
      const seen = detailOf(await look(optionsFor(database)));
      assert.equal(seen.counts["never came"], 6);
      assert.equal(seen.ticks.filter(({ outcome }) => outcome === "never came").length, 6);
      assert.ok(seen.ticks.every((tick, index) => tick.atMs >= (seen.ticks[index - 1]?.atMs ?? 0)));
      const plan = watched({ refreshRate: "rate(30 seconds)", timeoutSeconds: 10 });
      const planned = detailOf(await look(optionsFor(database, { plan })));
      // One between any two runs, and nineteen in the gap.
      assert.equal(planned.counts["never came"], 19 + 4 + 12 + 1);
      await client.query("TRUNCATE matview_refresh_history");
      await plant(client, [
        { startedAgo: 900 },
        { startedAgo: 400 },
        { startedAgo: 350 },
        { startedAgo: 10 },
      ]);
      assert.equal(detailOf(await look(optionsFor(database))).counts["never came"], 0);
    });

    it("puts runs together where they are too many, by the one that says most", async () => {
      await plant(client, [
        ...every(10, 50, 4_000),
        { startedAgo: 3_900, outcome: "failed", reason: "it failed", sqlstate: "57014" },
        ...every(10, 20, 3_000, { kind: "incremental", changes: 3 }),
        { startedAgo: 2_900, kind: "full", reason: "fullEvery has passed", drift: 0 },
      ]);
      const { counts, durations, ...detail } = detailOf(await look(optionsFor(database), "30d"));
      const ticks = detail.ticks.filter(({ outcome }) => outcome !== "never came");
      assert.equal(
        ticks.reduce((sum, { runs }) => sum + runs, 0),
        72,
      );
      assert.ok(ticks.length <= 2);
      assert.ok(ticks.some(({ outcome, sqlstate }) => outcome === "failed" && sqlstate === "57014"));
      assert.deepEqual([counts.refreshed, counts.failed, durations.of], [71, 1, 71]);
      near(durations.p50Seconds, 1, 0.02);
    });

    it("says what each view reads, how old that is, and whose age a view has taken over", async () => {
      await client.query(`
        CREATE VIEW through AS SELECT * FROM job_progress;
        CREATE MATERIALIZED VIEW above AS SELECT count(*) AS n FROM through, jobs;`);
      await plant(client, [{ startedAgo: 100 }, { startedAgo: 20, view: "above", asOfAgo: 100 }]);
      const above = detailOf(await look(optionsFor(database)), "public.above");
      assert.deepEqual(
        above.reads.map(({ name, kind, asOfMs }) => [name, kind, asOfMs !== null]),
        [
          ["public.job_progress", "view", true],
          ["public.jobs", "table", false],
        ],
      );
      assert.equal(above.asOfFrom, "public.job_progress");
      await client.query("DROP MATERIALIZED VIEW above; DROP VIEW through");
    });

    it("replays the plan's alarms from history: off while a view is stale, and since when", async () => {
      const plan = watched({ refreshRate: "rate(1 minute)", timeoutSeconds: 10 });
      await plant(client, every(60, 60, 1_200));
      const { alarms } = await look(optionsFor(database, { plan }));
      const stale = alarms.find(({ kind }) => kind === "stale");
      assert.equal(stale?.state, "ALARM");
      const windowSeconds = plan.plan.alarms.find(({ kind }) => kind === "stale")?.periodSeconds ?? 0;
      near((Date.now() - (stale.sinceMs ?? 0)) / 1_000, 1_200 - windowSeconds, 120);
      assert.equal(alarms.find(({ kind }) => kind === "failing")?.state, "OK");
      assert.ok(!alarms.some(({ kind }) => kind === "throttled"));
      await plant(client, [{ startedAgo: 8 }]);
      const after = await look(optionsFor(database, { plan }));
      assert.equal(after.alarms.find(({ kind }) => kind === "failing")?.state, "OK");
      assert.equal(after.schedule?.intervalSeconds, 60);
    });

    it("makes no alarm of a history that has not begun", async () => {
      const { alarms, views } = await look(optionsFor(database, { plan: watched() }));
      assert.deepEqual(
        [...new Set(alarms.filter(({ kind }) => kind !== "slow").map(({ state }) => state))],
        ["INSUFFICIENT_DATA"],
      );
      assert.deepEqual(
        views.map(({ verdict, remedy }) => [verdict, remedy]),
        [["unknown", "npm run refresh -- --view public.job_progress"]],
      );
    });

    it("takes settings that nobody asked for only where a view of theirs is there", async () => {
      await plant(client, every(60, 3));
      const other = { ...watched({ views: ["reporting.sales"] }), isAssumed: true };
      assert.equal((await look(optionsFor(database, { plan: other }))).schedule, null);
      const asked = await look(optionsFor(database, { plan: { ...other, isAssumed: false } }));
      assert.equal(
        summaryOf(asked, "reporting.sales").cause,
        "there is no such materialized view in this database",
      );
      const own = { ...watched(), isAssumed: true };
      assert.equal((await look(optionsFor(database, { plan: own }))).schedule?.stack, "test");
    });

    it("says of a paused schedule that it is paused", async () => {
      await plant(client, every(60, 3));
      const plan = watched({ refreshEnabled: false });
      const { verdict, cause } = summaryOf(await look(optionsFor(database, { plan })));
      assert.deepEqual([verdict, cause], ["paused", "refreshEnabled is false in stack test"]);
    });

    it("tells of a maintained view what waits, its last full run, its pause and its changes", async () => {
      await client.query(ITEMS);
      await maintain(client, TOTALS);
      await client.query("UPDATE items SET n = n + 1 WHERE id <= 5");
      const before = detailOf(await look(optionsFor(database)), "public.totals");
      assert.equal(before.isMaintained, true);
      assert.equal(before.maintenance?.pendingChanges, 10);
      assert.equal(before.maintenance.isPaused, false);
      assert.deepEqual(
        before.reads.map(({ name }) => name),
        ["public.items"],
      );
      await runViews(database, [viewNamed("totals")]);
      const snapshot = await look(optionsFor(database));
      assert.match(summaryOf(snapshot, "public.totals").cause, /^incremental, 10 changes in \d+ ms$/);
      assert.equal(detailOf(snapshot, "public.totals").maintenance?.pendingChanges, 0);
      await client.query("UPDATE matview_refresh.public__totals__status SET paused = true");
      const paused = summaryOf(await look(optionsFor(database)), "public.totals");
      assert.deepEqual(
        [paused.verdict, paused.remedy],
        ["paused", "npm run incremental -- resume --view public.totals"],
      );
    });

    it("reads a history from before migrations 008 and 009", async () => {
      await client.query(`BEGIN;
        ALTER TABLE matview_refresh_history DROP COLUMN drift, DROP COLUMN changes, DROP COLUMN changed_rows,
          DROP COLUMN remedy, DROP COLUMN blockers;
        INSERT INTO matview_refresh_history
          (view_schema, view_name, view_oid, outcome, started_at, finished_at, duration_seconds, reason)
        VALUES ('public', 'job_progress', 'job_progress'::regclass, 'failed', now(), now(), 1, 'why')`);
      await client.query("COMMIT");
      const snapshot = await look(optionsFor(database, { plan: watched() }));
      assert.deepEqual(
        detailOf(snapshot).failures.map(({ reason, remedy }) => [reason, remedy]),
        [["why", null]],
      );
      assert.ok(snapshot.notes.some((note) => note.includes("older than this page")));
    });
  });
}

describe("the page's snapshot for a role with few rights", () => {
  const database = useDatabase();
  const role = useRole(database);
  const options = () => optionsFor(database, { settings: role.settings(), maxAgeSeconds: 60 });
  let client: Client;

  before(async () => {
    client = await database.connect();
    await client.query(ITEMS);
    await maintain(client, TOTALS);
    await plant(client, [{ startedAgo: 900 }]);
  });

  it("says which right is missing, and shows what may be seen", async () => {
    const { views, notes } = await look(options());
    assert.ok(views.some(({ view, verdict }) => view === "public.job_progress" && verdict === "unknown"));
    assert.ok(
      notes.some((note) => note.includes(`GRANT SELECT ON public.matview_refresh_history TO "${role.name}"`)),
      notes.join("\n"),
    );
    assert.ok(notes.some((note) => note.includes("GRANT SELECT ON matview_refresh.public__totals__status")));
  });

  it("needs no more than SELECT on the history to see the rest", async () => {
    await client.query(`GRANT SELECT ON matview_refresh_history TO ${role.name}`);
    const holder = await database.connect();
    await holder.query("BEGIN; LOCK TABLE jobs");
    const snapshot = await look(options());
    assert.match(summaryOf(snapshot).cause, /^waits for pid \d+ \(\w+\), which locked public\.jobs$/);
    assert.ok(snapshot.notes.some((note) => note.includes("pg_read_all_stats")));
    await holder.query("ROLLBACK");
  });

  it("works in a database that knows nothing of this product", async () => {
    await client.query("CREATE DATABASE somebody_elses_" + role.name);
    const other = { ...role.settings(), name: "somebody_elses_" + role.name };
    const { views, notes } = await look(optionsFor(database, { settings: other }));
    assert.deepEqual(views, []);
    assert.ok(notes.some((note) => note.includes("npm run migrate")));
    await client.query(`DROP DATABASE somebody_elses_${role.name} WITH (FORCE)`);
  });
});
