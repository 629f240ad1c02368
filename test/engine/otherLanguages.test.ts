/** The component package on the real engine, used by a program that imports nothing of it. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { describeEngine, EngineProgram, repositoryProgram, type EngineStack } from "./engine";
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

  it("is told what is wrong with its arguments, without a stack trace", async () => {
    await stack.setConfig("rate", "rate(10 seconds)");
    const { exitCode, text } = await stack.preview();
    assert.notEqual(exitCode, 0);
    assert.match(text, /refreshRate = "rate\(10 seconds\)"/);
    assert.match(text, /in the program: refreshRate:/);
    assert.doesNotMatch(text, /^\s+at .*\.ts:\d+/m);
  });
});
