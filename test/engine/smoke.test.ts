/** The harness on a small program of its own (fixtures/), before any test of the product leans on it. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { copyProgram, describeEngine, type EngineProgram } from "./engine";
import type { EngineRun } from "./engineRun";
import type { EngineStack } from "./engineStack";
import { unknownValue } from "./standin/difference";

const fixtures = path.join(__dirname, "fixtures");
/** The stack itself, six resources of its own, the network component and its sixteen children. */
const resourceCount = 23;

/** Fails with all that the engine said when the run did not end well. */
function assertSucceeded(run: EngineRun): void {
  assert.equal(run.exitCode, 0, `${run.stdout}\n${run.stderr}`);
}

function stepOf(run: EngineRun, type: string) {
  const found = run.steps.find((step) => step.type === type);
  assert.ok(found, `no step for ${type} in ${run.steps.map((step) => step.type).join(", ")}`);
  return found;
}

describeEngine("engine harness", () => {
  let program: EngineProgram;

  before(async () => {
    program = await copyProgram(path.join(fixtures, "program"));
  });

  describe("through the life of a stack", () => {
    let stack: EngineStack;

    before(async () => {
      stack = await program.openStack({ stack: "small" });
    });

    it("previews every resource, the network's children too, with what AWS gives unknown", async () => {
      const preview = await stack.preview();
      assertSucceeded(preview);
      assert.deepEqual(preview.summary, { create: resourceCount });
      const count = (type: string) => preview.steps.filter((step) => step.type === type).length;
      assert.deepEqual(
        ["vpc:Vpc", "internetGateway:InternetGateway", "subnet:Subnet", "routeTable:RouteTable"].map((end) =>
          count(`aws:ec2/${end}`),
        ),
        [1, 1, 4, 4],
      );
      assert.equal(count("aws:ec2/routeTableAssociation:RouteTableAssociation"), 4);
      assert.equal(count("aws:ec2/route:Route"), 2);
      assert.equal(count("aws:ec2/natGateway:NatGateway"), 0);
      assert.equal(stepOf(preview, "aws:cloudwatch/eventTarget:EventTarget").inputs.arn, unknownValue);
      const alarm = stepOf(preview, "aws:cloudwatch/metricAlarm:MetricAlarm");
      assert.deepEqual(alarm.inputs.dimensions, { FunctionName: "harness-refresh" });
    });

    it("makes them", async () => {
      const up = await stack.up();
      assertSucceeded(up);
      assert.deepEqual(up.summary, { create: resourceCount });
      const outputs = await stack.outputs();
      assert.equal(
        outputs.functionArn?.value,
        "arn:aws:lambda:eu-west-1:123456789012:function:harness-refresh",
      );
      assert.match(
        String(outputs.ruleArn?.value),
        /^arn:aws:events:eu-west-1:123456789012:rule\/rule-[0-9a-f]{7}$/,
      );
      assert.equal(new Set(outputs.subnetIds?.value as string[]).size, 2);
    });

    it("follows the stack's region and default tags, in the network's children too", async () => {
      const { resources = [] } = await stack.exportState();
      const outputsOf = (type: string) => resources.find((resource) => resource.type === type)?.outputs;
      const rule = outputsOf("aws:cloudwatch/eventRule:EventRule") as { tagsAll?: unknown } | undefined;
      const subnet = outputsOf("aws:ec2/subnet:Subnet") as
        { availabilityZone?: string; tagsAll?: object } | undefined;
      assert.deepEqual(rule?.tagsAll, { team: "data" });
      assert.match(subnet?.availabilityZone ?? "", /^eu-west-1[ab]$/);
      assert.deepEqual(Object.keys(subnet?.tagsAll ?? {}).sort(), ["Name", "SubnetType", "team"]);
    });

    it("finds nothing to do the second time", async () => {
      const again = await stack.up({ expectNoChanges: true });
      assertSucceeded(again);
      assert.deepEqual(again.summary, { same: resourceCount });
      assert.deepEqual(again.changes, []);
    });

    it("shows which properties a changed value changes, and changes those alone", async () => {
      await stack.setConfig("rate", "rate(1 minute)");
      const expected = [
        ["update", "rule", ["scheduleExpression"]],
        ["update", "refresh", ["environment.variables.RATE"]],
      ];
      const changesOf = ({ changes }: EngineRun) =>
        changes
          .map(({ operation, name, changed }) => [operation, name, changed])
          .sort()
          .reverse();
      const preview = await stack.preview();
      assertSucceeded(preview);
      assert.deepEqual(changesOf(preview), expected);
      const up = await stack.up();
      assertSucceeded(up);
      assert.deepEqual(changesOf(up), expected);
      assert.equal(
        stepOf(up, "aws:cloudwatch/eventRule:EventRule").inputs.scheduleExpression,
        "rate(1 minute)",
      );
    });

    it("keeps a secret encrypted, in the stack's file and in the state", async () => {
      await stack.setConfig("token", "a-word-to-be-kept", { secret: true });
      assertSucceeded(await stack.up());
      assert.doesNotMatch(await stack.configFile(), /a-word-to-be-kept/);
      const state = await stack.exportState();
      const refresh = state.resources?.find(({ type }) => type === "aws:lambda/function:Function");
      assert.doesNotMatch(JSON.stringify(state), /a-word-to-be-kept/);
      for (const side of [refresh?.inputs, refresh?.outputs]) {
        assert.match(
          JSON.stringify((side as { environment?: object } | undefined)?.environment),
          /"ciphertext":"v1:/,
        );
      }
    });

    it("destroys all of it", async () => {
      const destroy = await stack.destroy();
      assertSucceeded(destroy);
      assert.deepEqual(destroy.summary, { delete: resourceCount });
      assert.deepEqual((await stack.exportState()).resources ?? [], []);
    });
  });

  it("refuses a resource type that has no answer, by its token", async () => {
    const stack = await program.openStack({ stack: "small", config: { unknown: true } });
    const preview = await stack.preview();
    assert.equal(preview.exitCode, 1);
    assert.match(preview.stdout, /no answer for resource type aws:sfn\/stateMachine:StateMachine/);
  });

  it("refuses a lookup that has no answer, by its token", async () => {
    const stack = await program.openStack({ stack: "small", config: { unknownLookup: true } });
    const preview = await stack.preview();
    assert.equal(preview.exitCode, 1);
    assert.match(preview.stdout, /no answer for invoke aws:ec2\/getAmi:getAmi/);
  });

  it("fails the update, and not the preview, when a Lambda invocation fails", async () => {
    const stack = await program.openStack({ stack: "small", config: { migrate: true } });
    const failInvocations = 'relation "jobs" already exists';
    assertSucceeded(await stack.preview({ failInvocations }));
    const failed = await stack.up({ failInvocations });
    assert.equal(failed.exitCode, 1);
    assert.match(
      failed.stdout,
      /invoking Lambda Function \(harness-refresh\): relation "jobs" already exists/,
    );
    const mended = await stack.up();
    assertSucceeded(mended);
    assert.deepEqual(
      mended.changes.map(({ operation, name }) => [operation, name]),
      [["create", "migrate"]],
    );
  });

  it("runs policy packs and tells their objections", async () => {
    const policyPacks = [path.join(fixtures, "policy")];
    const allowed = await (await program.openStack({ stack: "small" })).preview({ policyPacks });
    assertSucceeded(allowed);
    assert.deepEqual(allowed.violations, []);
    const stack = await program.openStack({ stack: "small", config: { memoryMb: 1024 } });
    const refused = await stack.preview({ policyPacks });
    assert.equal(refused.exitCode, 1);
    assert.deepEqual(
      refused.violations.map(({ policy, level }) => [policy, level]),
      [["little-memory", "mandatory"]],
    );
    assert.match(refused.violations[0]?.message ?? "", /memorySize is 1024 MB, the limit is 512 MB/);
  });
});
