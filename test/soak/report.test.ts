import assert from "node:assert/strict";
import {
  renderReport,
  reportJson,
  reportMarkdown,
  type FaultResult,
  type SoakResult,
} from "../../soak/report";

const fault = (name: string, more: Partial<FaultResult> = {}): FaultResult => ({
  ...{ name, group: "server", planted: 4, struck: 4, seen: { "57P01": 1, ECONNREFUSED: 12 } },
  ...{ alarmAfterSeconds: { failing: [301, 305, 355], stale: [] }, lost: 0 },
  ...{ recoveredAfterTicks: [1, 1, 2] },
  ...{ remedies: { executed: 0, helped: 0 } },
  ...more,
});

const result: SoakResult = {
  ...{ seed: 7, mode: "full", ticks: 1_000, realSeconds: 1_230, virtualSeconds: 60_000 },
  runs: { refreshed: 900, failed: 80, timedOut: 3, crashed: 0 },
  faults: [
    fault("postmaster killed", { exitCodes: { refresh: 1, doctor: 1, status: 0 } }),
    fault("a lock on the view is held by a long transaction of somebody else", {
      ...{ struck: 3, remedies: { executed: 1, helped: 1 } },
      seen: Object.fromEntries(
        ["55P03", "57014", "timedOut", "40001", "ECONNRESET", "XX000"].map((code) => [code, 3]),
      ),
    }),
    fault("volume full", { planted: 0, struck: 0, skipped: "no tmpfs may be mounted here" }),
  ],
  unplanted: [{ tick: 40, fault: "postmaster killed", why: "there was no server" }],
  violations: [
    {
      ...{
        tick: 12,
        invariant: "readers see one moment",
        what: "writer 3 is at 17 in soak.balance and at 16 in soak.summary",
      },
      story: ["tick 11: planted: SIGKILL of the postmaster", "tick 12: ECONNREFUSED"],
    },
  ],
  judge: { looks: 5_000, transactions: 123_456, cuts: 900, historyRows: 2_000 },
  alarms: { failing: 3, stale: 1 },
};

describe("the report of a soak", () => {
  for (const isDecorated of [true, false]) {
    it(`has every figure in lines of 120 characters, ${isDecorated ? "decorated" : "plain"}`, () => {
      const lines = renderReport(result, isDecorated)
        .replace(/\u001b\[\d+m/g, "")
        .split("\n");
      for (const line of lines) assert.ok(line.length <= 120, line);
      const text = lines.join("\n");
      const row = lines.find((line) => line.includes("postmaster")) ?? "";
      assert.match(row, /postmaster\W.*4\W+ECONNREFUSED×12.*failing 305\W.*1 1 0\W+0\W*$/);
      assert.match(text, /1 to 2 ticks/);
      assert.match(text, /1,000, 16 h 40 min of the plan in 20 min 30 s/);
      assert.match(text, /983: refreshed×900, failed×80, timedOut×3/);
      assert.match(text, /Not planted: volume full: no tmpfs may be mounted here/);
      assert.match(text, /Not planted in tick 40: postmaster killed: there was no server/);
      assert.match(text, /Broken in tick 12: readers see one moment: writer 3/);
      assert.match(text, /tick 11: planted: SIGKILL of the postmaster/);
      assert.match(text, /Again: npm run soak -- --ticks 1000 --seed 7 --mode full$/m);
      assert.equal(/[│─]/.test(text), isDecorated);
    });
  }

  it("names the faults that were asked for in the command that does it again", () => {
    const asked = { ...result, faultsAsked: ["kill", "lock"] };
    assert.match(renderReport(asked, false), /--mode full --faults kill,lock$/m);
  });

  it("is the same for programs, with the command", () => {
    const [read] = JSON.parse(reportJson([result])) as (SoakResult & { reproduce: string })[];
    const { reproduce, ...rest } = read ?? assert.fail();
    assert.deepEqual(rest, result);
    assert.equal(reproduce, "npm run soak -- --ticks 1000 --seed 7 --mode full");
  });

  it("is a table for the docs, in which no cell ends early", () => {
    const withBar = { ...result, faults: [fault("a | b")] };
    const lines = reportMarkdown(withBar).split("\n");
    const row = lines.find((line) => line.startsWith("| a ")) ?? "";
    assert.match(
      row,
      /^\| a \\\| b \| 4 \| ECONNREFUSED×12, 57P01×1 \| failing 305 s \| 1 to 2 ticks \| {2}\| {2}\| 0 \|$/,
    );
    assert.equal(row.replaceAll("\\|", "").split("|").length, 10);
  });
});
