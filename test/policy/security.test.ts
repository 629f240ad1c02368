/** The rules on permissions, connections, databases and money. */
import assert from "node:assert/strict";
import { wideGrants } from "../../policy/iamDocument";
import { connectionSecurity } from "../../policy/rules/connectionSecurity";
import { databaseExposure } from "../../policy/rules/databaseExposure";
import { leastPrivilege } from "../../policy/rules/leastPrivilege";
import { monthlyBudget } from "../../policy/rules/monthlyBudget";
import { TYPE } from "../../policy/resource";
import { advice, judge, refusals, unknown, type TestResource } from "./judge";
import { all, changed, handWritten, ofComponent, policyDocument, type TestStack } from "./stacks";

async function refused(rule: Parameters<typeof judge>[0], stack: TestStack, options = {}): Promise<string[]> {
  return refusals(await judge(rule, all(stack), options));
}

describe("least-privilege", () => {
  it("is content with exact grants and the log streams of one group", async () => {
    assert.deepEqual(await judge(leastPrivilege, all(handWritten())), []);
    assert.deepEqual(await judge(leastPrivilege, all(ofComponent())), []);
  });

  const wide: [string, unknown, unknown][] = [
    ["every action", "*", "arn:aws:sqs:us-east-1:123456789012:ticks"],
    ["actions of a service", ["logs:PutLogEvents", "rds-db:*"], "arn:aws:sqs:us-east-1:123456789012:ticks"],
    ["every resource", "rds-db:connect", "*"],
    ["every database user", "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/refresh"],
    ["streams of every log group", "logs:PutLogEvents", "arn:aws:logs:us-east-1:123456789012:log-group:*:*"],
    [
      "every secret",
      "secretsmanager:GetSecretValue",
      "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-??????",
    ],
  ];
  for (const [what, action, resource] of wide) {
    it(`refuses ${what}, once, in a component and written by hand`, async () => {
      const policy = policyDocument(action, resource);
      for (const stack of [handWritten(), ofComponent()]) {
        const messages = await refused(leastPrivilege, changed(stack, "policy", { policy }));
        assert.equal(messages.length, 1, messages.join("\n"));
        assert.match(messages[0] ?? "", /of a refresh role: Only allows/);
      }
    });
  }

  it("reads exceptions, single statements and documents that are none", () => {
    const of = (statement: object) =>
      wideGrants(JSON.stringify({ Statement: statement })).map(({ problem }) => problem);
    assert.equal(of({ Effect: "Allow", NotAction: "iam:*", Resource: "arn:aws:sqs:r:1:q" }).length, 1);
    assert.equal(
      of([{ Effect: "Allow", Action: "sqs:SendMessage", NotResource: "arn:aws:sqs:r:1:q" }]).length,
      1,
    );
    assert.deepEqual(of({ Effect: "Deny", Action: "*", Resource: "*" }), []);
    assert.equal(wideGrants("not JSON").length, 1);
  });

  it("refuses AWS's wide policies, attached or listed, and reads the stack's own", async () => {
    const policyArn = "arn:aws:iam::aws:policy/AdministratorAccess";
    for (const stack of [handWritten(), ofComponent()]) {
      const messages = await refused(leastPrivilege, changed(stack, "network", { policyArn }));
      assert.match(messages[0] ?? "", /attaches AdministratorAccess of AWS/);
      assert.match(
        (await refused(leastPrivilege, changed(stack, "role", { managedPolicyArns: [policyArn] })))[0] ?? "",
        /attaches AdministratorAccess of AWS/,
      );
    }
    const config = { allowedManagedPolicies: ["AdministratorAccess"] };
    assert.deepEqual(
      await refused(leastPrivilege, changed(handWritten(), "network", { policyArn }), { config }),
      [],
    );
    const own = "arn:aws:iam::123456789012:policy/views";
    const document = {
      type: TYPE.policy,
      name: "views",
      props: { name: "views", arn: own, policy: policyDocument("*", "*") },
    };
    const stack = { ...changed(handWritten(), "network", { policyArn: own }), document };
    assert.match(
      (await refused(leastPrivilege, stack))[0] ?? "",
      /Policy views of a refresh role: Only allows/,
    );
  });

  it("reads policies inside the role", async () => {
    const inlinePolicies = [{ name: "all", policy: policyDocument("sts:*", "arn:aws:iam::1:role/x") }];
    assert.match(
      (await refused(leastPrivilege, changed(handWritten(), "role", { inlinePolicies })))[0] ?? "",
      /sts:\*/,
    );
  });

  it("says what it judges at update", async () => {
    for (const stack of [handWritten(), ofComponent()]) {
      const said = await judge(leastPrivilege, all(changed(stack, "policy", { policy: unknown })));
      assert.deepEqual(refusals(said), []);
      assert.match(advice(said)[0] ?? "", /Judged at update: what policy .* allows/);
    }
    const role = await judge(leastPrivilege, all(changed(handWritten(), "fn", { role: unknown })));
    assert.match(advice(role)[0] ?? "", /Judged at update: the role/);
  });
});

