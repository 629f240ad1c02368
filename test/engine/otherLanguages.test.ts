/** The component package on the real engine, used by a program that imports nothing of it. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { SCHEMA_FILE } from "../../components/schema";
import {
  describeEngine,
  EngineProgram,
  repositoryProgram,
  runPulumi,
  temporary,
  type EngineStack,
} from "./engine";
import { assertSucceeded, stepOfType } from "./engineRun";

describeEngine("a program in another language", () => {
  let stack: EngineStack;

  before(async () => {
    // The engine starts the component's plugin from its folder, as `pulumi package add` would have it.
    const { directory } = await repositoryProgram();
    const plugins = { "matview-refresh": path.join(directory, "components") };
    const program = await EngineProgram.copy(path.join(__dirname, "fixtures/foreign"), plugins);
    stack = await program.openStack({ stack: "dev" });
  });

  it("makes two components with what it makes itself, in one go and in its provider's region", async () => {
    const up = await stack.up();
    assertSucceeded(up);
    const outputs = (await stack.outputs()) as Record<string, string[]> & Record<string, string>;
    assert.deepEqual(outputs.functionNames, ["sales-dev-refresh-sales", "stock-dev-refresh-stock"]);
    assert.deepEqual(outputs.queueUrls, [
      "https://sqs.eu-central-1.amazonaws.com/123456789012/sales-dev-refresh-sales-30s",
    ]);
    assert.ok(outputs.grants?.includes('GRANT rds_iam TO "matview_refresh";'));
    assert.match(String(outputs.rolePolicy), /arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-/);
    assert.match(String(outputs.dashboardUrl), /region=eu-central-1/);
    for (const { inputs } of up.steps.filter(({ type }) => type.startsWith("aws:")))
      assert.doesNotMatch(JSON.stringify(inputs), /us-east-1/);
    assert.equal(stepOfType(up, "Function", "sales-function").inputs.memorySize, 1024);
  });

  it("changes nothing the second time, and little when the rate changes", async () => {
    assertSucceeded(await stack.up({ expectNoChanges: true }));
    await stack.setConfig("rate", "rate(1 minute)");
    const slower = await stack.up();
    assertSucceeded(slower);
    const operations = new Set(slower.steps.map(({ operation }) => operation));
    assert.ok(!operations.has("replace") && !operations.has("create"), [...operations].join());
  });

  it("gets a class with named arguments in Python, where the CLI has Python's language host", async function () {
    const folder = path.join(temporary(), "sdk");
    const args = ["package", "gen-sdk", SCHEMA_FILE, "--language", "python", "--out", folder];
    const { exitCode, text } = await runPulumi(temporary(), args);
    if (/no language plugin/.test(text)) this.skip();
    assert.equal(exitCode, 0, text);
    const module = path.join(folder, "python/pulumi_matview_refresh/materialized_view_refresh.py");
    const source = await readFile(module, "utf8");
    assert.match(source, /class MaterializedViewRefresh\(pulumi\.ComponentResource\)/);
    assert.match(source, /refresh_rate: Optional\[_builtins\.str\] = None/);
    assert.match(source, /def function_name\(self\) -> pulumi\.Output\[_builtins\.str\]/);
  });

  it("is told what is wrong with its arguments, without a stack trace", async () => {
    await stack.setConfig("rate", "rate(10 seconds)");
    const { exitCode, text } = await stack.preview();
    assert.notEqual(exitCode, 0);
    assert.match(text, /refreshRate = "rate\(10 seconds\)"/);
    assert.match(text, /in the program: refreshRate: .* \(refresh_rate in Python\)/);
    assert.doesNotMatch(text, /^\s+at .*\.ts:\d+/m);
  });

  it("is destroyed to the last resource", async () => {
    await stack.setConfig("rate", "rate(1 minute)");
    assertSucceeded(await stack.destroy());
    assert.deepEqual(await stack.resources(), []);
  });
});
