import assert from "node:assert/strict";
import fc from "fast-check";
import type { Measure, Segment } from "../../watch/queries/segments";
import { joinSegments, mergeSegments, store, type Carry, type StoredSegment } from "../../watch/series";

interface Run {
  outcome: "refreshed" | "skipped" | "failed";
  started: number;
  seconds: number;
}

const measure: Measure = { promiseSeconds: 40, gapSeconds: 15 };
const NOTHING: Carry = { refreshed: null, asOf: null, started: null };

/** A segment of one run, as the server would sum it up. */
function segmentOf({ outcome, started, seconds }: Run, id: number, sliceSeconds: number): StoredSegment {
  const finished = started + seconds;
  const is = (wanted: Run["outcome"]): number => Number(outcome === wanted);
  const ofRefresh = (value: number): number | null => (outcome === "refreshed" ? value : null);
  const segment: Segment = {
    view: 0,
    slice: Math.floor(finished / sliceSeconds),
    firstId: id,
    lastId: id,
    refreshed: is("refreshed"),
    skipped: is("skipped"),
    failed: is("failed"),
    firstStart: started,
    lastStart: started,
    firstRefresh: ofRefresh(finished),
    lastRefresh: ofRefresh(finished),
    firstAsOf: ofRefresh(started),
    lastAsOf: ofRefresh(started),
    unknown: 0,
    peak: null,
    lateSeconds: 0,
    tick: [outcome === "failed" ? 3 : 1, seconds, id],
    gaps: null,
    durations: outcome === "refreshed" ? [seconds] : null,
  };
  return store(segment);
}

const runs = fc
  .array(
    fc.record({
      outcome: fc.constantFrom("refreshed" as const, "skipped" as const, "failed" as const),
      afterSeconds: fc.integer({ min: 1, max: 90 }),
      seconds: fc.integer({ min: 1, max: 5 }),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((list) => {
    let at = 1_000;
    return list.map(({ afterSeconds, ...run }) => ({ ...run, started: (at += afterSeconds + 5) }));
  });

describe("a series of segments", () => {
  it("says the same however its runs were put together", () => {
    fc.assert(
      fc.property(runs, fc.integer({ min: 1, max: 500 }), (list, sliceSeconds) => {
        const single = list.map((run, index) => segmentOf(run, index + 1, sliceSeconds));
        const merged: StoredSegment[] = [];
        for (const segment of single) {
          const last = merged.at(-1);
          if (last?.slice === segment.slice)
            merged[merged.length - 1] = mergeSegments(last, segment, measure);
          else merged.push(segment);
        }
        const span = { fromSeconds: 900, nowSeconds: 6_000 };
        const [a, b] = [single, merged].map((segments) => joinSegments(segments, NOTHING, measure, span));
        assert.deepEqual(b?.gaps, a?.gaps);
        assert.deepEqual(b?.durations, a?.durations);
        assert.deepEqual(b?.ticks, a?.ticks);
        assert.equal(b?.withinPromise?.toFixed(9), a?.withinPromise?.toFixed(9));
        assert.deepEqual([b?.refreshed, b?.skipped, b?.failed], [a?.refreshed, a?.skipped, a?.failed]);
        // The highest age is never lost.
        const highest = (series = a): number =>
          Math.max(-1, ...(series?.age.seconds ?? []).map((age) => age ?? -1));
        assert.equal(highest(b), highest(a));
      }),
    );
  });

  it("counts the time within the promise as a clock would", () => {
    fc.assert(
      fc.property(runs, (list) => {
        const refreshes = list.filter(({ outcome }) => outcome === "refreshed");
        const [first] = refreshes;
        if (first === undefined) return;
        const nowSeconds = 6_000;
        const from = first.started + first.seconds;
        let within = 0;
        for (let at = from; at < nowSeconds; at += 1) {
          const seen = refreshes.filter(({ started, seconds }) => started + seconds <= at).at(-1) as Run;
          if (at - seen.started < 40) within += 1;
        }
        const segments = list.map((run, index) => segmentOf(run, index + 1, 60));
        const { withinPromise } = joinSegments(segments, NOTHING, measure, { fromSeconds: 900, nowSeconds });
        assert.ok(Math.abs((withinPromise ?? -1) - within / (nowSeconds - from)) < 1e-9);
      }),
    );
  });
});
