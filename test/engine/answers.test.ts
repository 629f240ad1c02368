/** Holds the table of answers against the classes of @pulumi/aws, so that it cannot promise what AWS does not have. */
import assert from "node:assert/strict";
import type * as pulumi from "@pulumi/pulumi";
import {
  checkedInputs,
  describeResource,
  defaultWorld,
  replacingProperties,
  type Properties,
} from "./answers";
import { invokeAnswers } from "./awsInvokes";
import { resourceAnswers } from "./awsResources";
import { withMocks } from "./mocks";

type ResourceClass = new (name: string, args: Properties) => pulumi.CustomResource;

/** The SDK's class or function for a token such as `aws:sqs/queue:Queue`. */
function sdkMember(token: string): unknown {
  const [, module = "", name = ""] = token.split(":");
  const file = module.startsWith("index/") ? module.slice("index/".length) : module;
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- the file's name is known at run time only
  return (require(`@pulumi/aws/${file}`) as Record<string, unknown>)[name];
}

function argsFor(properties: string[]): Properties {
  return Object.fromEntries(properties.map((property) => [property, property]));
}

describe("answers", () => {
  for (const [type, answer] of Object.entries(resourceAnswers)) {
    const required = answer.required ?? [];

    it(`for ${type} name only properties that the SDK's class has`, async () => {
      let properties: string[] = [];
      await withMocks("dev", "test", {}, () => {
        const sdkClass = sdkMember(type) as ResourceClass;
        properties = Object.keys(new sdkClass("thing", argsFor(required)));
        for (const property of required) {
          const others = required.filter((other) => other !== property);
          assert.throws(
            () => new sdkClass(`no-${property}`, argsFor(others)),
            /Missing required property/,
            property,
          );
        }
      });
      const inputs = checkedInputs(type, "thing", argsFor(required));
      const { outputs } = describeResource(type, "thing", inputs, defaultWorld);
      const changing = Object.entries(answer.changesWith ?? {}).flatMap(([output, causes]) =>
        causes === "*" ? [output] : [output, ...causes],
      );
      const named = [...Object.keys(outputs), ...replacingProperties(answer, inputs), ...changing];
      assert.deepEqual(
        named.filter((property) => !properties.includes(property)),
        [],
      );
      assert.equal(answer.tagged ?? false, properties.includes("tagsAll"), "tagged");
      assert.equal(answer.global ?? false, !properties.includes("region"), "global");
    });
  }

  for (const token of Object.keys(invokeAnswers)) {
    it(`for ${token} answer a function that the SDK has`, () => {
      assert.equal(typeof sdkMember(token), "function");
    });
  }
});
