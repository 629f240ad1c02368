/**
 * Runs a Pulumi program, or a part of one, on the SDK's mocks: no CLI, no engine, answers from the same table as the
 * stand-in provider (answers.ts). It ends only when every registration and every output has been awaited, and it
 * fails when any of them failed: a type or lookup that the table does not know, an error inside an `apply`.
 */
import * as pulumi from "@pulumi/pulumi";
import {
  answerInvoke,
  checkedInputs,
  defaultWorld,
  makeResource,
  type Properties,
  type World,
} from "./answers";
import { answerComponent } from "./awsxNetwork";

/** A resource as the program registered it. */
export interface RegisteredResource {
  /** The type token in the long form. */
  type: string;
  /** The Pulumi name. */
  name: string;
  urn: string;
  /** URN of the parent; "" at the top. */
  parent: string;
  /** False for components. */
  custom: boolean;
  /** True when the program only reads it (`Type.get`). */
  read: boolean;
  /** Inputs as the program gave them, secrets in plain text. */
  inputs: Properties;
  /** The inputs that are, or contain, secrets. */
  secretInputs: string[];
  /** Outputs after creation. */
  outputs: Properties;
  /** URNs of all resources it depends on. */
  dependencies: string[];
  /** URNs of the resources that an input's value comes from, by input. */
  references: Record<string, string[]>;
}

/** A lookup that the program made. */
export interface MadeInvoke {
  token: string;
  args: Properties;
}

/** What a program did. */
export interface MockedRun<Result> {
  resources: RegisteredResource[];
  invokes: MadeInvoke[];
  /** What the function returned, outputs replaced by their values at any depth. */
  result: pulumi.Unwrap<Result>;
}

/** Options that few tests need. */
export interface MockOptions {
  world?: World;
  /** Keys of `config` that are secrets. */
  secretKeys?: string[];
  /** How long to wait for outputs that never come; then the error names them. */
  deadlineSeconds?: number;
}

/**
 * Runs `program` on the mocks as project/stack with these config values (keys without a namespace belong to the
 * project; values other than text are handed over as JSON, as the CLI does). Rejects with what the program threw, or
 * with the first thing that failed behind its back.
 */
export async function withMocks<Result>(
  stack: string,
  project: string,
  config: Properties,
  program: () => Result | Promise<Result>,
  options: MockOptions = {},
): Promise<MockedRun<Result>> {
  const { world = defaultWorld, secretKeys = [], deadlineSeconds = 20 } = options;
  const record = new MockRecord(world);
  await pulumi.runtime.setMocks(record, project, stack, false);
  const qualified = (key: string) => (key.includes(":") ? key : `${project}:${key}`);
  const values = Object.entries(config).map(([key, value]) => [qualified(key), configText(value)]);
  pulumi.runtime.setAllConfig(
    Object.fromEntries(values) as Record<string, string>,
    secretKeys.map(qualified),
  );
  record.watchRegistrations();

  return withRejectionsCollected(record.faults, async () => {
    const returned = await program();
    let resolved: { value: pulumi.Unwrap<Result> } | undefined;
    pulumi.output(returned).apply((value) => {
      resolved = { value };
    });
    await allSettled(deadlineSeconds);
    if (record.faults.length > 0) throw record.faults[0];
    if (!resolved) throw new Error("an output that the program returned was never resolved");
    return { resources: record.resources, invokes: record.invokes, result: resolved.value };
  });
}

/** Loads a program's file as the engine would: afresh, so that what it does at its top level is done again. */
export function loadProgram(file: string): unknown {
  const resolved = require.resolve(file);
  delete require.cache[resolved];
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- import() would answer from its own cache
  return require(resolved);
}

/** The engine's side of the mocks; also what the SDK calls. */
class MockRecord implements pulumi.runtime.Mocks {
  readonly resources: RegisteredResource[] = [];
  readonly invokes: MadeInvoke[] = [];
  /** Everything that failed, in order. */
  readonly faults: unknown[] = [];

  constructor(private readonly world: World) {}

  newResource({
    type,
    name,
    inputs,
    custom,
    id,
  }: pulumi.runtime.MockResourceArgs): pulumi.runtime.MockResourceResult {
    const given = inputs as Properties;
    return this.noting(() => {
      if (custom === false) return { id: undefined, state: this.componentState(type, name, given) };
      if (type.startsWith("pulumi:providers:")) return { id: `${name}-id`, state: given };
      const made = makeResource(type, name, checkedInputs(type, name, unwrapped(given)), this.world);
      // Secret inputs stay wrapped in the outputs, so that the program sees secrets there.
      return { id: id || made.id, state: { ...made.outputs, ...given } };
    });
  }

  call({ token, inputs }: pulumi.runtime.MockCallArgs): pulumi.runtime.MockCallResult {
    const args = unwrapped(inputs as Properties);
    this.invokes.push({ token, args });
    return this.noting(() => answerInvoke(token, args, this.world));
  }

