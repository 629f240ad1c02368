/** The program on the real engine with an existing database: made, changed, switched off and destroyed. */
import assert from "node:assert/strict";
import { describeEngine, repositoryProgram } from "./engine";
import type { EngineRun } from "./engineRun";
import type { EngineStack } from "./engineStack";

const base = "matview-prod-refresh-job-progress";

/** Fails with all that the engine said when the run did not end well. */
function assertSucceeded(run: EngineRun): void {
  assert.equal(run.exitCode, 0, `${run.stdout}\n${run.stderr}`);
}

/** `update EventRule rule: state`, sorted; names without the component's. */
function changesOf(run: EngineRun): string[] {
  return run.changes
    .map(({ operation, type, name, changed }) => {
      const shortName = name.startsWith(`${base}-`) ? name.slice(base.length + 1) : name;
      const what = `${operation} ${type.split(":").at(-1)} ${shortName}`;
      return changed.length === 0 ? what : `${what}: ${changed.join(", ")}`;
    })
    .sort();
}

/** What a tick after the first of its minute needs. */
function delayed(operation: string, ...offsets: string[]): string[] {
  return offsets.flatMap((offset) =>
    ["EventSourceMapping", "EventTarget", "Queue", "QueuePolicy"].map(
      (type) => `${operation} ${type} rule-${offset}`,
    ),
  );
}

const promise = 'tags["matview-refresh:max-staleness-seconds"]';
const price = 'tags["matview-refresh:monthly-usd"]';
const window = "datapointsToAlarm, evaluationPeriods";
const staleAlarm = `update MetricAlarm alarm-stale-public.job_progress: alarmDescription, ${window}`;
const failingAlarm = `update MetricAlarm alarm-failing: alarmDescription, ${window}, threshold`;
const dashboard = "update Dashboard dashboard: dashboardBody";
const policy = "update RolePolicy role: policy";

describeEngine("a stack with an existing database", () => {
  let stack: EngineStack;

  before(async () => {
    stack = await (await repositoryProgram()).openStack({ stack: "prod" });
  });

  it("previews", async () => {
    const preview = await stack.preview();
    assertSucceeded(preview);
    assert.deepEqual(preview.summary, { create: 25 });
    assert.deepEqual(
      preview.messages.filter(({ severity }) => severity !== "info"),
      [],
    );
  });

  it("comes up, and tells how it is used", async () => {
    await stack.setConfig("refreshRate", "rate(1 minute)");
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(up.summary, { create: 21 });
    const outputs = Object.fromEntries(
      Object.entries(await stack.outputs()).map(([name, { value }]) => [name, value as unknown]),
    );
    assert.equal(outputs.functionName, base);
    assert.equal(outputs.ruleName, base);
    assert.equal(outputs.logGroupName, `/aws/lambda/${base}`);
    assert.equal(outputs.topicArn, `arn:aws:sns:us-east-1:123456789012:${base}`);
    assert.equal((outputs.alarmArns as string[]).length, 4);
    assert.match(String(outputs.codeHash), /^[0-9a-f]{64}$/);
    const { totalUsd, lines } = outputs.monthlyCost as { totalUsd: number; lines: object[] };
    assert.ok(totalUsd > 0 && lines.length > 3);
    const { verification } = outputs as { verification: Record<string, string> };
    assert.equal(
      verification["Stop refreshing for a while"],
      `aws events disable-rule --name ${base} --region us-east-1`,
    );
  });

  it("has nothing to do the second time", async () => {
    const again = await stack.up({ expectNoChanges: true });
    assertSucceeded(again);
    assert.deepEqual(again.changes, []);
  });

  it("becomes slower: schedule and alarms change, the function and its role do not", async () => {
    await stack.setConfig("refreshRate", "rate(5 minutes)");
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(
      changesOf(up),
      [
        dashboard,
        `update EventRule rule: description, scheduleExpression, ${promise}, ${price}`,
        "update MetricAlarm alarm-failing: evaluationPeriods",
        staleAlarm,
      ].sort(),
    );
  });

  it("becomes quicker than AWS's minute: queues come, which the role may read", async () => {
    await stack.setConfig("refreshRate", "rate(30 seconds)");
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(
      changesOf(up),
      [
        ...delayed("create", "30s"),
        dashboard,
        `update EventRule rule: description, scheduleExpression, ${promise}, ${price}`,
        failingAlarm,
        staleAlarm,
        policy,
      ].sort(),
    );
  });

  it("becomes quicker still: the rule stays at a minute", async () => {
    await stack.setConfig("refreshRate", "rate(15 seconds)");
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(
      changesOf(up),
      [
        ...delayed("create", "15s", "45s"),
        dashboard,
        `update EventRule rule: description, ${price}`,
        failingAlarm,
        policy,
      ].sort(),
    );
  });

  it("goes back to a minute: the queues go", async () => {
    await stack.setConfig("refreshRate", "rate(1 minute)");
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(
      changesOf(up),
      [
        ...delayed("delete", "15s", "30s", "45s"),
        dashboard,
        `update EventRule rule: description, ${price}`,
        failingAlarm,
        policy,
      ].sort(),
    );
  });

  it("is switched off by one property of one resource, and on again", async () => {
    await stack.setConfig("refreshEnabled", "false");
    const off = await stack.up();
    assertSucceeded(off);
    assert.deepEqual(changesOf(off), ["update EventRule rule: state"]);
    assert.deepEqual(off.changes[0]?.inputs.state, "DISABLED");
    await stack.removeConfig("refreshEnabled");
    const on = await stack.preview();
    assertSucceeded(on);
    assert.deepEqual(changesOf(on), ["update EventRule rule: state"]);
  });

  it("is destroyed to the last resource", async () => {
    const destroy = await stack.destroy();
    assertSucceeded(destroy);
    assert.deepEqual(destroy.summary, { delete: 21 });
    assert.deepEqual((await stack.exportState()).resources ?? [], []);
  });
});
