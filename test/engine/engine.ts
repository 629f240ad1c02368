/**
 * Drives the real Pulumi CLI with no account and no network: a local file backend in a temporary folder, and
 * stand-ins (standin/) for the plugins aws and awsx, which would need both.
 *
 * A program is copied, so that what the CLI writes (stack files, bundles) never lands in the repository.
 */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { parseDocument } from "yaml";
import { runOf, type EngineRun } from "./engineRun";

const repository = path.resolve(__dirname, "../..");
const standIns = path.join(__dirname, "standin");

const version = spawnSync("pulumi", ["version"], {
  encoding: "utf8",
  env: { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" },
});

let repositoryCopy: Promise<EngineProgram> | undefined;

/** One folder for everything of this process, removed when it ends. */
let temporaryFolder: string | undefined;

/**
 * A mocha `describe` for tests that need the engine: the title carries the CLI's version; without a CLI on PATH the
 * tests are reported as pending, and the title says why. Timeouts are set for runs of the engine, not of functions.
 */
export function describeEngine(title: string, tests: (this: Mocha.Suite) => void): void {
  if (version.status !== 0) {
    describe.skip(`${title} (pending: there is no pulumi on PATH)`, tests);
    return;
  }
  describe(`${title} (pulumi ${version.stdout.trim()})`, function () {
    this.timeout(300_000);
    this.slow(30_000);
    tests.call(this);
  });
}

/** Which stack to open, and with which values. */
export interface StackOptions {
  /** The stack's name; its values come from the program's `Pulumi.<name>.yaml` when there is one. */
  stack: string;
  /** Take the values of another stack's file instead, such as "prod". */
  valuesFrom?: string;
  /** Values on top of (undefined: taken out of) the file's, by key without the project's name. */
  config?: Record<string, unknown>;
}

/** Options of one run. */
export interface RunOptions {
  /** Folder of a policy pack. */
  policyPack?: string;
  /** Configuration file of the pack. */
  policyPackConfig?: string;
  /** Make every Lambda invocation of this run fail with this text. */
  failInvocations?: string;
  /** End with an error when anything would change. */
  expectNoChanges?: boolean;
  /** Further environment variables of this run. */
  variables?: NodeJS.ProcessEnv;
}

/** A copy of a Pulumi program that the CLI can run. */
export class EngineProgram {
  private constructor(
    /** Absolute path of the copy. */
    readonly directory: string,
    private readonly source: string,
  ) {}

  /** Copies a program (a folder with Pulumi.yaml); plugins in place of AWS's, and those given, by name and folder. */
  static async copy(source: string, plugins: Record<string, string> = {}): Promise<EngineProgram> {
    const directory = await fs.mkdtemp(path.join(temporary(), "program-"));
    await fs.cp(source, directory, { recursive: true, filter: (file) => belongsToProgram(source, file) });
    await fs.symlink(path.join(repository, "node_modules"), path.join(directory, "node_modules"), "dir");
    const projectFile = path.join(directory, "Pulumi.yaml");
    const project = parseDocument(await fs.readFile(projectFile, "utf8"));
    const providers = Object.entries({ aws: standIns, awsx: standIns, ...plugins });
    project.setIn(
      ["plugins", "providers"],
      providers.map(([name, folder]) => ({ name, path: folder })),
    );
    await fs.writeFile(projectFile, project.toString());
    return new EngineProgram(directory, source);
  }

  /** Makes a stack with an empty state. Those of one name share a file of values, so only the last one is of use. */
  async openStack({ stack, valuesFrom, config = {} }: StackOptions): Promise<EngineStack> {
    const project = parseDocument(await fs.readFile(path.join(this.directory, "Pulumi.yaml"), "utf8"));
    const original = path.join(this.source, `Pulumi.${valuesFrom ?? stack}.yaml`);
    const values = parseDocument(await fs.readFile(original, "utf8").catch(() => "config: {}\n"));
    for (const [key, value] of Object.entries(config)) {
      const keyPath = ["config", key.includes(":") ? key : `${String(project.get("name"))}:${key}`];
      if (value === undefined) values.deleteIn(keyPath);
      else values.setIn(keyPath, value);
    }
    await fs.writeFile(path.join(this.directory, `Pulumi.${stack}.yaml`), values.toString());
    const backend = await fs.mkdtemp(path.join(temporary(), "backend-"));
    const opened = new EngineStack(this.directory, stack, backend);
    await opened.pulumi("stack", "init");
    return opened;
  }
}

/** The program of this repository, copied on first use and shared by all tests of the process. */
export function repositoryProgram(): Promise<EngineProgram> {
  repositoryCopy ??= EngineProgram.copy(repository);
  return repositoryCopy;
}

/** A stack that the tests preview, update and destroy. */
export class EngineStack {
  constructor(
    private readonly directory: string,
    private readonly name: string,
    private readonly backend: string,
  ) {}

  /** `pulumi preview`. A preview that ends with an error is a result like any other: see exitCode. */
  preview(options?: RunOptions): Promise<EngineRun> {
    return this.run(["preview"], options);
  }

  /** `pulumi up`. */
  up(options?: RunOptions): Promise<EngineRun> {
    return this.run(["up", "--yes", "--skip-preview"], options);
  }

  /** `pulumi destroy`, which runs no program. */
  destroy(): Promise<EngineRun> {
    return this.run(["destroy", "--yes", "--skip-preview"]);
  }

  /** `pulumi config set`, of a key without the project's name. */
  async setConfig(key: string, value: string, ...flags: string[]): Promise<void> {
    await this.pulumi("config", "set", key, value, ...flags);
  }

  /** The stack's outputs. */
  async outputs(): Promise<Record<string, unknown>> {
    return JSON.parse(await this.pulumi("stack", "output", "--json")) as Record<string, unknown>;
  }

  /** The resources in the state as `pulumi stack export` prints it: secrets encrypted. */
  async resources(): Promise<StateResource[]> {
    const { deployment } = JSON.parse(await this.pulumi("stack", "export")) as {
      deployment: { resources?: StateResource[] };
    };
    return deployment.resources ?? [];
  }

  /** Standard output of any other command on this stack. @throws Error when the command fails. */
  async pulumi(...args: string[]): Promise<string> {
    const { exitCode, stdout, text } = await this.execute(args);
    if (exitCode !== 0) throw new Error(`pulumi ${args.join(" ")} ended with ${exitCode}: ${text}`);
    return stdout;
  }

  private async run(command: string[], options: RunOptions = {}): Promise<EngineRun> {
    const { policyPack, policyPackConfig, failInvocations, expectNoChanges, variables } = options;
    const eventLog = path.join(await fs.mkdtemp(path.join(temporary(), "run-")), "events");
    const args = [...command, "--event-log", eventLog, "--color", "never", "--suppress-progress"];
    if (policyPack !== undefined) args.push("--policy-pack", policyPack);
    if (policyPackConfig !== undefined) args.push("--policy-pack-config", policyPackConfig);
    if (expectNoChanges) args.push("--expect-no-changes");
    const { exitCode, text } = await this.execute(args, {
      STANDIN_FAIL_INVOCATIONS: failInvocations,
      ...variables,
    });
    return runOf(exitCode, text, await fs.readFile(eventLog, "utf8"));
  }

  private execute(args: string[], variables?: NodeJS.ProcessEnv): Promise<CommandResult> {
    const all = [...args, "--stack", this.name];
    return runPulumi(this.directory, all, { ...variables, PULUMI_BACKEND_URL: `file://${this.backend}` });
  }
}

/** A resource in a stack's state. */
export interface StateResource {
  urn: string;
  type: string;
  inputs?: Record<string, unknown>;
  outputs?: Record<string, unknown>;
}

/** What a command of the CLI ended with and wrote; `text` is all of it, errors too. */
export interface CommandResult {
  exitCode: number;
  stdout: string;
  text: string;
}

/** Runs a command of the CLI in a folder, with nothing of the user's own state and plugins. */
export function runPulumi(
  folder: string,
  args: string[],
  variables: NodeJS.ProcessEnv = {},
): Promise<CommandResult> {
  const env = {
    ...process.env,
    PULUMI_HOME: path.join(temporary(), "home"),
    PULUMI_CONFIG_PASSPHRASE: "a passphrase of the tests",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    // Without it the CLI has no --event-log.
    PULUMI_DEBUG_COMMANDS: "true",
    // What Node has compiled of a program is kept from run to run.
    TS_NODE_CACHE_DIRECTORY: path.join(temporary(), "compiled"),
    ...variables,
  };
  return new Promise((resolve) => {
    const options = { cwd: folder, env, maxBuffer: 2 ** 26 };
    const child = execFile("pulumi", [...args, "--non-interactive"], options, (_error, stdout, stderr) => {
      resolve({ exitCode: child.exitCode ?? -1, stdout, text: `${stdout}\n${stderr}` });
    });
  });
}

/** The temporary folder of this process. */
export function temporary(): string {
  if (temporaryFolder === undefined) {
    const folder = mkdtempSync(path.join(tmpdir(), "matview-refresh-engine-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    temporaryFolder = folder;
  }
  return temporaryFolder;
}

const notCopied = new Set([".git", ".local", "dist", "node_modules", "test"]);

function belongsToProgram(source: string, file: string): boolean {
  const parts = path.relative(source, file).split(path.sep);
  return !notCopied.has(parts[0] ?? "") && !parts.includes("node_modules");
}
