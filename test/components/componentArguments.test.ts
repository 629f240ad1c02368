/** What arguments change of the component, on mocks. */
import assert from "node:assert/strict";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { MaterializedViewRefreshArgs } from "../../components/args";
import { MaterializedViewRefresh } from "../../components/materializedViewRefresh";
import { withMocks } from "../engine/mocks";
import {
  allOf,
  childrenAtAMinute,
  oneOf,
  outputsOf,
  plainArgs,
  policyStatements,
  runComponent,
} from "./componentRun";

describe("the component with what is there already", () => {
  it("runs as a given role, and attaches nothing to it", async () => {
    const roleArn = "arn:aws:iam::123456789012:role/service/refresher";
    const run = await runComponent({ roleArn });
    assert.deepEqual(
      run.resources.filter(({ type }) => type.startsWith("aws:iam/")),
      [],
    );
    assert.equal(oneOf(run, "Function").inputs.role, roleArn);
    assert.deepEqual([run.result.roleArn, run.result.roleName], [roleArn, "refresher"]);
    assert.match(run.result.rolePolicy, /rds-db:connect/);
  });

  it("gives its own role a path and a boundary", async () => {
    const permissionsBoundaryArn = "arn:aws:iam::123456789012:policy/boundary";
    const { inputs } = oneOf(await runComponent({ permissionsBoundaryArn, rolePath: "/data/" }), "Role");
    assert.deepEqual([inputs.permissionsBoundary, inputs.path], [permissionsBoundaryArn, "/data/"]);
  });

  it("writes into a given log group", async () => {
    const run = await runComponent({ logGroupName: "/shared/refresh" });
    assert.deepEqual(allOf(run, "LogGroup"), []);
    assert.deepEqual(oneOf(run, "Function").inputs.loggingConfig, {
      logFormat: "Text",
      logGroup: "/shared/refresh",
    });
    assert.ok(
      policyStatements(run).some(({ resources }) =>
        resources.includes("arn:aws:logs:us-east-1:123456789012:log-group:/shared/refresh:*"),
      ),
    );
  });

  it("stands in a given security group, and adds no rule", async () => {
    const { vpcId, subnetIds } = plainArgs.network;
    const securityGroupId = "sg-0123456789abcdef0";
    const run = await runComponent({ network: { vpcId, subnetIds, securityGroupId } });
    assert.deepEqual(
      run.resources.filter(({ type }) => /SecurityGroup/.test(type)),
      [],
    );
    const { vpcConfig } = oneOf(run, "Function").inputs as { vpcConfig: { securityGroupIds: string[] } };
    assert.deepEqual(vpcConfig.securityGroupIds, [securityGroupId]);
  });

  it("takes networks, databases and topics from other resources", async () => {
    const run = await runComponent(() => {
      const topic = new aws.sns.Topic("on-call");
      const vpc = new aws.ec2.Vpc("net", { cidrBlock: "10.0.0.0/16" });
      const subnetOf = (zone: string, cidrBlock: string) =>
        new aws.ec2.Subnet(zone, { vpcId: vpc.id, cidrBlock });
      const group = new aws.ec2.SecurityGroup("database", { vpcId: vpc.id });
      const instance = new aws.rds.Instance("database", {
        instanceClass: "db.t4g.micro",
        engine: "postgres",
      });
      return {
        database: {
          host: instance.address,
          port: instance.port,
          name: "scanner",
          user: "refresher",
          resourceId: instance.resourceId,
        },
        network: {
          vpcId: vpc.id,
          subnetIds: [subnetOf("a", "10.0.0.0/24").id, subnetOf("b", "10.0.1.0/24").id],
          databaseSecurityGroupId: group.id,
        },
        alarmTopicArns: [topic.arn],
        okActionArns: pulumi.output([topic.arn]),
      };
    });
    const topic = oneOf(run, "Topic");
    const instance = oneOf(run, "Instance");
    for (const { inputs, references } of allOf(run, "MetricAlarm")) {
      assert.deepEqual([inputs.alarmActions, inputs.okActions], [[topic.outputs.arn], [topic.outputs.arn]]);
      assert.deepEqual(references.alarmActions, [topic.urn]);
    }
    const { environment } = oneOf(run, "Function").inputs as {
      environment: { variables: Record<string, string> };
    };
    assert.equal(environment.variables.MATVIEW_DATABASE_HOST, instance.outputs.address);
    assert.equal(environment.variables.MATVIEW_DATABASE_PORT, String(instance.outputs.port));
    const connect = policyStatements(run).find(({ actions }) => actions.includes("rds-db:connect"));
    assert.ok(connect?.resources[0]?.endsWith(`:dbuser:${String(instance.outputs.resourceId)}/refresher`));
    assert.doesNotMatch(JSON.stringify(run.resources.map(({ inputs }) => inputs)), /known-?after/i);
  });

  it("reports a tick that was lost where it was told to, and may do that", async () => {
    const failureTopicArn = "arn:aws:sns:us-east-1:123456789012:lost-ticks";
    const run = await runComponent({ failureTopicArn });
    assert.deepEqual(oneOf(run, "FunctionEventInvokeConfig").inputs.destinationConfig, {
      onFailure: { destination: failureTopicArn },
    });
    assert.ok(
      policyStatements(run).some(
        ({ actions, resources }) => actions.includes("sns:Publish") && resources.includes(failureTopicArn),
      ),
    );
  });

  it("encrypts environment, log, queues and topic with a given key, which the role may use", async () => {
    const kmsKeyArn = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000";
    const run = await runComponent({
      kmsKeyArn,
      refreshRate: "rate(30 seconds)",
      alarmEmails: ["ops@example.com"],
    });
    assert.equal(oneOf(run, "Function").inputs.kmsKeyArn, kmsKeyArn);
    assert.equal(oneOf(run, "LogGroup").inputs.kmsKeyId, kmsKeyArn);
    assert.equal(oneOf(run, "Queue").inputs.kmsMasterKeyId, kmsKeyArn);
    assert.equal(oneOf(run, "Queue").inputs.sqsManagedSseEnabled, undefined);
    assert.equal(oneOf(run, "Topic").inputs.kmsMasterKeyId, kmsKeyArn);
    const decrypt = policyStatements(run).find(({ actions }) => actions.includes("kms:Decrypt"));
    assert.deepEqual(decrypt?.resources, [kmsKeyArn]);
  });

  it("carries a payload and a reservation", async () => {
    const run = await runComponent({ eventPayload: { note: "nightly" }, reservedConcurrency: 5 });
    assert.equal(oneOf(run, "Function").inputs.reservedConcurrentExecutions, 5);
    const input = JSON.parse(String(oneOf(run, "EventTarget").inputs.input)) as { detail: object };
    assert.deepEqual(input.detail, { note: "nightly" });
  });
});

