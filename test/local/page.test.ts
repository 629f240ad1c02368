import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { TOKEN_HEADER, type ControlAnswer, type Snapshot, type StreamEvent } from "../../watch/contract";
import { useRuns, writeStack, type Started } from "./startRun";

describe("the page of npm start", function () {
  this.timeout(60_000);
  const runs = useRuns("page");
  let run: Started;
  let url: string;

  before(async () => {
    // No tick comes by itself while the test lasts.
    await writeStack(runs.folder, "local", { refreshRate: "rate(1 day)", timeoutSeconds: 10 });
    run = runs.start("server", ["--objects", "150", "--load", "off"]);
    [, url = ""] = await run.prints(/Page: (http:\/\/127\.0\.0\.1:\d+\/)/);
    await run.prints(/Ctrl-C stops/);
  });
  const look = async (): Promise<Snapshot> =>
    (await (await fetch(`${url}snapshot?range=5m`)).json()) as Snapshot;

  async function press(control: string, body: object = {}): Promise<ControlAnswer> {
    const { controls } = await look();
    const answer = await fetch(`${url}control/${control}`, {
      method: "POST",
      headers: { origin: url.slice(0, -1), [TOKEN_HEADER]: controls?.token ?? "" },
      body: JSON.stringify(body),
    });
    return (await answer.json()) as ControlAnswer;
  }

  it("is named in the first lines, and shows the run's own plan", async () => {
    const lines = run.output().split("\n");
    assert.ok(lines.findIndex((line) => line.includes("Page: http://")) < 5, run.output());
    const { schedule, views, controls } = await look();
    assert.equal(schedule?.expression, "rate(1 day)");
    assert.equal(views[0]?.view, "public.job_progress");
    assert.deepEqual(controls?.available, ["refresh", "pause", "load", "outage"]);
  });

  it("refreshes now, and says what that did", async () => {
    const answer = await press("refresh");
    assert.match("done" in answer ? answer.done : answer.error, /^refreshed in \d+\.\d\d s \(concurrent\)$/);
    const { details, views } = await look();
    assert.equal(details[0]?.counts.refreshed, 1);
    assert.equal(views[0]?.verdict, "ok");
  });

  it("pauses the schedule and lets it go on", async () => {
    assert.deepEqual(await press("pause"), { done: "the schedule is paused: no tick is fired" });
    const paused = await look();
    assert.equal(paused.controls?.paused, true);
    assert.equal(paused.views[0]?.verdict, "paused");
    assert.ok("error" in (await press("pause")));
    assert.deepEqual(await press("resume"), { done: "the schedule goes on" });
    assert.equal((await look()).views[0]?.verdict, "ok");
  });

  it("changes the load", async () => {
    assert.deepEqual(await press("load", { level: "light" }), {
      done: "the load is light: 5,000 objects a minute",
    });
    assert.equal((await look()).controls?.load, "light");
    assert.deepEqual(await press("load", { level: "off" }), { done: "the load is off" });
    assert.ok("error" in (await press("load", { level: "heavier" })));
  });

  it("holds an outage, and the page says that the database is gone", async () => {
    assert.deepEqual(await press("outage"), { done: "PostgreSQL is stopped for 30 s" });
    for (;;) {
      const event = (await (await fetch(`${url}snapshot`)).json()) as StreamEvent | Snapshot;
      if (!("type" in event)) {
        await sleep(20);
        continue;
      }
      assert.ok(event.type === "disconnected");
      assert.deepEqual(event.controls?.available, ["refresh", "pause", "load"]);
      break;
    }
  });
});
