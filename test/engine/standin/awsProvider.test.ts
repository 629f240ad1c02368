import assert from "node:assert/strict";
import { AwsProvider, failInvocationsVariable } from "./awsProvider";
import { differences, unknownValue } from "./difference";

const urnOf = (type: string, name = "thing") => `urn:pulumi:dev::test::parent:index:Parent$${type}::${name}`;
const queueUrn = urnOf("aws:sqs/queue:Queue", "ticks");
const functionUrn = urnOf("aws:lambda/function:Function", "refresh");
const signature = "4dabf18193072939515e22adb298388d";
const archive = (hash: string) => ({ [signature]: "0def7320c3a5731c473e5ecbe6d01bc7", hash, path: hash });

describe("stand-in AWS provider", () => {
  const provider = new AwsProvider({});

  it("adds defaults and keeps a name that it has given", () => {
    const { inputs, missing } = provider.check(queueUrn, { delaySeconds: 30 }, {});
    assert.deepEqual(missing, []);
    assert.equal(inputs.visibilityTimeoutSeconds, 30);
    assert.match(String(inputs.name), /^ticks-[0-9a-f]{7}$/);
    assert.equal(provider.check(queueUrn, {}, { name: "ticks-old" }).inputs.name, "ticks-old");
    assert.equal(provider.check(queueUrn, { name: "mine" }, { name: "ticks-old" }).inputs.name, "mine");
  });

  it("reports required properties that are missing", () => {
    assert.deepEqual(provider.check(urnOf("aws:cloudwatch/eventTarget:EventTarget"), {}, {}).missing, [
      "arn",
      "rule",
    ]);
  });

  it("replaces where AWS cannot change in place, and only there", () => {
    const before = { name: "a", delaySeconds: 30 };
    assert.deepEqual(provider.diff(queueUrn, before, { name: "b", delaySeconds: 15 }).replaces, ["name"]);
    assert.deepEqual(provider.diff(queueUrn, before, { name: "a", delaySeconds: 15 }).replaces, []);
  });

  it("makes an invocation anew for new input, unless its life cycle says otherwise", () => {
    const urn = urnOf("aws:lambda/invocation:Invocation");
    const before = { functionName: "f", input: "1", lifecycleScope: "CREATE_ONLY" };
    assert.deepEqual(provider.diff(urn, before, { ...before, input: "2" }).replaces, ["input"]);
    const each = { ...before, lifecycleScope: "CRUD" };
    assert.deepEqual(provider.diff(urn, each, { ...each, input: "2" }).replaces, []);
  });

  it("knows in a preview what the program gave, and not what AWS will give", () => {
    const { inputs } = provider.check(queueUrn, { name: "ticks" }, {});
    const { id, outputs } = provider.create(queueUrn, inputs, true);
    assert.equal(id, "");
    assert.equal(outputs.name, "ticks");
    assert.equal(outputs.arn, unknownValue);
    assert.equal(
      provider.create(queueUrn, inputs, false).outputs.arn,
      "arn:aws:sqs:us-east-1:123456789012:ticks",
    );
  });

  it("keeps what an update does not change, and tells in a preview what it does", () => {
    const inputs = provider.check(functionUrn, { role: "r", code: archive("one"), timeout: 60 }, {}).inputs;
    const { outputs } = provider.create(functionUrn, inputs, false);
    const longer = provider.update(functionUrn, outputs, inputs, { ...inputs, timeout: 90 }, true);
    assert.equal(longer.arn, outputs.arn);
    assert.equal(longer.timeout, 90);
    assert.equal(longer.codeSha256, outputs.codeSha256);
    assert.equal(longer.lastModified, unknownValue);
    const recoded = { ...inputs, code: archive("two") };
    assert.equal(provider.update(functionUrn, outputs, inputs, recoded, true).codeSha256, unknownValue);
    const made = provider.update(functionUrn, outputs, inputs, recoded, false);
    assert.match(String(made.codeSha256), /^[\w+/]{43}=$/);
    assert.notEqual(made.codeSha256, outputs.codeSha256);
  });

  it("follows the configured region and default tags", () => {
    const elsewhere = new AwsProvider({});
    elsewhere.configure({ region: "eu-west-1", defaultTags: JSON.stringify({ tags: { team: "data" } }) });
    const { inputs } = elsewhere.check(queueUrn, { name: "ticks", tags: { a: "b" } }, {});
    const { outputs } = elsewhere.create(queueUrn, inputs, false);
    assert.equal(outputs.arn, "arn:aws:sqs:eu-west-1:123456789012:ticks");
    assert.deepEqual(outputs.tagsAll, { team: "data", a: "b" });
  });

  it("finds what a program looks up by id, and leaves the engine's state as it is", () => {
    const found = provider.read(urnOf("aws:lambda/function:Function"), "theirs", {});
    assert.equal(found.arn, "arn:aws:lambda:us-east-1:123456789012:function:theirs");
    const state = { arn: "arn:own", tags: {} };
    assert.deepEqual(provider.read(queueUrn, "id", state), state);
  });

  it("fails invocations in an update, not in a preview, when told to", () => {
    const failing = new AwsProvider({ [failInvocationsVariable]: "syntax error" });
    const urn = urnOf("aws:lambda/invocation:Invocation");
    const inputs = failing.check(urn, { functionName: "migrate", input: "{}" }, {}).inputs;
    assert.doesNotThrow(() => failing.create(urn, inputs, true));
    assert.throws(() => failing.create(urn, inputs, false), /\(migrate\): syntax error/);
  });

  it("throws for types and lookups without an answer, by their tokens", () => {
    assert.throws(() => provider.check(urnOf("aws:s3/bucket:Bucket"), {}, {}), /aws:s3\/bucket:Bucket/);
    assert.throws(() => provider.invoke("aws:ec2/getAmi:getAmi", {}), /aws:ec2\/getAmi:getAmi/);
  });
});

describe("differences", () => {
  const paths = (before: object, after: object) =>
    Object.fromEntries(differences({ ...before }, { ...after }));

  it("are told by path", () => {
    assert.deepEqual(paths({ a: { b: [1, 2], c: 1 }, gone: 1 }, { a: { b: [1, 3, 4], c: 1 }, come: true }), {
      "a.b[1]": "update",
      "a.b[2]": "add",
      gone: "delete",
      come: "add",
    });
    assert.deepEqual(paths({ tags: { "a b": "1" } }, { tags: { "a b": "2" } }), { 'tags["a b"]': "update" });
  });

  it("take null for absent and pass over the engine's own markers", () => {
    assert.deepEqual(paths({ a: null, __defaults: [] }, { __defaults: ["x"] }), {});
  });

  it("compare archives by content, not by place", () => {
    assert.deepEqual(paths({ code: archive("one") }, { code: { ...archive("one"), path: "elsewhere" } }), {});
    assert.deepEqual(paths({ code: archive("one") }, { code: archive("two") }), { code: "update" });
  });
});
