/** The rules on the function itself: schedule, timeout, retries, log, runtime. */
import assert from "node:assert/strict";
import { logRetention } from "../../policy/rules/logRetention";
import { refreshSchedule } from "../../policy/rules/refreshSchedule";
import { refreshTimeout } from "../../policy/rules/refreshTimeout";
import { retries } from "../../policy/rules/retries";
import { supportedRuntime } from "../../policy/rules/supportedRuntime";
import table from "../../policy/runtimeDates.json";
import { TYPE } from "../../policy/resource";
import { judge, unknown } from "./judge";
import { advised, all, changed, handWritten, ofComponent, refused, without } from "./stacks";

describe("refresh-schedule", () => {
  it("is content with rules, delay queues and EventBridge schedules", async () => {
    for (const stack of [handWritten(), ofComponent(), ofComponent({ refreshRate: "rate(15 seconds)" })]) {
      assert.deepEqual(await judge(refreshSchedule, all(stack)), []);
    }
    const arn = handWritten().fn!.props.arn;
    const props = { scheduleExpression: "rate(5 minutes)", target: { arn } };
    const scheduler = {
      ...without(handWritten(), "rule", "target"),
      s: { type: TYPE.schedule, name: "s", props },
    };
    assert.deepEqual(await judge(refreshSchedule, all(scheduler)), []);
  });

  it("refuses a function that nothing reaches, and a rate that AWS refuses", async () => {
    assert.match(
      (await refused(refreshSchedule, without(handWritten(), "target")))[0] ?? "",
      /No schedule of this stack/,
    );
    const elsewhere = changed(handWritten(), "target", {
      arn: "arn:aws:lambda:us-east-1:123456789012:function:another",
    });
    assert.match((await refused(refreshSchedule, elsewhere))[0] ?? "", /No schedule of this stack/);
    const events = changed(handWritten(), "rule", { scheduleExpression: undefined, eventPattern: "{}" });
    assert.match((await refused(refreshSchedule, events))[0] ?? "", /No schedule of this stack/);
    const plural = changed(handWritten(), "rule", { scheduleExpression: "rate(1 minutes)" });
    assert.match(
      (await refused(refreshSchedule, plural))[0] ?? "",
      /AWS wants the singular "minute" after 1. Use for instance rate\(1 minute\)/,
    );
  });

  for (const expression of ["rate(30 seconds)", "rate(10 seconds)"]) {
    it(`refuses ${expression} on a rule or schedule of AWS, which has no step under a minute`, async () => {
      const expected = new RegExp(`"rate\\(${expression.slice(5, -1)}\\)".*no step under a minute`);
      const messages = await refused(refreshSchedule, handWritten("matview", expression));
      assert.equal(messages.length, 1, messages.join("\n"));
      assert.match(messages[0] ?? "", expected);
      const { arn } = handWritten().fn!.props;
      const props = { scheduleExpression: expression, target: { arn } };
      const scheduler = {
        ...without(handWritten(), "rule", "target"),
        s: { type: TYPE.schedule, name: "s", props },
      };
      assert.match((await refused(refreshSchedule, scheduler))[0] ?? "", expected);
    });
  }

  it("follows the ARN of a version", async () => {
    const stack = handWritten();
    const version = changed(stack, "target", { arn: `${String(stack.fn!.props.arn)}:7` });
    assert.deepEqual(await judge(refreshSchedule, all(version)), []);
  });

  it("says what it judges at update", async () => {
    const rate = changed(handWritten(), "rule", { scheduleExpression: unknown });
    assert.match(await advised(refreshSchedule, rate), /Judged at update: the schedule of scanner/);
    const target = changed(handWritten(), "target", { arn: unknown });
    assert.match(
      await advised(refreshSchedule, target),
      /Judged at update: what triggers scanner-refresh-matview/,
    );
  });
});

describe("refresh-timeout", () => {
  it("is content within twice the interval", async () => {
    for (const stack of [ofComponent(), handWritten()]) {
      assert.deepEqual(await judge(refreshTimeout, all(stack)), []);
    }
  });

  it("refuses one that is too long for the schedule, as the settings do", async () => {
    const stack = changed(ofComponent({ refreshRate: "rate(2 minutes)" }), "fn", { timeout: 241 });
    assert.match((await refused(refreshTimeout, stack))[0] ?? "", /rate\(2 minutes\) allows 240 s/);
    assert.deepEqual(await refused(refreshTimeout, changed(stack, "fn", { timeout: 240 })), []);
  });

  it("says what it judges at update", async () => {
    const said = await advised(refreshTimeout, changed(ofComponent(), "fn", { timeout: unknown }));
    assert.match(said, /Judged at update: whether the timeout .* fits its schedule/);
  });
});

