import assert from "node:assert/strict";
import { parseRefreshRate } from "../../components/time/schedule";
import { gapSecondsOf, missedTicks, rhythmOf, type Expected } from "../../watch/missed";

const scheduled = (rate: string): Expected => ({
  kind: "schedule",
  schedule: parseRefreshRate(rate),
  timeoutSeconds: 10,
});
const at = (text: string): number => Date.parse(`2026-03-02T${text}Z`) / 1_000;
const ticks = (expected: Expected, gaps: [number, number][], last: number | null, now: string): string[] =>
  missedTicks(expected, gaps, last, { nowSeconds: at(now), sliceSeconds: 1 }).map(({ atMs }) =>
    new Date(atMs).toISOString().slice(11, 19),
  );

describe("ticks that never came", () => {
  it("are those of a rate between two runs, from the run before on", () => {
    const rate = scheduled("rate(1 minute)");
    assert.deepEqual(ticks(rate, [[at("10:00:07"), at("10:03:09")]], at("10:05:00"), "10:05:30"), [
      "10:01:07",
      "10:02:07",
    ]);
  });

  it("are not those whose run may still be under way", () => {
    const rate = scheduled("rate(1 minute)");
    assert.deepEqual(ticks(rate, [], at("10:00:00"), "10:01:20"), []);
    assert.deepEqual(ticks(rate, [], at("10:00:00"), "10:02:40"), ["10:01:00", "10:02:00"]);
  });

  it("are those of a cron schedule alone: a night without ticks misses none", () => {
    const cron = scheduled("cron(0/30 9-10 * * ? *)");
    assert.deepEqual(ticks(cron, [[at("09:00:03"), at("10:30:04")]], at("10:30:04"), "10:40:00"), [
      "09:30:00",
      "10:00:00",
    ]);
    assert.deepEqual(ticks(cron, [], at("10:30:04"), "23:00:00"), []);
  });

  it("are put together by slices", () => {
    const missed = missedTicks(scheduled("rate(12 seconds)"), [[0, 86_400]], 86_400, {
      nowSeconds: 86_400,
      sliceSeconds: 3_600,
    });
    assert.equal(missed.length, 24);
    assert.equal(
      missed.reduce((sum, { runs }) => sum + runs, 0),
      86_400 / 12 - 1,
    );
  });

  it("follow a rhythm where one is kept, and none where none is", () => {
    const starts = Array.from({ length: 20 }, (_, index) => (1_000 - index * 15) * 1_000);
    assert.equal(rhythmOf(starts), 15);
    assert.equal(rhythmOf(starts.slice(0, 5)), undefined);
    assert.equal(rhythmOf(starts.map((start, index) => start - index * index * 500)), undefined);
    assert.equal(gapSecondsOf({ kind: "rhythm", everySeconds: 15 }), 22.5);
    assert.equal(gapSecondsOf(undefined), null);
  });
});