describe("connection-security", () => {
  const withVariables = (variables: object) => changed(handWritten(), "fn", { environment: { variables } });

  it("is content with references to secrets and verified TLS", async () => {
    assert.deepEqual(await judge(connectionSecurity, all(ofComponent())), []);
    const stack = withVariables({
      PGHOST: "db.example.com",
      PGSSLMODE: "verify-full",
      DB_SECRET_ARN: "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf",
      DB_SECRET: "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf",
      PASSWORD_FILE: "/run/password",
      AWS_ENDPOINT_URL_SECRETS_MANAGER:
        "https://vpce-0a1b2c3d-4e5f.secretsmanager.us-east-1.vpce.amazonaws.com",
      DATABASE_URL: "postgres://refresh@db.example.com/scanner?sslmode=verify-full",
    });
    assert.deepEqual(await judge(connectionSecurity, all(stack)), []);
  });

  for (const variables of [
    { PGPASSWORD: "correct-horse" },
    { RDS_PASSWORD: "correct-horse" },
    { DB_PASS: "correct-horse" },
    { DB_SECRET: "correct-horse" },
    { DATABASE_URL: "postgres://refresh:correct-horse@db.example.com/scanner" },
    { DSN: "host=db.example.com password=correct-horse" },
  ]) {
    it(`refuses a password in ${Object.keys(variables).join()}, and never quotes it`, async () => {
      const messages = await refused(connectionSecurity, withVariables(variables));
      assert.equal(messages.length, 1);
      assert.match(
        messages[0] ?? "",
        new RegExp(`Variable ${Object.keys(variables).join()} .* holds a password`),
      );
      assert.doesNotMatch(messages[0] ?? "", /correct|horse/);
    });
  }

  for (const variables of [
    { MATVIEW_DATABASE_TLS: "disable" },
    { NODE_TLS_REJECT_UNAUTHORIZED: "0" },
    { PGSSLMODE: "prefer" },
    { DATABASE_URL: "postgres://refresh@db.example.com/scanner?sslmode=disable" },
  ]) {
    it(`refuses TLS turned off by ${Object.keys(variables).join()}`, async () => {
      assert.match(
        (await refused(connectionSecurity, withVariables(variables)))[0] ?? "",
        /turns the verification/,
      );
    });
  }

  it("refuses a PostgreSQL parameter group without rds.force_ssl", async () => {
    const group = (family: string, value: unknown): TestStack => ({
      group: {
        type: TYPE.parameterGroup,
        name: "group",
        props: { family, parameters: [{ name: "rds.force_ssl", value }] },
      },
    });
    assert.match(
      (await refused(connectionSecurity, group("postgres18", "0")))[0] ?? "",
      /sets rds.force_ssl to 0/,
    );
    assert.deepEqual(await refused(connectionSecurity, group("postgres18", "1")), []);
    assert.deepEqual(await refused(connectionSecurity, group("sqlserver-se-16.0", "0")), []);
    const said = await judge(connectionSecurity, all(group("postgres18", unknown)));
    assert.match(advice(said)[0] ?? "", /Judged at update: parameter 1/);
  });

  it("says what it judges at update", async () => {
    const secret = await judge(connectionSecurity, all(withVariables({ DB_PASSWORD: unknown })));
    assert.deepEqual(refusals(secret), []);
    assert.match(advice(secret)[0] ?? "", /Judged at update: whether variable DB_PASSWORD/);
    const whole = await judge(
      connectionSecurity,
      all(changed(handWritten(), "fn", { environment: { variables: unknown } })),
    );
    assert.match(advice(whole)[0] ?? "", /Judged at update: the environment/);
    const host = await judge(connectionSecurity, all(withVariables({ PGHOST: unknown })));
    assert.deepEqual(host, []);
  });
});

