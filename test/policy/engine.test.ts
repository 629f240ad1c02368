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
  it("refuses the guide's alarm, a small budget and nobody to tell", async () => {
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
    assert.match(refusals, /-stale has no action that is enabled: in production nobody hears it/);
    assert.deepEqual(refusing(preview), ["alarm-subscribers", "errors-alarm", "monthly-budget"]);
  });
});

describeEngine("the policy pack on a stack written by hand", () => {
  let good: EngineRun;
  let guide: EngineRun;
  let latePreview: EngineRun;
  let lateUpdate: EngineRun;
  let lateFunction: EngineRun;
  let wrongValue: EngineRun;
  let wrongKey: EngineRun;
  let lateStack: EngineStack;
  let lateFunctionStack: EngineStack;

  before(async () => {
    const program = await EngineProgram.copy(path.join(__dirname, "fixtures/program"));
    const openStack = (stack: string, fault?: string) => program.openStack({ stack, config: { fault } });
    const configFile = async (name: string, config: object) => {
      const file = path.join(program.directory, `${name}.json`);
      await writeFile(file, JSON.stringify(config));
      return file;
    };
    const goodStack = await openStack("prod-good");
    const guideStack = await openStack("prod-guide", "guide");
    lateStack = await openStack("prod-late", "late");
    lateFunctionStack = await openStack("prod-late-function", "late-function");
    const budget = await configFile("budget", { "monthly-budget": { monthlyBudgetUsd: 5 } });
    const value = await configFile("value", { "refresh-timeout": { mostSeconds: 901 } });
    const key = await configFile("key", { "refresh-timeout": { mostSecond: 100 } });
    // A run leaves one of two processors idle, so two are started at a time.
    [good, guide] = await Promise.all([
      goodStack.preview({ policyPack }),
      guideStack.preview({ policyPack, policyPackConfig: budget }),
    ]);
    [latePreview, lateFunction] = await Promise.all([
      lateStack.preview({ policyPack }),
      lateFunctionStack.up({ policyPack }),
    ]);
    [lateUpdate, wrongValue, wrongKey] = await Promise.all([
      lateStack.up({ policyPack }),
      goodStack.preview({ policyPack, policyPackConfig: value }),
      guideStack.preview({ policyPack, policyPackConfig: key }),
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

  it("refuses the guide's own, for each of its faults, and quotes no password", () => {
    assert.notEqual(guide.exitCode, 0);
    assert.deepEqual(refusing(guide), [
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
      refusalsOf(guide).join("\n"),
      /every tick of rate\(1 minute\) fails \(with 2 retries\), a period holds at most 3 errors/,
    );
    assert.doesNotMatch(JSON.stringify(guide.violations), /correct-horse|battery-staple|thumbnails/);
  });

  it("fails the update for what no preview can know, once the resources exist", async () => {
    assertSucceeded(latePreview);
    const remarks = remarksOf(latePreview).join("\n");
    assert.match(remarks, /Judged at update: what policy policy allows is not known yet/);
    assert.match(remarks, /Judged at update: treatMissingData of alarm silent/);
    assert.notEqual(lateUpdate.exitCode, 0, lateUpdate.text);
    const refusals = refusalsOf(lateUpdate).join("\n");
    assert.match(refusals, /Policy policy of a refresh role: .* allows resources \*/);
    assert.match(refusals, /Stale alarm silent.* treats missing data as notBreaching/);
    const resources = await lateStack.resources();
    assert.ok(resources.some(({ type }) => type === "aws:lambda/function:Function"));
  });

  it("stops the update before a function is made whose own fault turns up then", async () => {
    assert.notEqual(lateFunction.exitCode, 0, lateFunction.text);
    const refusals = refusalsOf(lateFunction).join("\n");
    assert.match(refusals, /The timeout of refresh is 2 s; 3 to 900 s are allowed/);
    const resources = await lateFunctionStack.resources();
    assert.ok(!resources.some(({ urn }) => urn.endsWith("Function::refresh")));
  });

  it("stops at a configuration that is wrong", () => {
    assert.notEqual(wrongValue.exitCode, 0);
    assert.match(wrongValue.text, /mostSeconds/);
    assert.equal(wrongValue.steps.length, 0);
    assert.notEqual(wrongKey.exitCode, 0);
    assert.match(wrongKey.text, /"mostSecond" is not a configuration key.*Did you mean "mostSeconds"/);
  });
});
