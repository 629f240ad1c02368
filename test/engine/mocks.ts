/**
 * Runs a Pulumi program, or a part of one, on the SDK's mocks: no CLI, no engine, the answers of standin/. It ends
 * when every registration has been answered, and fails when any of them did, or an `apply`.
 */
import * as pulumi from "@pulumi/pulumi";
import { bundleHandler } from "../../components/bundle";
import type { RegisterResourceRequest, RegisterResourceResponse } from "@pulumi/pulumi/proto/resource_pb";
import { lookUp, makeResource, type Properties } from "./standin/answers";

/** A resource as the program registered it. */
export interface RegisteredResource {
  /** The type token in the long form. */
  type: string;
  /** The Pulumi name. */
  name: string;
  urn: string;
  id: string;
  /** URN of the parent; "" at the top. */
  parent: string;
  inputs: Properties;
  /** Outputs after creation. */
  outputs: Properties;
  /** Inputs whose change is no update. */
  ignoreChanges: string[];
  /** URNs of all resources it depends on. */
  dependencies: string[];
  /** URNs of the resources that an input's value comes from, by input. */
  references: Record<string, string[]>;
}

/** What a program did. */
export interface MockedRun<Result> {
  resources: RegisteredResource[];
  /** What the function returned, outputs replaced by their values at any depth. */
  result: pulumi.Unwrap<Result>;
  /** Warnings, without the resource that they are about. */
  warnings: string[];
}

/** The part of the SDK's mocks that knows of parents and dependencies, which the mocks' functions are not told. */
interface Monitor {
  registerResource(
    request: RegisterResourceRequest,
    answer: (error: unknown, response?: RegisterResourceResponse) => void,
  ): unknown;
}

/**
 * Runs `program` as project/stack with these config values (keys without a namespace belong to the project; values
 * other than text are handed over as JSON, as the CLI does). Rejects with the first thing that failed.
 */
export async function withMocks<Result>(
  stack: string,
  project: string,
  config: Properties,
  program: () => Result | Promise<Result>,
  { secretKeys = [] }: { secretKeys?: string[] } = {},
): Promise<MockedRun<Result>> {
  const qualified = (key: string) => (key.includes(":") ? key : `${project}:${key}`);
  const values = Object.entries(config).map(([key, value]): [string, string] => [
    qualified(key),
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  await pulumi.runtime.setMocks(mocks, project, stack, false);
  pulumi.runtime.setAllConfig(Object.fromEntries(values), secretKeys.map(qualified));
  const resources = watchRegistrations();
  return withWarnings((warnings) =>
    failingWithRejections(async () => {
      const returned = await program();
      await pulumi.runtime.disconnect();
      return { resources, result: await valueOf(returned), warnings };
    }),
  );
}

/** Runs `body` with the list that warnings are added to, in place of stderr. */
async function withWarnings<Value>(body: (warnings: string[]) => Promise<Value>): Promise<Value> {
  const warnings: string[] = [];
  const log: { warn: typeof pulumi.log.warn } = pulumi.log;
  const { warn } = log;
  log.warn = (message) => Promise.resolve(void warnings.push(message));
  try {
    return await body(warnings);
  } finally {
    log.warn = warn;
  }
}

/** Loads a program's file as the engine would: afresh, so that what it does at its top level is done again. */
export function loadProgram(file: string): unknown {
  const resolved = require.resolve(file);
  delete require.cache[resolved];
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- import() would answer from its own cache
  return require(resolved);
}

const region = "us-east-1";

const mocks: pulumi.runtime.Mocks = {
  newResource({ type, name, inputs, custom }) {
    if (custom !== false) {
      const { id, outputs } = makeResource(type, name, inputs as Properties, region);
      return { id, state: outputs };
    }
    if (type !== "awsx:ec2:Vpc") return { id: undefined, state: {} };
    const idOf = (kind: string, child: string) => makeResource(`aws:ec2/${kind}`, child, {}, region).id;
    const zones = [1, 2].map((zone) => idOf("subnet:Subnet", `${name}-private-${zone}`));
    return { id: undefined, state: { vpcId: idOf("vpc:Vpc", name), privateSubnetIds: zones } };
  },
  call: ({ inputs }) => lookUp(inputs as Properties, region),
};

/** The list that every resource registered from now on is added to. */
function watchRegistrations(): RegisteredResource[] {
  const resources: RegisteredResource[] = [];
  const monitor = pulumi.runtime.getMonitor() as unknown as Monitor;
  const registerResource = monitor.registerResource.bind(monitor);
  monitor.registerResource = (request, answer) =>
    registerResource(request, (error, response) => {
      if (response) resources.push(registrationOf(request, response));
      answer(error, response);
    });
  return resources;
}

function registrationOf(
  request: RegisterResourceRequest,
  response: RegisterResourceResponse,
): RegisteredResource {
  const sources = [...request.getPropertydependenciesMap().entries()].map(
    ([property, urns]) => [property, urns.getUrnsList()] as const,
  );
  return {
    type: request.getType(),
    name: request.getName(),
    urn: response.getUrn(),
    id: response.getId(),
    parent: request.getParent(),
    inputs: request.getObject()?.toJavaScript() ?? {},
    outputs: response.getObject()?.toJavaScript() ?? {},
    ignoreChanges: request.getIgnorechangesList(),
    dependencies: request.getDependenciesList(),
    references: Object.fromEntries(sources.filter(([, urns]) => urns.length > 0)),
  };
}

/**
 * Runs `body`; a rejection that nobody handles, as of an `apply`, is thrown as soon as it comes: the value that waits
 * for it would never come.
 */
async function failingWithRejections<Value>(body: () => Promise<Value>): Promise<Value> {
  const listeners = process.rawListeners("unhandledRejection") as NodeJS.UnhandledRejectionListener[];
  process.removeAllListeners("unhandledRejection");
  try {
    const rejection = new Promise<never>((_, reject) => process.on("unhandledRejection", reject));
    return await Promise.race([rejection, body()]);
  } catch (error) {
    // One failure may be told again, at the latest when the function has its bundle: not to the next test.
    await bundleHandler("handler/index.ts", "dist/refresh");
    throw error;
  } finally {
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    process.removeAllListeners("unhandledRejection");
    for (const listener of listeners) process.on("unhandledRejection", listener);
  }
}

function valueOf<Value>(value: Value): Promise<pulumi.Unwrap<Value>> {
  return new Promise((resolve) => {
    pulumi.output(value).apply(resolve);
  });
}