describe("database-exposure", () => {
  const database = (props: object): TestResource => ({
    type: TYPE.database,
    name: "db",
    props: { engine: "postgres", storageEncrypted: true, vpcSecurityGroupIds: ["sg-db"], ...props },
  });
  const group = (ingress: unknown): TestResource => ({
    type: TYPE.securityGroup,
    name: "guard",
    props: { id: "sg-db", name: "guard", ingress },
  });
  const from = (source: object, fromPort = 5432, toPort = fromPort) => [
    { ...source, fromPort, toPort, protocol: "tcp" },
  ];

  it("is content with private and encrypted ones, and with what is no PostgreSQL", async () => {
    const stack = { db: database({}), group: group(from({ cidrBlocks: ["10.0.0.0/8"] })) };
    assert.deepEqual(await judge(databaseExposure, all(stack)), []);
    const other = { db: database({ engine: "mysql", publiclyAccessible: true, storageEncrypted: false }) };
    assert.deepEqual(await judge(databaseExposure, all(other)), []);
    assert.deepEqual(
      await refused(databaseExposure, {
        db: database({ engine: undefined, replicateSourceDb: "db", storageEncrypted: undefined }),
      }),
      [],
    );
  });

  it("refuses a public or unencrypted database", async () => {
    assert.match(
      (await refused(databaseExposure, { db: database({ publiclyAccessible: true }) }))[0] ?? "",
      /publicly accessible/,
    );
    for (const storageEncrypted of [false, undefined]) {
      assert.match(
        (await refused(databaseExposure, { db: database({ storageEncrypted }) }))[0] ?? "",
        /not encrypted/,
      );
    }
    const cluster = { type: TYPE.databaseCluster, name: "c", props: { engine: "aurora-postgresql" } };
    assert.match((await refused(databaseExposure, { cluster }))[0] ?? "", /not encrypted/);
    const instance = {
      type: TYPE.clusterInstance,
      name: "i",
      props: { engine: "aurora-postgresql", publiclyAccessible: true },
    };
    assert.equal((await refused(databaseExposure, { instance })).length, 1);
  });

  it("refuses PostgreSQL's port open to the internet, in each way to write it", async () => {
    for (const source of [
      { cidrBlocks: ["0.0.0.0/0"] },
      { ipv6CidrBlocks: ["::/0"] },
      { cidrBlocks: ["128.0.0.0/1"] },
    ]) {
      const messages = await refused(databaseExposure, { group: group(from(source, 5000, 6000)) });
      assert.equal(messages.length, 1);
      assert.match(messages[0] ?? "", /opens port 5432 to /);
    }
    const all_ = { group: group([{ cidrBlocks: ["0.0.0.0/0"], fromPort: 0, toPort: 0, protocol: "-1" }]) };
    assert.equal((await refused(databaseExposure, all_)).length, 1);
    const rule = {
      type: TYPE.ingressRule,
      name: "r",
      props: { cidrIpv4: "0.0.0.0/0", fromPort: 5432, toPort: 5432, ipProtocol: "tcp" },
    };
    assert.equal((await refused(databaseExposure, { rule })).length, 1);
    const old = {
      type: TYPE.securityGroupRule,
      name: "o",
      props: { type: "ingress", cidrBlocks: ["0.0.0.0/0"], fromPort: 5432, toPort: 5432 },
    };
    assert.equal((await refused(databaseExposure, { old })).length, 1);
    assert.deepEqual(
      await refused(databaseExposure, { old: { ...old, props: { ...old.props, type: "egress" } } }),
      [],
    );
  });

  it("refuses any port of a database's or a function's group, and leaves other groups alone", async () => {
    const ssh = group(from({ cidrBlocks: ["0.0.0.0/0"] }, 22));
    assert.deepEqual(await refused(databaseExposure, { ssh }), []);
    assert.match(
      (await refused(databaseExposure, { ssh, db: database({}) }))[0] ?? "",
      /opens ports 22 to 22/,
    );
    const fn = changed(handWritten(), "fn", { vpcConfig: { securityGroupIds: ["sg-db"] } });
    assert.equal((await refused(databaseExposure, { ...fn, ssh })).length, 1);
    const made = database({ vpcSecurityGroupIds: [unknown] });
    const known = { ssh, db: { ...made, from: { vpcSecurityGroupIds: ["guard"] } } };
    assert.equal((await refused(databaseExposure, known)).length, 1);
  });

  it("says what it judges at update", async () => {
    const unclear: TestStack[] = [
      { db: database({ publiclyAccessible: unknown }) },
      { db: database({ storageEncrypted: unknown }) },
      { db: database({ engine: unknown }) },
      { group: group(from({ cidrBlocks: [unknown] })) },
      { group: group(unknown) },
    ];
    for (const stack of unclear) {
      const said = await judge(databaseExposure, all(stack));
      assert.deepEqual(refusals(said), []);
      assert.match(advice(said)[0] ?? "", /Judged at update/, JSON.stringify(stack));
    }
  });
});

