import assert from "node:assert/strict";
import { parseRefreshRate } from "../../components/time/schedule";
import { parseEvent } from "../../handler/event";
import { describeSeconds, parseDurationSeconds } from "../../local/duration";
import { parseOutage } from "../../local/postgres/serverGuard";
import { offsetSeconds, tickEvent } from "../../local/tickEvent";
import { runTicks } from "../../local/ticker";

const views = [{ schema: "public", name: "job_progress", allowBlocking: true }];
const origin = { region: "us-east-1", functionName: "matview-refresh-job-progress", payload: { by: "test" } };

describe("ticks of a local run", () => {
  const minute = Date.UTC(2026, 10, 23, 10, 0, 0);

  it("come as the rule's own event at the full minute and through a queue between", () => {
    const schedule = parseRefreshRate("rate(15 seconds)");
    const kinds = [0, 15, 30, 45].map((second) => {
      const event = tickEvent(schedule, minute + second * 1000, origin) as { Records?: { body: string }[] };
      assert.equal(parseEvent(event, views).kind, "scheduled", "the handler understands it");
      const body = event.Records?.[0]?.body;
      const rule = (body === undefined ? event : JSON.parse(body)) as { time: string; detail: unknown };
      assert.equal(rule.time, "2026-11-23T10:00:00Z");
      assert.deepEqual(rule.detail, { by: "test" });
      return body === undefined ? "rule" : "queue";
    });
    assert.deepEqual(kinds, ["rule", "queue", "queue", "queue"]);
  });

  it("are the rule's alone where the schedule has no step under a minute", () => {
    const schedule = parseRefreshRate("rate(5 minutes)");
    assert.equal(offsetSeconds(schedule, minute), 0);
    assert.ok(!("Records" in (tickEvent(schedule, minute, origin) as object)));
  });

  it("stop at once when told to, and end on time without a tick", async () => {
    const stop = new AbortController();
    const schedule = parseRefreshRate("rate(1 hour)");
    const ticks: number[] = [];
    const running = runTicks(schedule, Infinity, stop.signal, (tick) => ticks.push(tick));
    stop.abort();
    await running;
    const end = Date.now() + 50;
    await runTicks(parseRefreshRate("cron(0 0 1 1 ? *)"), end, new AbortController().signal, (tick) =>
      ticks.push(tick),
    );
    assert.ok(Date.now() >= end);
    assert.deepEqual(ticks, []);
  });
});

describe("durations", () => {
  it("are read with their unit", () => {
    for (const [text, seconds] of [
      ["60s", 60],
      ["5m", 300],
      ["1.5h", 5400],
      ["2d", 172_800],
      ["45", 45],
    ] as const) {
      assert.equal(parseDurationSeconds(text), seconds);
    }
    for (const text of ["", "soon", "0s", "-5s", "5 weeks", "1m30s"]) {
      assert.throws(() => parseDurationSeconds(text), /60s, 5m, 2h or 1d/);
    }
    assert.deepEqual(parseOutage("20s,1m"), { afterSeconds: 20, lastsSeconds: 60 });
    for (const text of ["20s", "20s,", "20s,1m,3s"]) assert.throws(() => parseOutage(text));
  });

  it("are shown as a person would say them", () => {
    const shown = [0.04, 9.94, 75, 119.6, 725, 7199.6, 12_000, 200_000].map(describeSeconds);
    assert.deepEqual(shown, [
      "0.0 s",
      "9.9 s",
      "75 s",
      "2 min",
      "12 min 5 s",
      "2 h",
      "3 h 20 min",
      "2 d 8 h",
    ]);
  });
});
