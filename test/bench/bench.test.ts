import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { figuresOf, interleave } from "../../bench/statistics";

const run = promisify(execFile);
const root = resolve(__dirname, "..", "..");

async function bench(...options: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, ["-r", "tsx/cjs", "bench/main.ts", ...options], {
    cwd: root,
  });
  return stdout;
}

describe("the bench", function () {
  this.timeout(60_000);

  it("measures every way as often, none always first", async () => {
    const order: string[] = [];
    const way = (name: string) => ({
      name,
      run: () => {
        order.push(name);
        return Promise.resolve(order.length);
      },
    });
    const series = await interleave([way("a"), way("b")], 4, Infinity);
    assert.deepEqual(order, ["a", "b", "b", "a", "a", "b", "b", "a"]);
    assert.deepEqual(series[0]?.samplesMs, [1, 4, 5, 8]);
    order.length = 0;
    await interleave([way("a"), way("b")], 100, 0);
    assert.equal(order.length, 6, "three rounds even when the time is up");
    assert.deepEqual(figuresOf([3, 1, 2]), { medianMs: 2, p99Ms: 2.98, runs: 3 });
  });

  it("prints what a run of the function costs beside the bare statement", async () => {
    const output = await bench("overhead", "--objects", "2000", "--rounds", "3");
    assert.match(output, /^Machine: .+ cores, .+ PostgreSQL 18\.\d+$/m);
    assert.match(output, /^Bundle: \d+ KB, loads in \d+ ms/m);
    for (const way of [
      "statement, open connection",
      "connect \\+ statement",
      "bundle, warm process",
      "bundle, cold process",
    ]) {
      assert.match(output, new RegExp(`^${way} +\\d+\\.\\d +\\d+\\.\\d .*3$`, "m"));
    }
  });

  it("prints how long readers wait", async () => {
    const output = await bench("readers", "--objects", "2000", "--rounds", "2", "--readers", "2");
    for (const phase of ["no refresh", "concurrent refresh", "plain refresh"]) {
      assert.match(output, new RegExp(`^${phase} +\\d+\\.\\d\\d +\\d+\\.\\d\\d `, "m"));
    }
  });

  it("compares folds with refreshes, by statements and by the function", async () => {
    const sizes = ["--objects", "2000,4000", "--jobs", "20", "--changed", "100"];
    const output = await bench("incremental", ...sizes, "--rounds", "3", "--readers", "2");
    for (const [objects, form] of ["2,000", "4,000"].flatMap((size) => [
      [size, "bulk"],
      [size, "row by row"],
    ]))
      assert.match(output, new RegExp(`^${objects} +100 +${form} +(\\d+\\.\\d +){3}\\d+x`, "m"));
    assert.match(output, /^A fold from the smallest to the largest size: 100 bulk \d/m);
    for (const tick of ["fold", "function, fold", "concurrent", "function, full"])
      assert.match(output, new RegExp(`^4,000 +${tick} +\\d+\\.\\d +\\d+\\.\\d\\d`, "m"));
    for (const phase of ["idle", "fold", "refresh"])
      assert.match(output, new RegExp(`^${phase} +\\d+\\.\\d\\d +\\d+\\.\\d\\d `, "m"));
  });

  it("prints what maintenance costs those who write", async () => {
    const output = await bench(
      "writers",
      "--objects",
      "20000",
      "--rounds",
      "1",
      "--seconds",
      "1",
      "--writers",
      "2",
    );
    for (const commit of ["on", "off"])
      for (const work of ["one row", "1,000 rows, 2 groups", "1,000 rows, 1,000 groups"])
        assert.match(output, new RegExp(`^${commit} +${work} +2 +\\d+\\.\\d{3} `, "m"));
  });

  it("prints what becomes of the change tables under a busy writer", async () => {
    const output = await bench("bloat", "--objects", "2000", "--folds", "3", "--objects-per-minute", "5000");
    for (const stretch of ["autovacuum", "a transaction held open", "after its end"])
      assert.match(output, new RegExp(`^${stretch} +[\\d,]+ +[\\d,]+ `, "m"));
  });

  it("prints what many views, levels, groups, a long history and long names take", async function () {
    this.timeout(240_000);
    const sizes = ["--views", "6", "--rows", "20", "--levels", "3", "--groups", "2", "--history", "600"];
    const output = await bench("load", ...sizes, "--rounds", "1");
    assert.match(output, /^usual names +[\d,]+ views; one more: views = .* environment \d+ bytes$/m);
    assert.match(output, /^a run, of each view +\d+\.\d ms$/m);
    assert.match(output, /^without a history +\d+ ms, succeeded, 0 put off$/m);
    assert.equal(output.match(/^as_of of every level is that of the oldest below it +yes$/gm)?.length, 2);
    assert.match(output, /^skipped views whose reason names it +4 of 4$/m);
    assert.match(output, /^runs that failed +0$/m);
    assert.match(output, /^the view in two groups, held by another +\{"skipped":2,"refreshed":5\}$/m);
    assert.match(output, /^matview_freshness, one view +\d+\.\d ms$/m);
    assert.match(output, /^a tick that finds a change in each +\d+ ms, /m);
    for (const kind of ["letters", "several bytes", "capitals, blanks", "signs"])
      assert.match(
        output,
        new RegExp(`^${kind} +concurrent, incremental, status knows it, doctor knows it, `, "m"),
      );
  });
});
