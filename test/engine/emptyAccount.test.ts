/** The program on the real engine on an empty account: its own network, database and migrations. */
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { describeEngine, repositoryProgram, type EngineProgram, type EngineStack } from "./engine";
import { assertSucceeded, changesOf, stepOfType, unknownValue } from "./engineRun";

const policyPack = path.resolve(__dirname, "../../policy");
const base = "matview-dev-refresh-job-progress";
const resourceCount = 42;
const invocation = "aws:lambda/invocation:Invocation";
const inDevelopment = /Allowed in a development stack\.$/;

/** Properties that hold, or could hold, a password in plain text, by path. */
function passwords(value: unknown, at = ""): string[] {
  if (typeof value !== "object" || value === null) {
    return /password/i.test(at.split(".").at(-1) ?? "") && typeof value === "string" ? [at] : [];
  }
  return Object.entries(value).flatMap(([key, part]) => passwords(part, `${at}.${key}`));
}

describeEngine("a stack on an empty account", () => {
  let program: EngineProgram;
  let stack: EngineStack;

  before(async () => {
    program = await repositoryProgram();
    stack = await program.openStack({ stack: "dev" });
    await stack.setConfig("aws:secretKey", "a-word-to-be-kept", "--secret");
  });

  it("previews past the policies, which say what they judge later, and invokes no migration", async () => {
    const preview = await stack.preview({ policyPack, failInvocations: "invoked by a preview" });
    assertSucceeded(preview);
    assert.deepEqual(preview.summary, { create: resourceCount });
    const remarks = preview.violations.map(({ message }) => message);
    assert.ok(remarks.some((remark) => /^Judged at update: what policy .*-role allows/.test(remark)));
    assert.deepEqual(
      remarks.filter(
        (remark) => !/^Judged at update: what policy/.test(remark) && !inDevelopment.test(remark),
      ),
      [],
    );
  });

  it("stops at a failing migration, before anything would refresh", async () => {
    const failed = await stack.up({ failInvocations: 'relation "jobs" already exists' });
    assert.notEqual(failed.exitCode, 0);
    assert.match(failed.text, /invoking Lambda Function \(\S+-migrate\): relation "jobs" already exists/);
    const types = (await stack.resources()).map(({ type }) => type);
    assert.ok(types.includes("aws:rds/instance:Instance"));
    for (const absent of [invocation, "aws:cloudwatch/eventRule:EventRule"]) {
      assert.ok(!types.includes(absent), `${absent} is there`);
    }
  });

  it("comes up when the migration is repaired, past the policies, and then has nothing to do", async () => {
    const up = await stack.up({ policyPack });
    assertSucceeded(up);
    assert.deepEqual(
      up.violations.filter(({ message }) => !inDevelopment.test(message)),
      [],
    );
    const types = (await stack.resources()).map(({ type }) => type);
    assert.ok(types.includes(invocation) && types.includes("aws:cloudwatch/eventRule:EventRule"));
    const again = await stack.up({ expectNoChanges: true });
    assertSucceeded(again);
    assert.deepEqual(again.summary, { same: resourceCount });
  });

  it("keeps what is secret encrypted in the state, and no password at all", async () => {
    const resources = await stack.resources();
    assert.doesNotMatch(JSON.stringify(resources), /a-word-to-be-kept/);
    const provider = resources.find(({ type }) => type === "pulumi:providers:aws");
    assert.match(JSON.stringify(provider?.inputs?.secretKey), /"ciphertext"/);
    assert.deepEqual(passwords(resources), []);
    const instance = resources.find(({ type }) => type === "aws:rds/instance:Instance")?.inputs;
    assert.deepEqual(
      [instance?.manageMasterUserPassword, instance?.publiclyAccessible, instance?.storageEncrypted],
      [true, false, true],
    );
  });

  it("runs the migrations again when one of them changes", async () => {
    const added = path.join(program.directory, "migrations/product", "099_added.sql");
    await fs.writeFile(added, "SELECT 1;\n");
    try {
      const preview = await stack.preview();
      assertSucceeded(preview);
      assert.deepEqual(
        changesOf(preview, base).map((change) => change.replace(/: code.*/, ": code")),
        [
          "create-replacement Invocation migrate: triggers.migrations",
          "delete-replaced Invocation migrate",
          "replace Invocation migrate: triggers.migrations",
          "update Function migrate: code",
        ],
      );
    } finally {
      await fs.rm(added);
    }
  });

  it("puts a proxy before the database, and signs in to it instead", async () => {
    await stack.setConfig("matview-refresh:database.create.proxy", "true", "--path");
    const preview = await stack.preview();
    assertSucceeded(preview);
    assert.deepEqual(
      changesOf(preview, base).filter((change) => change.startsWith("create ")),
      [
        "create Proxy proxy",
        "create ProxyDefaultTargetGroup proxy",
        "create ProxyTarget proxy",
        "create Role proxy",
        "create RolePolicy proxy",
        "create SecurityGroupEgressRule proxy-out",
        "create SecurityGroupIngressRule proxy-in",
      ],
    );
    const fn = stepOfType(preview, "Function", `${base}-function`);
    assert.deepEqual(fn.changed, ["environment.variables.MATVIEW_DATABASE_HOST"]);
    assert.equal(stepOfType(preview, "RolePolicy", `${base}-role`).inputs.policy, unknownValue);
    const { requireTls, defaultAuthScheme } = stepOfType(preview, "Proxy").inputs;
    assert.deepEqual([requireTls, defaultAuthScheme], [true, "IAM_AUTH"]);
  });

  it("is destroyed to the last resource", async () => {
    const destroy = await stack.destroy();
    assertSucceeded(destroy);
    assert.deepEqual(destroy.summary, { delete: resourceCount });
  });
});
