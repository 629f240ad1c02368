/**
 * The life of one resource as the stand-in for the AWS provider answers it, on plain values: check, diff, create,
 * read, update, invoke. Nothing here speaks the engine's protocol (awsPlugin.ts does), and nothing is remembered
 * between calls: the state is the engine's.
 */
import {
  answerInvoke,
  checkedInputs,
  defaultWorld,
  describeResource,
  makeResource,
  replacingProperties,
  resourceAnswer,
  type Properties,
  type World,
} from "../answers";
import { differences, propertyOf, unknownValue, type Change } from "./difference";

/** The environment variable that makes every Lambda invocation of an update fail with its text. */
export const failInvocationsVariable = "STANDIN_FAIL_INVOCATIONS";

/** The result of a diff: changed paths, the properties that replace, and whether the old one goes first. */
export interface Diff {
  changes: Map<string, Change>;
  replaces: string[];
  deleteBeforeReplace: boolean;
}

/** The stand-in for the AWS provider. One per process; configure comes before anything else. */
export class AwsProvider {
  private world: World = defaultWorld;

  constructor(environment: NodeJS.ProcessEnv) {
    const failInvocations = environment[failInvocationsVariable];
    if (failInvocations) this.world = { ...this.world, failInvocations };
  }

  /** Takes region and default tags from the provider's configuration; other settings have no meaning here. */
  configure(settings: Properties): void {
    if (typeof settings.region === "string") this.world = { ...this.world, region: settings.region };
    const { defaultTags } = settings;
    if (typeof defaultTags === "string") {
      // The engine hands nested provider settings over as JSON text.
      const parsed = JSON.parse(defaultTags) as { tags?: Record<string, string> };
      this.world = { ...this.world, ...(parsed.tags && { defaultTags: parsed.tags }) };
    }
  }

  /** The inputs with defaults, and one failure for each required property that is missing. */
  check(urn: string, news: Properties, olds: Properties): { inputs: Properties; missing: string[] } {
    const { type, name } = partsOf(urn);
    const inputs = checkedInputs(type, name, news, olds);
    const missing = (resourceAnswer(type).required ?? []).filter(
      (property) => inputs[property] === undefined,
    );
    return { inputs, missing };
  }

  /** What changed between the inputs of the last update and the new ones. */
  diff(urn: string, oldInputs: Properties, news: Properties): Diff {
    const answer = resourceAnswer(partsOf(urn).type);
    const changes = differences(oldInputs, news);
    const changed = new Set([...changes.keys()].map(propertyOf));
    const replaces = replacingProperties(answer, news).filter((property) => changed.has(property));
    return { changes, replaces, deleteBeforeReplace: answer.deleteBeforeReplace ?? false };
  }

  /** Makes the resource; in a preview its id and everything that AWS gives is unknown. */
  create(urn: string, inputs: Properties, preview: boolean): { id: string; outputs: Properties } {
    const { type, name } = partsOf(urn);
    if (!preview) return makeResource(type, name, inputs, this.world);
    const { outputs, computedNames } = describeResource(type, name, inputs, this.world);
    return { id: "", outputs: withUnknown(outputs, computedNames) };
  }

  /** Changes the resource. What AWS gives stays as it was, but for what the changed inputs change. */
  update(
    urn: string,
    oldOutputs: Properties,
    oldInputs: Properties,
    news: Properties,
    preview: boolean,
  ): Properties {
    const { type, name } = partsOf(urn);
    const answer = resourceAnswer(type);
    const changed = new Set([...differences(oldInputs, news).keys()].map(propertyOf));
    const { outputs, computedNames } = preview
      ? describeResource(type, name, news, this.world)
      : makeResource(type, name, news, this.world);
    const renewed = computedNames.filter((output) => {
      const causes = answer.changesWith?.[output];
      return output === "tagsAll" || causes === "*" || causes?.some((input) => changed.has(input));
    });
    const kept = computedNames.filter(
      (output) => !renewed.includes(output) && oldOutputs[output] !== undefined,
    );
    const result = { ...outputs, ...Object.fromEntries(kept.map((output) => [output, oldOutputs[output]])) };
    const volatile = renewed.filter((output) => output !== "tagsAll");
    return preview ? withUnknown(result, volatile) : result;
  }

  /** The resource as it stands: the engine's state if it has one, else what a lookup by id would find. */
  read(urn: string, id: string, state: Properties): Properties {
    if (Object.keys(state).length > 0) return state;
    const { type, name } = partsOf(urn);
    const { nameProperty } = resourceAnswer(type);
    const inputs = checkedInputs(
      type,
      name,
      nameProperty && !id.startsWith("arn:") ? { [nameProperty]: id } : {},
    );
    const { outputs } = describeResource(type, name, inputs, this.world);
    return id.startsWith("arn:") ? { ...outputs, arn: id } : outputs;
  }

  /** Answers a lookup. */
  invoke(token: string, args: Properties): Properties {
    return answerInvoke(token, args, this.world);
  }
}

function withUnknown(outputs: Properties, names: string[]): Properties {
  return { ...outputs, ...Object.fromEntries(names.map((name) => [name, unknownValue])) };
}

/** Type token and name out of `urn:pulumi:<stack>::<project>::<parent types$type>::<name>`. */
function partsOf(urn: string): { type: string; name: string } {
  const [, , qualifiedType = "", ...name] = urn.split("::");
  return { type: qualifiedType.split("$").at(-1) ?? "", name: name.join("::") };
}
