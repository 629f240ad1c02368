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

  it("constructs the component, reads its outputs, and reaches its children by transforms", async () => {
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(up.summary, { create: 23 });
    const outputs = await stack.outputs();
    assert.equal(outputs.functionName, "matview-refresh-job-progress");
    assert.deepEqual(outputs.queueUrls, [
      "https://sqs.eu-central-1.amazonaws.com/123456789012/matview-refresh-job-progress-30s",
    ]);
    assert.ok((outputs.grants as string[]).includes('GRANT rds_iam TO "matview_refresh";'));
    assert.equal(stepOfType(up, "Function").inputs.memorySize, 1024);
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
    assert.match(text, /in the program: refreshRate:/);
    assert.doesNotMatch(text, /^\s+at .*\.ts:\d+/m);
  });
});
