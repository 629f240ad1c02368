import assert from "node:assert/strict";
import { exec } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";
import { useDatabase } from "../database";
import { root, useRuns, writeStack, type Started } from "./startRun";

const MAINTAINED = `
  SELECT c.relkind::text AS kind FROM pg_class c WHERE c.oid = 'public.job_progress'::regclass`;

/** Rows that are on one side alone; a row in either direction. */
const DIFFERENCES = `
  WITH view AS MATERIALIZED (SELECT * FROM public.job_progress),
       query AS MATERIALIZED (SELECT * FROM matview_refresh.public__job_progress__query)
  (TABLE view EXCEPT ALL TABLE query) UNION ALL (TABLE query EXCEPT ALL TABLE view)`;

describe("npm start -- --incremental", function () {
  this.timeout(90_000);
  const theirs = useDatabase({ template: "empty" });
  const untouched = useDatabase({ template: "empty" });
  const blocked = useDatabase({ template: "empty", majorVersion: 15 });
  const unfit = useDatabase({ template: "empty" });
  const runs = useRuns("incremental");
  const { start } = runs;
  // Ticks are 12 seconds apart at the least, so the long runs go on beside each other.
  let newcomer: Started;
  let existing: Started;
  let unseen: Promise<unknown>;
  before(async () => {
    await writeStack(runs.folder, "local", { refreshRate: "rate(12 seconds)" });
    newcomer = start("newcomer", ["--incremental", "--for", "25s", "--objects", "20000", "--load", "heavy"]);
    existing = start(
      "none",
      ["--incremental", "--yes", "--for", "13s", "--objects", "150", "--load", "off"],
      {
        DATABASE_URL: theirs.url,
      },
    );
    const client = await theirs.connect();
    await client.query("SET session_replication_role = replica");
    unseen = existing
      .prints(/First tick at/)
      .then(() => client.query("UPDATE public.jobs SET status = 'failed' WHERE job_id = 1"));
    // The test that waits for it comes later.
    unseen.catch(() => undefined);
  });
  it("says what it would do to a server that is not ours, and does nothing without a yes", async () => {
    const run = start("none", ["--incremental"], { DATABASE_URL: untouched.url });
    assert.equal(await run.ended, 2);
    for (const said of [
      /replaced by a table/,
      /four triggers on each table/,
      /schema matview_refresh\b/,
      /npm run incremental -- revert --view public\.job_progress/,
      /--yes/,
    ]) {
      assert.match(run.output(), said);
    }
    const client = await untouched.connect();
    const { rows } = await client.query(
      "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    );
    assert.deepEqual(rows, []);
  });

  it("is refused for a stack that refreshes other views", async () => {
    await writeStack(runs.folder, "sales", { views: ["reporting.sales"], refreshRate: "rate(1 hour)" });
    const run = start("none", ["--incremental", "--stack", "sales"]);
    assert.equal(await run.ended, 2);
    assert.match(run.output(), /^error: .*npm run incremental -- plan --view reporting\.sales$/m);
  });

  it("changes nothing where the view cannot be maintained, and says why", async () => {
    const client = await unfit.connect();
    await client.query(`
      CREATE TABLE public.jobs (job_id bigint PRIMARY KEY, status text NOT NULL);
      CREATE TABLE public.job_objects (object_id bigint PRIMARY KEY, job_id bigint, status text, updated_at timestamptz);
      CREATE MATERIALIZED VIEW public.job_progress AS SELECT job_id, now() AS seen FROM public.jobs;
      CREATE UNIQUE INDEX ON public.job_progress (job_id);`);
    const run = start("none", ["--incremental", "--yes", "--for", "1s"], { DATABASE_URL: unfit.url });
    assert.equal(await run.ended, 1);
    assert.match(run.output(), /^error: public\.job_progress cannot be made incremental\n {2}.*now/m);
    assert.doesNotMatch(run.output(), /First tick| at .*\.ts:\d+/);
    const { rows } = await client.query(
      `SELECT ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace('matview_refresh')) AS made,
              (${MAINTAINED}) AS kind`,
    );
    assert.deepEqual(rows, [{ made: [], kind: "m" }]);
  });

  it("can be stopped half way, says so at the next start, and goes on", async () => {
    const first = start("none", ["--yes", "--objects", "150", "--load", "off"], {
      DATABASE_URL: blocked.url,
    });
    await first.prints(/First tick at/);
    first.child.kill("SIGTERM");
    await first.ended;
    const client = await blocked.connect();
    await client.query("BEGIN; LOCK TABLE public.job_objects IN ROW EXCLUSIVE MODE");
    const options = ["--yes", "--load", "off"];
    const stopped = start("none", ["--incremental", ...options], { DATABASE_URL: blocked.url });
    await stopped.prints(/waiting: a lock on public\.job_objects/);
    stopped.child.kill("SIGTERM");
    assert.equal(await stopped.ended, 0, stopped.output());
    assert.match(stopped.output(), /half way to being incremental[\s\S]*Stopped before the first tick/);
    const plain = start("none", options, { DATABASE_URL: blocked.url });
    await plain.prints(/half way to being incremental[\s\S]*incremental -- revert[\s\S]*First tick at/);
    plain.child.kill("SIGTERM");
    await plain.ended;
    await client.query("COMMIT");
    const again = start("none", ["--incremental", ...options], { DATABASE_URL: blocked.url });
    await again.prints(/public\.job_progress is incremental now[\s\S]*First tick at/);
    again.child.kill("SIGTERM");
    assert.equal(await again.ended, 0, again.output());
    assert.match(again.output(), /Drift found +│ 0 rows/);
  });

  // Last: what is short is tested while these go on.
  it("folds on a server that was there, counts what no trigger has seen, and goes on at the next start", async () => {
    const run = existing;
    await unseen;
    assert.equal(await run.ended, 1, run.output());
    const output = run.output();
    assert.match(output, /✓ Refresh completed in \d\.\d{3}s \(incremental, /);
    assert.match(output, /Warning: job_progress: 1 row differed/);
    assert.match(output, /Drift found +│ 1 row /);
    const again = start("none", ["--incremental", "--yes", "--load", "off"], { DATABASE_URL: theirs.url });
    await again.prints(/public\.job_progress is incremental since an earlier run/);
    await again.prints(/First tick at/);
    again.child.kill("SIGTERM");
    assert.equal(await again.ended, 0, again.output());
    assert.match(again.output(), /Drift found +│ 0 rows/);
    assert.doesNotMatch(again.output(), /A full refresh, to compare with|Making public/);
  });

  it("compares folds with full refreshes, finds no drift, and leaves a view that folds until it is reverted", async () => {
    const run = newcomer;
    assert.equal(await run.ended, 0, run.output());
    const output = run.output();
    assert.match(
      output,
      /✓ A full refresh, to compare with: \d\.\d{3} s \(concurrent, median of 3, no load\)/,
    );
    assert.match(output, /restriction key: job_id, /);
    assert.match(output, /making the triggers of public\.job_objects: \d+\.\d\d s/);
    assert.match(output, /✓ public\.job_progress is incremental now \(\d+\.\d\d s\)/);
    assert.match(
      output,
      /^\[[-\d]{10} [\d:]{8}\] ✓ Refresh completed in \d\.\d{3}s \(incremental, [\d,]{4,} changes, \d+ rows?\)$/m,
    );
    assert.match(output, /✓ Refresh completed in \d\.\d\ds \(full: asked for\)/);
    assert.match(output, /Refreshed +│ ([23]): \1 incremental /);
    assert.match(output, /Incremental p50 \/ p99 \/ worst +│ \d\.\d{3} s \/ /);
    assert.match(output, /Full refresh before +│ \d\.\d{3} s .* times the median fold/);
    assert.match(output, /Changes folded +│ [\d,]{4,} .* [1-9][\d,]* rows changed by them/);
    assert.match(output, /Full run at the end +│ \d\.\d{3} s/);
    assert.match(output, /Drift found +│ 0 rows/);
    assert.doesNotMatch(output, /Refresh p50|\x1b/);

    const second = start("newcomer", ["--load", "off"]);
    const [, port] = await second.prints(/PostgreSQL 18\.\d+ at 127\.0\.0\.1:(\d+)/);
    const [, command] = await second.prints(/incremental since an earlier run[^\n]*\n[^\n]*\n +(PGHOST=.*)/);
    const password = (await readFile(join(runs.folder, "newcomer", "password"), "utf8")).trim();
    assert.ok(!second.output().includes(password));
    await second.prints(/✓ Refresh completed in \d\.\d{3}s \(incremental, /);
    const client = new Client({
      ...{ host: "127.0.0.1", port: Number(port), user: "postgres", database: "scanner", password },
      ssl: false,
    });
    await client.connect();
    try {
      assert.deepEqual((await client.query(DIFFERENCES)).rows, []);
      const { rows } = await client.query<{ total_jobs: string }>("TABLE public.job_progress_statistics");
      assert.ok(Number(rows[0]?.total_jobs) >= 150, "the statistics read the table");
      const revert = String(command).replace("npm run", `npm --prefix '${root}' run`);
      await promisify(exec)(`${revert} --yes`, { cwd: runs.folder });
      assert.deepEqual((await client.query(MAINTAINED)).rows, [{ kind: "m" }]);
    } finally {
      await client.end();
    }
    await second.prints(/✓ Refresh completed in \d\.\d\ds \(concurrent\)/);
    second.child.kill("SIGTERM");
    assert.equal(await second.ended, 0, second.output());
    assert.match(second.output(), /Refreshed +│ 2: 1 incremental, 1 concurrent/);
    assert.match(second.output(), /Concurrent p50 \/ p99 \/ worst/);
    assert.doesNotMatch(second.output(), /Drift|Full run/);
  });
});
