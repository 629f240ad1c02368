/** One stack of a copied program: its values, its runs and its state. */
import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { LocalWorkspace, type OutputMap, type PulumiCommand, type Stack } from "@pulumi/pulumi/automation";
import { parseDocument } from "yaml";
import { RunRecord, type EngineRun } from "./engineRun";
import { failInvocationsVariable } from "./standin/awsProvider";

/** Where a stack lives. All paths are absolute. */
export interface StackPlace {
  /** The program's copy. */
  directory: string;
  /** The folder the copy was made from; stack files are taken from there afresh. */
  source: string;
  /** The folder that holds the state. */
  backend: string;
  /** PULUMI_HOME. */
  home: string;
  /** Where the CLI keeps what it has compiled of the program: only the first run of a process compiles. */
  compiled: string;
  pulumiCommand: PulumiCommand;
}

/** Which stack to open, and with which values. */
export interface StackOptions {
  /** The stack's name; values come from the repository's `Pulumi.<name>.yaml` when there is one. */
  stack: string;
  /** Take the values of another stack's file instead, such as "prod". */
  valuesFrom?: string;
  /** Plain values on top of (undefined: taken out of) the file's, by key without the project's name. */
  config?: Record<string, unknown>;
}

/** Options of one run. */
export interface RunOptions {
  /** Folders of policy packs, relative to the program or absolute. */
  policyPacks?: string[];
  /** Configuration files of those packs, in the same order. */
  policyPackConfigs?: string[];
  /** Make every Lambda invocation of this run fail with this text. */
  failInvocations?: string;
  /** End with an error when anything would change. */
  expectNoChanges?: boolean;
}

/** A stack that the tests preview, update and destroy; made by EngineProgram.openStack. */
export class EngineStack {
  private constructor(
    private readonly place: StackPlace,
    private readonly stack: Stack,
    private readonly projectName: string,
  ) {}

  /** Writes the stack's file of values and makes the stack in an empty backend. */
  static async open(place: StackPlace, options: StackOptions): Promise<EngineStack> {
    const projectName = await projectNameOf(place.directory);
    await writeValues(place, projectName, options);
    const workspaceOptions = {
      workDir: place.directory,
      pulumiHome: place.home,
      pulumiCommand: place.pulumiCommand,
      envVars: environmentOf(place),
    };
    const { stack: stackName } = options;
    const stack = await LocalWorkspace.createStack({ stackName, workDir: place.directory }, workspaceOptions);
    return new EngineStack(place, stack, projectName);
  }

  /** `pulumi preview`. A preview that ends with an error is a result like any other: see exitCode. */
  preview(options: RunOptions = {}): Promise<EngineRun> {
    return this.run(options, (record) => this.stack.preview(record.options(options)));
  }

  /** `pulumi up`. */
  up(options: RunOptions = {}): Promise<EngineRun> {
    return this.run(options, (record) => this.stack.up(record.options(options)));
  }

  /** `pulumi destroy`, which runs no program. */
  destroy(): Promise<EngineRun> {
    return this.run({}, ({ onEvent, onOutput }) => this.stack.destroy({ onEvent, onOutput, color: "never" }));
  }

  /** `pulumi config set <key> <value>`; the key without the project's name. */
  async setConfig(key: string, value: string, { secret = false } = {}): Promise<void> {
    await this.stack.setConfig(`${this.projectName}:${key}`, { value, secret });
  }

  /** `pulumi config rm <key>`. */
  async removeConfig(key: string): Promise<void> {
    await this.stack.removeConfig(`${this.projectName}:${key}`);
  }

  /** The text of the stack's file of values, as the CLI left it. */
  configFile(): Promise<string> {
    return fs.readFile(path.join(this.place.directory, `Pulumi.${this.stack.name}.yaml`), "utf8");
  }

  /** The stack's outputs; secret ones decrypted, each with a mark. */
  outputs(): Promise<OutputMap> {
    return this.stack.outputs();
  }

  /**
   * The state as `pulumi stack export` prints it: secrets encrypted. (The Automation API's own export would decrypt
   * them, and so could not show that they are.)
   */
  async exportState(): Promise<EngineState> {
    const { exitCode, stdout, stderr } = await this.pulumi("stack", "export");
    if (exitCode !== 0) throw new Error(`pulumi stack export ended with ${exitCode}: ${stderr}`);
    return (JSON.parse(stdout) as { deployment: EngineState }).deployment;
  }

  /** Any other command of the CLI on this stack, such as `pulumi("stack", "output", "--json")`. */
  async pulumi(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
    const env = { ...process.env, PULUMI_HOME: this.place.home, ...this.stack.workspace.envVars };
    const { command } = this.place.pulumiCommand;
    return new Promise((resolve, reject) => {
      const options = { cwd: this.place.directory, env, maxBuffer: 2 ** 26 };
      execFile(command, [...args, "--stack", this.stack.name], options, (error, stdout, stderr) => {
        if (error && typeof error.code !== "number")
          reject(new Error("pulumi did not run", { cause: error }));
        else resolve({ exitCode: Number(error?.code ?? 0), stdout, stderr });
      });
    });
  }

  private async run(
    options: RunOptions,
    operation: (record: RunRecord) => Promise<unknown>,
  ): Promise<EngineRun> {
    const { envVars } = this.stack.workspace;
    if (options.failInvocations) envVars[failInvocationsVariable] = options.failInvocations;
    else delete envVars[failInvocationsVariable];
    return RunRecord.of(operation);
  }
}

/** A deployment's state. */
export interface EngineState {
  resources?: {
    urn: string;
    type: string;
    id?: string;
    inputs?: object;
    outputs?: object;
    parent?: string;
  }[];
}

function environmentOf({ backend, compiled }: StackPlace): Record<string, string> {
  return {
    PULUMI_BACKEND_URL: `file://${backend}`,
    PULUMI_CONFIG_PASSPHRASE: "a passphrase of the tests",
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    TS_NODE_CACHE_DIRECTORY: compiled,
  };
}

async function projectNameOf(directory: string): Promise<string> {
  const project = parseDocument(await fs.readFile(path.join(directory, "Pulumi.yaml"), "utf8"));
  return String(project.get("name"));
}

async function writeValues(place: StackPlace, projectName: string, options: StackOptions): Promise<void> {
  const original = path.join(place.source, `Pulumi.${options.valuesFrom ?? options.stack}.yaml`);
  const given = await fs.readFile(original, "utf8").catch((error: NodeJS.ErrnoException) => {
    // A stack need not have a file, but one that is asked for by name must be there.
    if (error.code === "ENOENT" && options.valuesFrom === undefined) return "config: {}\n";
    throw error;
  });
  const values = parseDocument(given);
  for (const [key, value] of Object.entries(options.config ?? {})) {
    const keyPath = ["config", key.includes(":") ? key : `${projectName}:${key}`];
    if (value === undefined) values.deleteIn(keyPath);
    else values.setIn(keyPath, values.createNode(value));
  }
  await fs.writeFile(path.join(place.directory, `Pulumi.${options.stack}.yaml`), values.toString());
}
