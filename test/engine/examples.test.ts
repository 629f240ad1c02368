/** The programs of examples/ on the real engine, with the SDKs that `pulumi package add` would give them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import * as ts from "typescript";
import { SCHEMA_FILE } from "../../components/schema";
import {
  describeEngine,
  EngineProgram,
  repositoryProgram,
  runPulumi,
  temporary,
  type EngineStack,
} from "./engine";
import { assertSucceeded, stepOfType, unknownValue } from "./engineRun";

const repository = path.resolve(__dirname, "../..");

/** What the examples with an existing database are told of it, as the keys of Python have it. */
const existing = {
  database_host: "reports.c9akciq32rrx.eu-central-1.rds.amazonaws.com",
  database_resource_id: "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
  vpc_id: "vpc-0a1b2c3d4e5f60718",
  subnet_ids: ["subnet-0a1b2c3d4e5f60718", "subnet-0b2c3d4e5f6071829"],
  database_security_group_id: "sg-0a1b2c3d4e5f60718",
};

async function openExample(language: string, config: Record<string, unknown>): Promise<EngineStack> {
  const { directory } = await repositoryProgram();
  const plugins = { "matview-refresh": path.join(directory, "components") };
  const program = await EngineProgram.copy(path.join(repository, "examples", language), plugins);
  return program.openStack({ stack: "dev", config: { "aws:region": "eu-central-1", ...config } });
}

/** The component's SDK in a language. @returns its folder */
async function generateSdk(language: string): Promise<string> {
  const folder = path.join(temporary(), "example-sdks");
  const args = ["package", "gen-sdk", SCHEMA_FILE, "--language", language, "--out", folder];
  const { exitCode, text } = await runPulumi(temporary(), args);
  assert.equal(exitCode, 0, text);
  return path.join(folder, language);
}

/** Puts the SDK where Node looks for it from any program of this process: beside the folders of the programs. */
async function installNodeSdk(): Promise<void> {
  const modules = path.join(temporary(), "node_modules", "@pulumi");
  await fs.mkdir(modules, { recursive: true });
  await fs.symlink(path.join(repository, "node_modules/@pulumi/pulumi"), path.join(modules, "pulumi"), "dir");
  const sdk = path.join(modules, "matview-refresh");
  await fs.cp(await generateSdk("nodejs"), sdk, { recursive: true });
  const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 };
  const files = await fs.readdir(sdk, { recursive: true });
  for (const file of files.filter((name) => name.endsWith(".ts"))) {
    const source = await fs.readFile(path.join(sdk, file), "utf8");
    const { outputText } = ts.transpileModule(source, { compilerOptions });
    await fs.writeFile(path.join(sdk, file.replace(/ts$/, "js")), outputText);
  }
}

/** Puts the SDK into a folder as pip would. @returns the folder, for PYTHONPATH */
async function installPythonSdk(): Promise<string> {
  const folder = await generateSdk("python");
  const installed = path.join(folder, "pulumi_matview_refresh-0.0.0.dist-info");
  await fs.mkdir(installed);
  const metadata = "Metadata-Version: 2.1\nName: pulumi_matview_refresh\nVersion: 0.0.0\n";
  await fs.writeFile(path.join(installed, "METADATA"), metadata);
  return folder;
}

function hasPythonPackages(): boolean {
  return spawnSync("python3", ["-c", "import pulumi, pulumi_aws, parver"]).status === 0;
}

describeEngine("the example in TypeScript", () => {
  let stack: EngineStack;

  before(async () => {
    await installNodeSdk();
    stack = await openExample("typescript", {});
  });

  it("previews with a network, a database, a key and a topic that do not exist yet", async () => {
    const preview = await stack.preview();
    assertSucceeded(preview);
    assert.deepEqual(preview.problems, []);
    const fn = stepOfType(preview, "Function").inputs;
    assert.equal(fn.name, "reports-dev-refresh-reporting");
    assert.equal(fn.kmsKeyArn, unknownValue);
  });

  it("deploys in one go, switched off until the views exist, and reaches a child by a transform", async () => {
    const up = await stack.up({ variables: { PULUMI_NODEJS_TRANSPILE_ONLY: "true" } });
    assertSucceeded(up);
    assert.equal(stepOfType(up, "EventRule").inputs.state, "DISABLED");
    const logGroup = stepOfType(up, "LogGroup").inputs;
    assert.equal(logGroup.skipDestroy, true);
    assert.match(String(logGroup.kmsKeyId), /^arn:aws:kms:eu-central-1:/);
    const { grants } = await stack.outputs();
    assert.ok((grants as string[]).some((line) => line.includes('"reporting"."sales"')));
  });
});

describeEngine("the example in Python", () => {
  it("previews, where python3 has the packages pulumi, pulumi-aws and parver", async function () {
    if (!hasPythonPackages()) this.skip();
    const stack = await openExample("python", existing);
    const preview = await stack.preview({ variables: { PYTHONPATH: await installPythonSdk() } });
    assertSucceeded(preview);
    assert.equal(stepOfType(preview, "Function").inputs.name, "reports-dev-refresh-sales");
    assert.equal(stepOfType(preview, "LogGroup").inputs.skipDestroy, true);
    const invokeConfig = stepOfType(preview, "FunctionEventInvokeConfig").inputs;
    assert.deepEqual(invokeConfig.destinationConfig, { onFailure: { destination: unknownValue } });
  });
});

describeEngine("the example in YAML", () => {
  it("previews, where the CLI has YAML's language host", async function () {
    const camelCase = (key: string) => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
    const config = Object.fromEntries(
      Object.entries(existing).map(([key, value]) => [camelCase(key), value]),
    );
    const stack = await openExample("yaml", config);
    const preview = await stack.preview();
    if (/no language plugin/.test(preview.text)) this.skip();
    assertSucceeded(preview);
    assert.equal(stepOfType(preview, "Function").inputs.name, "refresh-dev-refresh-sales");
  });
});
