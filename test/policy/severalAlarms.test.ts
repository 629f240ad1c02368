/** Alarms of one function that are judged together: metric math beside a plain metric, composite alarms. */
import assert from "node:assert/strict";
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
