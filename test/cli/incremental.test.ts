import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import type { Client } from "pg";
import { useDatabase } from "../database";
import { catalogOf, leftovers } from "../incremental/catalog";

const project = path.join(__dirname, "..", "..");

interface Run {
  exitCode: number | null;
  out: string;
  error: string;
}

/** Runs the command as a process, with nothing but this of an environment. */
async function runIncremental(args: string[], environment: Record<string, string>): Promise<Run> {
  const child = spawn(
    process.execPath,
    ["-r", require.resolve("tsx/cjs"), path.join(project, "cli", "main.ts"), "incremental", ...args],
    {
      cwd: project,
      env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [exitCode, out, error] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  return { exitCode, out, error };
}

describe("the incremental command", () => {
  const database = useDatabase();
  const incremental = (...args: string[]): Promise<Run> =>
    runIncremental(args, { DATABASE_URL: database.url });
  let client: Client;
  let folder: string;

  before(async () => {
    client = await database.connect();
    folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-incremental-"));
    await client.query(`
      INSERT INTO jobs (name) SELECT 'job ' || n FROM generate_series(1, 5) n;
      INSERT INTO job_objects (job_id, object_key, status)
        SELECT 1 + n % 5, 'key ' || n, 'pending' FROM generate_series(1, 200) n;
      REFRESH MATERIALIZED VIEW job_progress`);
  });
  after(() => rm(folder, { recursive: true }));

  it("plans, applies, verifies, pauses, lists and reverts the scanner's view", async () => {
    const before = await catalogOf(client, "public.job_progress");
    const planned = await incremental("plan", "--view", "job_progress", "--sql", folder);
    assert.equal(planned.exitCode, 0, planned.out + planned.error);
    assert.match(planned.out, /public\.job_progress can be maintained incrementally/);
    assert.match(planned.out, /public\.job_objects: 4 statement triggers/);
    assert.deepEqual((await readdir(folder)).length, 3);
    assert.deepEqual(await leftovers(client), []);

    const unasked = await incremental("apply", "--view", "job_progress");
    assert.equal(unasked.exitCode, 2);
    assert.match(unasked.error, /Say --yes/);
    const applied = await incremental("apply", "--view", "job_progress", "--yes");
    assert.equal(applied.exitCode, 0, applied.out + applied.error);
    assert.match(
      applied.out,
      /filling the table of public\.job_progress\n[^]*is maintained incrementally from now on\n$/,
    );
    await client.query("UPDATE job_objects SET status = 'processed' WHERE object_id <= 7");

    const listed = JSON.parse((await incremental("list", "--json")).out) as { views: { pending: number }[] };
    assert.equal(listed.views.length, 1);
    assert.ok((listed.views[0]?.pending ?? 0) > 0);
    assert.match((await incremental("pause", "--view", "job_progress")).out, /is paused/);
    assert.match((await incremental("list")).out, /public\.job_progress +maintained, paused/);
    assert.match((await incremental("resume", "--view", "job_progress")).out, /folded again/);

    const equal = await incremental("verify", "--view", "job_progress");
    assert.equal(equal.exitCode, 0, equal.out + equal.error);
    assert.match(equal.out, /✓ public\.job_progress equals its query: 5 rows/);
    await client.query("DELETE FROM job_progress WHERE job_id = 2");
    const different = await incremental("verify", "--view", "job_progress", "--json");
    assert.equal(different.exitCode, 1);
    assert.deepEqual((JSON.parse(different.out) as { missing: number }).missing, 1);

    const reverted = await incremental("revert", "--view", "job_progress", "--yes");
    assert.equal(reverted.exitCode, 0, reverted.out + reverted.error);
    assert.deepEqual(await catalogOf(client, "public.job_progress"), before);
    assert.deepEqual(await leftovers(client), []);
    assert.match((await incremental("revert", "--view", "job_progress", "--yes")).out, /nothing to do/);
  }).timeout(90_000);

  it("says with 1 that a query or a view is gone, and what to do", async () => {
    await client.query(
      "CREATE TABLE prices (id int PRIMARY KEY, price int, note text); INSERT INTO prices VALUES (1, 2)",
    );
    const create = async (columns: string): Promise<void> => {
      await client.query(
        `CREATE MATERIALIZED VIEW priced AS SELECT ${columns} FROM prices; CREATE UNIQUE INDEX ON priced (id)`,
      );
      const applied = await incremental("apply", "--view", "priced", "--yes");
      assert.equal(applied.exitCode, 0, applied.out + applied.error);
    };
    await create("id, price");
    await client.query("ALTER TABLE prices DROP COLUMN price CASCADE");
    const gone = /its query is gone: a column or table that it read was dropped with CASCADE/;
    for (const command of ["plan", "apply"]) {
      const { exitCode, out } = await incremental(
        command,
        "--view",
        "priced",
        ...(command === "apply" ? ["--yes"] : []),
      );
      assert.equal(exitCode, 1);
      assert.match(out, gone);
      assert.match(out, /incremental -- revert --view public\.priced/);
    }
    const listed = await incremental("list");
    assert.match(listed.out, gone);
    const kept = await incremental("revert", "--view", "priced", "--yes");
    assert.equal(kept.exitCode, 1);
    assert.match(
      kept.out,
      /public\.priced is an ordinary table now[^]*RENAME TO "priced_old"[^]*CREATE MATERIALIZED VIEW "public"\."priced"/,
    );
    assert.deepEqual(await leftovers(client), []);

    await client.query("ALTER TABLE priced RENAME TO priced_old");
    await create("id, note");
    await client.query("DROP TABLE priced");
    assert.match((await incremental("list")).out, /public\.priced: its table is gone/);
    const planned = await incremental("plan", "--view", "priced");
    assert.equal(planned.exitCode, 1);
    assert.match(planned.error, /its table is gone[^]*revert --view public\.priced/);
    const reverted = await incremental("revert", "--view", "priced", "--yes", "--json");
    assert.equal(reverted.exitCode, 1);
    assert.deepEqual(JSON.parse(reverted.out), { success: false, view: "public.priced", reverted: "gone" });
    assert.match(reverted.error, /public\.priced itself was gone/);
    assert.deepEqual(await leftovers(client), []);
  }).timeout(90_000);

  it("refuses with 1, and changes nothing, what cannot be maintained; wrong options are 2", async () => {
    await client.query(
      "CREATE MATERIALIZED VIEW by_time AS SELECT job_id, now() AS at FROM jobs; CREATE UNIQUE INDEX ON by_time (job_id)",
    );
    const planned = await incremental("plan", "--view", "by_time", "--json");
    assert.equal(planned.exitCode, 1);
    assert.equal((JSON.parse(planned.out) as { maintainable: boolean }).maintainable, false);
    const applied = await incremental("apply", "--view", "by_time", "--yes");
    assert.equal(applied.exitCode, 1);
    assert.match(applied.out, /cannot be maintained incrementally/);
    assert.deepEqual(await leftovers(client), []);

    const file = path.join(folder, "query.sql");
    await writeFile(file, "SELECT job_id, random() AS r FROM jobs");
    const judged = await incremental("plan", "--query", file);
    assert.equal(judged.exitCode, 1, judged.out + judged.error);
    assert.match(judged.out, /random/);
    for (const args of [["plan"], ["apply"], ["verify", "--view", "a.b.c"], ["nonsense"]]) {
      assert.equal((await incremental(...args)).exitCode, 2, args.join(" "));
    }
    const absent = await incremental("plan", "--view", "absent");
    assert.equal(absent.exitCode, 1);
    assert.match(absent.error, /absent/);
  }).timeout(90_000);
});
