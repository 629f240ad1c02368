/** The pack on the real engine: dev, prod, hand-written stacks, broken ones, in previews and updates. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { copyProgram, describeEngine, repositoryProgram, type EngineProgram } from "../engine/engine";
import type { EngineRun } from "../engine/engineRun";

const pack = path.resolve(__dirname, "../../policy");
const policyPacks = [pack];

function refusalsOf({ violations }: EngineRun): string[] {
  return violations.filter(({ level }) => level === "mandatory").map(({ message }) => message);
}

function remarksOf({ violations }: EngineRun): string[] {
  return violations.filter(({ level }) => level === "advisory").map(({ message }) => message.trim());
}

/** Everything that the engine said, for a run that ended another way than it should. */
function told({ stdout, stderr }: EngineRun): string {
  return `${stdout}\n${stderr}`;
}

describeEngine("policy pack", () => {
  describe("on the product's own stacks", () => {
    it("lets dev through, says in the preview what is judged at update, and judges it then", async () => {
      const stack = await (await repositoryProgram()).openStack({ stack: "dev" });
      const preview = await stack.preview({ policyPacks });
      assert.equal(preview.exitCode, 0, told(preview));
      assert.deepEqual(refusalsOf(preview), []);
      const remarks = remarksOf(preview);
      assert.ok(remarks.some((remark) => /^Judged at update: what policy .*-role allows/.test(remark)));
      assert.deepEqual(
        remarks.filter(
          (remark) => !/^Judged at update: what policy|Allowed in a development stack/.test(remark),
        ),
        [],
      );
      const up = await stack.up({ policyPacks });
      assert.equal(up.exitCode, 0, told(up));
      assert.deepEqual(refusalsOf(up), []);
      assert.ok(remarksOf(up).every((remark) => remark.endsWith("Allowed in a development stack.")));
    });

    it("lets prod through in an update, with nothing left to judge", async () => {
      const stack = await (await repositoryProgram()).openStack({ stack: "prod" });
      const up = await stack.up({ policyPacks });
      assert.equal(up.exitCode, 0, told(up));
      assert.deepEqual(up.violations, []);
    });

    it("refuses prod with the classic alarm, a small budget and nobody to tell", async () => {
      const stack = await (
        await repositoryProgram()
      ).openStack({
        stack: "prod",
        config: {
          alarms: { errors: { threshold: 5, periodSeconds: 60, evaluationPeriods: 2, datapointsToAlarm: 2 } },
          monthlyBudgetUsd: 1,
          alarmEmails: undefined,
          alarmTopicArns: undefined,
          okActionArns: undefined,
        },
      });
      const preview = await stack.preview({ policyPacks });
      assert.notEqual(preview.exitCode, 0);
      const refusals = refusalsOf(preview).join("\n");
      assert.match(
        refusals,
        /-errors of .* can never fire: it needs GreaterThanThreshold 5 in 2 of 2 periods/,
      );
      // Every 30 seconds: two ticks a minute, through the rule's target and the queue.
      assert.match(refusals, /fails \(with 0 retries\), a period holds at most 2 errors/);
      assert.match(refusals, /cost about \$\d+\.\d\d a month; its budget is \$1\.00/);
      assert.match(refusals, /tell nobody: .*-stale/);
      const policies = preview.violations
        .filter(({ level }) => level === "mandatory")
        .map(({ policy }) => policy);
      assert.deepEqual([...new Set(policies)].sort(), [
        "alarm-subscribers",
        "errors-alarm",
        "monthly-budget",
      ]);
    });
  });

  describe("on a stack written by hand", () => {
    let program: EngineProgram;

    before(async () => {
      program = await copyProgram(path.join(__dirname, "fixtures/program"));
    });

    it("lets a good one through, beside an unrelated Lambda", async () => {
      const stack = await program.openStack({ stack: "prod", config: { "aws:region": "us-east-1" } });
      const preview = await stack.preview({ policyPacks });
      assert.equal(preview.exitCode, 0, told(preview));
      assert.deepEqual(refusalsOf(preview), []);
      assert.deepEqual(
        remarksOf(preview).filter((remark) => !remark.startsWith("Judged at update")),
        [],
      );
    });

    it("refuses one with the classic alarm, for each of its faults, and quotes no password", async () => {
      const stack = await program.openStack({
        stack: "prod",
        config: { fault: "classic", "aws:region": "us-east-1" },
      });
      const preview = await stack.preview({ policyPacks });
      assert.notEqual(preview.exitCode, 0);
      const policies = preview.violations
        .filter(({ level }) => level === "mandatory")
        .map(({ policy }) => policy);
      assert.deepEqual([...new Set(policies)].sort(), [
        "connection-security",
        "database-exposure",
        "errors-alarm",
        "least-privilege",
        "log-retention",
        "refresh-timeout",
        "retries",
        "supported-runtime",
      ]);
      assert.match(
        refusalsOf(preview).join("\n"),
        /every tick of rate\(1 minute\) fails \(with 2 retries\), a period holds at most 3 errors/,
      );
      assert.doesNotMatch(JSON.stringify(preview.violations), /correct-horse|battery-staple|thumbnails/);
    });

    it("fails the update for what no preview can know, once the resources exist", async () => {
      const stack = await program.openStack({
        stack: "prod",
        config: { fault: "late", "aws:region": "us-east-1" },
      });
      const preview = await stack.preview({ policyPacks });
      assert.equal(preview.exitCode, 0, told(preview));
      const remarks = remarksOf(preview).join("\n");
      assert.match(remarks, /Judged at update: what policy policy allows is not known yet/);
      assert.match(remarks, /Judged at update: whether alarm errors.* can fire \(threshold\)/);
      const up = await stack.up({ policyPacks });
      assert.notEqual(up.exitCode, 0, told(up));
      const refusals = refusalsOf(up).join("\n");
      assert.match(refusals, /Policy policy of a refresh role: .* allows \*/);
      assert.match(refusals, /Alarm errors.* can never fire/);
      const { resources = [] } = await stack.exportState();
      assert.ok(resources.some(({ type }) => type === "aws:lambda/function:Function"));
    });

    it("stops at a configuration key that a rule does not have", async () => {
      const stack = await program.openStack({ stack: "prod", config: { "aws:region": "us-east-1" } });
      const config = path.join(program.directory, "policy-config.json");
      await writeFile(config, JSON.stringify({ "monthly-budget": { monthlyBudgetUSD: 100 } }));
      const preview = await stack.preview({ policyPacks, policyPackConfigs: [config] });
      assert.notEqual(preview.exitCode, 0);
      assert.match(
        told(preview),
        /"monthlyBudgetUSD" is not a configuration key.*Did you mean "monthlyBudgetUsd"/,
      );
    });
  });
});