describe("components in a program", () => {
  it("can be reached child by child", async () => {
    const run = await runComponent(
      {},
      {
        transformations: [
          ({ type, name, props, opts }) =>
            type === "aws:lambda/function:Function" && name === "views-function"
              ? { props: { ...props, memorySize: 1_024 }, opts }
              : undefined,
        ],
      },
    );
    assert.equal(oneOf(run, "Function").inputs.memorySize, 1_024);
  });

  it("do not collide, in Pulumi or in AWS", async () => {
    const run = await withMocks("dev", "program", { "aws:region": "us-east-1" }, () =>
      ["billing", "reports", "audit"].map((groupName) =>
        outputsOf(new MaterializedViewRefresh(groupName, { ...plainArgs, groupName })),
      ),
    );
    const urns = run.resources.map(({ urn }) => urn);
    assert.equal(urns.length, 3 * childrenAtAMinute.length);
    assert.equal(new Set(urns).size, urns.length);
    for (const type of ["Function", "EventRule", "LogGroup", "Role", "Dashboard", "MetricAlarm"]) {
      const inAws = allOf(run, type).map(({ inputs }) => inputs.name ?? inputs.dashboardName);
      assert.equal(new Set(inAws).size, inAws.length, type);
    }
    assert.equal(new Set(run.result.map(({ codeHash }) => codeHash)).size, 1);
  });

  it("refuse wrong arguments all at once, before any child exists", async () => {
    const registered: string[] = [];
    const opts: pulumi.ComponentResourceOptions = {
      transformations: [({ name }) => void registered.push(name)],
    };
    const wrong = {
      database: { name: "scanner", user: "refresher" },
      network: { vpcId: "vpc-0a1b2c3d4e5f60718", subnetIds: ["subnet-0a1b2c3d4e5f60718"] },
      refreshRate: "rate(10 seconds)",
      memoryMb: 64,
    } as unknown as MaterializedViewRefreshArgs;
    await assert.rejects(runComponent(wrong, opts), (error: Error) => {
      assert.ok(pulumi.RunError.isInstance(error), error.stack);
      const keys = error.message.split("\n").flatMap((line) => /^ {2}(\S+) =/.exec(line)?.[1] ?? []);
      assert.deepEqual(keys, [
        "refreshRate",
        "memoryMb",
        "database.host",
        "database.resourceId",
        "network.subnetIds",
      ]);
      assert.match(error.message, /in the program: memoryMb: \d+/);
      return true;
    });
    assert.deepEqual(registered, ["views"]);
  });

  it("name too many topics, known or not, or one of another region", async () => {
    const topic = (region: string) => `arn:aws:sns:${region}:123456789012:on-call`;
    const refused = (alarmTopicArns: pulumi.Input<string>[], problem: RegExp) =>
      assert.rejects(
        runComponent(() => ({ alarmTopicArns, alarmEmails: ["ops@example.com"] })),
        problem,
      );
    const later = Array.from({ length: 5 }, (_, index) => pulumi.output(`${topic("us-east-1")}-${index}`));
    await refused(later, /alarmTopicArns.*\n.*has 5/);
    await refused([topic("eu-west-1")], /own region, us-east-1/);
    const run = await runComponent(() => ({ alarmTopicArns: later }));
    const alarm = oneOf(run, "MetricAlarm", "views-alarm-failing");
    assert.deepEqual(
      alarm.inputs.alarmActions,
      [0, 1, 2, 3, 4].map((index) => `${topic("us-east-1")}-${index}`),
    );
  });

  it("take the region of their provider, and refuse another", async () => {
    const { result } = await runComponent({ region: "us-east-1" });
    assert.match(result.dashboardUrl, /region=us-east-1/);
    await assert.rejects(
      runComponent({ region: "eu-west-1" }),
      /region is "eu-west-1", and the component's provider is in us-east-1/,
    );
  });

  it("are told apart by component and stack, where no prefix is given", async () => {
    const run = await withMocks("blue", "program", {}, () =>
      ["one", "two"].map((name) => outputsOf(new MaterializedViewRefresh(name, plainArgs))),
    );
    const names = run.result.map(({ functionName }) => functionName);
    assert.deepEqual(names, ["one-blue-refresh-job-progress", "two-blue-refresh-job-progress"]);
  });

  it("refuse what can be seen to be wrong only after deployment", async () => {
    const { network } = plainArgs;
    const subnetIds = pulumi.output(["subnet-0a1b2c3d4e5f60718", "subnet-0a1b2c3d4e5f60718"]);
    await assert.rejects(
      runComponent(() => ({ network: { ...network, subnetIds } })),
      // Pulumi would take 15 seconds for each stack, and the deployment seem to hang.
      ({ message, stack }: Error) => /subnetIds has 1/.test(message) && stack === "",
    );
    const name = pulumi.output("");
    await assert.rejects(
      runComponent(() => ({ database: { ...plainArgs.database, name } })),
      /database\.name is empty/,
    );
    const topic = pulumi.output("arn:aws:sns:eu-west-1:123456789012:on-call");
    await assert.rejects(
      runComponent(() => ({ alarmTopicArns: [topic] })),
      /own region, us-east-1, and arn:aws:sns:eu-west-1/,
    );
    for (const user of ["*", "${aws:username}"]) {
      await assert.rejects(
        runComponent(() => ({ database: { ...plainArgs.database, user: pulumi.output(user) } })),
        /database\.user/,
      );
    }
    const six = Array.from(
      { length: 6 },
      (_, index) => `arn:aws:sns:us-east-1:123456789012:on-call-${index}`,
    );
    await assert.rejects(
      runComponent(() => ({ alarmTopicArns: pulumi.output(six) })),
      /6 topics are given\. Give at most 5/,
    );
  });

  it("take what another resource gives wherever the plan does not need it, and say where it does", async () => {
    const later = (value: string): pulumi.Output<string> => pulumi.output(value);
    const key = "arn:aws:kms:us-east-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000";
    const run = await runComponent(() => ({
      database: { ...plainArgs.database, name: later("scanner"), user: later("refresher") },
      kmsKeyArn: later(key),
      roleArn: later("arn:aws:iam::123456789012:role/given"),
      logGroupName: later("/shared/refresh"),
      failureQueueArn: later("arn:aws:sqs:us-east-1:123456789012:lost"),
      environment: { TEAM: later("data") },
      tags: { owner: later("data") },
    }));
    const fn = oneOf(run, "Function");
    const { variables } = fn.inputs.environment as { variables: Record<string, string> };
    assert.deepEqual(
      [fn.inputs.kmsKeyArn, fn.inputs.role, variables.TEAM, variables.MATVIEW_DATABASE_USER],
      [key, "arn:aws:iam::123456789012:role/given", "data", "refresher"],
    );
    assert.deepEqual(fn.inputs.loggingConfig, { logFormat: "Text", logGroup: "/shared/refresh" });
    assert.ok(run.result.rolePolicy.includes("/refresher") && run.result.rolePolicy.includes(":lost"));
    assert.ok(run.result.grants.some((sql) => sql.includes('ON DATABASE "scanner"')));
    assert.doesNotMatch(JSON.stringify([run.resources, run.result]), /known after/);
    const rate = later("rate(1 minute)") as unknown as string;
    await assert.rejects(
      runComponent(() => ({ refreshRate: rate })),
      /refreshRate.*\n.*only after deployment/,
    );
  });
});
