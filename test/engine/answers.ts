/**
 * What AWS answers in the tests: the computed outputs of every resource type the program may register and the
 * results of every lookup it may make. The mocks (mocks.ts) and the stand-in provider that the real engine
 * starts (standin/) both read this one table, so the two kinds of test cannot disagree about AWS.
 *
 * A type or a lookup that is not in the table is an error that names its token: a program that starts to use
 * something new has to say here what AWS would answer.
 */
import { digest } from "./answerValues";
import { invokeAnswers } from "./awsInvokes";
import { resourceAnswers } from "./awsResources";

/** Plain values of a resource's inputs or outputs, keyed by property name. */
export type Properties = Record<string, unknown>;

/** The account and region that answer, and the one fault a test can ask for. */
export interface World {
  accountId: string;
  region: string;
  /** Tags that the provider's configuration adds to every resource that can bear tags. */
  defaultTags?: Record<string, string>;
  /** When set, invoking a Lambda during an update fails with this text, as a failing migration does. */
  failInvocations?: string;
}

/** The account of AWS' own examples. */
export const defaultWorld: World = { accountId: "123456789012", region: "us-east-1" };

/** What the answers of one resource are computed from. */
export interface ResourceContext {
  type: string;
  /** The Pulumi name, the last part of the URN. */
  name: string;
  inputs: Properties;
  world: World;
  /** Hexadecimal digits that differ per resource and stay the same from run to run. */
  hex: (length: number) => string;
  /** The ARN of a thing of this service in this world: `arn:aws:<service>:<region>:<account>:<rest>`. */
  arn: (service: string, rest: string) => string;
}

/** How one resource type behaves. */
export interface ResourceAnswer {
  /** The property that AWS' provider names itself, from the Pulumi name, when the program gives none. */
  nameProperty?: string;
  /** Inputs the provider insists on. */
  required?: string[];
  /** Inputs that the provider adds when the program leaves them out. */
  defaults?: Properties;
  /** Inputs whose change makes a new resource. A function where it depends on other inputs. */
  replaceOn?: string[] | ((inputs: Properties) => string[]);
  /** Whether the old resource goes before the new one comes, because both cannot exist at once. */
  deleteBeforeReplace?: boolean;
  /** The resource can bear tags, so it has `tagsAll`. */
  tagged?: boolean;
  /** The resource belongs to no region (IAM), so it has no `region`. */
  global?: boolean;
  /** The provider's id. */
  id: (context: ResourceContext) => string;
  /** Outputs that AWS gives, beyond the inputs. An input of the same name wins. */
  computed?: (context: ResourceContext) => Properties;
  /** Outputs that an update changes, each with the inputs that change it ("*" is any). */
  changesWith?: Record<string, string[] | "*">;
  /** Throws when AWS would refuse to create the resource. */
  refuse?: (context: ResourceContext) => void;
}

/** The id and all outputs of a resource after AWS has made it. */
export interface MadeResource {
  id: string;
  outputs: Properties;
  /** Names of the outputs that AWS gives; a preview does not know them yet. */
  computedNames: string[];
}

/** The table's entry for a resource type such as `aws:sqs/queue:Queue`; throws with the token when there is none. */
export function resourceAnswer(type: string): ResourceAnswer {
  const answer = resourceAnswers[type];
  if (!answer) throw new Error(`no answer for resource type ${type}: add it to test/engine/awsResources.ts`);
  return answer;
}

/** The properties whose change replaces a resource with these inputs. */
export function replacingProperties(answer: ResourceAnswer, inputs: Properties): string[] {
  return typeof answer.replaceOn === "function" ? answer.replaceOn(inputs) : (answer.replaceOn ?? []);
}

/**
 * The inputs as the provider's check leaves them: defaults added, the name made up from the Pulumi name where the
 * program gives none (`<name>-<7 hexadecimal digits>`, kept from the old inputs when there are any).
 */
export function checkedInputs(
  type: string,
  name: string,
  inputs: Properties,
  oldInputs: Properties = {},
): Properties {
  const answer = resourceAnswer(type);
  const checked: Properties = { ...answer.defaults, ...inputs };
  const property = answer.nameProperty;
  const prefix = property && inputs[`${property}Prefix`];
  if (property && checked[property] === undefined) {
    const digits = digest(type, name).slice(0, 7);
    checked[property] =
      oldInputs[property] ?? (typeof prefix === "string" ? prefix + digits : `${name}-${digits}`);
  }
  return checked;
}

/** Makes a resource out of checked inputs. Throws for an unknown type and where AWS would refuse. */
export function makeResource(type: string, name: string, inputs: Properties, world: World): MadeResource {
  const answer = resourceAnswer(type);
  const context = contextOf(answer, type, name, inputs, world);
  answer.refuse?.(context);
  return describeResource(type, name, inputs, world);
}

/** The same description as makeResource, of a resource that exists already (a lookup by id, an update). */
export function describeResource(type: string, name: string, inputs: Properties, world: World): MadeResource {
  const answer = resourceAnswer(type);
  const context = contextOf(answer, type, name, inputs, world);
  const computed: Properties = { ...answer.computed?.(context) };
  if (!answer.global) computed.region = world.region;
  if (answer.tagged) computed.tagsAll = { ...world.defaultTags, ...(inputs.tags as Properties | undefined) };
  const computedNames = Object.keys(computed).filter((property) => inputs[property] === undefined);
  return { id: answer.id(context), outputs: { ...computed, ...inputs }, computedNames };
}

/** The result of a lookup such as `aws:index/getRegion:getRegion`; throws with the token when it is not in the table. */
export function answerInvoke(token: string, args: Properties, world: World): Properties {
  const answer = invokeAnswers[token];
  if (!answer) throw new Error(`no answer for invoke ${token}: add it to test/engine/awsInvokes.ts`);
  const region = typeof args.region === "string" ? args.region : world.region;
  return answer(args, { ...world, region });
}

function contextOf(
  answer: ResourceAnswer,
  type: string,
  name: string,
  inputs: Properties,
  world: World,
): ResourceContext {
  // A replacement is another thing in AWS: what replaces is therefore part of what the identity is made of.
  const identity = replacingProperties(answer, inputs).map(
    (property) => JSON.stringify(inputs[property]) ?? "",
  );
  const digits = digest(type, name, ...identity);
  return {
    type,
    name,
    inputs,
    world,
    hex: (length) => digits.slice(0, length),
    arn: (service, rest) => `arn:aws:${service}:${world.region}:${world.accountId}:${rest}`,
  };
}
