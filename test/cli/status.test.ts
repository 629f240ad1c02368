import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { escapeIdentifier } from "pg";
import { statusOf, statusTable } from "../../cli/statusText";
import { agesByHour, readRuns, type Runs } from "../../doctor/runs";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";

const ROOT = path.join(__dirname, "..", "..");

/** Runs the subcommand in a process of its own, its output in a pipe. */
async function status(environment: Record<string, string>, args: string[], cwd = ROOT) {
  const program =
    `const { Command } = require(${JSON.stringify(require.resolve("commander"))});` +
    `void new Command().addCommand(require(${JSON.stringify(path.join(ROOT, "cli", "status"))}).statusCommand()).parseAsync();`;
  const child = spawn(
    process.execPath,
    ["-r", require.resolve("tsx/cjs"), "-e", program, "--", "status", ...args],
    {
      env: { PATH: process.env.PATH, ...environment },
      cwd,
    },
  );
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [exitCode] = (await once(child, "close")) as [number];
  return { exitCode, stdout, stderr };
}

const RUN = `INSERT INTO matview_refresh_history
  (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, sqlstate, reason)`;

/** A refresh of a view that ended so many seconds ago, of data as old as its duration. */
const refreshed = (view: string, agoSeconds: number, durationSeconds = 0.5): string =>
  `${RUN} SELECT 'public', '${view}', '${view}'::regclass, 'refreshed', 'concurrent', ended - make_interval(secs => ${durationSeconds}),
     ended - make_interval(secs => ${durationSeconds}), ended, ${durationSeconds}, NULL, NULL
     FROM (SELECT now() - make_interval(secs => ${agoSeconds}) AS ended) t`;

