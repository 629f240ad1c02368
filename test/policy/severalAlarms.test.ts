/** Alarms of one function that are judged together: metric math beside a plain metric, composite alarms. */
import assert from "node:assert/strict";
import { alarmsOfRule } from "../../policy/compositeRule";
import { alarmSubscribers } from "../../policy/rules/alarmSubscribers";
import { errorsAlarm } from "../../policy/rules/errorsAlarm";
import { TYPE } from "../../policy/resource";
import { advice, judge, refusals, unknown, type TestResource } from "./judge";
import { all, changed, handWritten, without, type TestStack } from "./stacks";

const FUNCTION = "scanner-refresh-matview";
const TOPIC = `arn:aws:sns:us-east-1:123456789012:${FUNCTION}`;

async function refused(rule: Parameters<typeof judge>[0], stack: TestStack, options = {}): Promise<string[]> {
  return refusals(await judge(rule, all(stack), options));
}

/** More than 5 % of the runs fail, by metric math. */
function errorRate(props: object = {}): TestResource {
  const metric = (metricName: string) => ({
    namespace: "AWS/Lambda",
    metricName,
    stat: "Sum",
    period: 60,
    dimensions: { FunctionName: FUNCTION },
  });
  const metricQueries = [
    { id: "rate", expression: "100 * errors / runs", returnData: true },
    { id: "errors", metric: metric("Errors") },
    { id: "runs", metric: metric("Invocations") },
  ];
  const name = `${FUNCTION}-error-rate`;
  const when = { comparisonOperator: "GreaterThanThreshold", threshold: 5, evaluationPeriods: 3 };
  return {
    type: TYPE.alarm,
    name,
    props: { name, metricQueries, ...when, alarmActions: [TOPIC], ...props },
  };
}

describe("errors-alarm with metric math", () => {
  it("takes an error rate beside an alarm that can fire, and says that it did not judge it", async () => {
    for (const rate of ["before", "after"]) {
      const stack =
        rate === "before" ? { rate: errorRate(), ...handWritten() } : { ...handWritten(), rate: errorRate() };
      const said = await judge(errorsAlarm, all(stack));
      assert.deepEqual(refusals(said), []);
      assert.equal(said.length, 1);
      assert.match(said[0]?.message ?? "", /error-rate .*cannot follow.*another alarm on Errors/);
      assert.equal(said[0]?.about, `${FUNCTION}-error-rate`);
    }
  });

  it("refuses it alone, and beside an alarm that can never fire", async () => {
    const alone = { ...without(handWritten(), "errors"), rate: errorRate() };
    assert.match((await refused(errorsAlarm, alone)).join("\n"), /error-rate of .*cannot follow/);
    const never = { ...changed(handWritten(), "errors", { threshold: 5 }), rate: errorRate() };
    const messages = await refused(errorsAlarm, never);
    assert.equal(messages.length, 2, messages.join("\n"));
    assert.match(messages.join("\n"), /errors of .* can never fire/);
    assert.match(messages.join("\n"), /error-rate of .*cannot follow/);
  });

  it("waits with it while another alarm is not known yet", async () => {
    const unclear = [
      { threshold: unknown },
      { dimensions: { FunctionName: unknown } },
      { metricName: unknown },
      { metricQueries: unknown },
    ];
    for (const props of unclear) {
      const stack = { ...changed(handWritten(), "errors", props), rate: errorRate() };
      const said = await judge(errorsAlarm, all(stack));
      assert.deepEqual(refusals(said), [], JSON.stringify(props));
      assert.match(
        advice(said).join("\n"),
        /Judged at update: .*(error-rate|can fire)/,
        JSON.stringify(props),
      );
    }
  });

  it("wants the action on the alarm that is known to fire", async () => {
    const stack = { ...changed(handWritten(), "errors", { alarmActions: [] }), rate: errorRate() };
    assert.match((await refused(errorsAlarm, stack))[0] ?? "", /nobody hears it/);
  });
});

/** Pages for the errors and the silence of the hand-written stack, whose own alarms do nothing. */
function paging(props: object = {}): TestResource {
  const alarmRule = `ALARM("${FUNCTION}-errors") OR ALARM(${FUNCTION}-silent)`;
  return {
    type: TYPE.compositeAlarm,
    name: "paging",
    props: { alarmName: "paging", alarmRule, alarmActions: [TOPIC], ...props },
  };
}

