import assert from "node:assert/strict";
import { spawn } from "node:child_process";
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
async function runMigrate(args: string[], environment: Record<string, string>): Promise<Run> {
  const program = `void require("./cli/migrate").migrateCommand().parseAsync(process.argv.slice(1), { from: "user" })`;
  const child = spawn(process.execPath, ["-r", "tsx/cjs", "-e", program, "--", ...args], {
    cwd: project,
    env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [exitCode, out, error] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  return { exitCode, out, error };
}

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
    const run = await migrate("migrations/001_jobs.sql");
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
        "002_optimize_for_scale.sql",
        "003_refresh_history.sql",
        "004_refresher_role.sql",
        "005_job_objects_index.sql",
        "006_unknown_as_of.sql",
      ],
    );
    assert.deepEqual(result.already_applied, ["001_jobs.sql"]);
    const again = await migrate();
    assert.deepEqual(
      [again.exitCode, again.out],
      [0, "Nothing to do: all 6 migrations were applied before\n"],
    );
  });

  it("exits with 1 where the view is gone, and the command it names makes it again", async () => {
    const client = await database.connect();
    await client.query("DROP MATERIALIZED VIEW public.job_progress CASCADE");
    const [plain, status] = await Promise.all([migrate(), migrate("--status")]);
    const [, command] = /public\.job_progress.*: npm run migrate -- (\S+)\n$/.exec(plain.error) ?? [];
    assert.deepEqual([plain.exitCode, status.exitCode, status.error], [1, 1, plain.error]);
    assert.match(status.out, /^002_optimize_for_scale\.sql +applied, gone since /m);
    const made = await migrate(command ?? "");
    assert.equal(made.exitCode, 0, made.error);
    assert.match(made.out, /✓ Applied 002_\S+ [\s\S]*✓ Applied 004_/);
    await client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY public.job_progress");
    assert.equal((await migrate("--status")).exitCode, 0);
  });

  it("exits with 2 for what cannot be meant", async () => {
    const runs = await Promise.all([
      migrate("009_none.sql"),
      migrate("--status", "001_jobs.sql"),
      migrate("--statsu"),
      runMigrate([], {}),
    ]);
    assert.deepEqual(
      runs.map(({ exitCode }) => exitCode),
      [2, 2, 2, 2],
    );
    assert.match(runs[0].error, /There is no migration 009_none\.sql\. There are: 001_jobs\.sql/);
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
