import assert from "node:assert/strict";
import * as aws from "@pulumi/aws";
import * as awsx from "@pulumi/awsx";
import * as pulumi from "@pulumi/pulumi";
import { withMocks } from "./mocks";

class Pair extends pulumi.ComponentResource {
  constructor(name: string) {
    super("test:index:Pair", name);
    const queue = new aws.sqs.Queue("ticks", { delaySeconds: 30 }, { parent: this });
    new aws.sqs.QueuePolicy("ticks", { queueUrl: queue.url, policy: queue.arn }, { parent: this });
    this.registerOutputs({ url: queue.url });
  }
}

describe("mocks", () => {
  it("collect resources with inputs, parents, references and outputs", async () => {
    const { resources } = await withMocks("dev", "test", {}, () => new Pair("pair"));
    const pair = resources.find(({ type }) => type === "test:index:Pair");
    const queue = resources.find(({ type }) => type === "aws:sqs/queue:Queue");
    const policy = resources.find(({ type }) => type === "aws:sqs/queuePolicy:QueuePolicy");
    assert.ok(pair && queue && policy);
    assert.equal(resources.length, 3);
    assert.equal(pair.custom, false);
    assert.deepEqual(queue.inputs, { delaySeconds: 30 });
    assert.equal(queue.parent, pair.urn);
    assert.match(String(queue.outputs.arn), /^arn:aws:sqs:us-east-1:123456789012:ticks-[0-9a-f]{7}$/);
    assert.equal(queue.outputs.visibilityTimeoutSeconds, 30);
    assert.equal(policy.inputs.queueUrl, queue.outputs.url);
    assert.deepEqual(policy.references, { queueUrl: [queue.urn], policy: [queue.urn] });
  });

  it("hand over config, resolve what the program returns and note its lookups", async () => {
    const config = { count: 2, "aws:region": "us-east-1", list: ["a", "b"] };
    const { result, invokes } = await withMocks("prod", "test", config, () => {
      const own = new pulumi.Config();
      const region = aws.getRegionOutput().region;
      const list = own.requireObject<string[]>("list");
      return {
        stack: pulumi.getStack(),
        count: own.requireNumber("count"),
        list,
        deep: { regions: [region] },
      };
    });
    assert.deepEqual(result, { stack: "prod", count: 2, list: ["a", "b"], deep: { regions: ["us-east-1"] } });
    assert.deepEqual(
      invokes.map(({ token }) => token),
      ["aws:index/getRegion:getRegion"],
    );
  });

  it("know the network of awsx, whose children a mock never sees", async () => {
    const { result } = await withMocks("dev", "test", {}, () => {
      const args = { numberOfAvailabilityZones: 2, natGateways: { strategy: "None" as const } };
      const { vpcId, publicSubnetIds, privateSubnetIds } = new awsx.ec2.Vpc("net", args);
      return { vpcId, publicSubnetIds, privateSubnetIds };
    });
    assert.match(result.vpcId, /^vpc-0[0-9a-f]{16}$/);
    assert.equal(new Set([...result.publicSubnetIds, ...result.privateSubnetIds]).size, 4);
  });

  it("tell secret inputs, in plain text", async () => {
    const run = () =>
      new aws.secretsmanager.SecretVersion("v", { secretId: "s", secretString: pulumi.secret("word") });
    const { resources } = await withMocks("dev", "test", {}, run);
    assert.deepEqual(resources[0]?.secretInputs, ["secretString"]);
    assert.equal(resources[0]?.inputs.secretString, "word");
  });

  it("keep secret outputs secret for the program", async () => {
    const { result } = await withMocks("dev", "test", {}, async () => {
      const version = new aws.secretsmanager.SecretVersion("v", {
        secretId: "s",
        secretString: pulumi.secret("word"),
      });
      return {
        secret: await pulumi.isSecret(version.secretString),
        plain: await pulumi.isSecret(version.secretId),
      };
    });
    assert.deepEqual(result, { secret: true, plain: false });
  });

  it("reject a resource type that has no answer, by its token", async () => {
    const run = () => new aws.sfn.StateMachine("machine", { definition: "{}", roleArn: "arn" });
    await assert.rejects(
      withMocks("dev", "test", {}, run),
      /no answer for resource type aws:sfn\/stateMachine:StateMachine/,
    );
  });

  it("reject a lookup that has no answer, even one that nobody awaits", async () => {
    const run = () => void aws.ec2.getAmi({ owners: ["self"] });
    await assert.rejects(withMocks("dev", "test", {}, run), /no answer for invoke aws:ec2\/getAmi:getAmi/);
  });

  it("reject an error inside an apply that nobody awaits", async () => {
    const run = () => {
      const topic = new aws.sns.Topic("topic");
      topic.arn.apply(() => {
        throw new Error("in an apply");
      });
    };
    await assert.rejects(withMocks("dev", "test", {}, run), /in an apply/);
  });

  it("name an output that never resolves", async () => {
    const run = () => pulumi.output(new Promise<string>(() => undefined));
    await assert.rejects(withMocks("dev", "test", {}, run, { deadlineSeconds: 0.2 }), /never resolved/);
  });

  it("fail the invocation that a test wants to fail", async () => {
    const run = () => new aws.lambda.Invocation("migrate", { functionName: "migrate", input: "{}" });
    const world = { accountId: "123456789012", region: "us-east-1", failInvocations: "relation exists" };
    await assert.rejects(
      withMocks("dev", "test", {}, run, { world }),
      /invoking Lambda Function \(migrate\): relation exists/,
    );
  });
});
