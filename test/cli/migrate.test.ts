import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { useDatabase } from "../database";

const project = path.join(__dirname, "..", "..");

interface Run {
  exitCode: number | null;
  out: string;
  error: string;
}

/** Runs the command as a process, with nothing but this of an environment. */
async function runMigrate(
  args: string[],
  environment: Record<string, string>,
  folder = project,
): Promise<Run> {
  const command = JSON.stringify(path.join(project, "cli", "migrate"));
  const program = `void require(${command}).migrateCommand().parseAsync(process.argv.slice(1), { from: "user" })`;
  const child = spawn(process.execPath, ["-r", require.resolve("tsx/cjs"), "-e", program, "--", ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [exitCode, out, error] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  return { exitCode, out, error };
}

describe("the migrate command for views of one's own", () => {
  const product = [
    "003_refresh_history.sql",
    "006_unknown_as_of.sql",
    "007_refresher_role.sql",
    "008_incremental.sql",
    "009_failure_detail.sql",
    "010_fast_freshness.sql",
  ];
  const database = useDatabase({ template: "empty" });
  const migrate = (...args: string[]): Promise<Run> =>
    runMigrate(args, { DATABASE_URL: database.url }, folder);
  const namesIn = (run: Run): string[] => [...run.out.matchAll(/^\d\d\d_\w+\.sql/gm)].map(([name]) => name);
  let folder: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-stacks-"));
    const sales = "config:\n  matview-refresh:views: [reporting.sales]\n";
    await writeFile(path.join(folder, "Pulumi.sales.yaml"), sales);
    await writeFile(path.join(folder, "Pulumi.scanner.yaml"), "config: {}\n");
  });
  after(() => rm(folder, { recursive: true }));

  it("lists and applies what the stack's views need, and nothing of the scanner", async () => {
    assert.deepEqual(namesIn(await migrate("--stack", "sales", "--status")), product);
    const run = await migrate("--stack", "sales");
    assert.equal(run.exitCode, 0, run.error);
    assert.deepEqual(
      [...run.out.matchAll(/✓ Applied (\S+)/g)].map(([, name]) => name),
      product,
    );
    assert.match((await migrate("--product")).out, /^Nothing to do: all 6 migrations/);
  });

  it("says how to go without the scanner where its files fail, once the product's are applied", async () => {
    const client = await database.connect();
    await client.query("CREATE TABLE public.jobs (id text)");
    const run = await migrate();
    assert.equal(run.exitCode, 1);
    assert.match(run.error, /002_optimize_for_scale\.sql failed: .*public\.jobs\.job_id/);
    assert.match(run.error, /To leave it out: npm run migrate -- --product\n$/);
    await client.query(
      "DROP TABLE public.jobs, public.job_objects; TRUNCATE public.matview_refresh_migrations",
    );
  });

  it("takes a stack with the scanner's view for all", async () => {
    const names = namesIn(await migrate("--stack", "scanner", "--status"));
    assert.deepEqual(names.length, 10);
    const run = await migrate("--stack", "scanner");
    assert.equal(run.exitCode, 0, run.error);
    const listed = await migrate("--product", "--status");
    assert.deepEqual(namesIn(listed), names, "what is applied stays in the list");
    assert.doesNotMatch(listed.out, /file not here/);
  });
});

describe("the migrate command", () => {
  const database = useDatabase({ template: "empty" });
  const migrate = (...args: string[]): Promise<Run> => runMigrate(args, { DATABASE_URL: database.url });

  it("refuses one file while an earlier one is pending", async () => {
    const run = await migrate("002_optimize_for_scale.sql");
    assert.equal(run.exitCode, 1);
    assert.match(run.error, /needs 001_jobs\.sql first\. Nothing was done\. .*npm run migrate/);
    assert.equal(run.out, "");
  });

  it("applies one file by name, also with its folder", async () => {
    const run = await migrate("migrations/scanner/001_jobs.sql");
    assert.deepEqual([run.exitCode, run.error], [0, ""]);
    assert.match(run.out, /^Applying 001_jobs\.sql\.\.\.\n✓ Applied 001_jobs\.sql in \d+\.\d\ds\n$/);
  });

  it("lists what is applied, plainly when piped", async () => {
    const run = await migrate("--status");
    assert.equal(run.exitCode, 0);
    const lines = run.out.trimEnd().split("\n");
    assert.match(lines[0] ?? "", /^migration +state +applied at +seconds$/);
    assert.match(lines[1] ?? "", /^001_jobs\.sql +applied +20\S+Z +\d+\.\d\d$/);
    assert.match(lines[2] ?? "", /^002_optimize_for_scale\.sql +pending +- +-$/);
  });

  it("applies the rest and prints one JSON document", async () => {
    const run = await migrate("--json");
    assert.equal(run.exitCode, 0, run.error);
    const result = JSON.parse(run.out) as {
      success: boolean;
      applied: { name: string }[];
      already_applied: string[];
    };
    assert.equal(result.success, true);
    assert.deepEqual(
      result.applied.map(({ name }) => name),
      [
        "003_refresh_history.sql",
        "006_unknown_as_of.sql",
        "007_refresher_role.sql",
        "008_incremental.sql",
        "009_failure_detail.sql",
        "010_fast_freshness.sql",
        "002_optimize_for_scale.sql",
        "004_refresher_role.sql",
        "005_job_objects_index.sql",
      ],
    );
    assert.deepEqual(result.already_applied, ["001_jobs.sql"]);
    const again = await migrate();
    assert.equal(again.exitCode, 0, again.error);
    assert.match(again.out, /^Nothing to do: all 10 migrations were applied before\n/);
  });

  it("tells the command that makes a dropped view again", async () => {
    const client = await database.connect();
    await client.query("DROP MATERIALIZED VIEW public.job_progress CASCADE");
    const [, command = ""] = /: npm run migrate -- (\S+)\n$/.exec((await migrate()).out) ?? [];
    const made = await migrate(command);
    assert.equal(made.exitCode, 0, made.error);
    assert.match(made.out, /✓ Applied 002_\S+ [\s\S]*✓ Applied 004_/);
    await client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress");
  });

  it("exits with 2 for what cannot be meant", async () => {
    const runs = await Promise.all([
      migrate("010_none.sql"),
      migrate("--status", "001_jobs.sql"),
      migrate("--statsu"),
      runMigrate([], {}),
      migrate("--product", "--stack", "prod"),
      migrate("--stack", "none-such"),
      migrate("--product", "001_jobs.sql"),
    ]);
    assert.deepEqual(
      runs.map(({ exitCode }) => exitCode),
      [2, 2, 2, 2, 2, 2, 2],
    );
    assert.match(runs[0].error, /There is no migration 010_none\.sql\. There are: .*001_jobs\.sql/);
    assert.match(runs[3].error, /DATABASE_URL/);
  });

  it("exits with 1 and says what to check when the database cannot be reached", async () => {
    const url = new URL(database.url);
    url.port = "1";
    const run = await runMigrate([], { DATABASE_URL: url.toString() });
    assert.equal(run.exitCode, 1);
    assert.match(run.error, /could not connect to 127\.0\.0\.1:1/);
    assert.ok(!run.error.includes(database.server.password));
  });
});
