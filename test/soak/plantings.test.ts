import assert from "node:assert/strict";
import type { Bed } from "../../soak/bed/bed";
import { Chronicle } from "../../soak/chronicle";
import { Dice } from "../../soak/dice";
import type { Fault, Planted } from "../../soak/fault";
import { Plantings } from "../../soak/plantings";

const fault = (name: string, plant: () => Planted, more: Partial<Fault> = {}): Fault => ({
  ...{ name, group: "network", touches: [], modes: ["full"], ticks: [1, 1], refresh: "may pass", codes: [] },
  ...{ plant, ...more },
});

/** What is planted strikes in these ticks. */
function striking(ticks: number[], now: () => number): Planted {
  let struck = false;
  return {
    ...{ what: "planted", strikesOnce: true, lift: () => Promise.resolve() },
    hasStruck: () => (struck ||= ticks.includes(now())),
  };
}

describe("what is planted", () => {
  let tick = 0;
  let convicted: string[];
  let plantings: Plantings;

  beforeEach(() => {
    convicted = [];
    const chronicle = new Chronicle(({ invariant, what }) => convicted.push(`${invariant}: ${what}`));
    plantings = new Plantings({ clock: { nowMs: () => 0 } } as Bed, chronicle, new Dice(1));
  });

  /** Plants it for one tick, so many times, with two ticks in between. */
  async function plantOften(one: Fault, times: number): Promise<void> {
    for (let time = 1; time <= times; time += 1) {
      tick += 3;
      await plantings.plant([{ fault: one, fromTick: tick, toTick: tick }]);
      await plantings.endTick(tick, []);
      tick += 1;
      await plantings.endTick(tick, []);
      assert.deepEqual(plantings.now, []);
    }
  }

  it("waits one tick more for its moment", async () => {
    const late = fault("late", () => striking([tick + 1], () => tick));
    await plantOften(late, 1);
    assert.deepEqual(
      plantings.all.map(({ struck, over }) => [struck, over?.tick]),
      [[true, tick]],
    );
  });

  it("waits one tick more for a run that meets it", async () => {
    const standing = (): Planted => ({ what: "planted", lift: () => Promise.resolve() });
    await plantOften(fault("refused", standing, { refresh: "stops", codes: ["ECONNREFUSED"] }), 1);
    await plantOften(fault("tick lost", standing, { refresh: "stops" }), 1);
    assert.deepEqual(
      plantings.all.map(({ planting: { toTick }, over }) => (over?.tick ?? 0) - toTick),
      [1, 0],
    );
  });

  it("is convicted where it came often and never struck, or could never be planted", async () => {
    await plantOften(
      fault("idle", () => striking([], () => tick)),
      4,
    );
    await plantOften(
      fault("impossible", () => {
        throw new Error("no room");
      }),
      4,
    );
    await plantOften(
      fault("rare", () => striking([], () => tick)),
      3,
    );
    await plantOften(
      fault("good", () => striking([tick], () => tick)),
      4,
    );
    plantings.judgeKinds();
    assert.deepEqual(convicted, [
      'every kind of fault strikes: "idle" came 4 times, and never struck',
      'every kind of fault strikes: "impossible" came 4 times, and never struck',
    ]);
  });

  it("is convicted where its remedy was never carried out", async () => {
    const locked = fault("locked", () => striking([tick], () => tick), { remedyHelps: true });
    await plantOften(locked, 4);
    plantings.judgeKinds();
    assert.deepEqual(convicted, [
      'every remedy is carried out: "locked" came 4 times, and never to its remedy',
    ]);
  });
});
