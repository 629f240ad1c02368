/** The program with its own network, database and migrations, on mocks. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import { parse } from "yaml";
import {
  allOf,
  assertNoPublicIngress,
  assertNoWildcards,
  endpointUrl,
  oneOf,
  policyStatements,
  secretsUrlOf,
} from "./components/componentRun";
import type { MonthlyCost } from "../components/materializedViewRefresh";
import { loadProgram, withMocks, type MockedRun } from "./engine/mocks";

const repository = path.join(__dirname, "..");
const base = "matview-dev-refresh-job-progress";

/** What index.ts exports, as far as these tests look at it. */
interface Exports {
  functionName: string;
  rolePolicy: string;
  securityGroupId: string;
  monthlyCost: MonthlyCost;
}

/** index.ts with the values of a stack's file and these on top. */
function runStack(stack: string, values: Record<string, unknown> = {}): Promise<MockedRun<Exports>> {
  const file = readFileSync(path.join(repository, `Pulumi.${stack}.yaml`), "utf8");
  const { config } = parse(file) as { config: Record<string, unknown> };
  const settings: Record<string, unknown> = { ...config };
  for (const [key, value] of Object.entries(values)) settings[`matview-refresh:${key}`] = value;
  return withMocks(stack, "matview-refresh", settings, () => {
    return loadProgram(path.join(repository, "index.ts")) as Exports;
  });
}

/** Migration files of these sets, as they stand beside the function's code. */
function filesOf(...sets: string[]): string[] {
  const folders = sets.map((set) => path.join(repository, "migrations", set));
  return folders.flatMap((folder) => readdirSync(folder)).map((file) => `migrations/${file}`);
}

