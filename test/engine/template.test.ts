/** The repository as a template: `pulumi new` from it gives a project of any name that works. */
import assert from "node:assert/strict";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { parse } from "yaml";
import { bundleHandler } from "../../components/bundle";
import { describeEngine, EngineProgram, repositoryProgram, runPulumi, temporary } from "./engine";
import { assertSucceeded, stepOfType } from "./engineRun";

interface Project {
  name: string;
  config: Record<string, { description: string; default: unknown }>;
  template?: { config: Record<string, { description: string; default: string }> };
}

async function projectIn(folder: string): Promise<Project> {
  return parse(await fs.readFile(path.join(folder, "Pulumi.yaml"), "utf8")) as Project;
}

describeEngine("the repository as a template", () => {
  let repository: string;
  let created: string;

  before(async () => {
    const folder = await fs.mkdtemp(path.join(temporary(), "template-"));
    created = path.join(folder, "created");
    repository = (await repositoryProgram()).directory;
    const template = path.join(folder, "template");
    const isSource = (file: string) => !["node_modules", "dist"].includes(path.basename(file));
    await fs.cp(repository, template, { recursive: true, filter: isSource });
    const answers = ["--name", "scanner-views", "--description", "Views of the scanner", "--dir", created];
    const { exitCode, text } = await runPulumi(
      folder,
      ["new", template, "--generate-only", "--yes", ...answers],
      { PULUMI_BACKEND_URL: `file://${folder}` },
    );
    assert.equal(exitCode, 0, text);
  });

  it("asks described questions about settings there are, with the settings' own defaults", async () => {
    const { config, template } = await projectIn(repository);
    const questions = Object.entries(template?.config ?? {});
    assert.ok(questions.length > 0);
    for (const [key, { description, default: answer }] of questions) {
      assert.ok(description.length > 10, key);
      if (key !== "aws:region") assert.equal(answer, config[key]?.default, key);
    }
  });

  it("becomes a project of the name that is asked for, which deploys the same code", async () => {
    const project = await projectIn(created);
    assert.equal(project.name, "scanner-views");
    assert.equal(project.template, undefined);
    const program = await EngineProgram.copy(created);
    const stack = await program.openStack({
      stack: "first",
      config: {
        "aws:region": "us-east-1",
        refreshRate: "rate(30 seconds)",
        database: { create: { instanceClass: "db.t4g.micro" } },
        network: { create: true },
      },
    });
    const values = JSON.parse(await stack.pulumi("config", "--json")) as Record<string, { value: string }>;
    assert.equal(values["scanner-views:namePrefix"]?.value, "matview");
    assert.equal(values["scanner-views:timeoutSeconds"]?.value, "60");
    const preview = await stack.preview();
    assertSucceeded(preview);
    assert.equal(stepOfType(preview, "EventRule").name, "matview-refresh-job-progress-rule");
    stepOfType(preview, "Queue");
    const fn = stepOfType(preview, "Function", "matview-refresh-job-progress-function");
    const { assets } = fn.inputs.code as { assets: Record<string, { hash: string }> };
    const { sha256 } = await bundleHandler("handler/index.ts", path.join(temporary(), "bundle"));
    assert.equal(assets["index.js"]?.hash, sha256);
  });
});
