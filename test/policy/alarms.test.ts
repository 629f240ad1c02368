/** The rules on alarms: they exist, can fire, fire in time, and somebody hears them. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { alarmSubscribers } from "../../policy/rules/alarmSubscribers";
import { errorsAlarm } from "../../policy/rules/errorsAlarm";
import { refreshSchedule } from "../../policy/rules/refreshSchedule";
import { refreshTimeout } from "../../policy/rules/refreshTimeout";
import { retries } from "../../policy/rules/retries";
import { staleAlarm } from "../../policy/rules/staleAlarm";
import { acceptedSettings } from "../components/settings/acceptedSettings";
import { advice, judge, refusals, unknown } from "./judge";
import { all, changed, handWritten, ofComponent, without, type TestStack } from "./stacks";

/** "Over 5 errors in each of 2 periods of a minute". */
const GUIDE = {
  comparisonOperator: "GreaterThanThreshold",
  threshold: 5,
  period: 60,
  evaluationPeriods: 2,
  datapointsToAlarm: 2,
};

async function refused(rule: Parameters<typeof judge>[0], stack: TestStack, options = {}): Promise<string[]> {
  return refusals(await judge(rule, all(stack), options));
}

describe("errors-alarm", () => {
  for (const rate of [
    "rate(12 seconds)",
    "rate(30 seconds)",
    "rate(1 minute)",
    "rate(5 minutes)",
    "rate(3 hours)",
    "cron(0 9-17 ? * MON-FRI *)",
  ]) {
    it(`takes the component's alarms at ${rate}`, async () => {
      assert.deepEqual(await judge(errorsAlarm, all(ofComponent({ refreshRate: rate }))), []);
    });
  }

  it("takes a hand-written one", async () => {
    assert.deepEqual(await judge(errorsAlarm, all(handWritten())), []);
  });

  it("refuses the guide's setting, with the numbers", async () => {
    const [message = "", ...more] = await refused(errorsAlarm, changed(handWritten(), "errors", GUIDE));
    assert.deepEqual(more, []);
    assert.match(message, /scanner-refresh-matview-errors of scanner-refresh-matview can never fire/);
    assert.match(message, /needs GreaterThanThreshold 5 in 2 of 2 periods of 60 s/);
    assert.match(
      message,
      /every tick of rate\(1 minute\) fails \(with 0 retries\), a period holds at most 1 error/,
    );
  });

  it("counts Lambda's retries where nothing takes them away, which are still too few for the guide's", async () => {
    const stack = without(changed(handWritten(), "errors", GUIDE), "config");
    assert.match(
      (await refused(errorsAlarm, stack))[0] ?? "",
      /\(with 2 retries\), a period holds at most 3 errors/,
    );
    const lower = changed(stack, "errors", { threshold: 2 });
    assert.deepEqual(await refused(errorsAlarm, lower), []);
  });

  it("refuses the guide's setting among the component's alarms", async () => {
    const alarms = {
      errors: { threshold: 5, periodSeconds: 60, evaluationPeriods: 2, datapointsToAlarm: 2 },
    };
    const messages = await refused(errorsAlarm, ofComponent({ alarms }));
    assert.equal(messages.length, 1);
    assert.match(messages[0] ?? "", /matview-refresh-job-progress-errors .*can never fire/);
  });

  it("counts every target of a rate under a minute", async () => {
    const errors = { threshold: 4, periodSeconds: 60, evaluationPeriods: 1 };
    const stack = ofComponent({ refreshRate: "rate(12 seconds)", alarms: { errors } });
    assert.deepEqual(await refused(errorsAlarm, stack), []);
    const higher = changed(stack, "alarm-errors", { threshold: 5 });
    assert.match((await refused(errorsAlarm, higher))[0] ?? "", /holds at most 5 errors/);
    const lost = without(stack, "mapping-24");
    assert.match((await refused(errorsAlarm, lost))[0] ?? "", /holds at most 4 errors/);
  });

  it("replays the component's own expression as it is deployed", async () => {
    const stack = ofComponent();
    const queries = stack["alarm-failing"]?.props.metricQueries as object[];
    const never = "IF(FILL(success, 0) < 1 AND FILL(errors, 0) >= 1000, 1, 0)";
    const metricQueries = [{ id: "alarm", expression: never, returnData: true }, ...queries.slice(1)];
    const messages = await refused(errorsAlarm, changed(stack, "alarm-failing", { metricQueries }));
    assert.match(messages[0] ?? "", /failing of .* can never fire/);
  });

  it("refuses alarms that look at too few periods for ticks far apart", async () => {
    const stack = changed(handWritten("matview", "rate(1 hour)"), "errors", {
      evaluationPeriods: 3,
      datapointsToAlarm: 2,
    });
    assert.match((await refused(errorsAlarm, stack))[0] ?? "", /can never fire.* in 2 of 3 periods of 60 s/);
  });

  it("refuses an average above 1, a comparison the wrong way, and an expression it cannot follow", async () => {
    const average = changed(handWritten(), "errors", { statistic: "Average", threshold: 2 });
    assert.match((await refused(errorsAlarm, average))[0] ?? "", /can never fire/);
    const below = changed(handWritten(), "errors", { comparisonOperator: "LessThanThreshold" });
    assert.match((await refused(errorsAlarm, below))[0] ?? "", /can never fire/);
    const metric = {
      namespace: "AWS/Lambda",
      metricName: "Errors",
      stat: "Sum",
      period: 60,
      dimensions: { FunctionName: "scanner-refresh-matview" },
    };
    const queries = [
      { id: "e", expression: "RATE(m)", returnData: true },
      { id: "m", metric },
    ];
    const math = changed(handWritten(), "errors", {
      metricName: undefined,
      namespace: undefined,
      metricQueries: queries,
    });
    assert.match((await refused(errorsAlarm, math))[0] ?? "", /an expression that this rule cannot follow/);
  });

  it("refuses a function without one, and one that watches another function", async () => {
    assert.match(
      (await refused(errorsAlarm, without(handWritten(), "errors")))[0] ?? "",
      /has no alarm on its Errors/,
    );
    const other = changed(handWritten(), "errors", { dimensions: { FunctionName: "another" } });
    assert.match((await refused(errorsAlarm, other))[0] ?? "", /has no alarm on its Errors/);
  });

  it("refuses one that tells nobody, but for a development stack, where it says so", async () => {
    for (const props of [{ alarmActions: [] }, { actionsEnabled: false }]) {
      const stack = changed(handWritten(), "errors", props);
      assert.match((await refused(errorsAlarm, stack))[0] ?? "", /nobody hears it/);
      const said = await judge(errorsAlarm, all(stack), { stack: "dev" });
      assert.deepEqual(refusals(said), []);
      assert.match(advice(said)[0] ?? "", /nobody hears it.*Allowed in a development stack/);
      const config = { developmentPattern: "^never$" };
      assert.equal((await refused(errorsAlarm, stack, { stack: "dev", config })).length, 1);
    }
  });

  it("says what it judges at update", async () => {
    const threshold = await judge(errorsAlarm, all(changed(handWritten(), "errors", { threshold: unknown })));
    assert.deepEqual(refusals(threshold), []);
    assert.match(advice(threshold)[0] ?? "", /Judged at update: whether alarm .* can fire \(threshold\)/);
    const stack = handWritten();
    const dimension = changed(stack, "errors", { dimensions: { FunctionName: unknown } });
    assert.match(advice(await judge(errorsAlarm, all(dimension)))[0] ?? "", /Judged at update: which alarm/);
  });

  it("follows a relation that is not known yet to the resource it comes from", async () => {
    const stack = changed(
      changed(handWritten(), "errors", { ...GUIDE, dimensions: { FunctionName: unknown } }),
      "target",
      { arn: unknown },
    );
    stack.errors!.from = { dimensions: ["scanner-refresh-matview-function"] };
    stack.target!.from = { arn: ["scanner-refresh-matview-function"] };
    assert.match((await refused(errorsAlarm, stack))[0] ?? "", /can never fire/);
  });
});