describe("the sandbox", function () {
  this.timeout(60_000);
  let run: MockedRun<Exports>;
  let withProxy: MockedRun<Exports>;

  before(async () => {
    run = await runStack("dev");
    withProxy = await runStack("dev", { database: { create: { proxy: true } } });
  });

  it("makes a database that is private, encrypted, and has no password of ours", () => {
    const { inputs } = oneOf(run, "Instance");
    assert.deepEqual(
      [
        inputs.publiclyAccessible,
        inputs.storageEncrypted,
        inputs.iamDatabaseAuthenticationEnabled,
        inputs.manageMasterUserPassword,
        inputs.password,
      ],
      [false, true, true, true, undefined],
    );
    const group = oneOf(run, "SecurityGroup", `${base}-db`);
    assert.deepEqual(oneOf(run, "Instance").references.vpcSecurityGroupIds, [group.urn]);
    assert.deepEqual([inputs.instanceClass, inputs.allocatedStorage], ["db.t4g.micro", 20]);
  });

  it("has no way in or out but between its parts, and no wildcard in a policy", () => {
    for (const stack of [run, withProxy]) {
      assertNoPublicIngress(stack);
      assertNoWildcards(stack);
      for (const { inputs, name } of allOf(stack, "SecurityGroupEgressRule")) {
        assert.match(String(inputs.referencedSecurityGroupId), /^sg-/, name);
        assert.equal(inputs.cidrIpv4, undefined, name);
      }
      const network = oneOf(stack, "Vpc");
      assert.deepEqual(network.inputs.natGateways, { strategy: "None" });
    }
  });

  it("puts every migration beside the function that applies them, and its own secret into nobody's hands", () => {
    const fn = oneOf(run, "Function", `${base}-migrate`);
    const { assets } = fn.inputs.code as { assets: Record<string, pulumi.asset.FileAsset> };
    assert.deepEqual(Object.keys(assets).sort(), ["index.js", ...filesOf("product", "scanner")].sort());
    const { variables } = fn.inputs.environment as { variables: Record<string, string> };
    const { masterUserSecrets } = oneOf(run, "Instance").outputs as {
      masterUserSecrets: { secretArn: string }[];
    };
    const secretArn = masterUserSecrets[0]?.secretArn;
    assert.equal(variables.MATVIEW_DATABASE_SECRET_ARN, secretArn);
    assert.equal(variables.MATVIEW_REFRESH_USER, "matview_refresh_function");
    const readers = policyStatements(run).filter(({ actions }) =>
      actions.includes("secretsmanager:GetSecretValue"),
    );
    assert.deepEqual(readers.map(({ holder, resources }) => [holder.split(" ")[1], resources]).sort(), [
      [`${base}-migrate`, [secretArn]],
      [`${base}-migrate-secrets`, [secretArn]],
    ]);
  });

  it("takes no migration of the scanner along where no view is the scanner's", async () => {
    const stack = await runStack("dev", { views: ["reporting.sales"] });
    const fn = oneOf(stack, "Function", "matview-dev-refresh-sales-migrate");
    const { assets } = fn.inputs.code as { assets: Record<string, pulumi.asset.FileAsset> };
    assert.deepEqual(Object.keys(assets).sort(), ["index.js", ...filesOf("product")].sort());
  });

  it("migrates when everything the function needs is there, and refreshes when that is done", () => {
    const invocation = oneOf(run, "Invocation");
    const rules = [...allOf(run, "SecurityGroupEgressRule"), ...allOf(run, "SecurityGroupIngressRule")];
    for (const rule of rules.filter(({ name }) => name.startsWith(`${base}-migrate`))) {
      assert.ok(invocation.dependencies.includes(rule.urn), `${rule.name} may come too late`);
    }
    const migrate = oneOf(run, "Function", `${base}-migrate`);
    assert.deepEqual(invocation.references.functionName, [migrate.urn]);
    const endpoint = oneOf(run, "VpcEndpoint");
    assert.ok(migrate.dependencies.includes(endpoint.urn));
    assert.equal(endpoint.inputs.privateDnsEnabled, false);
    assert.equal(secretsUrlOf(migrate), endpointUrl(endpoint));
    assert.equal(secretsUrlOf(oneOf(run, "Function", `${base}-function`)), undefined);
    // Children are registered after the component that is their parent, and so after what it depends on.
    const component = oneOf(run, "MaterializedViewRefresh");
    assert.ok(component.dependencies.includes(invocation.urn), "the first refresh may come too early");
  });

  it("migrates a database that takes the place of another", () => {
    const { triggers } = oneOf(run, "Invocation").inputs as { triggers: Record<string, string> };
    const instance = oneOf(run, "Instance");
    assert.deepEqual(Object.keys(triggers).sort(), ["database", "migrations", "refreshUser"]);
    assert.match(triggers.migrations ?? "", /^[0-9a-f]{64}$/);
    assert.deepEqual(oneOf(run, "Invocation").references.triggers, [instance.urn]);
  });

  it("keeps a stack's further variables for the refresh function", async () => {
    const stack = await runStack("dev", { environment: { FEATURE: "on" } });
    const featureOf = (name: string) => {
      const { environment } = oneOf(stack, "Function", `${base}-${name}`).inputs;
      return (environment as { variables: Record<string, string> }).variables.FEATURE;
    };
    assert.deepEqual([featureOf("function"), featureOf("migrate")], ["on", undefined]);
  });

  it("signs in by IAM: to the instance, or to the proxy, which signs in by IAM too", () => {
    const connects = (stack: MockedRun<Exports>) =>
      policyStatements(stack)
        .filter(({ actions }) => actions.includes("rds-db:connect"))
        .map(({ holder, resources }) => [holder.split(" ")[1], ...resources])
        .sort();
    const userOf = (id: unknown) =>
      `arn:aws:rds-db:us-east-1:123456789012:dbuser:${String(id)}/matview_refresh_function`;
    const { resourceId } = oneOf(run, "Instance").outputs;
    assert.deepEqual(connects(run), [[`${base}-role`, userOf(resourceId)]]);

    const proxy = oneOf(withProxy, "Proxy");
    const proxyId = /prx-[^:]+$/.exec(String(proxy.outputs.arn))?.[0];
    const instanceId = oneOf(withProxy, "Instance").outputs.resourceId;
    assert.deepEqual(connects(withProxy), [
      [`${base}-proxy`, userOf(instanceId)],
      [`${base}-role`, userOf(proxyId)],
    ]);
    assert.equal(proxy.inputs.requireTls, true);
    const { variables } = oneOf(withProxy, "Function", `${base}-function`).inputs.environment as {
      variables: Record<string, string>;
    };
    assert.equal(variables.MATVIEW_DATABASE_HOST, proxy.outputs.endpoint);
    const target = oneOf(withProxy, "ProxyTarget");
    const component = oneOf(withProxy, "MaterializedViewRefresh");
    assert.ok(component.dependencies.includes(target.urn), "a tick may come before the proxy can answer");
    const versions = [run, withProxy].map((stack) => oneOf(stack, "Instance").inputs.engineVersion);
    assert.deepEqual(versions, ["17", "17"], "a proxy that is added later must not change the version");
    assert.equal(target.inputs.dbInstanceIdentifier, oneOf(withProxy, "Instance").outputs.identifier);
  });

  it("leaves a database on the version that it was made with", () => {
    for (const stack of [run, withProxy]) {
      assert.deepEqual(oneOf(stack, "Instance").ignoreChanges, ["engineVersion"]);
    }
  });

  it("gives every role the path and the boundary that the account asks for", async () => {
    const permissionsBoundaryArn = "arn:aws:iam::123456789012:policy/boundary";
    const stack = await runStack("dev", {
      database: { create: { proxy: true } },
      permissionsBoundaryArn,
      rolePath: "/data/",
    });
    const roles = allOf(stack, "Role").map(({ name, inputs }) => [
      name,
      inputs.path,
      inputs.permissionsBoundary,
    ]);
    assert.deepEqual(
      roles.sort(),
      ["migrate", "proxy", "role"].map((name) => [`${base}-${name}`, "/data/", permissionsBoundaryArn]),
    );
    for (const { inputs } of allOf(run, "Role")) {
      assert.deepEqual([inputs.path, inputs.permissionsBoundary], ["/", undefined]);
    }
  });

  it("is paid for in the estimate", () => {
    const lines = ({ result }: MockedRun<Exports>) =>
      result.monthlyCost.lines.flatMap((line) => Object.keys(line)).join("\n");
    assert.match(lines(run), /db\.t4g\.micro/);
    assert.doesNotMatch(lines(run), /proxy/i);
    assert.match(lines(withProxy), /proxy/i);
    assert.ok(withProxy.result.monthlyCost.totalUsd > run.result.monthlyCost.totalUsd + 20);
  });

  it("says that a class without a recorded price makes the estimate a lower bound", async () => {
    const large = await runStack("dev", { database: { create: { instanceClass: "db.m6g.large" } } });
    const { isLowerBound, notPriced } = large.result.monthlyCost;
    assert.equal(isLowerBound, true);
    assert.deepEqual(notPriced, ["RDS PostgreSQL db.m6g.large, one zone x 730 h"]);
    assert.deepEqual([run.result.monthlyCost.isLowerBound, run.result.monthlyCost.notPriced], [false, []]);
    const isAtLeast = (of: MockedRun<Exports>) =>
      (oneOf(of, "Instance").inputs.tags as Record<string, string>)[
        "matview-refresh:monthly-usd-is-at-least"
      ];
    assert.deepEqual([isAtLeast(run), isAtLeast(large)], ["false", "true"]);
  });
});

describe("a stack with an existing database", function () {
  this.timeout(60_000);

  it("makes no network, no database and no migration function", async () => {
    const run = await runStack("prod");
    const foreign = run.resources.filter(({ type }) =>
      /^awsx:|^aws:rds\/|invocation|sandbox|^aws:ec2\/(vpc|subnet)/i.test(type),
    );
    assert.deepEqual(foreign, []);
    assert.equal(run.resources.length, 24);
    assert.equal(run.result.functionName, "matview-prod-refresh-job-progress");
    assert.equal(run.result.rolePolicy, oneOf(run, "RolePolicy").inputs.policy);
    assertNoWildcards(run);
    assertNoPublicIngress(run);
  });

  it("runs as a role that is there, and has none of its own", async () => {
    const roleArn = "arn:aws:iam::123456789012:role/refresher";
    const run = await runStack("prod", { roleArn });
    assert.deepEqual(
      run.resources.filter(({ type }) => type.startsWith("aws:iam/")),
      [],
    );
    assert.equal(oneOf(run, "Function").inputs.role, roleArn);
  });
});
