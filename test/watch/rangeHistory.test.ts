import assert from "node:assert/strict";
import type { Client } from "pg";
import { useDatabase } from "../database";
import { Watch } from "../../watch/watch";
import { detailOf, optionsFor, plant, snapshotOf } from "./harness";

describe("a long history", () => {
  const database = useDatabase();
  let client: Client;

  before(async () => {
    client = await database.connect();
    // One of 500 fails; the 40 runs of one hour are missing.
    await client.query(`
      INSERT INTO matview_refresh_history
        (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, reason)
      SELECT 'public', 'job_progress', 'job_progress'::regclass, CASE WHEN n % 500 = 0 THEN 'failed' ELSE 'refreshed' END,
             'concurrent', CASE WHEN n % 500 = 0 THEN NULL ELSE at END, at, at + interval '1 second', 1, 'r'
        FROM (SELECT n, now() - interval '1 minute' - (25000 - n) * interval '90 seconds' AS at FROM generate_series(1, 25000) n) runs
       WHERE n NOT BETWEEN 5001 AND 5040
       ORDER BY n`);
  });

  it("is shown at once, read to its end bit by bit, and then goes on with what is new", async () => {
    const watch = new Watch(optionsFor(database, { maxAgeSeconds: 120 }));
    const events: { share: string | undefined; refreshed: number }[] = [];
    await new Promise<void>((resolve) => {
      const stop = watch.subscribe("30d", (event) => {
        const snapshot = snapshotOf(event);
        const note = snapshot.notes.find((each) => each.includes("is being read"));
        events.push({ share: note, refreshed: detailOf(snapshot).counts.refreshed });
        if (note !== undefined) return;
        stop();
        resolve();
      });
    });
    const read = detailOf(snapshotOf(await watch.once("30d")));
    assert.deepEqual(
      [read.counts.refreshed, read.counts.failed, read.counts["never came"]],
      [25_000 - 40 - 50, 50, 40],
    );
    assert.ok(read.age.seconds.length < 1_100 && read.ticks.length < 500);
    const highest = Math.max(...read.age.seconds.map((seconds) => seconds ?? 0));
    // The hour that is missing is seen, and the failure before it, however many runs a point stands for.
    assert.ok(Math.abs(highest - (42 * 90 + 1)) < 1, String(highest));
    await plant(client, [{ startedAgo: 2 }]);
    const more = detailOf(snapshotOf(await watch.once("30d")));
    assert.equal(more.counts.refreshed, read.counts.refreshed + 1);
    await watch.close();
  });

  it("is begun anew where its table was emptied", async () => {
    const watch = new Watch(optionsFor(database));
    assert.ok(detailOf(snapshotOf(await watch.once("1h"))).counts.refreshed > 0);
    await client.query("TRUNCATE matview_refresh_history RESTART IDENTITY");
    await plant(client, [{ startedAgo: 2 }]);
    assert.equal(detailOf(snapshotOf(await watch.once("1h"))).counts.refreshed, 1);
    await watch.close();
  });
});
