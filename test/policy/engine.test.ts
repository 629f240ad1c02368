/** The pack on the real engine: dev, prod, hand-written stacks, broken ones, in previews and updates. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { describeEngine, EngineProgram, repositoryProgram } from "../engine/engine";
import { assertSucceeded, type EngineRun } from "../engine/engineRun";

const policyPack = path.resolve(__dirname, "../../policy");

function refusalsOf({ violations }: EngineRun): string[] {
  return violations.filter(({ level }) => level === "mandatory").map(({ message }) => message);
}

function remarksOf({ violations }: EngineRun): string[] {
  return violations.filter(({ level }) => level === "advisory").map(({ message }) => message.trim());
}

describeEngine("policy pack", () => {
  describe("on the product's own stack", () => {
    it("refuses prod with the guide's alarm, a small budget and nobody to tell", async () => {
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
      const preview = await stack.preview({ policyPack });
      assert.notEqual(preview.exitCode, 0);
      const refusals = refusalsOf(preview).join("\n");
      assert.match(refusals, /-errors of .* can never fire: it needs at least 6 errors/);
      // Every 30 seconds: two ticks a minute, through the rule's target and the queue.
      assert.match(refusals, /a period holds at most 2 \(2 ticks x \(1 \+ 0 retries\), Sum\)/);
      assert.match(refusals, /cost about \$\d+\.\d\d a month; its budget is \$1\.00/);
      assert.match(refusals, /-stale has no action that is enabled: in production nobody hears it/);
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
      program = await EngineProgram.copy(path.join(__dirname, "fixtures/program"));
    });

    it("lets a good one through, beside an unrelated Lambda", async () => {
      const stack = await program.openStack({ stack: "prod", config: { "aws:region": "us-east-1" } });
      const preview = await stack.preview({ policyPack });
      assertSucceeded(preview);
      assert.deepEqual(refusalsOf(preview), []);
      assert.deepEqual(
        remarksOf(preview).filter((remark) => !remark.startsWith("Judged at update")),
        [],
      );
    });

    it("refuses the guide's own, for each of its faults, and quotes no password", async () => {
      const stack = await program.openStack({
        stack: "prod",
        config: { fault: "guide", "aws:region": "us-east-1" },
      });
      const config = path.join(program.directory, "policy-config.json");
      await writeFile(config, JSON.stringify({ "monthly-budget": { monthlyBudgetUsd: 5 } }));
      const preview = await stack.preview({ policyPack, policyPackConfig: config });
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
        "monthly-budget",
        "refresh-timeout",
        "retries",
        "stale-alarm",
        "supported-runtime",
      ]);
      assert.match(
        refusalsOf(preview).join("\n"),
        /a period holds at most 3 \(1 tick x \(1 \+ 2 retries\), Sum\)/,
      );
      assert.doesNotMatch(JSON.stringify(preview.violations), /correct-horse|battery-staple|thumbnails/);
    });

    it("fails the update for what no preview can know, once the resources exist", async () => {
      const stack = await program.openStack({
        stack: "prod",
        config: { fault: "late", "aws:region": "us-east-1" },
      });
      const preview = await stack.preview({ policyPack });
      assertSucceeded(preview);
      const remarks = remarksOf(preview).join("\n");
      assert.match(remarks, /Judged at update: what policy policy allows is not known yet/);
      assert.match(remarks, /Judged at update: threshold of alarm silent/);
      const up = await stack.up({ policyPack });
      assert.notEqual(up.exitCode, 0, up.text);
      const refusals = refusalsOf(up).join("\n");
      assert.match(refusals, /Policy policy of a refresh role: .* allows resources \*/);
      assert.match(refusals, /does not breach when there is no success \(LessThanThreshold 0\)/);
      const resources = await stack.resources();
      assert.ok(resources.some(({ type }) => type === "aws:lambda/function:Function"));
    });

    it("stops the update before a function is made whose own fault turns up then", async () => {
      const stack = await program.openStack({
        stack: "prod",
        config: { fault: "late-function", "aws:region": "us-east-1" },
      });
      const up = await stack.up({ policyPack });
      assert.notEqual(up.exitCode, 0, up.text);
      assert.match(refusalsOf(up).join("\n"), /The timeout of refresh is 600 s; 10 to 120 s are allowed/);
      const resources = await stack.resources();
      assert.ok(!resources.some(({ urn }) => urn.endsWith("Function::refresh")));
    });

    it("stops at a configuration that is wrong", async () => {
      const stack = await program.openStack({ stack: "prod", config: { "aws:region": "us-east-1" } });
      const config = path.join(program.directory, "wrong-config.json");
      await writeFile(config, JSON.stringify({ "refresh-timeout": { mostSeconds: 901 } }));
      const preview = await stack.preview({ policyPack, policyPackConfig: config });
      assert.notEqual(preview.exitCode, 0);
      assert.match(preview.text, /mostSeconds/);
      assert.equal(preview.steps.length, 0);
      await writeFile(config, JSON.stringify({ "refresh-timeout": { mostSecond: 100 } }));
      const misspelt = await stack.preview({ policyPack, policyPackConfig: config });
      assert.notEqual(misspelt.exitCode, 0);
      assert.match(misspelt.text, /"mostSecond" is not a configuration key.*Did you mean "mostSeconds"/);
    });
  });
});
