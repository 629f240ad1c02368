import assert from "node:assert/strict";
import { RecoveryJudge } from "../../soak/judge/recovery";

const views = ["soak.balance", "soak.summary"];
const at = (epochMs: number) => ({ isDisturbed: false, asOfIsOff: false, epochMs });
const all = (asOfEpochMs: number) => views.map((view) => ({ view, asOfEpochMs }));

describe("the judge of recovery", () => {
  it("finds views fresh whose data is of after the fault, and says after how many ticks", () => {
    const judge = new RecoveryJudge(views, 2);
    judge.ended("postmaster killed", 1_000);
    assert.deepEqual(judge.after([], at(2_000)), []);
    assert.deepEqual(judge.after(all(2_500), at(3_000)), []);
    assert.deepEqual(judge.recoveries, [{ fault: "postmaster killed", ticks: 2, seconds: 2 }]);
  });

  it("convicts a view that is not, once", () => {
    const judge = new RecoveryJudge(views, 2);
    judge.ended("postmaster killed", 1_000);
    const balance = all(1_500).slice(0, 1);
    assert.deepEqual(judge.after(balance, at(2_000)), []);
    const late = ["soak.summary not fresh 2 ticks after the end of: postmaster killed"];
    assert.deepEqual(judge.after(balance, at(3_000)), late);
    assert.deepEqual(judge.after([], at(4_000)), []);
  });

  it("takes no refresh for one after the fault whose data is of before, unless the clock was moved", () => {
    const judge = new RecoveryJudge(views, 1);
    judge.ended("clock stepped", 1_000);
    assert.equal(judge.after(all(900), at(2_000)).length, 1);
    judge.ended("clock stepped", 1_000);
    assert.deepEqual(judge.after(all(900), { ...at(2_000), asOfIsOff: true }), []);
  });

  it("counts no tick in which another fault stands in the way", () => {
    const judge = new RecoveryJudge(views, 1);
    judge.ended("lock held", 1_000);
    assert.deepEqual(judge.after([], { ...at(2_000), isDisturbed: true }), []);
    assert.deepEqual(judge.after(all(2_500), at(3_000)), []);
    assert.equal(judge.recoveries[0]?.ticks, 1);
  });
});