describe("monthly-budget", () => {
  it("holds a component to the budget of its own settings", async () => {
    const estimate = Number(
      (ofComponent().rule!.props.tags as Record<string, string>)["matview-refresh:monthly-usd"],
    );
    assert.ok(estimate > 1);
    assert.deepEqual(
      await judge(monthlyBudget, all(ofComponent({ monthlyBudgetUsd: Math.ceil(estimate) }))),
      [],
    );
    const messages = await refused(monthlyBudget, ofComponent({ monthlyBudgetUsd: 1 }));
    assert.equal(messages.length, 1);
    assert.match(
      messages[0] ?? "",
      new RegExp(`about \\$${estimate.toFixed(2)} a month; its budget is \\$1\\.00`),
    );
  });

  it("adds several components and hand-written functions up against the pack's budget", async () => {
    const stack = all(ofComponent({ namePrefix: "a" }), ofComponent({ namePrefix: "b" }), handWritten());
    const sum = /about \$(\d+\.\d+) a month \((.*)\)/.exec(
      refusals(await judge(monthlyBudget, stack, { config: { monthlyBudgetUsd: 0.01 } }))[0] ?? "",
    );
    assert.ok(sum);
    const parts = [...(sum[2] ?? "").matchAll(/\$(\d+\.\d+)/g)].map(([, usd]) => Number(usd));
    assert.equal(parts.length, 3);
    assert.ok(Math.abs(parts.reduce((total, usd) => total + usd, 0) - Number(sum[1])) < 0.02);
    const config = { monthlyBudgetUsd: Number(sum[1]) + 0.01 };
    assert.deepEqual(await judge(monthlyBudget, stack, { config }), []);
  });

  it("prices what a hand-written stack has: runs, alarms, a database, a proxy", async () => {
    const db = {
      type: TYPE.database,
      name: "db",
      props: { engine: "postgres", instanceClass: "db.t4g.micro", allocatedStorage: 20 },
    };
    const proxy = { type: TYPE.proxy, name: "proxy", props: {} };
    const config = { monthlyBudgetUsd: 0.5 };
    const [bare = ""] = await refused(monthlyBudget, handWritten(), { config: { monthlyBudgetUsd: 0.01 } });
    // 43,200 runs of a second at 256 MB on x86 are $0.19, two alarms $0.20.
    assert.match(bare, /scanner-refresh-matview \$0\.39/);
    const [whole = ""] = await refused(monthlyBudget, { ...handWritten(), db, proxy }, { config });
    assert.match(whole, /db \$1\d\.\d\d, proxy \$21\.90/);
    const slow = { ...config, averageDurationSeconds: 3 };
    assert.match((await refused(monthlyBudget, handWritten(), { config: slow }))[0] ?? "", /\$0\.75/);
  });

  it("says what it cannot price, and what it judges at update", async () => {
    const config = { monthlyBudgetUsd: 1 };
    const far = await judge(monthlyBudget, all(handWritten()), {
      config: { ...config, region: "mars-north-1" },
    });
    assert.match(advice(far)[0] ?? "", /No prices are recorded for region "mars-north-1"/);
    const memory = await judge(monthlyBudget, all(changed(handWritten(), "fn", { memorySize: unknown })), {
      config,
    });
    assert.match(advice(memory)[0] ?? "", /Judged at update: the month's cost \(the memory/);
    const tags = changed(ofComponent(), "rule", { tags: { "matview-refresh:monthly-usd": unknown } });
    assert.match(advice(await judge(monthlyBudget, all(tags)))[0] ?? "", /Judged at update: the estimate/);
    assert.deepEqual(await judge(monthlyBudget, all(handWritten())), []);
  });
});