for (const majorVersion of [18, 15] as const) {
  describe(`status on PostgreSQL ${majorVersion}`, function () {
    this.timeout(40_000);
    const database = useDatabase({ majorVersion });
    const role = useRole(database);
    let folder = "";

    before(async () => {
      folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-status-"));
      const client = await database.connect();
      await client.query(`
        CREATE MATERIALIZED VIEW sales AS SELECT 1 AS id;
        CREATE MATERIALIZED VIEW never AS SELECT 1 AS id;
        ${[70, 40, 10].map((ago) => refreshed("sales", ago * 60, 2)).join(";")};
        ${refreshed("job_progress", 20)};
        ${RUN} SELECT 'public', 'job_progress', 'job_progress'::regclass, 'failed', NULL, NULL, now(), now(), 0.1, '55P03', 'waited'`);
    });
    after(() => rm(folder, { recursive: true }));

    it("says of every view how old it is, how it was refreshed and how often, and exits with 0", async () => {
      const { exitCode, stdout, stderr } = await status({ DATABASE_URL: database.url, LC_ALL: "C" }, []);
      assert.deepEqual([exitCode, stderr], [0, ""]);
      const lines = stdout.trimEnd().split("\n");
      assert.match(
        lines[0] ?? "",
        /^view +state +age +last run +kind +p50 +p99 +runs\/24h +failed +age, last 24 h$/,
      );
      assert.match(
        lines[1] ?? "",
        /^job_progress +failing +2\ds +failed \ds ago +concurrent +0\.50s +0\.50s +2 +1 /,
      );
      assert.match(lines[2] ?? "", /^never +unknown +\? +never +- +- +- +0 +0$/);
      assert.match(
        lines[3] ?? "",
        /^sales +ok +10m\ds +refreshed 10m(?:\ds)? ago +concurrent +2\.00s +2\.00s +3 +0 +\S\S$/,
      );
      assert.ok(/^[\x20-\x7e\n]*$/.test(stdout), "only ASCII where the locale is not UTF-8");
    });

    it("draws blocks where the locale is UTF-8", async () => {
      const { stdout } = await status({ DATABASE_URL: database.url, LANG: "C.UTF-8" }, ["--view", "sales"]);
      assert.match(stdout, /[▁-█]{2}\n$/);
    });

    it("exits with 1 when a view is older than --max-age, of unknown age, or missing", async () => {
      const code = async (...args: string[]): Promise<number> =>
        (await status({ DATABASE_URL: database.url }, args)).exitCode;
      assert.equal(await code("--view", "sales", "--max-age", "11m"), 0);
      assert.equal(await code("--view", "sales", "--max-age", "9m"), 1);
      assert.equal(await code("--view", "never", "--max-age", "1d"), 1);
      assert.equal(await code("--view", "gone"), 1);
    });

    it("exits with 1 and the remedy for the role that it is, when that may not log in", async () => {
      const { host, port } = database.server;
      const url = `postgres://${role.name}:wrong@${host}:${port}/${database.name}`;
      const { exitCode, stderr } = await status({ DATABASE_URL: url }, []);
      assert.equal(exitCode, 1);
      assert.ok(stderr.includes(`To fix it: ALTER ROLE ${escapeIdentifier(role.name)} PASSWORD`), stderr);
    });

    it("exits with 2 for options that are wrong, and for an environment that names no database", async () => {
      for (const args of [["--max-age", "soon"], ["--what"], ["--stack", "nowhere"], ["--view", "a.b.c"]]) {
        assert.equal((await status({ DATABASE_URL: database.url }, args)).exitCode, 2, args.join(" "));
      }
      assert.equal((await status({}, [])).exitCode, 2);
    });

    it("holds the views of a stack against what it promises", async () => {
      await writeFile(
        path.join(folder, "Pulumi.prod.yaml"),
        "config:\n  matview-refresh:views: [public.sales]\n  matview-refresh:maxStalenessSeconds: 500\n" +
          "  matview-refresh:refreshRate: rate(30 seconds)\n",
      );
      const { exitCode, stdout } = await status(
        { DATABASE_URL: database.url },
        ["--stack", "prod", "--json"],
        folder,
      );
      const { views } = JSON.parse(stdout) as { views: Record<string, unknown>[] };
      assert.equal(exitCode, 0);
      assert.deepEqual(
        views.map(({ view, state, promise_seconds, kind }) => [view, state, promise_seconds, kind]),
        [["public.sales", "late", 500, "concurrent"]],
      );
    });

    it("lists the views without their ages for a role that may not read the history, and says what it needs", async () => {
      const { host, port } = database.server;
      const url = `postgres://${role.name}:${role.password}@${host}:${port}/${database.name}`;
      const { exitCode, stdout, stderr } = await status({ DATABASE_URL: url }, []);
      assert.equal(exitCode, 0);
      assert.match(stdout, /^sales +unknown/m);
      const grant = `GRANT SELECT ON public.matview_refresh_history TO ${escapeIdentifier(role.name)};`;
      assert.ok(stderr.includes(grant), stderr);
      const client = await database.connect();
      await client.query(grant);
      assert.match((await status({ DATABASE_URL: url }, [])).stdout, /^sales +ok/m);
    });

    it("asks the index, however long the history is", async () => {
      const client = await database.connect();
      await client.query(`${RUN} SELECT 'public', 'other', 1, 'refreshed', 'concurrent', t, t, t, 0.1, NULL, NULL
          FROM generate_series(now() - interval '30 days', now(), interval '60 seconds') t; ANALYZE matview_refresh_history`);
      const plans: string[] = [];
      const explain = async (sql: string) => {
        const { rows } = await client.query<{ "QUERY PLAN": string }>(`EXPLAIN ${sql}`);
        plans.push(rows.map((row) => row["QUERY PLAN"]).join("\n"));
        return [];
      };
      await readRuns({ rows: explain }, [
        { schema: "public", name: "sales" },
        { schema: "public", name: "never" },
      ]);
      const plan = plans.join("\n");
      assert.ok(!plan.includes("Seq Scan on matview_refresh_history"), plan);
      // Where the last day begins is found once, from the newest row back.
      assert.equal(plan.match(/_pkey/g)?.length, 1, plan);
      assert.match(plan, /Backward using matview_refresh_history_pkey[^\n]*\n +Filter: \(finished_at <=/);
    });
  });
}

describe("status in a terminal", () => {
  const runs: Runs = {
    view: { schema: "reporting", name: "sales_by_day" },
    exists: true,
    nowMs: 10 * 3_600_000,
    asOfMs: 10 * 3_600_000 - 252_000,
    last: { outcome: "refreshed", atMs: 10 * 3_600_000 - 250_000, reason: null, sqlstate: null },
    kind: "incremental",
    p50Seconds: 0.004,
    p99Seconds: 12,
    runs: 1_440,
    failures: 3,
    failuresInARow: 0,
    isCapped: false,
    hours: [],
  };
  const lines = (columns: number): string[] =>
    statusTable(
      [statusOf(runs, { promiseSeconds: 240 })],
      { isTTY: true, columns },
      { LANG: "C.UTF-8", NO_COLOR: "1" },
    )
      .trimEnd()
      .split("\n");

  it("leaves out what there is no room for, and never the view, its state and its age", () => {
    for (const columns of [200, 80, 60, 30]) {
      assert.ok(columns === 30 || lines(columns).every((line) => line.length <= columns), `${columns}`);
      assert.match(lines(columns)[1] ?? "", /^reporting\.sales_by_day +late +4m12s/);
    }
    assert.match(lines(80)[0] ?? "", /promise +last run +kind/);
    assert.ok((lines(200)[0] ?? "").endsWith("age, last 24 h"));
  });

  it("goes on ageing through hours without a refresh, and knows nothing of those before the first", () => {
    const hour = 3_600_000;
    const nowMs = 100 * hour;
    const ages = agesByHour({
      nowMs,
      hours: [
        { ago: 3, peakSeconds: null, lastAsOfMs: nowMs - 3.5 * hour },
        { ago: 0, peakSeconds: 3.2 * 3_600, lastAsOfMs: nowMs - 60_000 },
      ],
    });
    assert.deepEqual(ages.slice(0, 20), Array(20).fill(null));
    assert.deepEqual(
      ages.slice(20).map((age) => Math.round((age ?? 0) / 360) / 10),
      [0.5, 1.5, 2.5, 3.2],
    );
  });
});
