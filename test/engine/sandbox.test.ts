/** The program on the real engine on an empty account: its own network, database and migrations. */
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { describeEngine, repositoryProgram, type EngineProgram } from "./engine";
import type { EngineRun } from "./engineRun";
import type { EngineStack, EngineState } from "./engineStack";
import { unknownValue } from "./standin/difference";

const base = "matview-dev-refresh-job-progress";
const resourceCount = 55;
const invocation = "aws:lambda/invocation:Invocation";

/** Fails with all that the engine said when the run did not end well. */
function assertSucceeded(run: EngineRun): void {
  assert.equal(run.exitCode, 0, `${run.stdout}\n${run.stderr}`);
}

/** `update Function -function: memorySize`, sorted; the names without their common beginning. */
function changesOf(run: EngineRun): string[] {
  return run.changes
    .map(({ operation, type, name, changed }) => {
      const what = `${operation} ${type.split(":").at(-1)} ${name.replace(base, "")}`;
      return changed.length === 0 ? what : `${what}: ${changed.join(", ")}`;
    })
    .sort();
}

/** Properties that hold, or could hold, a password in plain text, by path. */
function passwords(value: unknown, at = ""): string[] {
  if (typeof value !== "object" || value === null) {
    return /password/i.test(at.split(".").at(-1) ?? "") && typeof value === "string" ? [at] : [];
  }
  return Object.entries(value).flatMap(([key, part]) => passwords(part, `${at}.${key}`));
}

function typesIn(state: EngineState): string[] {
  return (state.resources ?? []).map(({ type }) => type);
}

describeEngine("a stack on an empty account", () => {
  let program: EngineProgram;
  let stack: EngineStack;

  before(async () => {
    program = await repositoryProgram();
    stack = await program.openStack({ stack: "dev" });
    const secret = ["config", "set", "--secret", "aws:secretKey", "a-word-to-be-kept"];
    assert.equal((await stack.pulumi(...secret)).exitCode, 0);
  });

  it("previews, and does not invoke the migrations", async () => {
    const preview = await stack.preview({ failInvocations: "invoked by a preview" });
    assertSucceeded(preview);
    assert.deepEqual(preview.summary, { create: resourceCount });
  });

  it("stops at a failing migration, before anything would refresh", async () => {
    const failed = await stack.up({ failInvocations: 'relation "jobs" already exists' });
    assert.notEqual(failed.exitCode, 0);
    assert.match(failed.stdout, /invoking Lambda Function \(\S+-migrate\): relation "jobs" already exists/);
    const types = typesIn(await stack.exportState());
    assert.ok(types.includes("aws:rds/instance:Instance"));
    for (const absent of [invocation, "aws:cloudwatch/eventRule:EventRule"]) {
      assert.ok(!types.includes(absent), `${absent} is there`);
    }
  });

  it("comes up when the migration is mended, and then has nothing to do", async () => {
    assertSucceeded(await stack.up());
    const types = typesIn(await stack.exportState());
    assert.ok(types.includes(invocation) && types.includes("aws:cloudwatch/eventRule:EventRule"));
    const again = await stack.up({ expectNoChanges: true });
    assertSucceeded(again);
    assert.deepEqual(again.summary, { same: resourceCount });
  });

  it("keeps what is secret encrypted in the state, and no password at all", async () => {
    const state = await stack.exportState();
    const text = JSON.stringify(state);
    assert.doesNotMatch(text, /a-word-to-be-kept/);
    const provider = state.resources?.find(({ type }) => type === "pulumi:providers:aws");
    assert.match(JSON.stringify((provider?.inputs as { secretKey?: unknown }).secretKey), /"ciphertext"/);
    assert.deepEqual(passwords(state), []);
    const instance = state.resources?.find(({ type }) => type === "aws:rds/instance:Instance");
    const inputs = instance?.inputs as Record<string, unknown>;
    assert.deepEqual(
      [inputs.manageMasterUserPassword, inputs.publiclyAccessible, inputs.storageEncrypted],
      [true, false, true],
    );
  });

  it("runs the migrations again when one of them changes", async () => {
    const added = path.join(program.directory, "migrations", "099_added.sql");
    await fs.writeFile(added, "SELECT 1;\n");
    try {
      const preview = await stack.preview();
      assertSucceeded(preview);
      assert.deepEqual(
        changesOf(preview).filter((change) => !change.startsWith("update Function -migrate: code")),
        [
          "create-replacement Invocation -migrate: triggers.migrations",
          "delete-replaced Invocation -migrate",
          "replace Invocation -migrate: triggers.migrations",
        ],
      );
      assert.equal(preview.changes.length, 4);
    } finally {
      await fs.rm(added);
    }
  });

  it("puts a proxy before the database, and signs in to it instead", async () => {
    const setProxy = ["config", "set", "--path", "matview-refresh:database.create.proxy", "true"];
    assert.equal((await stack.pulumi(...setProxy)).exitCode, 0);
    const preview = await stack.preview();
    assertSucceeded(preview);
    assert.deepEqual(
      changesOf(preview).filter((change) => change.startsWith("create ")),
      [
        "create Proxy -proxy",
        "create ProxyDefaultTargetGroup -proxy",
        "create ProxyTarget -proxy",
        "create Role -proxy",
        "create RolePolicy -proxy",
        "create SecurityGroupEgressRule -proxy-out",
        "create SecurityGroupIngressRule -proxy-in",
      ],
    );
    const updated = preview.changes.filter(({ operation }) => operation === "update");
    const fn = updated.find(({ name }) => name === `${base}-function`);
    assert.deepEqual(fn?.changed, ["environment.variables.MATVIEW_DATABASE_HOST"]);
    const policy = updated.find(({ name }) => name === `${base}-role`);
    assert.equal(policy?.inputs.policy, unknownValue);
    const proxy = preview.steps.find(({ type }) => type === "aws:rds/proxy:Proxy");
    assert.deepEqual([proxy?.inputs.requireTls, proxy?.inputs.defaultAuthScheme], [true, "IAM_AUTH"]);
  });

  it("is destroyed to the last resource", async () => {
    const destroy = await stack.destroy();
    assertSucceeded(destroy);
    assert.deepEqual(destroy.summary, { delete: resourceCount });
  });
});
