/**
 * What AWS answers in the tests, by rule: a resource has its inputs, a name, an id, an ARN, and the few further values
 * that the program reads. The mocks and the plugin that the real engine starts share these rules.
 */
import { createHash } from "node:crypto";

/** Plain values by property name. */
export type Properties = Record<string, unknown>;

/** A resource as AWS has made it. */
export interface MadeResource {
  id: string;
  outputs: Properties;
}

/** The account of AWS's own examples. */
const account = "123456789012";

/** The property that holds the name in AWS where it is not `name`. */
const nameProperties: Record<string, string> = {
  "aws:cloudwatch/dashboard:Dashboard": "dashboardName",
  "aws:rds/instance:Instance": "identifier",
};

/** Inputs whose change makes a new resource, besides the name. */
const replacingProperties: Record<string, string[]> = {
  "aws:lambda/invocation:Invocation": ["functionName", "input", "triggers"],
};

/** Types whose id is made up by AWS, with its prefix; other resources have their name as id. */
const idPrefixes: Record<string, string> = {
  "aws:ec2/securityGroup:SecurityGroup": "sg",
  "aws:ec2/subnet:Subnet": "subnet",
  "aws:ec2/vpc:Vpc": "vpc",
};

/** Service and resource part of an ARN where they are not the token's service and `<type>/<name>`. */
const arnForms: Record<string, [service: string, beforeName: string]> = {
  "aws:cloudwatch/eventRule:EventRule": ["events", "rule/"],
  "aws:cloudwatch/logGroup:LogGroup": ["logs", "log-group:"],
  "aws:cloudwatch/metricAlarm:MetricAlarm": ["cloudwatch", "alarm:"],
  "aws:lambda/function:Function": ["lambda", "function:"],
  "aws:rds/instance:Instance": ["rds", "db:"],
  "aws:sns/topic:Topic": ["sns", ""],
  "aws:sqs/queue:Queue": ["sqs", ""],
};

/** Further values that AWS gives, of types where the program reads them. */
const furtherOutputs: Record<string, (name: string, region: string) => Properties> = {
  "aws:ec2/vpcEndpoint:VpcEndpoint": (name, region) => ({
    dnsEntries: [{ dnsName: `vpce-0${digest(name, 16)}.secretsmanager.${region}.vpce.amazonaws.com` }],
  }),
  "aws:lambda/invocation:Invocation": () => ({ result: "{}" }),
  "aws:rds/instance:Instance": (name, region) => ({
    address: `${name}.c9akciq32rrx.${region}.rds.amazonaws.com`,
    port: 5432,
    resourceId: `db-${digest(name, 26).toUpperCase()}`,
    masterUserSecrets: [{ secretArn: arn("secretsmanager", region, `secret:rds!${name}`) }],
  }),
  "aws:rds/proxy:Proxy": (name, region) => ({
    // The part after the last colon is the proxy's resource id, which rds-db:connect names.
    arn: arn("rds", region, `db-proxy:prx-0${digest(name, 16)}`),
    endpoint: `${name}.proxy-c9akciq32rrx.${region}.rds.amazonaws.com`,
  }),
  "aws:rds/proxyDefaultTargetGroup:ProxyDefaultTargetGroup": () => ({ name: "default" }),
  "aws:sqs/queue:Queue": (name, region) => ({
    url: `https://sqs.${region}.amazonaws.com/${account}/${name}`,
  }),
};

/** The inputs with the name in AWS: a name made of the Pulumi name where the program gives none. */
export function withName(type: string, pulumiName: string, inputs: Properties): Properties {
  const property = nameProperties[type] ?? "name";
  return { [property]: `${pulumiName}-${digest(type + pulumiName, 7)}`, ...inputs };
}

/** Makes a resource. The same inputs give the same values, so an update keeps what AWS gave at first. */
export function makeResource(
  type: string,
  pulumiName: string,
  inputs: Properties,
  region: string,
): MadeResource {
  const known = withName(type, pulumiName, inputs);
  const name = String(known[nameProperties[type] ?? "name"]);
  const prefix = idPrefixes[type];
  const [, module = "", kind = ""] = type.split(/[:/]/);
  const [service, beforeName] = arnForms[type] ?? [module, `${kind}/`];
  const given = { arn: arn(service, region, beforeName + name), ...furtherOutputs[type]?.(name, region) };
  return {
    id: prefix === undefined ? name : `${prefix}-0${digest(pulumiName, 16)}`,
    outputs: { ...given, ...known },
  };
}

/** The changed properties for which a resource has to be made anew. */
export function propertiesThatReplace(type: string, before: Properties, after: Properties): string[] {
  const properties = [nameProperties[type] ?? "name", ...(replacingProperties[type] ?? [])];
  return properties.filter(
    (property) => JSON.stringify(before[property]) !== JSON.stringify(after[property]),
  );
}

/** The result of a lookup: its arguments, and whose account, which region and which of its zones answer. */
export function lookUp(args: Properties, region: string): Properties {
  return { id: account, accountId: account, region, names: [`${region}a`, `${region}b`], ...args };
}

function arn(service: string, region: string, rest: string): string {
  return `arn:aws:${service}:${service === "iam" ? "" : region}:${account}:${rest}`;
}

/** Hexadecimal digits that depend on the text alone. */
function digest(text: string, length: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, length);
}
