/** The pack on the real engine: broken stacks and hand-written ones, in previews and updates. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { describeEngine, EngineProgram, repositoryProgram, type EngineStack } from "../engine/engine";
import { assertSucceeded, type EngineRun } from "../engine/engineRun";

const policyPack = path.resolve(__dirname, "../../policy");

function refusalsOf({ violations }: EngineRun): string[] {
  return violations.filter(({ level }) => level === "mandatory").map(({ message }) => message);
}

function remarksOf({ violations }: EngineRun): string[] {
  return violations.filter(({ level }) => level === "advisory").map(({ message }) => message);
}

/** Names of the policies that refused, each once. */
function refusing({ violations }: EngineRun): string[] {
  const refused = violations.filter(({ level }) => level === "mandatory").map(({ policy }) => policy);
  return [...new Set(refused)].sort();
}

describeEngine("the policy pack on a production stack of the product", () => {
  it("refuses the classic alarm, a small budget and nobody to tell", async () => {
    const program = await repositoryProgram();
    const stack = await program.openStack({
      stack: "prod-refused",
      valuesFrom: "prod",
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
    assert.match(refusals, /-errors of .* can never fire: it needs GreaterThanThreshold 5 in 2 of 2 periods/);
    // Every 30 seconds: two ticks a minute, through the rule's target and the queue.
    assert.match(refusals, /fails \(with 0 retries\), a period holds at most 2 errors/);
    assert.match(refusals, /cost about \$\d+\.\d\d a month; its budget is \$1\.00/);
    assert.match(refusals, /tell nobody: .*-stale/);
    assert.deepEqual(refusing(preview), ["alarm-subscribers", "errors-alarm", "monthly-budget"]);
  });
});

describeEngine("the policy pack on a stack written by hand", () => {
  let good: EngineRun;
  let classic: EngineRun;
  let latePreview: EngineRun;
  let lateUpdate: EngineRun;
  let wrongKey: EngineRun;
  let lateStack: EngineStack;

  before(async () => {
    const program = await EngineProgram.copy(path.join(__dirname, "fixtures/program"));
    const openStack = (stack: string, fault?: string) => program.openStack({ stack, config: { fault } });
    const configFile = async (name: string, config: object) => {
      const file = path.join(program.directory, `${name}.json`);
      await writeFile(file, JSON.stringify(config));
      return file;
    };
    const goodStack = await openStack("prod-good");
    const classicStack = await openStack("prod-classic", "classic");
    lateStack = await openStack("prod-late", "late");
    const key = await configFile("key", { "monthly-budget": { monthlyBudgetUSD: 100 } });
    // A run leaves one of two processors idle, so two are started at a time.
    [good, classic] = await Promise.all([
      goodStack.preview({ policyPack }),
      classicStack.preview({ policyPack }),
    ]);
    latePreview = await lateStack.preview({ policyPack });
    [lateUpdate, wrongKey] = await Promise.all([
      lateStack.up({ policyPack }),
      classicStack.preview({ policyPack, policyPackConfig: key }),
    ]);
  });

  it("lets a good one through, beside an unrelated Lambda", () => {
    assertSucceeded(good);
    assert.deepEqual(refusalsOf(good), []);
    assert.deepEqual(
      remarksOf(good).filter((remark) => !remark.startsWith("Judged at update")),
      [],
    );
  });

  it("refuses one with the classic alarm, for each of its faults, and quotes no password", () => {
    assert.notEqual(classic.exitCode, 0);
    assert.deepEqual(refusing(classic), [
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
      refusalsOf(classic).join("\n"),
      /every tick of rate\(1 minute\) fails \(with 2 retries\), a period holds at most 3 errors/,
    );
    assert.doesNotMatch(JSON.stringify(classic.violations), /correct-horse|battery-staple|thumbnails/);
  });

  it("fails the update for what no preview can know, once the resources exist", async () => {
    assertSucceeded(latePreview);
    const remarks = remarksOf(latePreview).join("\n");
    assert.match(remarks, /Judged at update: what policy policy allows is not known yet/);
    assert.match(remarks, /Judged at update: whether alarm errors.* can fire \(threshold\)/);
    assert.notEqual(lateUpdate.exitCode, 0, lateUpdate.text);
    const refusals = refusalsOf(lateUpdate).join("\n");
    assert.match(refusals, /Policy policy of a refresh role: .* allows \*/);
    assert.match(refusals, /Alarm errors.* can never fire/);
    const resources = await lateStack.resources();
    assert.ok(resources.some(({ type }) => type === "aws:lambda/function:Function"));
  });

  it("stops at a configuration key that a rule does not have", () => {
    assert.notEqual(wrongKey.exitCode, 0);
    assert.match(
      wrongKey.text,
      /"monthlyBudgetUSD" is not a configuration key.*Did you mean "monthlyBudgetUsd"/,
    );
  });
});
