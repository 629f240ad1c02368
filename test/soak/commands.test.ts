import assert from "node:assert/strict";
import { judgeDoctor, judgeRefresh, judgeStatus } from "../../soak/judge/commands";

type Facts = Parameters<typeof judgeRefresh>[0];
const denied: Facts = {
  refresh: "stops",
  codes: ["42501"],
  says: /may not read/,
  finding: "may-not-refresh",
};
const disabled: Facts = {
  ...{ refresh: "passes", codes: [], says: /trigger \w+ is disabled/ },
  finding: "triggers-broken",
};
const harmless: Facts = { refresh: "passes", codes: [] };

/** What a command came to that printed this. */
function ran(exitCode: number | null, answer: object, stderr = "") {
  return { exitCode, stdout: JSON.stringify(answer), stderr, answer };
}
const failed = (problem: string, code: string, remedy: string) =>
  ran(1, { error: `soak.balance: ${problem} (SQLSTATE ${code}). To fix it: ${remedy}` });
const GRANT = "GRANT SELECT ON a TO b;";
const failure = failed("it may not read a", "42501", `${GRANT}  -- as its owner`);
const refreshed = ran(0, { success: true });
const found = (exitCode: number, name: string, remedy = GRANT) =>
  ran(exitCode, { findings: [{ name, remedy }] });
const statusOf = (exitCode: number, state: string) => ran(exitCode, { views: [{ state: "ok" }, { state }] });

describe("the judge of commands", () => {
  it("acquits those that name the fault that is planted", () => {
    assert.deepEqual(judgeRefresh(denied, failure), []);
    assert.deepEqual(judgeDoctor(denied, failure, found(1, "may-not-refresh")), []);
    assert.deepEqual(judgeStatus(denied, failure, statusOf(0, "failing")), []);
    assert.deepEqual(judgeRefresh(harmless, refreshed), []);
    assert.deepEqual(judgeDoctor(harmless, refreshed, found(0, "parallel")), []);
    assert.deepEqual(judgeStatus(harmless, refreshed, statusOf(0, "ok")), []);
    assert.deepEqual(judgeRefresh(disabled, ran(0, { success: true }, "full: trigger t is disabled")), []);
  });

  for (const [what, wrong] of [
    ["a refresh that names another cause", judgeRefresh(denied, failed("it may not read a", "55P03", GRANT))],
    ["a refresh that does not say what is wrong", judgeRefresh(denied, failed("no", "42501", GRANT))],
    ["a refresh that passes in silence", judgeRefresh(denied, refreshed)],
    ["a refresh that does not tell what lets it pass", judgeRefresh(disabled, refreshed)],
    ["a refresh that fails where nothing stops it", judgeRefresh({ ...harmless, codes: ["42501"] }, failure)],
    ["a failure with exit code 0", judgeRefresh(denied, { ...failure, exitCode: 0 })],
    ["a command that crashes", judgeRefresh(denied, { ...ran(7, {}), stdout: "", stderr: "may not read" })],
    ["a command that does not end", judgeStatus(harmless, refreshed, { ...ran(null, {}), stdout: "" })],
    ["a doctor that sees no failure", judgeDoctor(denied, failure, found(0, "may-not-refresh"))],
    ["a doctor that calls it by another name", judgeDoctor(denied, failure, found(1, "failing"))],
    ["a doctor with another remedy", judgeDoctor(denied, failure, found(1, "may-not-refresh", "VACUUM"))],
    ["a doctor that does not see what lets a run pass", judgeDoctor(disabled, refreshed, found(0, "drift"))],
    ["a doctor that alarms without cause", judgeDoctor(harmless, refreshed, found(1, "locked"))],
    ["a status that names another cause", judgeStatus(denied, failure, failed("no", "28P01", "ALTER ROLE"))],
    ["a status that fails without cause", judgeStatus(harmless, refreshed, statusOf(1, "missing"))],
    ["a status that says that all is well", judgeStatus(denied, failure, statusOf(0, "ok"))],
  ] as const)
    it(`convicts ${what}`, () => assert.equal(wrong.length, 1, wrong.join("\n")));
});
