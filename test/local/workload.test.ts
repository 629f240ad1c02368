import assert from "node:assert/strict";
import { BackgroundLoad } from "../../local/workload/load";
import { activeJobCount, fill, isFilled, markAsOurs, tableState } from "../../local/workload/workload";
import { useDatabase } from "../database";

describe("the scanner's workload", () => {
  const database = useDatabase();

  it("is filled in one piece, or not at all", async () => {
    const client = await database.connect();
    const stop = new AbortController();
    await assert.rejects(
      fill(client, 50_000, (objects) => objects > 20_000 && stop.abort("enough"), stop.signal),
      (reason) => reason === "enough",
    );
    assert.equal(await isFilled(client), false);
    const progress: number[] = [];
    await fill(client, 50_000, (objects) => progress.push(objects));
    assert.deepEqual(progress, [20_000, 40_000, 50_000]);
  });

  it("has exactly the objects asked for, in jobs of very different sizes and states", async () => {
    const client = await database.connect();
    const { rows } = await client.query<{ status: string; objects: number; done: number }>(
      `SELECT jobs.status, count(*)::int AS objects,
              count(*) FILTER (WHERE job_objects.status IN ('processed', 'failed'))::int AS done
         FROM jobs JOIN job_objects USING (job_id) GROUP BY job_id ORDER BY objects`,
    );
    assert.equal(rows.length, 150);
    assert.equal(
      rows.reduce((sum, { objects }) => sum + objects, 0),
      50_000,
    );
    assert.ok((rows[149]?.objects ?? 0) > 100 * (rows[0]?.objects ?? 0));
    assert.equal(rows.filter(({ status }) => status === "running").length, activeJobCount);
    const statuses = ["cancelled", "completed", "failed", "queued", "running"];
    assert.deepEqual([...new Set(rows.map(({ status }) => status))].sort(), statuses);
    for (const { status, objects, done } of rows) {
      if (status === "completed") assert.equal(done, objects);
      else assert.ok(status === "queued" ? done === 0 : done < objects);
    }
  });

  it("is the same in every fill, down to one object a job", async () => {
    const client = await database.connect();
    const sizes = async (): Promise<unknown[]> => {
      await client.query("TRUNCATE public.jobs, public.job_objects RESTART IDENTITY");
      await fill(client, 1_000, () => undefined);
      const counts = "SELECT job_id, count(*) AS objects FROM job_objects GROUP BY job_id ORDER BY job_id";
      return (await client.query<{ objects: string }>(counts)).rows;
    };
    assert.deepEqual(await sizes(), await sizes());
    await client.query("TRUNCATE public.jobs, public.job_objects");
    await fill(client, 150, () => undefined);
    const { rows } = await client.query<{ jobs: number; most: number }>(
      "SELECT count(*)::int AS jobs, max(objects)::int AS most FROM (SELECT count(*) AS objects FROM job_objects GROUP BY job_id) AS j",
    );
    assert.deepEqual(rows, [{ jobs: 150, most: 1 }]);
  });

  it("is worked on, with new jobs when it runs dry, also after a lost connection", async () => {
    const client = await database.connect();
    await client.query("TRUNCATE public.jobs, public.job_objects RESTART IDENTITY");
    await fill(client, 5_001, () => undefined);
    const done = async (): Promise<number> => {
      const { rows } = await client.query<{ done: number }>(
        "SELECT count(*)::int AS done FROM job_objects WHERE status IN ('processed', 'failed')",
      );
      return rows[0]?.done ?? 0;
    };
    const before = await done();
    const states: string[] = [];
    const load = new BackgroundLoad(database.options(), 120_000, 5_001, (state) => states.push(state));
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
    const { rows } = await client.query<{ jobs: number; waiting: number }>(
      `SELECT count(*)::int AS jobs,
              (SELECT count(*)::int FROM jobs WHERE status = 'running'
                  AND NOT EXISTS (SELECT FROM job_objects o WHERE o.job_id = jobs.job_id AND o.status = 'pending'))
                AS waiting FROM jobs`,
    );
    assert.ok((rows[0]?.jobs ?? 0) > 150, "new jobs came when the queue was empty");
    assert.equal(rows[0]?.waiting, 0, "a job without pending objects is finished");
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