  /** The mocks' functions hear neither of parents nor of dependencies; the monitor behind them does. */
  watchRegistrations(): void {
    const monitor = pulumi.runtime.getMonitor() as unknown as MockMonitor;
    const registerResource = monitor.registerResource.bind(monitor);
    const readResource = monitor.readResource.bind(monitor);
    monitor.registerResource = (request, answer) =>
      registerResource(request, (error, response) => {
        if (response) this.resources.push(registrationOf(request, response));
        answer(error, response);
      });
    monitor.readResource = (request, answer) =>
      readResource(request, (error, response) => {
        if (response) this.resources.push(readingOf(request, response));
        answer(error, response);
      });
  }

  /** A local component's outputs come later, from itself; a remote one's come from the table. */
  private componentState(type: string, name: string, inputs: Properties): Properties {
    return type.startsWith("awsx:") ? answerComponent(type, name, unwrapped(inputs), this.world) : inputs;
  }

  private noting<Answer>(answer: () => Answer): Answer {
    try {
      return answer();
    } catch (error) {
      this.faults.push(error);
      throw error;
    }
  }
}

type Urns = { getUrnsList(): string[] };
type Message = { toJavaScript(): Properties } | undefined;

interface RegistrationRequest {
  getType(): string;
  getName(): string;
  getParent(): string;
  getCustom(): boolean;
  getObject(): Message;
  getDependenciesList(): string[];
  getPropertydependenciesMap(): { entries(): IterableIterator<[string, Urns]> };
}

interface ReadRequest {
  getType(): string;
  getName(): string;
  getParent(): string;
  getProperties(): Message;
  getDependenciesList(): string[];
}

type Answer<Response> = (error: unknown, response?: Response) => void;

/** The part of the SDK's mock monitor that is watched. */
interface MockMonitor {
  registerResource(
    request: RegistrationRequest,
    answer: Answer<{ getUrn(): string; getObject(): Message }>,
  ): unknown;
  readResource(request: ReadRequest, answer: Answer<{ getUrn(): string; getProperties(): Message }>): unknown;
}

function registrationOf(
  request: RegistrationRequest,
  response: { getUrn(): string; getObject(): Message },
): RegisteredResource {
  const references = [...request.getPropertydependenciesMap().entries()]
    .map(([property, urns]) => [property, urns.getUrnsList()] as const)
    .filter(([, urns]) => urns.length > 0);
  return {
    ...descriptionOf(request, request.getObject(), response.getObject()),
    urn: response.getUrn(),
    custom: request.getCustom(),
    read: false,
    references: Object.fromEntries(references),
  };
}

function readingOf(
  request: ReadRequest,
  response: { getUrn(): string; getProperties(): Message },
): RegisteredResource {
  return {
    ...descriptionOf(request, request.getProperties(), response.getProperties()),
    urn: response.getUrn(),
    custom: true,
    read: true,
    references: {},
  };
}

function descriptionOf(request: RegistrationRequest | ReadRequest, given: Message, made: Message) {
  const inputs = given?.toJavaScript() ?? {};
  return {
    type: request.getType(),
    name: request.getName(),
    parent: request.getParent(),
    inputs: unwrapped(inputs),
    secretInputs: Object.keys(inputs).filter((property) => containsSecret(inputs[property])),
    outputs: unwrapped(made?.toJavaScript() ?? {}),
    dependencies: request.getDependenciesList(),
  };
}

function unwrapped(properties: Properties): Properties {
  return plainValue(properties) as Properties;
}

/** The value without the wrappings of secrets, at any depth. */
function plainValue(value: unknown): unknown {
  if (pulumi.runtime.isRpcSecret(value)) return plainValue(pulumi.runtime.unwrapRpcSecret(value));
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== "object" || value === null || !isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plainValue(part)]));
}

function containsSecret(value: unknown): boolean {
  if (pulumi.runtime.isRpcSecret(value)) return true;
  return typeof value === "object" && value !== null && Object.values(value).some(containsSecret);
}

function isPlain(value: object): boolean {
  return Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null;
}

function configText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/**
 * Waits until nothing the SDK has started is still under way: every registration, every output, and what those start.
 * The SDK keeps the list for its own warning about leaked promises at a program's end.
 */
async function allSettled(deadlineSeconds: number): Promise<void> {
  const deadline = performance.now() + deadlineSeconds * 1000;
  const store = (globalThis as unknown as { globalStore: { leakCandidates: Set<Promise<unknown>> } })
    .globalStore;
  const underWay = () => store.leakCandidates;
  let quietTurns = 0;
  while (quietTurns < 3) {
    quietTurns = underWay().size === 0 ? quietTurns + 1 : 0;
    if (performance.now() > deadline) {
      const names = [...underWay()].map((promise) => String((promise as { _debugCtx?: unknown })._debugCtx));
      throw new Error(`never resolved within ${deadlineSeconds} s: ${[...new Set(names)].join(", ")}`);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Runs `body` while rejections that nobody handles are collected as faults instead of ending the process. */
async function withRejectionsCollected<Value>(faults: unknown[], body: () => Promise<Value>): Promise<Value> {
  const listeners = process.rawListeners("unhandledRejection") as NodeJS.UnhandledRejectionListener[];
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", (reason) => faults.push(reason));
  try {
    return await body();
  } finally {
    process.removeAllListeners("unhandledRejection");
    for (const listener of listeners) process.on("unhandledRejection", listener);
  }
}
