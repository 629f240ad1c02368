/** The program on the real engine with an existing database: made, changed, switched off, destroyed, and refused. */
import assert from "node:assert/strict";
import * as path from "node:path";
import { describeEngine, repositoryProgram, type EngineProgram, type EngineStack } from "./engine";
import { assertSucceeded, changesOf, stepOfType } from "./engineRun";

const policyPack = path.resolve(__dirname, "../../policy");
const base = "matview-prod-refresh-job-progress";

/** What a tick after the first of its minute needs. */
function delayed(operation: string, ...offsets: string[]): string[] {
  return offsets.flatMap((offset) =>
    ["EventSourceMapping", "EventTarget", "Queue", "QueuePolicy"].map(
      (type) => `${operation} ${type} rule-${offset}`,
    ),
  );
}

const promise = 'tags["matview-refresh:max-staleness-seconds"]';
const price = 'tags["matview-refresh:monthly-usd"]';
const warmUp = "warmUpConfiguration.warmUpPeriodDurationInMinutes";
/** The alarms that look back over ticks, and so change with the rate: windows, and the text that states them. */
const failingAlarm = `update MetricAlarm alarm-failing: alarmDescription, metricQueries[1].metric.period, metricQueries[2].metric.period, ${warmUp}`;
const staleAlarm = `update MetricAlarm alarm-stale-public.job_progress: alarmDescription, metricQueries[1].metric.period, ${warmUp}`;
const dashboard = "update Dashboard dashboard: dashboardBody";
const rolePolicy = "update RolePolicy role: policy";

