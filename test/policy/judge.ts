/**
 * Runs rules as the engine does: resources go through the SDK's own servers as protocol messages, so that what
 * rules get (proxies that throw on unknown values, plain secrets, resolved relations) is what they get for real.
 */
import * as server from "@pulumi/policy/server";
import * as analyzer from "@pulumi/pulumi/proto/analyzer_pb";
import { Struct, type JavaScriptValue } from "google-protobuf/google/protobuf/struct_pb";
import type { RulePolicy } from "../../policy/rule";

/** The engine's placeholder for a text that is not known yet. */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** A resource as a test writes it down. */
export interface TestResource {
  type: string;
  name: string;
  /** Outputs, as validateStack sees them; inputs too where none are given. */
  props: Record<string, unknown>;
  inputs?: Record<string, unknown>;
  /** For each property the names of the resources its value comes from. */
  from?: Record<string, string[]>;
}

/** What a rule said. */
export interface Said {
  level: "mandatory" | "advisory";
  message: string;
  /** Name of the resource. */
  about: string;
}

interface Diagnostic {
  getMessage(): string;
  getEnforcementlevel(): number;
  getUrn(): string;
}
type Call = (
  call: { request: unknown },
  callback: (error: unknown, response?: { getDiagnosticsList(): Diagnostic[] }) => void,
) => Promise<void>;
type MakeCall = (pack: string, version: string, level: string, policies: RulePolicy[]) => Call;

// The SDK keeps these out of its types; they are what it serves the engine with.
const { makeAnalyzeRpcFun, makeAnalyzeStackRpcFun } = server as unknown as Record<string, MakeCall>;

/** Everything a rule says of a stack: of each resource before it is made, then of the whole. */
export async function judge(
  rule: RulePolicy,
  resources: TestResource[],
  { config = {}, stack = "test" }: { config?: object; stack?: string } = {},
): Promise<Said[]> {
  const policy = withConfig(rule, config);
  const urns = new Map(resources.map((resource) => [resource.name, urnOf(resource, stack)]));
  const said: Said[] = [];
  for (const resource of resources) {
    const request = new analyzer.AnalyzeRequest();
    const urn = fill(request, resource, resource.inputs ?? resource.props, stack);
    said.push(...(await run(makeAnalyzeRpcFun!, policy, request, urn)));
  }
  const request = new analyzer.AnalyzeStackRequest();
  request.setResourcesList(
    resources.map((resource) => {
      const message = new analyzer.AnalyzerResource();
      fill(message, resource, resource.props, stack);
      for (const [property, sources] of Object.entries(resource.from ?? {})) {
        const dependencies = new analyzer.AnalyzerPropertyDependencies();
        dependencies.setUrnsList(sources.map((source) => urns.get(source) ?? `no resource ${source}`));
        message.getPropertydependenciesMap().set(property, dependencies);
      }
      return message;
    }),
  );
  said.push(...(await run(makeAnalyzeStackRpcFun!, policy, request, "")));
  return said;
}

function withConfig(rule: RulePolicy, config: object): RulePolicy {
  const getConfig = <Config extends object>() => config as Config;
  const { validateResource } = rule;
  return {
    ...rule,
    validateResource: (args, report) =>
      typeof validateResource === "function" ? validateResource({ ...args, getConfig }, report) : undefined,
    validateStack: (args, report) => rule.validateStack({ ...args, getConfig }, report),
  };
}

function urnOf({ type, name }: TestResource, stack: string): string {
  return `urn:pulumi:${stack}::project::${type}::${name}`;
}

function fill(
  message: analyzer.AnalyzeRequest | analyzer.AnalyzerResource,
  resource: TestResource,
  props: Record<string, unknown>,
  stack: string,
): string {
  const urn = urnOf(resource, stack);
  message.setType(resource.type);
  message.setName(resource.name);
  message.setUrn(urn);
  message.setProperties(Struct.fromJavaScript(plain(props)));
  message.setOptions(new analyzer.AnalyzerResourceOptions());
  return urn;
}

/** Without properties that are undefined, which no protocol message has. */
function plain(props: Record<string, unknown>): Record<string, JavaScriptValue> {
  return JSON.parse(JSON.stringify(props)) as Record<string, JavaScriptValue>;
}

async function run(make: MakeCall, policy: RulePolicy, request: unknown, urn: string): Promise<Said[]> {
  const diagnostics = await new Promise<Diagnostic[]>((resolve, reject) => {
    void make("matview-refresh", "0.0.0", "mandatory", [policy])({ request }, (error, response) => {
      if (error) reject(error instanceof Error ? error : new Error(JSON.stringify(error)));
      else resolve(response?.getDiagnosticsList() ?? []);
    });
  });
  return diagnostics.map((diagnostic) => ({
    level: diagnostic.getEnforcementlevel() === 1 ? "mandatory" : "advisory",
    message: diagnostic.getMessage(),
    about: (diagnostic.getUrn() || urn).split("::").at(-1) ?? "",
  }));
}

/** Messages of refusals. */
export function refusals(said: Said[]): string[] {
  return said.filter(({ level }) => level === "mandatory").map(({ message }) => message);
}

/** Messages of advice. */
export function advice(said: Said[]): string[] {
  return said.filter(({ level }) => level === "advisory").map(({ message }) => message);
}
