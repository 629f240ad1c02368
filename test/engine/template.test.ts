/** The repository as a template: `pulumi new` from it gives a project of any name that works. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";
import { parse } from "yaml";
import { copyProgram, describeEngine, repositoryProgram } from "./engine";
import type { EngineRun } from "./engineRun";

interface Project {
  name: string;
  config: Record<string, { description: string; default: unknown }>;
  template?: { config: Record<string, { description: string; default: string }> };
}

async function projectIn(folder: string): Promise<Project> {
  return parse(await fs.readFile(path.join(folder, "Pulumi.yaml"), "utf8")) as Project;
}

/** The hash of the refresh function's archive, as the engine sees it. */
function codeHashIn(run: EngineRun): string {
  assert.equal(run.exitCode, 0, run.stdout);
  const fn = run.steps.find(
    ({ type, name }) => type === "aws:lambda/function:Function" && name.endsWith("-function"),
  );
  const { hash } = fn?.inputs.code as { hash?: string };
  assert.match(hash ?? "", /^[0-9a-f]{64}$/);
  return hash ?? "";
}

describeEngine("the repository as a template", () => {
  let folder: string;
  let created: string;

  before(async () => {
    folder = await fs.mkdtemp(path.join(tmpdir(), "matview-refresh-template-"));
    created = path.join(folder, "created");
    const { directory } = await repositoryProgram();
    const template = path.join(folder, "template");
    const isSource = (file: string) => !["node_modules", "dist"].includes(path.basename(file));
    await fs.cp(directory, template, { recursive: true, filter: isSource });
    const answers = ["--name", "scanner-views", "--description", "Views of the scanner", "--dir", created];
    await promisify(execFile)("pulumi", ["new", template, "--generate-only", "--yes", ...answers], {
      env: {
        ...process.env,
        PULUMI_HOME: path.join(folder, "home"),
        PULUMI_BACKEND_URL: `file://${folder}`,
        PULUMI_CONFIG_PASSPHRASE: "a passphrase of the tests",
        PULUMI_SKIP_UPDATE_CHECK: "true",
      },
    });
  });

  after(() => fs.rm(folder, { recursive: true }));

  it("asks described questions about settings there are, with the settings' own defaults", async () => {
    const { directory } = await repositoryProgram();
    const { config, template } = await projectIn(directory);
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
    const program = await copyProgram(created);
    const stack = await program.openStack({
      stack: "first",
      config: {
        "aws:region": "us-east-1",
        "scanner-views:refreshRate": "rate(30 seconds)",
        "scanner-views:database": { create: { instanceClass: "db.t4g.micro" } },
        "scanner-views:network": { create: true },
      },
    });
    const { stdout } = await stack.pulumi("config", "--json");
    const values = JSON.parse(stdout) as Record<string, { value: string }>;
    assert.equal(values["scanner-views:namePrefix"]?.value, "matview");
    assert.equal(values["scanner-views:timeoutSeconds"]?.value, "60");
    const preview = await stack.preview();
    const rule = preview.steps.find(({ type }) => type === "aws:cloudwatch/eventRule:EventRule");
    assert.equal(rule?.name, "matview-refresh-job-progress-rule", preview.stdout);
    assert.equal(preview.steps.filter(({ type }) => type === "aws:sqs/queue:Queue").length, 1);

    const original = await (await repositoryProgram()).openStack({ stack: "original", valuesFrom: "prod" });
    assert.equal(codeHashIn(preview), codeHashIn(await original.preview()));
  });
});