describeEngine("a stack with an existing database", () => {
  let program: EngineProgram;
  let stack: EngineStack;

  before(async () => {
    program = await repositoryProgram();
    stack = await program.openStack({ stack: "prod" });
  });

  it("comes up, past the policies, and tells how it is used", async () => {
    const up = await stack.up({ policyPack });
    assertSucceeded(up);
    assert.deepEqual(up.violations, []);
    assert.deepEqual(up.summary, { create: 25 });
    const outputs = await stack.outputs();
    assert.equal(outputs.functionName, base);
    assert.equal(outputs.ruleName, base);
    assert.equal(outputs.logGroupName, `/aws/lambda/${base}`);
    assert.equal(outputs.topicArn, `arn:aws:sns:us-east-1:123456789012:${base}`);
    assert.equal((outputs.alarmArns as string[]).length, 4);
    assert.match(String(outputs.codeHash), /^[0-9a-f]{64}$/);
    const { totalUsd, lines } = outputs.monthlyCost as { totalUsd: number; lines: object[] };
    assert.ok(totalUsd > 0 && lines.length > 3);
    // A new alarm waits until its window is full, so that a first deployment wakes nobody.
    for (const [key, minutes] of [
      ["failing", 4],
      ["stale-public.job_progress", 5],
    ] as const) {
      assert.deepEqual(stepOfType(up, "MetricAlarm", `${base}-alarm-${key}`).inputs.warmUpConfiguration, {
        warmUpPeriodDurationInMinutes: minutes,
        onlyStartEvaluatingAfterWarmUpPeriodEnds: true,
      });
    }
    const { verification } = outputs as { verification: Record<string, string> };
    assert.equal(
      verification["Stop refreshing for a while"],
      `aws events disable-rule --name ${base} --region us-east-1`,
    );
  });

  it("has nothing to do the second time", async () => {
    assertSucceeded(await stack.up({ expectNoChanges: true }));
  });

  it("becomes quicker: queues come, which the role may read, rule and alarms stay at minutes", async () => {
    await stack.setConfig("refreshRate", "rate(15 seconds)");
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(
      changesOf(up, base),
      [
        ...delayed("create", "15s", "45s"),
        dashboard,
        `update EventRule rule: description, ${price}`,
        rolePolicy,
      ].sort(),
    );
  });

  it("goes back to a minute: the queues go", async () => {
    await stack.setConfig("refreshRate", "rate(1 minute)");
    const up = await stack.up();
    assertSucceeded(up);
    assert.deepEqual(
      changesOf(up, base),
      [
        ...delayed("delete", "15s", "30s", "45s"),
        dashboard,
        `update EventRule rule: description, ${promise}, ${price}`,
        failingAlarm,
        staleAlarm,
        rolePolicy,
      ].sort(),
    );
  });

  it("would become slower by schedule and alarms, without a change of the function and its role", async () => {
    await stack.setConfig("refreshRate", "rate(5 minutes)");
    const preview = await stack.preview();
    assertSucceeded(preview);
    assert.deepEqual(
      changesOf(preview, base),
      [
        dashboard,
        `update EventRule rule: description, scheduleExpression, ${promise}, ${price}`,
        failingAlarm,
        staleAlarm,
        "update MetricAlarm alarm-slow: evaluationPeriods, metricQueries[1].metric.period",
        "update MetricAlarm alarm-throttled: period",
      ].sort(),
    );
  });

  it("is switched off by its rule, and the stale alarm goes with it", async () => {
    await stack.setConfig("refreshRate", "rate(1 minute)");
    await stack.setConfig("refreshEnabled", "false");
    const off = await stack.up();
    assertSucceeded(off);
    assert.deepEqual(changesOf(off, base), [
      "delete MetricAlarm alarm-stale-public.job_progress",
      dashboard,
      `update EventRule rule: state, ${price}`,
    ]);
    assert.equal(stepOfType(off, "EventRule").inputs.state, "DISABLED");
  });

  it("is destroyed to the last resource", async () => {
    const destroy = await stack.destroy();
    assertSucceeded(destroy);
    assert.deepEqual(destroy.summary, { delete: 20 });
    assert.deepEqual(await stack.resources(), []);
  });

  it("previews without a warning with a secret behind an endpoint and a key of its own", async () => {
    const kmsKeyArn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000";
    const secretArn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:scanner-AbCdEf";
    const withSecret = await program.openStack({
      stack: "secret",
      valuesFrom: "prod",
      config: {
        kmsKeyArn,
        database: { host: "db.example.com", name: "scanner", auth: "secret", secretArn },
        network: {
          vpcId: "vpc-0a1b2c3d4e5f60718",
          subnetIds: ["subnet-0a1b2c3d4e5f60718", "subnet-0b2c3d4e5f6071829"],
          databaseSecurityGroupId: "sg-0a1b2c3d4e5f60718",
          secretsEndpoint: true,
        },
      },
    });
    const preview = await withSecret.preview();
    assertSucceeded(preview);
    // The ids of Pulumi.prod.yaml belong to nobody, and it says so.
    assert.equal(preview.problems.length, 1);
    assert.match(preview.problems[0] ?? "", /placeholders: kmsKeyArn, .*network\.vpcId/);
    const fn = stepOfType(preview, "Function");
    const { variables } = fn.inputs.environment as { variables: Record<string, string> };
    assert.equal(variables.MATVIEW_DATABASE_AUTH, "secret");
    assert.equal(variables.MATVIEW_DATABASE_SECRET_ARN, secretArn);
    assert.equal(variables.MATVIEW_DATABASE_USER, undefined);
    const keys = [
      fn.inputs.kmsKeyArn,
      stepOfType(preview, "LogGroup").inputs.kmsKeyId,
      stepOfType(preview, "Queue").inputs.kmsMasterKeyId,
      stepOfType(preview, "Topic").inputs.kmsMasterKeyId,
    ];
    assert.deepEqual(keys, [kmsKeyArn, kmsKeyArn, kmsKeyArn, kmsKeyArn]);
    // The prod stack's 25, and: endpoint, its group, the way in and the way out to it.
    assert.deepEqual(preview.summary, { create: 29 });
  });

  it("is refused for wrong settings with the full list, before any resource and without a stack trace", async () => {
    const refused = await program.openStack({
      stack: "refused",
      valuesFrom: "prod",
      config: {
        refreshRate: "rate(2 minute)",
        memoryMB: 256,
        timeoutSeconds: 901,
        logRetentionDays: 15,
        alarmEmails: ["nobody"],
        alarms: { errors: { threshold: 5, periodSeconds: 60, evaluationPeriods: 2, datapointsToAlarm: 3 } },
        database: { host: "db.example.com", name: "scanner", user: "refresher" },
        network: { vpcId: "vpc-0a1b2c3d4e5f60718", subnetIds: ["subnet-0a1b2c3d4e5f60718"] },
      },
    });
    await refused.setConfig("runbookUrl", "https://user:a-word-to-be-kept@example.com", "--secret");
    const { exitCode, text, steps } = await refused.preview();
    assert.notEqual(exitCode, 0);
    const keys = text.split("\n").flatMap((line) => /^\s+(\S+) = /.exec(line)?.[1] ?? []);
    assert.deepEqual([...new Set(keys)].sort(), [
      "alarmEmails[0]",
      "alarms.errors.datapointsToAlarm",
      "database.resourceId",
      "logRetentionDays",
      "memoryMB",
      "network.databaseSecurityGroupId",
      "network.subnetIds",
      "refreshRate",
      "runbookUrl",
      "timeoutSeconds",
    ]);
    assert.match(text, /10 settings are wrong/);
    assert.match(text, /pulumi config set refreshRate "rate\(2 minutes\)"/);
    assert.match(text, /perhaps memoryMb is meant/);
    assert.doesNotMatch(text, /^\s+at .+:\d+/m);
    assert.doesNotMatch(text, /unhandled/i);
    assert.doesNotMatch(text, /a-word-to-be-kept/);
    const types = steps.map(({ type }) => type);
    assert.deepEqual([...new Set(types)], ["pulumi:pulumi:Stack"]);
  });
});
