import assert from "node:assert/strict";
import fc from "fast-check";
import type { Tick } from "../../watch/contract";
import { ageScale, countScale, durationScale } from "../../watch/page/plots/scales";
import { formatAge, formatDuration, formatShare, formatSpan } from "../../watch/page/text/format";
import { ageSummary, breachesOf, crossPromise, tickStory } from "../../watch/page/text/story";

const tick: Tick = {
  atMs: 0,
  runs: 1,
  outcome: "refreshed",
  kind: "incremental",
  durationSeconds: 0.003,
  changes: 1_204,
  changedRows: 1,
  drift: null,
  reason: null,
  sqlstate: null,
};
const told = (changes: Partial<Tick>) => tickStory({ ...tick, ...changes }, 0).replace(/^\S+ /, "");

describe("words of the page", () => {
  it("writes ages in two units that do not jump, and promises without a unit that is nothing", () => {
    assert.deepEqual([0, 59.9, 60, 252, 3_600, 90_000].map(formatAge), [
      "0s",
      "59s",
      "1m00s",
      "4m12s",
      "1h00m",
      "1d01h",
    ]);
    assert.deepEqual([30, 240, 252, 5_400, 3_600, 604_800].map(formatSpan), [
      "30s",
      "4m",
      "4m12s",
      "1h30m",
      "1h",
      "7d",
    ]);
  });

  it("writes durations from under a millisecond to minutes", () => {
    assert.deepEqual([0.0002, 0.003, 0.0996, 0.42, 1.24, 48.2, 125].map(formatDuration), [
      "<1 ms",
      "3 ms",
      "0.10 s",
      "0.42 s",
      "1.2 s",
      "48 s",
      "2m05s",
    ]);
  });

  it("says 100 % of the whole only", () => {
    assert.equal(formatShare(1), "100 %");
    assert.equal(formatShare(0.999_999), "99.99 %");
    assert.equal(formatShare(0), "0.00 %");
  });

  it("tells what a tick came to, how long it took and why", () => {
    assert.equal(told({}), "refreshed, incremental: 1,204 changes, 1 row changed in 3 ms");
    assert.equal(
      told({ kind: "full", changes: null, changedRows: null, drift: 2, reason: "fullEvery" }),
      "refreshed, full: fullEvery · drift of 2 rows put right in 3 ms",
    );
    assert.equal(
      told({ outcome: "failed", kind: null, durationSeconds: 50, sqlstate: "55P03", reason: "no lock" }),
      "failed after 50 s, SQLSTATE 55P03: no lock",
    );
    assert.match(
      told({ outcome: "never came", durationSeconds: null, runs: 12 }),
      /^never came: the schedule wanted .* of 12\)$/,
    );
  });

  it("finds when an age was over its promise", () => {
    const age = { atMs: [0, 100_000, 100_000, 300_000], seconds: [0, 100, 10, 210] };
    assert.deepEqual(breachesOf(age, 60), [
      { fromMs: 60_000, toMs: 100_000 },
      { fromMs: 150_000, toMs: 300_000 },
    ]);
    assert.match(
      ageSummary(age, 60, 300_000),
      /^highest 3m30s, 2 times over its promise, longest for 2m30s from /,
    );
    assert.equal(ageSummary(age, 500, 300_000), "highest 3m30s, never over its promise");
    assert.equal(ageSummary({ atMs: [], seconds: [] }, 60, 0), "no age is known in this range");
  });

  it("splits any age at its promise without moving a point of it", () => {
    const points = fc.array(fc.record({ step: fc.nat(1_000), age: fc.option(fc.nat(1_000), { nil: null }) }));
    fc.assert(
      fc.property(points, fc.nat(1_000), (drawn, promise) => {
        let at = 0;
        const age = { atMs: drawn.map(({ step }) => (at += step)), seconds: drawn.map((point) => point.age) };
        const split = crossPromise(age, promise);
        assert.deepEqual(
          split.atMs,
          [...split.atMs].sort((a, b) => a - b),
        );
        assert.ok(split.over.every((seconds) => seconds === null || seconds >= promise));
        assert.equal(
          split.seconds.filter((seconds) => seconds === null || seconds > promise).length,
          age.seconds.filter((seconds) => seconds === null || seconds > promise).length,
        );
      }),
    );
  });

  it("breaks the axis of ages below a promise that is far away, and keeps the order", () => {
    const whole = ageScale(120, 240);
    assert.deepEqual([whole.promiseAt, whole.breakAt], [240, null]);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000 }),
        fc.integer({ min: 6, max: 1_000 }),
        (highest, times) => {
          const { breakAt, promiseAt, max } = ageScale(highest, highest * times);
          assert.ok(breakAt !== null && promiseAt !== null);
          assert.ok(highest < breakAt && breakAt < promiseAt && promiseAt < max);
        },
      ),
    );
  });

  it("ends every axis above what it shows, with few labels", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.000_5, max: 5_000_000, noNaN: true }), (value) => {
        for (const scale of [ageScale(value, 240), ageScale(value, null), countScale(Math.ceil(value))]) {
          assert.ok(scale.max >= value);
          assert.ok(scale.labels.length >= 2 && scale.labels.length <= 5, JSON.stringify(scale));
        }
        const decades = durationScale([value]);
        assert.ok(decades.min <= value && decades.max >= value);
      }),
    );
  });
});