describe("stale-alarm", () => {
  for (const rate of [
    "rate(12 seconds)",
    "rate(30 seconds)",
    "rate(1 minute)",
    "rate(5 minutes)",
    "rate(3 hours)",
  ]) {
    it(`takes the component's at ${rate}`, async () => {
      assert.deepEqual(await judge(staleAlarm, all(ofComponent({ refreshRate: rate }))), []);
    });
  }

  it("takes a hand-written one on the function's runs", async () => {
    assert.deepEqual(await judge(staleAlarm, all(handWritten())), []);
  });

  it("refuses a view without one, by the view's name", async () => {
    assert.match(
      (await refused(staleAlarm, without(ofComponent(), "alarm-stale")))[0] ?? "",
      /View public\.job_progress has no stale alarm/,
    );
    assert.match(
      (await refused(staleAlarm, without(handWritten(), "silent")))[0] ?? "",
      /when it stops running/,
    );
  });

  it("wants one for each view", async () => {
    const both = JSON.stringify([
      { schema: "public", name: "job_progress" },
      { schema: "public", name: "totals" },
    ]);
    const stack = ofComponent();
    const { variables } = stack.fn!.props.environment as { variables: object };
    const two = changed(stack, "fn", { environment: { variables: { ...variables, MATVIEW_VIEWS: both } } });
    const messages = await refused(staleAlarm, two);
    assert.equal(messages.length, 1);
    assert.match(messages[0] ?? "", /View public\.totals has no stale alarm/);
  });

  it("refuses missing data that does not breach, which a dead schedule leaves", async () => {
    for (const treatMissingData of ["notBreaching", "missing", "ignore", undefined]) {
      const messages = await refused(staleAlarm, changed(ofComponent(), "alarm-stale", { treatMissingData }));
      assert.match(messages[0] ?? "", new RegExp(`treats missing data as ${treatMissingData ?? "missing"}`));
    }
  });

  it("refuses one that fires after the promised time, and one that never does", async () => {
    const late = changed(ofComponent(), "alarm-stale", { evaluationPeriods: 10, datapointsToAlarm: 10 });
    assert.match((await refused(staleAlarm, late))[0] ?? "", /data may be 37\d\d s old .*promised are 540 s/);
    const never = changed(ofComponent(), "alarm-stale", { threshold: 0 });
    assert.match((await refused(staleAlarm, never))[0] ?? "", /does not go off when refreshes stop/);
    const config = { maxStalenessSeconds: 100 };
    assert.match((await refused(staleAlarm, handWritten(), { config }))[0] ?? "", /promised are 100 s/);
  });

  it("wants none while every schedule is switched off, and says so", async () => {
    const off = changed(without(ofComponent(), "alarm-stale"), "rule", { state: "DISABLED" });
    const said = await judge(staleAlarm, all(off));
    assert.deepEqual(refusals(said), []);
    assert.match(advice(said)[0] ?? "", /switched off/);
  });

  it("says what it judges at update", async () => {
    const { variables } = ofComponent().fn!.props.environment as { variables: object };
    const views = changed(ofComponent(), "fn", {
      environment: { variables: { ...variables, MATVIEW_VIEWS: unknown } },
    });
    assert.match(advice(await judge(staleAlarm, all(views)))[0] ?? "", /Judged at update: the views/);
    const missing = changed(ofComponent(), "alarm-stale", { treatMissingData: unknown });
    assert.match(
      advice(await judge(staleAlarm, all(missing)))[0] ?? "",
      /Judged at update: treatMissingData/,
    );
    const tags = { "matview-refresh:max-staleness-seconds": unknown };
    const promise = changed(ofComponent(), "rule", { tags });
    assert.match(
      advice(await judge(staleAlarm, all(promise)))[0] ?? "",
      /Judged at update: the promised staleness/,
    );
  });
});

