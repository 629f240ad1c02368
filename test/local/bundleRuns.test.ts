import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { bundleHandler } from "../../components/bundle";
import { parseRefreshRate } from "../../components/time/schedule";
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
  let client: Client;
  const running: LambdaFunction[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-bundle-"));
    bundleFile = (await bundleHandler("handler/index.ts", folder)).file;
    client = await database.connect();
    // The refresh of `gated` ends when `closed` is empty.
    await client.query(`
      CREATE TABLE public.closed (reason text);
      CREATE FUNCTION public.pass() RETURNS int LANGUAGE plpgsql AS $$
        BEGIN
          WHILE EXISTS (SELECT FROM public.closed) LOOP PERFORM pg_sleep(0.02); END LOOP;
          RETURN 1;
        END $$;
      CREATE MATERIALIZED VIEW public.gated AS SELECT public.pass() AS id;
      CREATE UNIQUE INDEX ON public.gated (id);`);
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
    assert.ok(age?.ageSeconds !== undefined && age.ageSeconds <= watch.worstSeconds());
    await watch.close();
  });

  it("skips in a second process while the first is refreshing", async () => {
    const { fn, lines } = launch("gated", 20);
    await client.query("INSERT INTO closed VALUES ('the second run comes first')");
    const first = fn.invoke(tick(0));
    await until(() => lines.some((line) => line.includes("Refreshing gated")));
    const second = await fn.invoke(tick(15));
    assert.equal(tickOf(second, false).outcome, "skipped");
    await client.query("DELETE FROM closed");
    const refreshed = await first;
    assert.equal(tickOf(refreshed, false).outcome, "refreshed");
    assert.notEqual(refreshed.pid, second.pid);
  });

  it("counts a refresh that cannot end within the timeout as an error", async () => {
    const { fn } = launch("gated", 1);
    await client.query("INSERT INTO closed VALUES ('for ever')");
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
