import assert from "node:assert/strict";
import fc from "fast-check";
import { limitOf, shareMs } from "../../handler/budget";

const ms = fc.integer({ min: 0, max: 900_000 });
/** What a view needs, and how much of its share it takes: 0 to 1. */
const views = fc.array(fc.record({ need: ms, taken: fc.double({ min: 0, max: 1, noNaN: true }) }), {
  minLength: 1,
  maxLength: 12,
});

describe("a view's share of the time", () => {
  it("is what it needs, however much the views before it take of theirs; or, where not all fits, an equal part", () => {
    fc.assert(
      fc.property(ms, views, (totalMs, all) => {
        let leftMs = totalMs;
        const fits = all.reduce((sum, { need }) => sum + need, 0) <= totalMs;
        for (const [index, { need, taken }] of all.entries()) {
          const share = shareMs(
            leftMs,
            need,
            all.slice(index + 1).map((other) => other.need),
          );
          assert.ok(share >= 0 && share <= leftMs + 0.01);
          const least = fits ? need : Math.min(need, totalMs / all.length);
          assert.ok(share >= least - 0.01, `${share} of ${leftMs} for ${need}`);
          leftMs -= share * taken;
        }
      }),
    );
  });

  it("is all that the others do not need, where all fits", () => {
    fc.assert(
      fc.property(ms, ms, fc.array(ms, { maxLength: 10 }), (spareMs, need, others) => {
        const othersMs = others.reduce((sum, other) => sum + other, 0);
        assert.ok(Math.abs(shareMs(spareMs + need + othersMs, need, others) - spareMs - need) < 0.01);
      }),
    );
  });
});

describe("the limit of a statement", () => {
  it("ends a wait for a lock before the statement's time, and never means none at all", () => {
    fc.assert(
      fc.property(ms, fc.integer({ min: 1_000, max: 5_000 }), (forMs, longestMs) => {
        const { statementMs, lockMs } = limitOf(forMs, longestMs);
        assert.ok(lockMs > 0 && lockMs < statementMs && lockMs <= longestMs);
      }),
    );
  });
});