describe("rules on time", () => {
  it("take whatever the settings accept", async () => {
    await fc.assert(
      fc.asyncProperty(acceptedSettings, async (settings) => {
        const { refreshRate, timeoutSeconds, maxStalenessSeconds, alarms, eventAgeSeconds } = settings;
        const stack = ofComponent({
          refreshRate,
          timeoutSeconds,
          maxStalenessSeconds,
          eventAgeSeconds,
          alarms: { failedTicks: alarms.failedTicks },
        });
        for (const rule of [errorsAlarm, staleAlarm, refreshTimeout, retries, refreshSchedule]) {
          assert.deepEqual(await judge(rule, all(stack)), [], rule.name);
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe("alarm-subscribers", () => {
  const prod = { stack: "prod" };
  const silent = () => without(handWritten(), "subscription");

  it("is content where somebody subscribes, and outside production", async () => {
    assert.deepEqual(await judge(alarmSubscribers, all(handWritten()), prod), []);
    assert.deepEqual(await judge(alarmSubscribers, all(ofComponent()), prod), []);
    assert.deepEqual(await judge(alarmSubscribers, all(silent()), { stack: "staging" }), []);
    assert.deepEqual(await judge(alarmSubscribers, all(silent()), { stack: "product-demo" }), []);
  });

  it("refuses topics that nobody subscribes to, by the stack's name or the function's tag", async () => {
    const messages = await refused(alarmSubscribers, silent(), { stack: "acme-prod" });
    assert.equal(messages.length, 2);
    assert.match(messages[0] ?? "", /topics of this stack that have no subscription/);
    const tagged = changed(silent(), "fn", { tags: { environment: "production" } });
    assert.equal((await refused(alarmSubscribers, tagged, { stack: "eu-1" })).length, 2);
    assert.equal(
      (await refused(alarmSubscribers, silent(), { stack: "live", config: { productionPattern: "^live$" } }))
        .length,
      2,
    );
  });

  it("refuses an alarm without action, and trusts topics of other stacks", async () => {
    const none = changed(handWritten(), "silent", { alarmActions: [] });
    assert.match((await refused(alarmSubscribers, none, prod))[0] ?? "", /silent has no action/);
    const given = changed(silent(), "silent", {
      alarmActions: ["arn:aws:sns:us-east-1:123456789012:on-call"],
    });
    assert.equal((await refused(alarmSubscribers, given, prod)).length, 1);
  });

  it("knows a topic that is being made, and says what it judges at update", async () => {
    const stack = changed(handWritten(), "silent", { alarmActions: unknown });
    assert.match(
      advice(await judge(alarmSubscribers, all(stack), prod))[0] ?? "",
      /Judged at update: whom alarm/,
    );
    stack.silent!.from = { alarmActions: ["scanner-refresh-matview-topic"] };
    assert.deepEqual(await judge(alarmSubscribers, all(stack), prod), []);
  });
});
