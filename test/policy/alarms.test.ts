/** The rules on alarms: they exist, can fire, fire in time, and tell somebody. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { toEnvironment, type HandlerSettings } from "../../handler/settings";
import { alarmSubscribers } from "../../policy/rules/alarmSubscribers";
import { errorsAlarm } from "../../policy/rules/errorsAlarm";
import { refreshSchedule } from "../../policy/rules/refreshSchedule";
import { refreshTimeout } from "../../policy/rules/refreshTimeout";
import { retries } from "../../policy/rules/retries";
import { staleAlarm } from "../../policy/rules/staleAlarm";
import { acceptedSettings } from "../components/settings/acceptedSettings";
import { advice, judge, refusals, unknown } from "./judge";
import { advised, all, changed, handWritten, ofComponent, refused, without } from "./stacks";

const HANDLER_SETTINGS: HandlerSettings = {
  ...{ group: "many", views: [], logFormat: "json", historyRetentionDays: 30 },
  database: { host: "db", port: "5432", name: "d", user: "u", auth: "iam", tls: "verify-full" },
};

/** The classic alarm: over 5 errors in each of 2 periods of a minute. */
const CLASSIC = {
  comparisonOperator: "GreaterThanThreshold",
  threshold: 5,
  period: 60,
  evaluationPeriods: 2,
  datapointsToAlarm: 2,
};

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

  it("refuses the classic alarm, with the numbers", async () => {
    const [message = "", ...more] = await refused(errorsAlarm, changed(handWritten(), "errors", CLASSIC));
    assert.deepEqual(more, []);
    assert.match(message, /scanner-refresh-matview-errors of scanner-refresh-matview can never fire/);
    assert.match(message, /needs GreaterThanThreshold 5 in 2 of 2 periods of 60 s/);
    assert.match(
      message,
      /every tick of rate\(1 minute\) fails \(with 0 retries\), a period holds at most 1 error/,
    );
  });

  it("counts Lambda's retries where nothing takes them away, which are still too few for the classic alarm", async () => {
    const stack = without(changed(handWritten(), "errors", CLASSIC), "config");
    assert.match(
      (await refused(errorsAlarm, stack))[0] ?? "",
      /\(with 2 retries\), a period holds at most 3 errors/,
    );
    const lower = changed(stack, "errors", { threshold: 2 });
    assert.deepEqual(await refused(errorsAlarm, lower), []);
  });

  it("refuses the classic alarm among the component's", async () => {
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
    const every = changed(stack, "errors", { datapointsToAlarm: undefined });
    assert.match((await refused(errorsAlarm, every))[0] ?? "", /can never fire.* in 3 of 3 periods of 60 s/);
  });

  it("refuses an average above 1 and a comparison the wrong way", async () => {
    for (const props of [
      { statistic: "Average", threshold: 2 },
      { comparisonOperator: "LessThanThreshold", threshold: 0 },
    ]) {
      assert.match(
        (await refused(errorsAlarm, changed(handWritten(), "errors", props)))[0] ?? "",
        /never fire/,
      );
    }
  });

  it("refuses metric math that it cannot follow where it is alone, and leaves it beside an alarm that can fire", async () => {
    const metric = {
      namespace: "AWS/Lambda",
      metricName: "Errors",
      stat: "Sum",
      period: 60,
      dimensions: { FunctionName: "scanner-refresh-matview" },
    };
    const metricQueries = [
      { id: "e", expression: "RATE(m)", returnData: true },
      { id: "m", metric },
    ];
    const props = { metricName: undefined, namespace: undefined, metricQueries };
    const math = changed(handWritten(), "errors", props);
    assert.match(
      (await refused(errorsAlarm, math))[0] ?? "",
      /no alarm on its Errors .* that can be replayed/,
    );
    const both = { ...handWritten(), rate: { ...math.errors!, name: "error-rate" } };
    assert.deepEqual(await judge(errorsAlarm, all(both)), []);
  });

  it("refuses a function without one, and one that watches another function", async () => {
    const other = changed(handWritten(), "errors", { dimensions: { FunctionName: "another" } });
    for (const stack of [without(handWritten(), "errors"), other]) {
      assert.match((await refused(errorsAlarm, stack))[0] ?? "", /has no alarm on its Errors/);
    }
  });

  it("says what it judges at update", async () => {
    const threshold = await judge(errorsAlarm, all(changed(handWritten(), "errors", { threshold: unknown })));
    assert.deepEqual(refusals(threshold), []);
    assert.match(advice(threshold)[0] ?? "", /Judged at update: whether alarm .* can fire \(threshold\)/);
    const stack = handWritten();
    const dimension = changed(stack, "errors", { dimensions: { FunctionName: unknown } });
    assert.match(await advised(errorsAlarm, dimension), /Judged at update: which alarm/);
  });

  it("follows a relation that is not known yet to the resource it comes from", async () => {
    const stack = changed(
      changed(handWritten(), "errors", { ...CLASSIC, dimensions: { FunctionName: unknown } }),
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

  it("refuses a view without one, by the view's name", async () => {
    const messages = await refused(staleAlarm, without(ofComponent(), "alarm-stale"));
    assert.match(messages[0] ?? "", /View public\.job_progress has no stale alarm/);
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

  it("reads a list of views that is too long to stand in the variable as it is", async () => {
    const names = Array.from({ length: 50 }, (_, index) => `sales_by_region_${index}`);
    const views = names.map((name) => ({ schema: "public", name, allowBlocking: true }));
    const stack = ofComponent();
    const { variables } = stack.fn!.props.environment as { variables: object };
    const { MATVIEW_VIEWS } = toEnvironment({ ...HANDLER_SETTINGS, views });
    assert.match(MATVIEW_VIEWS ?? "", /^brotli:/);
    const many = changed(stack, "fn", { environment: { variables: { ...variables, MATVIEW_VIEWS } } });
    const messages = await refused(staleAlarm, many);
    assert.equal(messages.length, 50);
    assert.match(messages.at(-1) ?? "", /View public\.sales_by_region_49 has no stale alarm/);
  });

  it("refuses missing data that does not breach, which a dead schedule leaves", async () => {
    for (const treatMissingData of ["notBreaching", "missing", "ignore", undefined]) {
      const messages = await refused(staleAlarm, changed(ofComponent(), "alarm-stale", { treatMissingData }));
      assert.match(messages[0] ?? "", new RegExp(`missing data ${treatMissingData ?? "missing"}`));
    }
  });

  it("refuses one that fires after the promised time, and one that never does", async () => {
    const late = changed(ofComponent(), "alarm-stale", { evaluationPeriods: 10, datapointsToAlarm: 10 });
    assert.match((await refused(staleAlarm, late))[0] ?? "", /data may be 37\d\d s old .*promised are 540 s/);
    const never = changed(ofComponent(), "alarm-stale", { threshold: 0 });
    assert.match((await refused(staleAlarm, never))[0] ?? "", /does not go off when refreshes stop/);
  });

  it("wants none while every schedule is switched off", async () => {
    const off = changed(without(ofComponent(), "alarm-stale"), "rule", { state: "DISABLED" });
    assert.deepEqual(await judge(staleAlarm, all(off)), []);
  });

  it("says what it judges at update", async () => {
    const { variables } = ofComponent().fn!.props.environment as { variables: object };
    const views = changed(ofComponent(), "fn", {
      environment: { variables: { ...variables, MATVIEW_VIEWS: unknown } },
    });
    assert.match(await advised(staleAlarm, views), /Judged at update: the views/);
    const missing = changed(ofComponent(), "alarm-stale", { treatMissingData: unknown });
    assert.match(await advised(staleAlarm, missing), /Judged at update: treatMissingData/);
    const stale = ofComponent()["alarm-stale"]!.props.metricQueries as { metric: object }[];
    const dimensions = { group: "job_progress", view: unknown };
    const metricQueries = [stale[0], { ...stale[1], metric: { ...stale[1]!.metric, dimensions } }];
    const view = changed(ofComponent(), "alarm-stale", { metricQueries });
    assert.match(await advised(staleAlarm, view), /Judged at update: which alarm watches view job_progress/);
    const tags = { "matview-refresh:max-staleness-seconds": unknown };
    const promise = changed(ofComponent(), "rule", { tags });
    assert.match(await advised(staleAlarm, promise), /Judged at update: tags.*staleness/);
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

describe("alarms of a maintained view", () => {
  it("are nothing that a rule has something against, and do not stand in for the errors and stale alarms", async () => {
    const stack = ofComponent({ views: [{ name: "public.job_progress", incremental: {} }] });
    assert.ok(stack["alarm-drift"] && stack["alarm-fullRuns"]);
    for (const rule of [errorsAlarm, staleAlarm, alarmSubscribers]) {
      assert.deepEqual(await judge(rule, all(stack)), [], rule.name);
    }
    assert.match(
      (await refused(errorsAlarm, without(stack, "alarm-failing")))[0] ?? "",
      /no alarm on its Errors/,
    );
    assert.match((await refused(staleAlarm, without(stack, "alarm-stale")))[0] ?? "", /has no stale alarm/);
  });
});

describe("alarm-subscribers", () => {
  const silent = () => without(handWritten(), "subscription");

  it("is content where somebody subscribes, and trusts topics of other stacks", async () => {
    assert.deepEqual(await judge(alarmSubscribers, all(handWritten())), []);
    assert.deepEqual(await judge(alarmSubscribers, all(ofComponent())), []);
    const alarmActions = ["arn:aws:sns:us-east-1:123456789012:on-call"];
    assert.deepEqual(await refused(alarmSubscribers, changed(silent(), "errors", { alarmActions })), []);
  });

  it("refuses alarms that tell nobody, but for a development stack, where it says so", async () => {
    const stacks = [
      silent(),
      changed(handWritten(), "errors", { alarmActions: [] }),
      changed(handWritten(), "errors", { actionsEnabled: false }),
    ];
    for (const stack of stacks) {
      assert.match((await refused(alarmSubscribers, stack))[0] ?? "", /tell nobody: scanner.*-errors/);
      const said = await judge(alarmSubscribers, all(stack), { stack: "dev" });
      assert.deepEqual(refusals(said), []);
      assert.match(advice(said)[0] ?? "", /tell nobody.*Allowed in a development stack/);
      const tagged = changed(stack, "fn", { tags: { environment: "production" } });
      assert.equal((await refused(alarmSubscribers, tagged, { stack: "dev" })).length, 1);
      const config = { developmentPattern: "^never$" };
      assert.equal((await refused(alarmSubscribers, stack, { stack: "dev", config })).length, 1);
    }
  });

  it("knows a topic that is being made, and says what it judges at update", async () => {
    const stack = changed(handWritten(), "errors", { alarmActions: unknown });
    const said = await judge(alarmSubscribers, all(stack));
    assert.match(advice(said)[0] ?? "", /Judged at update: whom alarm/);
    stack.errors!.from = { alarmActions: ["scanner-refresh-matview-topic"] };
    assert.deepEqual(await judge(alarmSubscribers, all(stack)), []);
  });
});
