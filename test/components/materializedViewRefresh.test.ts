/** What the component registers, on mocks. */
import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import type { MaterializedViewRefreshArgs } from "../../components/args";
import { recordedPrices } from "../../components/cost/prices";
import type { RegisteredResource } from "../engine/mocks";
import {
  allOf,
  childrenAtAMinute,
  endpointUrl,
  assertNoPublicIngress,
  assertNoWildcards,
  oneOf,
  plainArgs,
  policyStatements,
  runComponent,
  secretArgs,
  secretsUrlOf,
} from "./componentRun";

/** `Queue views-rule-30s`, sorted. */
function names(resources: RegisteredResource[]): string[] {
  return resources.map(({ type, name }) => `${type.split(":").at(-1)} ${name}`).sort();
}

describe("the component", () => {
  it("leaves Secrets Manager at its public address where it makes no endpoint", async () => {
    const run = await runComponent(secretArgs);
    assert.equal(secretsUrlOf(oneOf(run, "Function")), undefined);
  });

  it("has children of stable names, all of them its own", async () => {
    const { resources } = await runComponent();
    assert.deepEqual(names(resources), childrenAtAMinute);
    const component = oneOf({ resources }, "MaterializedViewRefresh");
    for (const child of resources) {
      if (child !== component) assert.equal(child.parent, component.urn, child.name);
    }
  });

  it("adds a queue, its policy, its mapping and a target for each tick below a minute, and nothing else", async () => {
    const { resources } = await runComponent({ refreshRate: "rate(20 seconds)" });
    const added = ["20s", "40s"].flatMap((offset) =>
      ["EventSourceMapping", "EventTarget", "Queue", "QueuePolicy"].map(
        (type) => `${type} views-rule-${offset}`,
      ),
    );
    assert.deepEqual(names(resources), [...childrenAtAMinute, ...added].sort());
  });

  it("adds topic and subscriptions for e-mail, and endpoint and rules for a secret without a way out", async () => {
    const { resources } = await runComponent({
      ...secretArgs,
      network: { ...plainArgs.network, secretsEndpoint: true },
      alarmEmails: ["ops@example.com"],
    });
    const added = [
      "SecurityGroup views-secrets",
      "SecurityGroupEgressRule views-security-group-to-secrets-manager",
      "SecurityGroupIngressRule views-secrets-in",
      "Topic views-topic",
      "TopicSubscription views-topic-ops@example.com",
      "VpcEndpoint views-secrets",
    ];
    assert.deepEqual(names(resources), [...childrenAtAMinute, ...added].sort());
    const endpoint = oneOf({ resources }, "VpcEndpoint");
    assert.equal(endpoint.inputs.serviceName, "com.amazonaws.us-east-1.secretsmanager");
    assert.equal(endpoint.inputs.privateDnsEnabled, false, "other clients of the VPC must not be sent there");
    const fn = oneOf({ resources }, "Function");
    assert.equal(secretsUrlOf(fn), endpointUrl(endpoint));
    assert.ok(fn.dependencies.includes(endpoint.urn), "the function is made before its way to the secret");
  });

  it("admits a security group that is given to the endpoint, and adds no other rule", async () => {
    const { databaseSecurityGroupId: _own, ...network } = plainArgs.network;
    const securityGroupId = "sg-0c3d4e5f60718293a";
    const run = await runComponent({
      ...secretArgs,
      network: { ...network, securityGroupId, secretsEndpoint: true },
    });
    const admission = oneOf(run, "SecurityGroupIngressRule", "views-secrets-in");
    assert.equal(admission.inputs.referencedSecurityGroupId, securityGroupId);
    assert.deepEqual(admission.references.securityGroupId, [
      oneOf(run, "SecurityGroup", "views-secrets").urn,
    ]);
    assert.equal(allOf(run, "SecurityGroupIngressRule").length, 1);
    assert.deepEqual(allOf(run, "SecurityGroupEgressRule"), []);
  });

  it("adds two alarms for a view that is maintained, and tells the function when to recompute it", async () => {
    const views = [{ name: "public.job_progress", incremental: { fullEvery: "rate(12 hours)" } }];
    const run = await runComponent({ views });
    const added = ["drift", "fullRuns"].map((kind) => `MetricAlarm views-alarm-${kind}-public.job_progress`);
    assert.deepEqual(names(run.resources), [...childrenAtAMinute, ...added].sort());
    const { environment } = oneOf(run, "Function").inputs as {
      environment: { variables: Record<string, string> };
    };
    assert.deepEqual(JSON.parse(environment.variables.MATVIEW_VIEWS ?? ""), [
      {
        schema: "public",
        name: "job_progress",
        allowBlocking: true,
        fullEverySeconds: 43_200,
        allowFullRuns: true,
      },
    ]);
  });

  it("lets the rule call the function, and only that rule", async () => {
    const run = await runComponent();
    const rule = oneOf(run, "EventRule");
    const fn = oneOf(run, "Function");
    const permission = oneOf(run, "Permission");
    assert.equal(permission.inputs.principal, "events.amazonaws.com");
    assert.deepEqual(permission.references, { function: [fn.urn], sourceArn: [rule.urn] });
    const target = oneOf(run, "EventTarget");
    assert.deepEqual(target.references, { rule: [rule.urn], arn: [fn.urn] });
    assert.ok(target.dependencies.includes(permission.urn), "a tick may come before it is permitted");
    assert.equal(target.inputs.input, undefined);
    const invokeConfig = oneOf(run, "FunctionEventInvokeConfig");
    assert.deepEqual(
      [invokeConfig.inputs.maximumRetryAttempts, invokeConfig.inputs.maximumEventAgeInSeconds],
      [0, 60],
    );
  });

  it("takes a tick below a minute through a queue that only its rule may write to", async () => {
    const run = await runComponent({ refreshRate: "rate(30 seconds)" });
    const rule = oneOf(run, "EventRule");
    const fn = oneOf(run, "Function");
    const queue = oneOf(run, "Queue");
    assert.deepEqual(
      [queue.inputs.delaySeconds, queue.inputs.messageRetentionSeconds, queue.inputs.sqsManagedSseEnabled],
      [30, 60, true],
    );
    const admission = oneOf(run, "QueuePolicy");
    assert.deepEqual(admission.references.queueUrl, [queue.urn]);
    const { Statement } = JSON.parse(String(admission.inputs.policy)) as { Statement: object[] };
    assert.deepEqual(Statement, [
      {
        Sid: "TicksOfOneRule",
        Effect: "Allow",
        Principal: { Service: "events.amazonaws.com" },
        Action: "sqs:SendMessage",
        Resource: queue.outputs.arn,
        Condition: { ArnEquals: { "aws:SourceArn": rule.outputs.arn } },
      },
    ]);
    const target = oneOf(run, "EventTarget", "views-rule-30s");
    assert.deepEqual(target.references, { rule: [rule.urn], arn: [queue.urn] });
    assert.ok(target.dependencies.includes(admission.urn));
    const mapping = oneOf(run, "EventSourceMapping");
    assert.deepEqual(mapping.references, { eventSourceArn: [queue.urn], functionName: [fn.urn] });
    const grants = [oneOf(run, "RolePolicy"), oneOf(run, "RolePolicyAttachment")];
    for (const grant of grants) {
      assert.ok(mapping.dependencies.includes(grant.urn), "Lambda would refuse the mapping");
      assert.ok(fn.dependencies.includes(grant.urn), "the function would start without permissions");
    }
    assert.deepEqual(run.result.queueUrls, [queue.outputs.url]);
    assert.deepEqual(run.result.mappingIds, [mapping.id]);
  });

  it("tells a queue of ticks that could not be delivered, and a topic of those that Lambda lost alone", async () => {
    const queueArn = "arn:aws:sqs:us-east-1:123456789012:lost-ticks";
    const topicArn = "arn:aws:sns:us-east-1:123456789012:lost-ticks";
    for (const [destination, args, deadLetterConfig] of [
      [queueArn, { failureQueueArn: queueArn }, { arn: queueArn }],
      [topicArn, { failureTopicArn: topicArn }, undefined],
    ] as const) {
      const run = await runComponent({ ...args, refreshRate: "rate(30 seconds)" });
      const targets = allOf(run, "EventTarget").map(({ inputs }) => inputs.deadLetterConfig);
      assert.deepEqual(targets, [deadLetterConfig, deadLetterConfig]);
      assert.deepEqual(oneOf(run, "FunctionEventInvokeConfig").inputs.destinationConfig, {
        onFailure: { destination },
      });
    }
  });

  it("names in the role's policy what it has to do, exactly", async () => {
    const run = await runComponent({ refreshRate: "rate(30 seconds)" });
    const own = policyStatements(run).filter(({ holder }) => holder.endsWith("RolePolicy views-role"));
    assert.deepEqual(
      own.map(({ actions, resources }) => [actions, resources]),
      [
        [["logs:CreateLogStream", "logs:PutLogEvents"], [`${String(oneOf(run, "LogGroup").outputs.arn)}:*`]],
        [
          ["rds-db:connect"],
          ["arn:aws:rds-db:us-east-1:123456789012:dbuser:cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ/matview_refresh"],
        ],
        [
          ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
          [oneOf(run, "Queue").outputs.arn],
        ],
      ],
    );
    assert.equal(run.result.rolePolicy, oneOf(run, "RolePolicy").inputs.policy);
  });

  it("keeps the right to network interfaces, which AWS gives on everything, from the function's own code", async () => {
    const { rolePolicy, functionName } = (await runComponent()).result;
    const { Statement } = JSON.parse(rolePolicy) as { Statement: Record<string, unknown>[] };
    const denied = Statement.find(({ Effect }) => Effect === "Deny");
    assert.ok((denied?.Action as string[]).includes("ec2:CreateNetworkInterface"));
    assert.deepEqual(denied?.Condition, {
      ArnEquals: {
        "lambda:SourceFunctionArn": `arn:aws:lambda:us-east-1:123456789012:function:${functionName}`,
      },
    });
  });

  describe("whatever its arguments", () => {
    const kmsKeyArn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000";
    const secretsEndpoint = { ...plainArgs.network, secretsEndpoint: true };
    const variants: Record<string, Partial<MaterializedViewRefreshArgs>> = {
      "at a minute": {},
      "at 12 seconds with a key": { refreshRate: "rate(12 seconds)", kmsKeyArn },
      "with a secret and an endpoint": { ...secretArgs, network: secretsEndpoint },
      "with a secret and a NAT gateway": secretArgs,
      "with a failure destination": {
        failureQueueArn: "arn:aws:sqs:us-east-1:123456789012:lost-ticks",
      },
    };
    for (const [title, args] of Object.entries(variants)) {
      it(`has no wildcard in a policy and lets nobody in from outside: ${title}`, async () => {
        const run = await runComponent(args);
        assertNoWildcards(run);
        assertNoPublicIngress(run);
      });
    }
  });

  it("lets the function reach the database's port and nothing else", async () => {
    const run = await runComponent();
    const rules = allOf(run, "SecurityGroupEgressRule").map(({ inputs }) => [
      inputs.referencedSecurityGroupId,
      inputs.cidrIpv4,
      inputs.fromPort,
      inputs.toPort,
    ]);
    assert.deepEqual(rules, [["sg-0a1b2c3d4e5f60718", undefined, 5432, 5432]]);
    assert.equal(oneOf(run, "SecurityGroup").inputs.egress, undefined);
    assert.deepEqual(allOf(run, "VpcEndpoint"), []);
    assert.deepEqual(
      run.resources.filter(({ type }) => type.startsWith("aws:secretsmanager")),
      [],
    );
    const { environment } = oneOf(run, "Function").inputs as {
      environment: { variables: Record<string, string> };
    };
    assert.equal(environment.variables.MATVIEW_DATABASE_AUTH, "iam");
    assert.equal(environment.variables.MATVIEW_DATABASE_TLS, "verify-full");
    assert.equal(environment.variables.MATVIEW_DATABASE_SECRET_ARN, undefined);
  });

  it("tags everything that can carry tags, and the rule with its promise", async () => {
    // What can carry tags has `tagsAll` among its properties in the SDK.
    const taggable = new Set<string>();
    const transformation: pulumi.ResourceTransformation = ({ type, name, props }) => {
      if ("tagsAll" in props) taggable.add(`${type} ${name}`);
      return undefined;
    };
    const run = await runComponent(
      {
        ...secretArgs,
        network: { ...plainArgs.network, secretsEndpoint: true },
        refreshRate: "rate(30 seconds)",
        alarmEmails: ["ops@example.com"],
        tags: { team: "data" },
      },
      { transformations: [transformation] },
    );
    const tagged = run.resources.filter(({ type, name }) => taggable.has(`${type} ${name}`));
    assert.equal(tagged.length, 18);
    const own = { "matview-refresh:group": "job-progress", team: "data" };
    for (const { type, name, inputs } of tagged) {
      assert.ok(inputs.tags, name);
      const { "matview-refresh:max-staleness-seconds": promise, ...rest } = inputs.tags as Record<
        string,
        string
      >;
      const isRule = type.endsWith("EventRule");
      assert.equal(promise, isRule ? String(run.result.maxStalenessSeconds) : undefined, name);
      delete rest["matview-refresh:monthly-usd"];
      delete rest["matview-refresh:monthly-usd-is-at-least"];
      assert.deepEqual(rest, own, name);
    }
  });

  it("tells where a price is not recorded that a month costs at least so much", async () => {
    const { prices } = recordedPrices.regions["us-east-1"]!;
    const { alarmMetric } = prices;
    delete prices.alarmMetric;
    const run = await runComponent().finally(() => Object.assign(prices, { alarmMetric }));
    const { totalUsd, isLowerBound, lines, notPriced } = run.result.monthlyCost;
    assert.equal(isLowerBound, true);
    assert.deepEqual(notPriced, ["CloudWatch alarms"]);
    assert.ok(lines.length > 3 && !lines.some((line) => "CloudWatch alarms" in line));
    const tags = oneOf(run, "EventRule").inputs.tags as Record<string, string>;
    assert.equal(tags["matview-refresh:monthly-usd"], totalUsd.toFixed(2));
    assert.equal(tags["matview-refresh:monthly-usd-is-at-least"], "true");
    assert.match(run.warnings.join("\n"), /No price is recorded in region "us-east-1" for alarms/);
  });

  it("warns of alarms that tell nobody, and of one that cannot go off", async () => {
    const nobody = "The alarms tell nobody. Set alarmEmails or alarmTopicArns.";
    assert.deepEqual((await runComponent()).warnings, [nobody]);
    assert.deepEqual((await runComponent({ alarmEmails: ["oncall@example.com"] })).warnings, []);
    assert.deepEqual((await runComponent(() => ({ alarmTopicArns: pulumi.output<string[]>([]) }))).warnings, [
      nobody,
    ]);
    const errors = { threshold: 5, periodSeconds: 60, evaluationPeriods: 2 };
    const deaf = await runComponent({ alarms: { errors }, alarmEmails: ["oncall@example.com"] });
    assert.match(deaf.warnings.join("\n"), /^Alarm views-dev-refresh-job-progress-errors can never go off: /);
  });

  it("tells what it made", async () => {
    const run = await runComponent({ alarmEmails: ["ops@example.com"] });
    const { result } = run;
    const fn = oneOf(run, "Function");
    assert.equal(result.functionArn, fn.outputs.arn);
    assert.equal(result.functionName, "views-dev-refresh-job-progress");
    assert.equal(result.logGroupName, "/aws/lambda/views-dev-refresh-job-progress");
    assert.equal(result.ruleArn, oneOf(run, "EventRule").outputs.arn);
    assert.equal(result.roleArn, oneOf(run, "Role").outputs.arn);
    assert.equal(result.topicArn, oneOf(run, "Topic").outputs.arn);
    const admitted = oneOf(run, "SecurityGroupIngressRule").inputs.referencedSecurityGroupId;
    assert.equal(result.securityGroupId, admitted);
    assert.deepEqual(
      [...result.alarmArns].sort(),
      allOf(run, "MetricAlarm")
        .map(({ outputs }) => outputs.arn)
        .sort(),
    );
    assert.match(result.codeHash, /^[0-9a-f]{64}$/);
    assert.match(result.dashboardUrl, /^https:\/\/us-east-1\.console\.aws\.amazon\.com\/cloudwatch\//);
    assert.ok(result.monthlyCost.totalUsd > 0);
    assert.equal(result.monthlyCost.isLowerBound, false);
    assert.equal(result.schedule, "every minute");
    assert.match(Object.values(result.verification).join(), /views-dev-refresh-job-progress/);
    assert.ok(result.grants.some((sql) => sql.includes('GRANT "matview_refresher" TO "matview_refresh"')));
    assert.match(result.freshnessQuery, /FROM public\.matview_freshness/);
  });
});
