import assert from "node:assert/strict";
import fc from "fast-check";
import { BackgroundLoad } from "../../local/load";
import { activeJobCount, sampleJobs } from "../../local/sampleJobs";
import { fill, isFilled, markAsOurs, tableState } from "../../local/workload";
import { useDatabase } from "../database";

describe("the sample jobs", () => {
  it("have exactly the objects asked for, in jobs of very different sizes and states", () => {
    fc.assert(
      fc.property(fc.integer({ min: 150, max: 5_000_000 }), (objects) => {
        const jobs = sampleJobs(objects);
        assert.equal(jobs.length, 150);
        assert.equal(
          jobs.reduce((sum, job) => sum + job.objects, 0),
          objects,
        );
        for (const job of jobs) assert.ok(job.objects >= 1 && job.doneObjects <= job.objects);
      }),
    );
    const jobs = sampleJobs(100_000);
    const sizes = jobs.map((job) => job.objects).sort((a, b) => a - b);
    assert.ok((sizes[149] ?? 0) > 100 * (sizes[0] ?? 0), `${sizes[0]} to ${sizes[149]}`);
    assert.equal(jobs.filter((job) => job.status === "running").length, activeJobCount);
    assert.deepEqual([...new Set(jobs.map((job) => job.status))].sort(), [
      "cancelled",
      "completed",
      "failed",
      "queued",
      "running",
    ]);
  });
});

describe("the scanner's workload", () => {
  const database = useDatabase();

  it("is filled in one piece, or not at all", async () => {
    const client = await database.connect();
    const stop = new AbortController();
    await assert.rejects(
      fill(client, 5_000, (objects) => objects > 2_000 && stop.abort("enough"), stop.signal),
      (reason) => reason === "enough",
    );
    assert.equal(await isFilled(client), false);
    const progress: number[] = [];
    await fill(client, 5_000, (objects) => progress.push(objects));
    assert.equal(progress.at(-1), 5_000);
    const { rows } = await client.query<{ jobs: string; objects: string; done: string }>(
      `SELECT (SELECT count(*) FROM jobs) AS jobs, count(*) AS objects,
              count(*) FILTER (WHERE status IN ('processed', 'failed')) AS done FROM job_objects`,
    );
    const expectedDone = sampleJobs(5_000).reduce((sum, job) => sum + job.doneObjects, 0);
    assert.deepEqual(rows[0], { jobs: "150", objects: "5000", done: String(expectedDone) });
  });

  it("is worked on at the asked rate, with new jobs when it runs dry, also after a lost connection", async () => {
    const client = await database.connect();
    const done = async (): Promise<number> => {
      const { rows } = await client.query<{ done: string }>(
        "SELECT count(*) AS done FROM job_objects WHERE status IN ('processed', 'failed')",
      );
      return Number(rows[0]?.done);
    };
    const before = await done();
    const states: string[] = [];
    const load = new BackgroundLoad(database.options(), 120_000, 5_000, (state) => states.push(state));
    const stop = new AbortController();
    const running = load.run(stop.signal);
    await until(() => load.processedObjects > 2_500);
    await client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'matview-refresh load'",
    );
    await until(() => states.includes("resumed"));
    const resumedAt = load.processedObjects;
    await until(() => load.processedObjects > resumedAt + 1_000);
    stop.abort();
    await running;
    assert.deepEqual(states, ["paused", "resumed"]);
    const worked = (await done()) - before;
    assert.ok(
      Math.abs(worked - load.processedObjects) <= 4_000,
      `${worked} done, ${load.processedObjects} counted`,
    );
    const { rows } = await client.query<{ active: string; jobs: string }>(
      "SELECT count(*) FILTER (WHERE status = 'running') AS active, count(*) AS jobs FROM jobs",
    );
    assert.ok(Number(rows[0]?.active) >= activeJobCount - 1);
    assert.ok(Number(rows[0]?.jobs) > 150, "new jobs came when the queue was empty");
  });
});

describe("whose tables they are", () => {
  const database = useDatabase({ template: "empty" });

  it("is told by the mark alone", async () => {
    const client = await database.connect();
    assert.equal(await tableState(client), "absent");
    await client.query("CREATE TABLE public.job_objects (object_id bigint)");
    assert.equal(await tableState(client), "foreign", "one of the two is enough");
    await client.query(
      "CREATE TABLE public.jobs (job_id bigint); COMMENT ON TABLE public.jobs IS 'my own jobs'",
    );
    assert.equal(await tableState(client), "foreign");
    await markAsOurs(client);
    assert.equal(await tableState(client), "ours");
  });
});

/** Waits for something that another part of this process brings about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