const quiet = (): TestStack =>
  changed(changed(handWritten(), "errors", { alarmActions: [] }), "silent", { actionsEnabled: false });

describe("composite alarms", () => {
  const prod = { stack: "prod" };
  const arn = `arn:aws:cloudwatch:us-east-1:123456789012:alarm:${FUNCTION}-errors`;

  it("act for the alarms that they name, by name or ARN, directly or through another", async () => {
    for (const rule of [errorsAlarm, alarmSubscribers]) {
      assert.equal((await refused(rule, quiet(), prod)).length > 0, true);
      assert.deepEqual(await judge(rule, all({ ...quiet(), paging: paging() }), prod), []);
      const alarmRule = `NOT (OK(${arn}) AND NOT ALARM("${FUNCTION}-silent"))`;
      assert.deepEqual(await judge(rule, all({ ...quiet(), paging: paging({ alarmRule }) }), prod), []);
      const inner = paging({ alarmActions: [] });
      const outer = paging({ alarmName: "outer", alarmRule: "ALARM(paging)" });
      const nested = { ...quiet(), outer: { ...outer, name: "outer" }, inner };
      assert.deepEqual(await judge(rule, all(nested), prod), []);
    }
  });

  it("do not act when switched off, without action, or for alarms that they do not name", async () => {
    const idle = [
      { actionsEnabled: false },
      { alarmActions: [] },
      { alarmRule: `ALARM("${FUNCTION}-errors-2") OR ALARM(another)` },
      { alarmRule: `OK("${FUNCTION}-errors") OR NOT ALARM("${FUNCTION}-silent")` },
    ];
    for (const props of idle) {
      const stack = { ...quiet(), paging: paging(props) };
      const errors = await refused(errorsAlarm, stack, prod);
      assert.match(errors[0] ?? "", /nobody hears it/, JSON.stringify(props));
      const subscribers = await refused(alarmSubscribers, stack, prod);
      assert.equal(subscribers.length, 2, JSON.stringify(props));
      assert.match(subscribers[0] ?? "", /has no action that is enabled/);
    }
  });

  it("need a subscriber in production as other alarms do", async () => {
    const stack = without({ ...quiet(), paging: paging() }, "subscription");
    const messages = await refused(alarmSubscribers, stack, prod);
    assert.equal(messages.length, 2);
    assert.match(messages[0] ?? "", /topics of this stack that have no subscription/);
    const outside = paging({ alarmActions: ["arn:aws:sns:us-east-1:123456789012:on-call"] });
    assert.deepEqual(await refused(alarmSubscribers, { ...stack, paging: outside }, prod), []);
  });

  it("are judged at update while a preview does not know what they name or do", async () => {
    for (const property of ["alarmRule", "alarmActions", "actionsEnabled"]) {
      const unclear = paging({ [property]: unknown });
      for (const rule of [errorsAlarm, alarmSubscribers]) {
        const said = await judge(rule, all({ ...quiet(), paging: unclear }), prod);
        assert.deepEqual(refusals(said), [], property);
        assert.match(advice(said)[0] ?? "", /Judged at update: (the actions|whom alarm)/, property);
      }
    }
    const elsewhere = { ...paging({ alarmRule: unknown }), from: { alarmRule: [`${FUNCTION}-silent`] } };
    const messages = await refused(errorsAlarm, { ...quiet(), paging: elsewhere }, prod);
    assert.match(messages[0] ?? "", /nobody hears it/);
  });

  it("have rules whose negations turn round", () => {
    assert.deepEqual(alarmsOfRule('ALARM("a (b) NOT c") AND ( OK(d) OR NOT OK(e))'), ["a (b) NOT c", "e"]);
    assert.deepEqual(alarmsOfRule("NOT (ALARM(a) OR NOT (ALARM( b ) AND OK(c))) OR ALARM('d')"), ["b", "d"]);
    assert.deepEqual(alarmsOfRule("NOT NOT ALARM(a) AND INSUFFICIENT_DATA(b) AND NOT TRUE OR ALARM(c)"), [
      "a",
      "c",
    ]);
    assert.deepEqual(alarmsOfRule("FALSE"), []);
  });
});
