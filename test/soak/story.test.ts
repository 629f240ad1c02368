import assert from "node:assert/strict";
import fc from "fast-check";
import { VirtualClock } from "../../soak/clock";
import { Dice } from "../../soak/dice";
import type { Fault, Touched } from "../../soak/fault";
import { RECOVERY_TICKS, tellStory, type Planting } from "../../soak/story";

const TOUCHED: Touched[] = ["server", "wire", "function", "view", "source", "login", "disk", "clock"];

const faults = fc
  .array(
    fc.record({
      touches: fc.uniqueArray(fc.constantFrom(...TOUCHED), { minLength: 1, maxLength: 3 }),
      least: fc.integer({ min: 1, max: 2 }),
      more: fc.integer({ min: 0, max: 3 }),
      refresh: fc.constantFrom("passes" as const, "may pass" as const, "stops" as const),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((drawn) =>
    drawn.map(({ touches, least, more, refresh }, index): Fault => ({
      ...{ name: `fault ${index}`, group: "server", touches, modes: ["full"], refresh, codes: [] },
      ticks: [least, least + more],
      plant: () => Promise.reject(new Error("a story plants nothing")),
    })),
  );

const namesOf = (story: Planting[]): unknown[] =>
  story.map(({ fault, fromTick, toTick }) => [fault.name, fromTick, toTick]);

describe("the story of a soak", () => {
  it("is the same for the same seed, and another for another", () => {
    const one = (seed: number): unknown[] =>
      namesOf(tellStory(fc.sample(faults, { seed: 5, numRuns: 1 })[0]!, 300, 9, new Dice(seed)));
    assert.deepEqual(one(7), one(7));
    assert.notDeepEqual(one(7), one(8));
  });

  it("plants nothing at once that touches the same, and leaves every episode time to be over", () => {
    fc.assert(
      fc.property(faults, fc.integer({ min: 20, max: 400 }), fc.integer(), (all, ticks, seed) => {
        const story = tellStory(all, ticks, 9, new Dice(seed));
        for (const [index, one] of story.entries()) {
          assert.ok(one.fromTick >= 1 && one.toTick >= one.fromTick && one.toTick + RECOVERY_TICKS <= ticks);
          for (const other of story.slice(index + 1)) {
            const together = one.fromTick <= other.toTick && other.fromTick <= one.toTick;
            if (!together) continue;
            const both = one.fault.touches.filter((each) => other.fault.touches.includes(each));
            assert.deepEqual(both, [], `${one.fault.name} beside ${other.fault.name}`);
          }
        }
        const isBusy = (tick: number): boolean =>
          story.some(({ fromTick, toTick }) => fromTick <= tick && tick <= toTick);
        for (const { toTick } of story) {
          if (isBusy(toTick + 1)) continue;
          for (let quiet = 1; quiet <= RECOVERY_TICKS; quiet += 1) assert.ok(!isBusy(toTick + quiet));
        }
      }),
    );
  });

  it("comes back to no fault before all others had their turn", () => {
    fc.assert(
      fc.property(faults, fc.integer(), (all, seed) => {
        const story = tellStory(all, 2_000, 9, new Dice(seed));
        const times = all.map((fault) => story.filter((each) => each.fault === fault).length);
        assert.ok(Math.min(...times) > 0 && Math.max(...times) - Math.min(...times) <= 2, String(times));
      }),
      { numRuns: 30 },
    );
  });
});

describe("virtual time", () => {
  it("goes on as real time does, but for what is skipped, and knows of moments that were", () => {
    let real = 1_000;
    const clock = new VirtualClock(() => real);
    assert.equal(clock.nowMs(), 1_000);
    clock.skipTo(61_000);
    assert.equal(clock.nowMs(), 61_000);
    real = 9_000;
    assert.equal(clock.nowMs(), 69_000);
    clock.skipTo(60_000);
    assert.equal(clock.nowMs(), 69_000, "never back");
    clock.skipTo(121_000);
    assert.deepEqual(
      [clock.virtualOf(999), clock.virtualOf(5_000), clock.virtualOf(9_500)],
      [999, 65_000, 121_500],
    );
  });
});
