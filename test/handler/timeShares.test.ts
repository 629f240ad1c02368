import assert from "node:assert/strict";
import type { Client } from "pg";
import { useDatabase } from "../database";
import { Gate, onlyFailure, onlyRefreshed, runViews, until, viewNamed, type Recorded } from "./harness";

const outcomesOf = ({ outcomes }: Recorded): string[] => outcomes.map(({ outcome }) => outcome);

describe("one bad view does not stop the others", () => {
  const database = useDatabase();
  let client: Client;
  let gate: Gate;
  const quick = Array.from({ length: 9 }, (_, index) => viewNamed(`quick_${index}`));

  before(async () => {
    gate = await Gate.create(database);
    client = await database.connect();
    await client.query(`
      CREATE MATERIALIZED VIEW gated AS SELECT gate() AS id; CREATE UNIQUE INDEX ON gated (id);
      CREATE MATERIALIZED VIEW reads_gated AS SELECT id FROM gated; CREATE UNIQUE INDEX ON reads_gated (id)`);
    for (const { name } of quick)
      await client.query(
        `CREATE MATERIALIZED VIEW ${name} AS SELECT 1 AS id; CREATE UNIQUE INDEX ON ${name} (id)`,
      );
  });
  beforeEach(() => client.query("TRUNCATE matview_refresh_history"));

  for (const others of [quick.slice(0, 1), quick]) {
    const all = [viewNamed("gated"), ...others];

    it(`a slow first of ${all.length} leaves the others their time, and says whose time it was that ended`, async () => {
      await gate.shut();
      const run = await runViews(database, all, { timeoutMs: 4_000 });
      await gate.open();
      assert.deepEqual(outcomesOf(run), ["failed", ...others.map(() => "refreshed")], run.lines.join("\n"));
      const [slow] = run.outcomes;
      assert.ok(slow?.outcome === "failed");
      assert.equal(slow.failure.code, "57014");
      assert.match(slow.failure.problem, /its share of the run's time$/);
      // Of the 3.8 s that there are to divide.
      const putOff = run.lines.find((line) => line.includes("Putting gated off until the others are done"));
      const [, seconds] = /not done after (\d\.\d)s/.exec(putOff ?? "") ?? [];
      assert.ok(Number(seconds) < 3, putOff);
      const { rows } = await client.query<{ duration_seconds: number }>(
        "SELECT duration_seconds FROM matview_refresh_history WHERE outcome = 'failed'",
      );
      assert.ok(rows.length === 1 && rows[0]!.duration_seconds > 0, "recorded as if it had not been tried");
    });

    it(`a locked first of ${all.length} is put off, and refreshed once its lock is free`, async () => {
      const holder = await database.connect();
      await holder.query("BEGIN; REFRESH MATERIALIZED VIEW gated");
      const last = others.at(-1)?.name ?? "";
      let released: Promise<unknown> | undefined;
      const run = await runViews(database, all, {
        timeoutMs: 8_000,
        onLine: (line) => {
          if (line.includes(`Refreshing ${last} `)) released ??= holder.query("ROLLBACK");
        },
      });
      await released;
      assert.deepEqual(
        outcomesOf(run),
        all.map(() => "refreshed"),
        run.lines.join("\n"),
      );
      assert.match(
        run.lines.find((line) => line.includes("Putting gated off")) ?? "",
        /: waited \d\.\ds for a lock on public\.gated, held by pid \d+ /,
      );
    });

    it(`a first of ${all.length} that stays locked fails alone, with who holds it`, async () => {
      const holder = await database.connect();
      await holder.query("BEGIN; REFRESH MATERIALIZED VIEW gated");
      const run = await runViews(database, all, { timeoutMs: 4_000 });
      await holder.query("ROLLBACK");
      assert.deepEqual(outcomesOf(run), ["failed", ...others.map(() => "refreshed")], run.lines.join("\n"));
      const [locked] = run.outcomes;
      assert.ok(locked?.outcome === "failed");
      assert.equal(locked.failure.code, "55P03");
      assert.equal(locked.failure.blockers?.length, 1);
    });
  }

  it("a slow view may use what history says that the others do not need", async () => {
    await client.query(`
      INSERT INTO matview_refresh_history
        (view_schema, view_name, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds)
      SELECT 'public', name, 'refreshed', 'concurrent', now(), now(), now(), seconds
        FROM (VALUES ('gated', 4), ('quick_0', 0.01)) v (name, seconds)`);
    await gate.shut();
    const run = await runViews(database, [viewNamed("gated"), viewNamed("quick_0")], { timeoutMs: 4_000 });
    await gate.open();
    assert.deepEqual(outcomesOf(run), ["failed", "refreshed"]);
    // An equal share would have been 1.9 s.
    const [, seconds] = /not done after (\d\.\d)s/.exec(run.lines.join("\n")) ?? [];
    assert.ok(Number(seconds) >= 3, seconds);
  });

  it("a slow view may use the time of those that read it, which are nothing without it", async () => {
    await gate.shut();
    const run = await runViews(database, [viewNamed("reads_gated"), viewNamed("gated")], {
      timeoutMs: 4_000,
    });
    await gate.open();
    assert.deepEqual(outcomesOf(run), ["skipped", "failed"]);
    // Equal shares of 1.9 s would never let it be done that needs more, however often it is tried.
    const [, seconds] = /not done after (\d\.\d)s/.exec(run.lines.join("\n")) ?? [];
    assert.ok(Number(seconds) >= 3, run.lines.join("\n"));
  });

  it("what reads a view that is put off waits with it", async () => {
    const holder = await database.connect();
    await holder.query("BEGIN; REFRESH MATERIALIZED VIEW gated");
    const all = [viewNamed("reads_gated"), viewNamed("gated"), viewNamed("quick_0")];
    let released: Promise<unknown> | undefined;
    const run = await runViews(database, all, {
      timeoutMs: 8_000,
      onLine: (line) => {
        if (line.includes("Refreshing quick_0 ")) released ??= holder.query("ROLLBACK");
      },
    });
    await released;
    assert.deepEqual(outcomesOf(run), ["refreshed", "refreshed", "refreshed"], run.lines.join("\n"));
    const order = run.lines.flatMap((line) => /(?:Refreshing|Putting) \w+/.exec(line)?.[0] ?? []);
    assert.deepEqual(order, [
      ...["Refreshing gated", "Putting gated", "Putting reads_gated"],
      ...["Refreshing quick_0", "Refreshing gated", "Refreshing reads_gated"],
    ]);
  });
});

for (const majorVersion of [18, 15] as const) {
  describe(`what follows a refresh does not undo it, on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query(`
        CREATE MATERIALIZED VIEW b AS SELECT clock_timestamp() AS at;
        CREATE VIEW slow_numbers AS SELECT 1 AS n FROM pg_sleep(60)`);
    });
    const refreshedAt = async (): Promise<unknown> =>
      (await client.query<{ at: Date }>("SELECT at FROM b")).rows[0]?.at;

    it("statistics that are too slow cost themselves alone, and say how they get quicker", async () => {
      const before = await refreshedAt();
      const slow = viewNamed("b", { statistics: { schema: "public", name: "slow_numbers" } });
      const run = await runViews(database, [slow], { timeoutMs: 6_000 });
      assert.deepEqual(onlyRefreshed(run).statistics, {});
      assert.notDeepEqual(await refreshedAt(), before);
      assert.ok(
        run.lines.some((line) =>
          line.endsWith(
            "no statistics: reading slow_numbers was not done after 300 ms; to fix it: let it read less, or read it from an index",
          ),
        ),
        run.lines.join("\n"),
      );
    });

    it("rows that cannot be counted cost their number alone", async () => {
      const before = await refreshedAt();
      const rival = await database.connect();
      const gate = await Gate.create(database);
      await client.query("CREATE MATERIALIZED VIEW counted AS SELECT gate() AS n, clock_timestamp() AS at");
      await gate.shut();
      const running = runViews(database, [viewNamed("counted")], { timeoutMs: 6_000 });
      await gate.reached();
      // Next in the queue, so that it has the view as soon as the refresh is committed, and before its rows are counted.
      await rival.query("BEGIN");
      const behind = rival.query("ALTER MATERIALIZED VIEW counted RENAME COLUMN n TO m");
      await until(
        client,
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'counted'::regclass AND NOT granted)",
      );
      await gate.open();
      await behind;
      const run = await running;
      await rival.query("ROLLBACK");
      assert.deepEqual(onlyRefreshed(run).statistics, {});
      assert.ok(
        run.lines.some((line) => line.endsWith("no statistics: counted was locked by somebody else (55P03)")),
        run.lines.join("\n"),
      );
      const { rows } = await client.query<{ at: Date }>("SELECT at FROM counted");
      assert.ok(rows[0]!.at > (before as Date));
    });

    it("statistics are read when readers may read the view again", async () => {
      // From the statistics' own session nobody's lock on the view is to be seen.
      await client.query(`CREATE VIEW locks_on_b AS
        SELECT count(*) AS n FROM pg_locks WHERE relation = 'b'::regclass AND mode = 'AccessExclusiveLock'`);
      const view = viewNamed("b", { statistics: { schema: "public", name: "locks_on_b" } });
      assert.deepEqual(onlyRefreshed(await runViews(database, [view])).statistics, { n: 0 });
    });

    it("history that is locked is left out, and the log says who holds it", async () => {
      const before = await refreshedAt();
      const holder = await database.connect();
      await holder.query("BEGIN; LOCK matview_refresh_history");
      const { rows } = await holder.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const run = await runViews(database, [viewNamed("b")], { timeoutMs: 6_000, historyRetentionDays: 1 });
      await holder.query("ROLLBACK");
      onlyRefreshed(run);
      assert.notDeepEqual(await refreshedAt(), before);
      const note = run.lines.find((line) => line.includes("is done and not recorded")) ?? "";
      assert.ok(
        note.includes(`waited for a lock on public.matview_refresh_history, held by pid ${rows[0]?.pid} `),
      );
    });

    it("history that is locked delays no other view's turn, nor a skip or a failure, without limit", async () => {
      const holder = await database.connect();
      await holder.query("BEGIN; LOCK matview_refresh_history");
      const run = await runViews(database, [viewNamed("missing"), viewNamed("b")], { timeoutMs: 10_000 });
      await holder.query("ROLLBACK");
      assert.deepEqual(outcomesOf(run), ["failed", "refreshed"], run.lines.join("\n"));
      assert.ok(run.lines.some((line) => line.includes("missing failed is not recorded")));
    });
  });
}

describe("numbers that are none", () => {
  const database = useDatabase();

  it("are said as they are, in text too", async () => {
    const client = await database.connect();
    await client.query(`CREATE VIEW none AS
      SELECT 'NaN'::float8 AS quotient, 'Infinity'::numeric AS limitless, '-Infinity'::float4 AS below, NULL::int AS nothing`);
    const view = viewNamed("job_progress", { statistics: { schema: "public", name: "none" } });
    const run = await runViews(database, [view]);
    const { statistics } = onlyRefreshed(run);
    assert.equal(
      JSON.stringify(statistics),
      '{"quotient":"NaN","limitless":"Infinity","below":"-Infinity","nothing":null}',
    );
    assert.deepEqual(run.lines.slice(-4), [
      "  Quotient: NaN",
      "  Limitless: Infinity",
      "  Below: -Infinity",
      "  Nothing: none",
    ]);
  });

  it("cannot fail a run, nor can a log that cannot be written", async () => {
    const run = await runViews(database, [viewNamed("job_progress"), viewNamed("missing")], {
      onLine: () => {
        throw new Error("no space left");
      },
    });
    assert.deepEqual(outcomesOf(run), ["refreshed", "failed"]);
    assert.equal(onlyFailure({ ...run, outcomes: run.outcomes.slice(1) }).code, "42P01");
  });
});
