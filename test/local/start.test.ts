import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Client } from "pg";
import { useDatabase } from "../database";
import { processesMentioning, useRuns, writeStack, type Started } from "./startRun";

describe("npm start", function () {
  this.timeout(60_000);
  const database = useDatabase({ template: "empty" });
  const untouched = useDatabase({ template: "empty" });
  const migrated = useDatabase({ template: "migrated" });
  const own = useDatabase({ template: "empty" });
  const runs = useRuns("start");
  const { start } = runs;
  // Ticks are 12 seconds apart at the least, so the long runs go on beside each other, each on a server of its own.
  let newcomer: Started;
  let outage: Started;
  let dying: Started;
  let killed: Promise<void>;
  let foreign: Started;
  before(async () => {
    await stack("local", { refreshRate: "rate(12 seconds)" });
    await stack("short", { refreshRate: "rate(12 seconds)", timeoutSeconds: 3 });
    newcomer = start("newcomer", ["--for", "25s", "--objects", "20000", "--load", "heavy"], {
      AWS_PROFILE: "not-passed-on",
    });
    outage = start("outage", [
      "--stack",
      "short",
      "--objects",
      "1000",
      "--for",
      "25s",
      "--outage",
      "0.1s,12.5s",
    ]);
    dying = start("dying", ["--for", "13s", "--objects", "1000"]);
    killed = dying.prints(/First tick at/).then(async () => {
      const pidFile = await readFile(join(runs.folder, "dying", "cluster", "postmaster.pid"), "utf8");
      process.kill(Number(pidFile.split("\n")[0]), "SIGKILL");
    });
    // The test that waits for it comes later.
    killed.catch(() => undefined);
    const client = await database.connect();
    await client.query(`
      CREATE TABLE public.jobs (job_id bigint PRIMARY KEY, status text NOT NULL, owner text);
      CREATE TABLE public.job_objects (object_id bigint PRIMARY KEY, job_id bigint NOT NULL, status text NOT NULL,
                                       updated_at timestamptz);
      CREATE MATERIALIZED VIEW public.job_progress AS SELECT job_id, owner FROM public.jobs;
      CREATE UNIQUE INDEX theirs ON public.job_progress (job_id);
      INSERT INTO public.jobs VALUES (1, 'running', 'somebody');
      INSERT INTO public.job_objects VALUES (1, 1, 'pending', now());`);
    foreign = start("none", ["--yes", "--for", "13s"], { DATABASE_URL: database.url });
  });
  const stack = (name: string, settings: Record<string, unknown>): Promise<void> =>
    writeStack(runs.folder, name, settings);

  it("lists every fault of the settings and exits with 2", async () => {
    await stack("broken", { refreshRate: "rate(7 seconds)", memoryMb: 1, timeoutSeconds: 0, typo: true });
    const run = start("none", ["--stack", "broken"]);
    const wrong = [
      ["--for", "soon"],
      ["--objects", "3"],
      ["--load", "extreme"],
      ["--stack", "missing"],
      ["--for", "20s", "--outage", "5s,15s"],
    ];
    const refused = wrong.map((options) => start("none", options));
    assert.equal(await run.ended, 2);
    for (const key of ["refreshRate", "memoryMb", "timeoutSeconds", "typo"]) {
      assert.match(run.output(), new RegExp(`^ +${key} = `, "m"));
    }
    assert.doesNotMatch(run.output(), / at .*\.ts:\d+/, "no stack trace");
    for (const one of refused) {
      assert.equal(await one.ended, 2, one.output());
      assert.match(one.output(), /^error: /m);
    }
  });

  describe("with DATABASE_URL", () => {
    it("asks first, and touches nothing when nobody can answer", async () => {
      const run = start("none", ["--for", "1s"], { DATABASE_URL: untouched.url });
      assert.equal(await run.ended, 2);
      assert.match(run.output(), new RegExp(`database ${untouched.name}, user `));
      for (const created of await createdByMigrations()) {
        assert.match(run.output(), new RegExp(`\\b${created}\\b`), "what would be created is named");
      }
      assert.match(run.output(), /--yes/);
      assert.ok(!run.output().includes(untouched.server.password));
      assert.deepEqual(await relations(), []);
    });

    it("does not offer to stop or empty it", async () => {
      const runs = [["--outage", "1s,1s"], ["--fresh"]].map((option) =>
        start("none", ["--yes", ...option], { DATABASE_URL: untouched.url }),
      );
      for (const run of runs) {
        assert.equal(await run.ended, 2);
        assert.match(run.output(), /not ours/);
      }
      assert.deepEqual(await relations(), []);
    });

    it("leaves tables that are there as they are", async () => {
      const run = foreign;
      assert.equal(await run.ended, 0, run.output());
      assert.match(run.output(), /neither filled nor worked on/);
      assert.match(run.output(), /✓ Refresh completed/);
      const client = await database.connect();
      const view = await client.query("SELECT * FROM job_progress");
      assert.deepEqual(view.rows, [{ job_id: "1", owner: "somebody" }], "their view, refreshed");
      const { rows } = await client.query(
        "SELECT j.*, o.object_id, o.status AS object_status FROM jobs j JOIN job_objects o USING (job_id)",
      );
      assert.deepEqual(rows, [
        { job_id: "1", status: "running", owner: "somebody", object_id: "1", object_status: "pending" },
      ]);
      const again = start("none", ["--yes", "--for", "1s"], { DATABASE_URL: database.url });
      await again.ended;
      assert.match(again.output(), /neither filled nor worked on/, "also once the migrations are applied");
    });

    it("makes nothing of the scanner for views of one's own, and says so before", async () => {
      const client = await own.connect();
      await client.query(
        "CREATE SCHEMA reporting; CREATE MATERIALIZED VIEW reporting.sales AS SELECT 1 AS day",
      );
      await stack("sales", { views: ["reporting.sales"], refreshRate: "rate(1 hour)" });
      const run = start("none", ["--yes", "--stack", "sales", "--for", "0.1s"], { DATABASE_URL: own.url });
      await run.ended;
      assert.match(run.output(), /Refreshing reporting\.sales every hour/);
      assert.doesNotMatch(run.output(), /job_objects|job_progress|Filled|Load/);
      const { rows } = await client.query<{ relname: string }>(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm') ORDER BY 1",
      );
      assert.deepEqual(
        rows.map(({ relname }) => relname),
        ["matview_freshness", "matview_refresh_history", "matview_refresh_migrations"],
      );
    });

    /** Tables and views of a database that has all migrations. */
    async function createdByMigrations(): Promise<string[]> {
      const client = await migrated.connect();
      const { rows } = await client.query<{ relname: string }>(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')",
      );
      return rows.map(({ relname }) => relname);
    }

    async function relations(): Promise<string[]> {
      const client = await untouched.connect();
      const { rows } = await client.query<{ relname: string }>(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
      );
      return rows.map(({ relname }) => relname);
    }
  });

  async function connectTo(port: number): Promise<void> {
    const client = new Client({ host: "127.0.0.1", port, user: "postgres", database: "scanner", ssl: false });
    await client.connect();
    await client.end();
  }

  it("makes its folder, with its parents, and does not call a run without a tick a success", async () => {
    await stack("hourly", { refreshRate: "rate(1 hour)", maxStalenessSeconds: 7200 });
    const options = ["--stack", "hourly", "--for", "0.1s", "--objects", "150", "--load", "off"];
    const run = start(join("a", "b c"), options);
    assert.equal(await run.ended, 1, run.output());
    assert.match(run.output(), /Filled: 150 jobs, 150 objects/);
    assert.match(run.output(), /^! No tick falls inside --for 0\.1s[\s\S]*Ticks +│ 0 /m);
    await stack("disabled", { refreshEnabled: false });
    options.splice(1, 1, "disabled");
    const disabled = start(join("a", "b c"), options);
    assert.equal(await disabled.ended, 0, disabled.output());
    assert.doesNotMatch(disabled.output(), /No tick falls/);
  });

  it("explains its options without this machine's paths", async () => {
    const help = start("none", ["--help"]);
    assert.equal(await help.ended, 0);
    assert.match(help.output(), /light 5k, medium 50k, heavy\s+120k, off none/);
    assert.match(help.output(), /default:\s+\.local\/postgres\)/);
    assert.doesNotMatch(help.output(), /default: false/);
  });

  // Last: what is short is tested while these go on.
  describe("over several ticks", () => {
    it("refreshes on schedule, shows progress, stops by itself and leaves nothing behind", async () => {
      const run = newcomer;
      const [, port] = await run.prints(/PostgreSQL 18\.\d+ at 127\.0\.0\.1:(\d+)/);
      assert.equal(await run.ended, 0, run.output());
      const output = run.output();
      const processed = [...output.matchAll(/^ {2}Processed: ([\d,]+)$/gm)].map(([, count]) =>
        Number(count?.replaceAll(",", "")),
      );
      assert.ok(processed.length >= 2, output);
      assert.deepEqual(
        processed,
        [...new Set(processed)].sort((a, b) => a - b),
        "processed rises",
      );
      assert.match(output, /^\[[-\d]{10} [\d:]{8}\] ✓ Refresh completed in \d+\.\d\ds \(concurrent\)$/m);
      assert.match(output, /^ {2}Staleness: \d+(\.\d)? s, was \d+ s$/m);
      assert.match(output, /Refreshed +│ [23] /);
      assert.match(output, /Errors +│ 0 /);
      assert.doesNotMatch(output, /\x1b/);
      assert.doesNotMatch(output, /not-passed-on/);
      await assert.rejects(connectTo(Number(port)), /ECONNREFUSED/);
      assert.equal(processesMentioning(join(runs.folder, "newcomer")), "");
    });

    it("keeps its data, refuses a second start, and stops on SIGTERM", async () => {
      const run = start("newcomer", []);
      await run.prints(/Workload of an earlier run: \d+ jobs, \S+ objects \(--fresh fills anew\)/);
      await run.prints(/First tick at/);
      const second = start("newcomer", []);
      assert.equal(await second.ended, 1);
      assert.match(second.output(), /^error: .*already/m);
      run.child.kill("SIGTERM");
      assert.equal(await run.ended, 0, run.output());
      assert.match(run.output(), /Stopping \(SIGTERM\)[\s\S]*Worst staleness since the start/);
      assert.equal(processesMentioning(join(runs.folder, "newcomer")), "");
    });

    it("shows the errors of an outage, then recovers without a restart", async () => {
      const run = outage;
      assert.equal(await run.ended, 0, run.output());
      const output = run.output();
      assert.match(
        output,
        /Outage: PostgreSQL is stopped[\s\S]*✗ Refresh failed: .*could not connect[\s\S]*✓ Refresh/,
      );
      assert.match(output, /Errors +│ ([12]), \1 expected/);
      assert.match(output, /After the outage +│ recovered/);
      assert.match(output, /Load paused[\s\S]*Load resumed/);
    });

    it("starts its own server again when it dies", async () => {
      const run = dying;
      await killed;
      await run.prints(/PostgreSQL died \(process \d+\); starting it again/);
      await run.prints(/PostgreSQL is back/);
      await run.prints(/✓ Refresh completed/);
      assert.equal(await run.ended, 0, run.output());
    });
  });
});