describe("retries", () => {
  it("is content with none, and an age of one interval", async () => {
    assert.deepEqual(await judge(retries, all(handWritten())), []);
    const age = { maximumEventAgeInSeconds: 300 };
    assert.deepEqual(
      await judge(retries, all(changed(ofComponent({ refreshRate: "rate(5 minutes)" }), "config", age))),
      [],
    );
  });

  it("refuses Lambda's defaults, which hold without a configuration", async () => {
    const none = (await refused(retries, without(handWritten(), "config"))).join("\n");
    assert.match(none, /runs a failed tick of .* 2 times more/);
    assert.match(none, /may wait 21600 s/);
    const empty = changed(handWritten(), "config", {
      maximumRetryAttempts: undefined,
      maximumEventAgeInSeconds: undefined,
    });
    assert.equal((await refused(retries, empty)).length, 2);
  });

  it("refuses retries, and an event older than an interval", async () => {
    assert.match(
      (await refused(retries, changed(handWritten(), "config", { maximumRetryAttempts: 1 })))[0] ?? "",
      /1 times more. Give it .* maximumRetryAttempts 0/,
    );
    const old = changed(ofComponent({ refreshRate: "rate(2 minutes)" }), "config", {
      maximumEventAgeInSeconds: 121,
    });
    assert.match((await refused(retries, old))[0] ?? "", /may wait 121 s.*at most 120 s/);
  });

  it("says what it judges at update", async () => {
    for (const key of ["maximumRetryAttempts", "maximumEventAgeInSeconds", "functionName"]) {
      const stack = changed(handWritten(), "config", { [key]: unknown });
      assert.match(await advised(retries, stack), /Judged at update: what happens to failed and late ticks/);
    }
  });
});

describe("log-retention", () => {
  it("is content with a retention", async () => {
    assert.deepEqual(await judge(logRetention, all(handWritten())), []);
  });

  it("refuses none, for ever, and a group that Lambda would make", async () => {
    for (const retentionInDays of [undefined, 0]) {
      assert.match(
        (await refused(logRetention, changed(handWritten(), "logs", { retentionInDays })))[0] ?? "",
        /has no retention/,
      );
    }
    assert.match(
      (await refused(logRetention, without(handWritten(), "logs")))[0] ?? "",
      /has no retention.*make a LogGroup/,
    );
  });

  it("finds the group that the function names, and leaves one outside the stack alone", async () => {
    const named = changed(changed(handWritten(), "fn", { loggingConfig: { logGroup: "views" } }), "logs", {
      name: "views",
    });
    assert.deepEqual(await judge(logRetention, all(named)), []);
    assert.deepEqual(await judge(logRetention, all(without(named, "logs"))), []);
  });

  it("says what it judges at update", async () => {
    const days = changed(handWritten(), "logs", { retentionInDays: unknown });
    assert.match(await advised(logRetention, days), /Judged at update: the log group/);
    const group = changed(handWritten(), "fn", { loggingConfig: { logGroup: unknown } });
    assert.match(await advised(logRetention, group), /Judged at update: the log group/);
  });
});

describe("supported-runtime", () => {
  const runs = (runtime: unknown) => changed(handWritten(), "fn", { runtime });

  it("goes by the table and the configured day", async () => {
    assert.deepEqual(await judge(supportedRuntime, all(runs("nodejs24.x"))), []);
    assert.match(
      (await refused(supportedRuntime, runs("nodejs20.x")))[0] ?? "",
      /deprecated since 2026-04-30/,
    );
    assert.deepEqual(
      await refused(supportedRuntime, runs("nodejs20.x"), { config: { judgedOn: "2026-04-29" } }),
      [],
    );
    assert.equal(
      (await refused(supportedRuntime, runs("nodejs24.x"), { config: { judgedOn: "2028-04-30" } })).length,
      1,
    );
  });

  it("refuses a runtime nobody dated, until its date is configured; a container image has none", async () => {
    assert.match((await refused(supportedRuntime, runs("nodejs28.x")))[0] ?? "", /is not in the table/);
    const config = { furtherRuntimes: { "nodejs28.x": "2031-04-30" } };
    assert.deepEqual(await refused(supportedRuntime, runs("nodejs28.x"), { config }), []);
    assert.deepEqual(await refused(supportedRuntime, runs(undefined)), []);
    assert.match(await advised(supportedRuntime, runs(unknown)), /Judged at update: the runtime/);
  });

  it("has a table of days, each runtime once", () => {
    const days = [table.readOn, ...table.runtimes.map(({ deprecatedOn }) => deprecatedOn)];
    for (const day of days) assert.equal(new Date(day).toISOString().slice(0, 10), day);
    assert.equal(new Set(table.runtimes.map(({ runtime }) => runtime)).size, table.runtimes.length);
  });
});
