/** Runs the component on mocks, with arguments that differ from a plain existing database in what a test is about. */
import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import type { MaterializedViewRefreshArgs } from "../../components/args";
import { MaterializedViewRefresh } from "../../components/materializedViewRefresh";
import { withMocks, type MockedRun, type RegisteredResource } from "../engine/mocks";

/** An existing database entered by IAM, refreshed every minute. */
export const plainArgs: MaterializedViewRefreshArgs = {
  database: {
    host: "scanner.cluster-c0ffee12abcd.us-east-1.rds.amazonaws.com",
    name: "scanner",
    user: "matview_refresh",
    resourceId: "cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
  },
  network: {
    vpcId: "vpc-0a1b2c3d4e5f60718",
    subnetIds: ["subnet-0a1b2c3d4e5f60718", "subnet-0b2c3d4e5f6071829"],
    databaseSecurityGroupId: "sg-0a1b2c3d4e5f60718",
  },
};

/** The same with a secret instead of IAM. */
export const secretArgs: MaterializedViewRefreshArgs = {
  ...plainArgs,
  database: {
    host: "scanner.cluster-c0ffee12abcd.us-east-1.rds.amazonaws.com",
    name: "scanner",
    auth: "secret",
    secretArn: "arn:aws:secretsmanager:us-east-1:123456789012:secret:scanner-AbCdEf",
  },
};

/** Every output of the component; a resource as such is not resolved to its values. */
type Outputs = Omit<MaterializedViewRefresh, keyof pulumi.ComponentResource>;

/** What the component tells, to be resolved. */
export function outputsOf(component: MaterializedViewRefresh): Outputs {
  const isOwn = ([, value]: [string, unknown]) => pulumi.Output.isInstance(value);
  const { urn: _urn, ...outputs } = Object.fromEntries(Object.entries(component).filter(isOwn));
  return outputs as unknown as Outputs;
}

/** The component "views" with these arguments on top of the plain ones; a function may make resources for them. */
export function runComponent(
  args: Partial<MaterializedViewRefreshArgs> | (() => Partial<MaterializedViewRefreshArgs>) = {},
  opts?: pulumi.ComponentResourceOptions,
): Promise<MockedRun<Outputs>> {
  return withMocks("dev", "program", { "aws:region": "us-east-1" }, () => {
    const given = typeof args === "function" ? args() : args;
    return outputsOf(new MaterializedViewRefresh("views", { ...plainArgs, ...given }, opts));
  });
}

/** Type and name of everything that is registered with the plain arguments, sorted. */
export const childrenAtAMinute = [
  "Dashboard views-dashboard",
  "EventRule views-rule",
  "EventTarget views-rule-0s",
  "Function views-function",
  "FunctionEventInvokeConfig views-function",
  "LogGroup views-logs",
  "MaterializedViewRefresh views",
  "MetricAlarm views-alarm-failing",
  "MetricAlarm views-alarm-slow",
  "MetricAlarm views-alarm-stale-public.job_progress",
  "MetricAlarm views-alarm-throttled",
  "Permission views-rule",
  "Role views-role",
  "RolePolicy views-role",
  "RolePolicyAttachment views-role-AWSLambdaENIManagementAccess",
  "SecurityGroup views-security-group",
  "SecurityGroupEgressRule views-security-group-to-database",
  "SecurityGroupIngressRule views-security-group-into-database",
];

/** Everything of a type, named by the part after the last colon: `Queue`. */
export function allOf({ resources }: { resources: RegisteredResource[] }, type: string) {
  return resources.filter((resource) => resource.type.split(":").at(-1) === type);
}

/** The one resource of a type with this name, or the only one of it. */
export function oneOf(run: { resources: RegisteredResource[] }, type: string, name?: string) {
  const found = allOf(run, type).filter((resource) => name === undefined || resource.name === name);
  assert.equal(found.length, 1, `${found.length} of ${type} ${name ?? ""}`);
  return found[0]!;
}

/** Where a function's SDK looks for Secrets Manager; undefined for the region's public address. */
export function secretsUrlOf({ inputs }: RegisteredResource): string | undefined {
  const { variables } = inputs.environment as { variables: Record<string, string> };
  return variables.AWS_ENDPOINT_URL_SECRETS_MANAGER;
}

/** The address of an endpoint's own, which the certificate of the service covers. */
export function endpointUrl({ outputs }: RegisteredResource): string {
  const [entry] = outputs.dnsEntries as { dnsName: string }[];
  assert.match(String(entry?.dnsName), /^vpce-[0-9a-f-]+\.secretsmanager\.us-east-1\.vpce\.amazonaws\.com$/);
  return `https://${entry?.dnsName}`;
}

/** One statement of an IAM policy, with actions and resources as lists. */
export interface PolicyStatement {
  /** Type and name of the resource that holds it. */
  holder: string;
  actions: string[];
  resources: string[];
}

/** Every statement that allows something, of every policy document that a program gave to any resource. */
export function policyStatements({ resources }: { resources: RegisteredResource[] }): PolicyStatement[] {
  return resources.flatMap(({ type, name, inputs }) =>
    ["policy", "assumeRolePolicy", "inlinePolicies"].flatMap((property) => {
      const value = inputs[property];
      if (value === undefined) return [];
      const document = (typeof value === "string" ? JSON.parse(value) : value) as {
        Statement: { Effect: string; Action: string | string[]; Resource?: string | string[] }[];
      };
      return document.Statement.filter(({ Effect }) => Effect === "Allow").map(({ Action, Resource }) => ({
        holder: `${type} ${name}`,
        actions: [Action].flat(),
        resources: [Resource ?? []].flat(),
      }));
    }),
  );
}

/** Fails when a statement allows more than it names; the streams of one log group are named by Lambda. */
export function assertNoWildcards(run: { resources: RegisteredResource[] }): void {
  const statements = policyStatements(run);
  assert.ok(statements.length > 0);
  for (const { holder, actions, resources } of statements) {
    for (const action of actions) assert.doesNotMatch(action, /[*?]/, holder);
    for (const resource of resources) {
      const exact = /^(arn:aws:logs:[a-z0-9-]+:\d{12}:log-group:[^*?]+):\*$/.exec(resource)?.[1] ?? resource;
      assert.doesNotMatch(exact, /[*?{]/, `${holder}: ${resource}`);
      assert.match(exact, /^arn:aws:[a-z0-9-]+:/, holder);
    }
  }
}

/** Fails where anybody but members of a security group is let in. */
export function assertNoPublicIngress(run: { resources: RegisteredResource[] }): void {
  for (const { name, inputs } of allOf(run, "SecurityGroup")) {
    assert.equal(inputs.ingress, undefined, name);
  }
  for (const { name, inputs } of allOf(run, "SecurityGroupIngressRule")) {
    assert.match(String(inputs.referencedSecurityGroupId), /^sg-/, name);
    assert.equal(inputs.cidrIpv4 ?? inputs.cidrIpv6 ?? inputs.prefixListId, undefined, name);
    assert.equal(inputs.fromPort, inputs.toPort, name);
  }
}
