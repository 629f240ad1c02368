/** The pack as a whole: what every rule has to hold to. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { known, read, readList, readNames, readNumber } from "../../policy/reading";
import type { RulePolicy } from "../../policy/rule";
import { TYPE } from "../../policy/resource";
import { advice, judge, refusals, unknown } from "./judge";
import { all, changed, handWritten, ofComponent, unrelated } from "./stacks";

const folder = path.resolve(__dirname, "../../policy");
const files = readdirSync(path.join(folder, "rules"));

/** Every rule, by its file. */
const rules = files.map((file): [string, RulePolicy] => {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- the folder says which rules there are
  const exported = require(path.join(folder, "rules", file)) as Record<string, RulePolicy>;
  const rule = exported[path.basename(file, ".ts")];
  assert.ok(rule, `${file} exports no rule of its name`);
  return [file, rule];
});

describe("policy pack", () => {
  it("registers every rule, each documented in the README with its configuration", () => {
    const index = readFileSync(path.join(folder, "index.ts"), "utf8");
    const readme = readFileSync(path.join(folder, "README.md"), "utf8");
    for (const [file, { name, configSchema, remediationSteps }] of rules) {
      const exported = path.basename(file, ".ts");
      assert.match(index, new RegExp(`^    ${exported},$`, "m"), `${exported} is not registered`);
      assert.ok(readme.includes(`\`${name}\``), `the README lacks ${name}`);
      assert.ok(remediationSteps, name);
      for (const key of Object.keys(configSchema?.properties ?? {})) {
        assert.ok(readme.includes(`\`${key}\``), `the README lacks ${key} of ${name}`);
      }
    }
  });

  it("is mandatory in every rule", () => {
    for (const [, rule] of rules) assert.equal(rule.enforcementLevel, "mandatory", rule.name);
  });

  for (const [, rule] of rules) {
    it(`${rule.name} leaves an unrelated Lambda alone, beside a refresh too`, async () => {
      assert.deepEqual(await judge(rule, all(unrelated()), { stack: "prod" }), []);
      const both = await judge(rule, all(unrelated(), ofComponent()), { stack: "prod" });
      assert.deepEqual(both, []);
    });

    it(`${rule.name} judges each of several components`, async () => {
      const stacks = [
        ofComponent({ namePrefix: "a" }),
        ofComponent({ namePrefix: "b", refreshRate: "rate(30 seconds)" }),
      ];
      assert.deepEqual(await judge(rule, all(...stacks), { stack: "prod" }), []);
    });

    it(`${rule.name} refuses a configuration key that it does not have, naming the nearest`, async () => {
      const judged = judge(rule, all(handWritten()), { config: { refreshNamePatern: "x" } });
      await assert.rejects(judged, (error: Error) =>
        /Did you mean "refreshNamePattern"/.test(JSON.stringify(error) + error.message),
      );
      await assert.rejects(judge(rule, all(handWritten()), { config: { refreshNamePattern: "(" } }));
    });

    it(`${rule.name} reads any property of any resource that is not known yet`, async () => {
      // It needs the errors of both ticks of a minute.
      const errors = { threshold: 1, periodSeconds: 60, evaluationPeriods: 1 };
      const stacks = [handWritten(), ofComponent({ refreshRate: "rate(30 seconds)", alarms: { errors } })];
      for (const stack of stacks) {
        for (const [key, { props }] of Object.entries(stack)) {
          for (const property of Object.keys(props)) {
            const said = await judge(rule, all(changed(stack, key, { [property]: unknown })), {
              stack: "prod",
            });
            const wrong = advice(said).filter((message) => message.includes("can't run policy"));
            assert.deepEqual(wrong, [], `${key}.${property}`);
            assert.deepEqual(refusals(said), [], `${key}.${property}`);
          }
        }
      }
    });
  }

  it("knows a function of another make by its name, or what triggers it", async () => {
    const timeout = rules.find(([, { name }]) => name === "refresh-timeout")?.[1];
    assert.ok(timeout);
    const found = async (fn: object, rule: object, config = {}) => {
      const arn = "arn:aws:lambda:us-east-1:123456789012:function:worker";
      const resources = [
        { type: TYPE.function, name: "worker", props: { name: "worker", arn, timeout: 900, ...fn } },
        {
          type: TYPE.rule,
          name: "tick",
          props: { name: "tick", scheduleExpression: "rate(1 minute)", ...rule },
        },
        { type: TYPE.target, name: "target", props: { rule: "tick", arn } },
      ];
      return refusals(await judge(timeout, resources, { config })).length;
    };
    assert.equal(await found({}, {}), 0);
    assert.equal(await found({ description: "Refreshes a materialized view" }, {}), 1);
    assert.equal(await found({ tags: { "matview-refresh:group": "jobs" } }, {}), 1);
    assert.equal(await found({}, { description: "Trigger materialized view refresh" }), 1);
    assert.equal(await found({}, {}, { refreshNamePattern: "^worker$" }), 1);
    const migration = { variables: { MATVIEW_REFRESH_USER: "refresh", MATVIEW_VIEWS: "[]" } };
    assert.equal(await found({ environment: migration }, {}), 0);
  });

  it("says nothing that holds the value of a variable", async () => {
    const variables = {
      A_TOKEN_OF_MATVIEW: "correct-horse",
      MATVIEW_GROUP: "correct-horse",
      PGSSLMODE: "correct-horse",
      STATEMENT_TIMEOUT: "correct-horse",
      MATVIEW_VIEWS: "correct-horse",
      MATVIEW_DATABASE_TLS: "correct-horse",
    };
    for (const [, rule] of rules) {
      const said = await judge(rule, all(changed(handWritten(), "fn", { environment: { variables } })), {
        stack: "prod",
      });
      assert.doesNotMatch(JSON.stringify(said), /correct-horse/, rule.name);
    }
  });
});

describe("reading", () => {
  it("tells known, unknown and absent apart, at every depth", () => {
    // The class is not in the SDK's types.
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { unknownCheckingProxy } = require("@pulumi/policy/proxy") as {
      unknownCheckingProxy: <Value>(value: Value) => Value;
    };
    const props = unknownCheckingProxy({
      a: { b: unknown, c: 1, d: null },
      list: [1, unknown],
      text: "7",
    });
    assert.deepEqual(read(props, "a", "b"), { state: "unknown", path: "a.b" });
    assert.deepEqual(read(props, "a", "c"), { state: "known", value: 1, path: "a.c" });
    assert.deepEqual(read(props, "a", "d"), { state: "absent", path: "a.d" });
    assert.deepEqual(read(props, "a", "c", "e"), { state: "absent", path: "a.c.e" });
    assert.deepEqual(read(props, "x", "y"), { state: "absent", path: "x.y" });
    assert.deepEqual(known(readNames(props, "a")), ["b", "c", "d"]);
    assert.deepEqual(
      known(readList(props, "list"))?.map(({ state }) => state),
      ["known", "unknown"],
    );
    assert.equal(known(readNumber(props, "text")), 7);
    assert.deepEqual(readNumber(props, "a"), { state: "absent", path: "a" });
  });

  it("passes other errors on", () => {
    const faulty = Object.defineProperty({}, "a", {
      get: () => {
        throw new TypeError("broken");
      },
    });
    assert.throws(() => read(faulty, "a"), TypeError);
  });
});
