import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleHandler } from "../../components/bundle";
import { parseRefreshRate } from "../../components/plan/schedule";
import { toEnvironment } from "../../handler/settings";
import { FreshnessWatch } from "../../local/freshness";
import { LambdaFunction } from "../../local/lambda/lambdaFunction";
import { Tally, tickOf } from "../../local/tally";
import { tickEvent } from "../../local/tickEvent";
import { useDatabase } from "../database";

describe("the bundle in its own processes", function () {
  this.timeout(30_000);
  const database = useDatabase();
  const schedule = parseRefreshRate("rate(15 seconds)");
  const minute = Date.UTC(2026, 10, 23, 10, 0, 0);
  let folder: string;
  let bundleFile: string;
  const running: LambdaFunction[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-bundle-"));
    bundleFile = (await bundleHandler("handler/index.ts", folder)).file;
    const client = await database.connect();
    await client.query(`
      CREATE MATERIALIZED VIEW public.slow AS SELECT 1 AS id, pg_sleep(1.5)::text AS slept;
      CREATE UNIQUE INDEX ON public.slow (id);`);
  });
  after(async () => {
    await Promise.all(running.map((fn) => fn.stop()));
    await rm(folder, { recursive: true });
  });

  function launch(view: string, timeoutSeconds: number): { fn: LambdaFunction; lines: string[] } {
    const lines: string[] = [];
    const fn = new LambdaFunction(
      {
        name: "matview-refresh-test",
        bundleFile,
        timeoutSeconds,
        memoryMb: 256,
        region: "us-east-1",
        runtime: "nodejs24.x",
        environment: toEnvironment({
          group: view,
          views: [{ schema: "public", name: view, allowBlocking: true }],
          database: database.databaseSettings(),
          logFormat: "text",
          historyRetentionDays: 14,
        }),
      },
      (line) => lines.push(line),
    );
    running.push(fn);
    return { fn, lines };
  }
  const tick = (second: number): unknown =>
    tickEvent(schedule, minute + second * 1000, {
      region: "us-east-1",
      functionName: "matview-refresh-test",
    });

  it("refreshes on the rule's event and on the queue's, and freshness shows it", async () => {
    const { fn, lines } = launch("job_progress", 20);
    const watch = new FreshnessWatch(database.options(), [{ schema: "public", name: "job_progress" }]);
    watch.begin();
    assert.equal((await watch.read())[0]?.ageSeconds, undefined, "nothing is recorded yet");
    const tally = new Tally();
    for (const second of [0, 15]) tally.add(tickOf(await fn.invoke(tick(second)), false));
    assert.equal(tally.counts.refreshed, 2, lines.join("\n"));
    assert.ok((tally.runs?.p50Seconds ?? 0) > (tally.refreshes?.p50Seconds ?? 0));
    const [age] = await watch.read();
    assert.ok(age?.ageSeconds !== undefined && age.ageSeconds < 5);
    assert.ok(watch.worstSeconds() < 10);
    await watch.close();
  });

  it("skips in a second process while the first is refreshing", async () => {
    const { fn, lines } = launch("slow", 20);
    const first = fn.invoke(tick(0));
    await until(() => lines.some((line) => line.includes("Refreshing slow")));
    const second = await fn.invoke(tick(15));
    assert.equal(tickOf(second, false).outcome, "skipped");
    const refreshed = await first;
    assert.equal(tickOf(refreshed, false).outcome, "refreshed");
    assert.notEqual(refreshed.pid, second.pid);
  });

  it("counts a refresh that cannot end within the timeout as an error", async () => {
    const { fn } = launch("slow", 1);
    const tally = new Tally();
    tally.add(tickOf(await fn.invoke(tick(0)), false));
    assert.equal(tally.failures, 1);
    assert.equal(tally.unexpectedFailures, 1);
    tally.add(tickOf(await fn.invoke(tick(15)), true));
    assert.equal(tally.failures, 2);
    assert.equal(tally.unexpectedFailures, 1, "an expected failure is counted and forgiven");
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}
