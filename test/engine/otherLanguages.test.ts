/** The component package on the real engine, used by a program that imports nothing of it. */
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { parseDocument } from "yaml";
import { copyProgram, describeEngine, repositoryProgram } from "./engine";
import type { EngineStack } from "./engineStack";

/** Makes the engine start the component's plugin from a folder, as `pulumi package add` would have it. */
async function pointAtPackage(projectFolder: string, packageFolder: string): Promise<void> {
  const file = path.join(projectFolder, "Pulumi.yaml");
  const project = parseDocument(await fs.readFile(file, "utf8"));
  project.addIn(
    ["plugins", "providers"],
    project.createNode({ name: "matview-refresh", path: packageFolder }),
  );
  await fs.writeFile(file, project.toString());
}

describeEngine("a program in another language", () => {
  let stack: EngineStack;

  before(async () => {
    const program = await copyProgram(path.join(__dirname, "fixtures/foreign"));
    const { directory } = await repositoryProgram();
    await pointAtPackage(program.directory, path.join(directory, "components"));
    stack = await program.openStack({ stack: "dev" });
  });

  it("constructs the component, reads its outputs, and reaches its children by transforms", async () => {
    const up = await stack.up();
    assert.equal(up.exitCode, 0, up.stdout);
    assert.deepEqual(up.summary, { create: 23 });
    const outputs = await stack.outputs();
    assert.equal(outputs.functionName?.value, "matview-refresh-job-progress");
    assert.deepEqual(outputs.queueUrls?.value, [
      "https://sqs.eu-central-1.amazonaws.com/123456789012/matview-refresh-job-progress-30s",
    ]);
    assert.ok((outputs.grants?.value as string[]).includes('GRANT rds_iam TO "matview_refresh";'));
    const fn = up.steps.find(({ type }) => type === "aws:lambda/function:Function");
    assert.equal(fn?.inputs.memorySize, 1024);
  });

  it("is told what is wrong with its arguments, without a stack trace", async () => {
    await stack.setConfig("rate", "rate(10 seconds)");
    const preview = await stack.preview();
    assert.notEqual(preview.exitCode, 0);
    assert.match(preview.stdout, /refreshRate = "rate\(10 seconds\)"/);
    assert.match(preview.stdout, /in the program: refreshRate:/);
    assert.doesNotMatch(preview.stdout + preview.stderr, /^\s+at .*\.ts:\d+/m);
  });
});
