/**
 * Drives the real Pulumi CLI through the Automation API, with no account and no network: a local file backend in a
 * temporary folder, and stand-ins (standin/) for the aws and awsx plugins, which would need both.
 *
 * A program is copied once per test process, so that what the CLI writes (stack files, bundles) never lands in the
 * repository and so that all tests share what Node has cached of it.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { PulumiCommand } from "@pulumi/pulumi/automation";
import { parseDocument } from "yaml";
import { EngineStack, type StackOptions } from "./engineStack";

const repository = path.resolve(__dirname, "../..");
const standIns = path.join(__dirname, "standin");

let foundVersion: string | undefined | null = null;
let temporaryFolder: string | undefined;
let repositoryCopy: Promise<EngineProgram> | undefined;

/** The version of the `pulumi` on PATH, such as "3.260.0"; undefined when there is none. */
export function pulumiVersion(): string | undefined {
  if (foundVersion === null) {
    const environment = { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" };
    const result = spawnSync("pulumi", ["version"], { encoding: "utf8", env: environment });
    foundVersion = result.status === 0 ? result.stdout.trim().replace(/^v/, "") : undefined;
  }
  return foundVersion;
}

/**
 * A mocha `describe` for tests that need the engine: the title carries the CLI's version; without a CLI on PATH the
 * tests are reported as pending, and the title says why. Timeouts are set for runs of the engine, not of functions.
 */
export function describeEngine(title: string, tests: (this: Mocha.Suite) => void): void {
  const version = pulumiVersion();
  if (version === undefined) {
    describe.skip(`${title} (pending: there is no pulumi on PATH)`, tests);
    return;
  }
  describe(`${title} (pulumi ${version})`, function () {
    this.timeout(180_000);
    this.slow(30_000);
    tests.call(this);
  });
}

/** A copy of a Pulumi program that the CLI can run. */
export interface EngineProgram {
  /** Absolute path of the copy. */
  directory: string;
  /**
   * Opens a stack with an empty state of its own. Stacks of the same name share one file of values in the copy, so
   * opening a name again ends the use of the one opened before.
   */
  openStack(options: StackOptions): Promise<EngineStack>;
}

/** The program of this repository, copied on first use and shared by all tests of the process. */
export function repositoryProgram(): Promise<EngineProgram> {
  repositoryCopy ??= copyProgram(repository);
  return repositoryCopy;
}

/** Copies a program (a folder with Pulumi.yaml) to a temporary folder and points its plugins at the stand-ins. */
export async function copyProgram(source: string): Promise<EngineProgram> {
  const directory = await fs.mkdtemp(path.join(temporary(), "program-"));
  await fs.cp(source, directory, { recursive: true, filter: (file) => belongsToProgram(source, file) });
  await fs.symlink(path.join(repository, "node_modules"), path.join(directory, "node_modules"), "dir");
  await pointAtStandIns(path.join(directory, "Pulumi.yaml"));
  const pulumiCommand = await PulumiCommand.get();
  const home = path.join(temporary(), "home");
  const compiled = path.join(temporary(), "compiled");
  return {
    directory,
    openStack: async (options) => {
      const backend = await fs.mkdtemp(path.join(temporary(), "backend-"));
      return EngineStack.open({ directory, source, backend, home, compiled, pulumiCommand }, options);
    },
  };
}

const notCopied = new Set([".git", ".local", "dist", "node_modules", "test"]);

function belongsToProgram(source: string, file: string): boolean {
  const parts = path.relative(source, file).split(path.sep);
  return !notCopied.has(parts[0] ?? "") && !parts.includes("node_modules");
}

async function pointAtStandIns(projectFile: string): Promise<void> {
  const project = parseDocument(await fs.readFile(projectFile, "utf8"));
  const providers = ["aws", "awsx"].map((name) => ({ name, path: path.join(standIns, name) }));
  project.set("plugins", project.createNode({ providers }));
  await fs.writeFile(projectFile, project.toString());
}

/** One folder for everything of this process, removed when the process ends. */
function temporary(): string {
  if (temporaryFolder === undefined) {
    const folder = mkdtempSync(path.join(tmpdir(), "matview-refresh-engine-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    temporaryFolder = folder;
  }
  return temporaryFolder;
}
