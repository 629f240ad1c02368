/** The rules on permissions, connections, databases and money. */
import assert from "node:assert/strict";
import { connectionSecurity } from "../../policy/rules/connectionSecurity";
import { databaseExposure } from "../../policy/rules/databaseExposure";
import { leastPrivilege } from "../../policy/rules/leastPrivilege";
import { monthlyBudget } from "../../policy/rules/monthlyBudget";
import { TYPE } from "../../policy/resource";
import { advice, judge, refusals, unknown, type TestResource } from "./judge";
import {
  advised,
  all,
  changed,
  handWritten,
  ofComponent,
  policyDocument,
  refused,
  type TestStack,
} from "./stacks";

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

  it("reads exceptions and single statements, and lets what is denied be wide", async () => {
    const of = async (statement: object) => {
      const policy = JSON.stringify({ Statement: statement });
      return (await refused(leastPrivilege, changed(handWritten(), "policy", { policy }))).length;
    };
    const queue = "arn:aws:sqs:r:1:q";
    assert.equal(await of({ Effect: "Allow", NotAction: "iam:PassRole", Resource: queue }), 1);
    assert.equal(await of([{ Effect: "Allow", Action: "sqs:SendMessage", NotResource: queue }]), 1);
    assert.equal(await of({ Effect: "Deny", Action: "*", Resource: "*" }), 0);
  });

  it("refuses AWS's wide policies, attached or listed", async () => {
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

  for (const variables of [{ MATVIEW_DATABASE_TLS: "disable" }, { NODE_TLS_REJECT_UNAUTHORIZED: "0" }]) {
    it(`refuses TLS turned off by ${Object.keys(variables).join()}`, async () => {
      assert.match(
        (await refused(connectionSecurity, withVariables(variables)))[0] ?? "",
        /turns the verification/,
      );
    });
  }

  it("says what it judges at update", async () => {
    const secret = await judge(connectionSecurity, all(withVariables({ DB_PASSWORD: unknown })));
    assert.deepEqual(refusals(secret), []);
    assert.match(advice(secret)[0] ?? "", /Judged at update: variable DB_PASSWORD/);
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
    props: { engine: "postgres", ...props },
  });
  const group = (ingress: unknown): TestResource => ({
    type: TYPE.securityGroup,
    name: "guard",
    props: { name: "guard", ingress },
  });
  const from = (source: object, fromPort = 5432, toPort = fromPort, protocol = "tcp") => [
    { ...source, fromPort, toPort, protocol },
  ];

  it("is content with private ones, and with what is no PostgreSQL", async () => {
    const stack = { db: database({}), group: group(from({ cidrBlocks: ["10.0.0.0/8"] })) };
    assert.deepEqual(await judge(databaseExposure, all(stack)), []);
    const other = { db: database({ engine: "mysql", publiclyAccessible: true }) };
    assert.deepEqual(await judge(databaseExposure, all(other)), []);
  });

  it("refuses a public database, an instance of a cluster too", async () => {
    for (const type of [TYPE.database, TYPE.clusterInstance]) {
      const db = { ...database({ publiclyAccessible: true }), type };
      assert.match((await refused(databaseExposure, { db }))[0] ?? "", /Set publiclyAccessible false/);
    }
  });

  it("refuses PostgreSQL's port open to every address, in each way to write it", async () => {
    const everywhere = { cidrBlocks: ["10.0.0.0/8", "0.0.0.0/0"] };
    const rule = (type: string, props: object) => ({ type, name: "rule", props: { ...props } });
    const open: TestResource[] = [
      group(from(everywhere)),
      group(from({ ipv6CidrBlocks: ["::/0"] })),
      group(from(everywhere, 0, 65_535)),
      group(from(everywhere, 0, 0, "-1")),
      rule(TYPE.ingressRule, { cidrIpv4: "0.0.0.0/0", fromPort: 5432, toPort: 5432, ipProtocol: "tcp" }),
      rule(TYPE.securityGroupRule, { type: "ingress", ...everywhere, fromPort: 5432, toPort: 5432 }),
    ];
    for (const resource of open) {
      const messages = await refused(databaseExposure, { resource });
      assert.equal(messages.length, 1, JSON.stringify(resource));
      assert.match(messages[0] ?? "", /opens port 5432 to/);
    }
    const closed = [
      group(from(everywhere, 443)),
      rule(TYPE.securityGroupRule, { type: "egress", ...everywhere, fromPort: 5432, toPort: 5432 }),
    ];
    for (const resource of closed) assert.deepEqual(await refused(databaseExposure, { resource }), []);
    const config = { databasePorts: [443] };
    assert.equal((await refused(databaseExposure, { resource: closed[0]! }, { config })).length, 1);
  });

  it("says what it judges at update", async () => {
    const unclear: TestStack[] = [
      { db: database({ publiclyAccessible: unknown }) },
      { db: database({ engine: unknown, publiclyAccessible: true }) },
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
  const tagged = (stack: TestStack) => stack.rule!.props.tags as Record<string, string>;

  it("holds a component to the budget of its own settings", async () => {
    const estimate = Number(tagged(ofComponent())["matview-refresh:monthly-usd"]);
    assert.ok(estimate > 1);
    const enough = ofComponent({ monthlyBudgetUsd: Math.ceil(estimate) });
    assert.deepEqual(await judge(monthlyBudget, all(enough)), []);
    const messages = await refused(monthlyBudget, ofComponent({ monthlyBudgetUsd: 1 }));
    assert.equal(messages.length, 1);
    const expected = `about \\$${estimate.toFixed(2)} a month; its budget is \\$1\\.00`;
    assert.match(messages[0] ?? "", new RegExp(expected));
  });

  it("adds several components up against the pack's budget", async () => {
    const stack = all(ofComponent({ namePrefix: "a" }), ofComponent({ namePrefix: "b" }), handWritten());
    const [message = ""] = refusals(
      await judge(monthlyBudget, stack, { config: { monthlyBudgetUsd: 0.01 } }),
    );
    const estimate = Number(tagged(ofComponent())["matview-refresh:monthly-usd"]);
    assert.ok(message.includes(`cost about $${(2 * estimate).toFixed(2)} a month (`), message);
    const config = { monthlyBudgetUsd: 2 * estimate + 0.01 };
    assert.deepEqual(await judge(monthlyBudget, stack, { config }), []);
  });

  it("says that it judged a lower bound where prices are not recorded, and only where there is a budget", async () => {
    const atLeast = (values: Record<string, unknown>) => {
      const stack = ofComponent(values);
      const tags = { ...tagged(stack), "matview-refresh:monthly-usd-is-at-least": "true" };
      return changed(stack, "rule", { tags });
    };
    const estimate = Number(tagged(ofComponent())["matview-refresh:monthly-usd"]).toFixed(2);
    const lowerBound = new RegExp(`cost at least \\$${estimate} a month.*held against a lower bound`);
    const enough = atLeast({ monthlyBudgetUsd: 1000 });
    assert.match(await advised(monthlyBudget, enough), lowerBound);
    assert.deepEqual(refusals(await judge(monthlyBudget, all(enough))), []);
    const config = { monthlyBudgetUsd: 1000 };
    const said = await judge(monthlyBudget, all(atLeast({})), { config });
    assert.match(advice(said)[0] ?? "", lowerBound);
    assert.deepEqual(await judge(monthlyBudget, all(atLeast({}))), []);
    assert.match((await refused(monthlyBudget, atLeast({ monthlyBudgetUsd: 1 })))[0] ?? "", /cost at least/);
  });

  it("says what it judges at update", async () => {
    const tags = changed(ofComponent(), "rule", { tags: { "matview-refresh:monthly-usd": unknown } });
    assert.match(await advised(monthlyBudget, tags), /Judged at update: the estimate/);
  });
});
