/** The shapes of identifiers that AWS gives and settings name: ARNs, ids, addresses. */

/** A shape with what to say when a value does not have it. */
export interface Pattern {
  pattern: RegExp;
  problem: string;
  limit: string;
  /** A value of this shape that belongs to nobody. */
  example: string;
}

/** Partitions, and what the names of their regions begin with; those of `aws` begin with none of these. */
const PARTITIONS: Readonly<Record<string, string>> = {
  "aws-cn": "cn-",
  "aws-us-gov": "us-gov-",
  "aws-iso": "us-iso-",
  "aws-iso-b": "us-isob-",
  "aws-iso-e": "eu-isoe-",
  "aws-iso-f": "us-isof-",
  "aws-eusc": "eusc-",
};

/** The ARN partition of a region. */
export function partitionOf(region: string): string {
  const special = Object.entries(PARTITIONS).find(([, prefix]) => region.startsWith(prefix));
  return special?.[0] ?? "aws";
}

/** The partition is that of the region, where an ARN names one. */
const ARN = [
  ...Object.entries(PARTITIONS).map(([partition, prefix]) => `${partition}(?=:[a-z]+:(?:${prefix}|:))`),
  `aws(?!:[a-z]+:(?:${Object.values(PARTITIONS).join("|")}))`,
].join("|");
const PLACE = "(?:[a-z]{2}|eusc)(?:-[a-z]+){1,2}-\\d:\\d{12}";

function arn(rest: string, what: string, example: string): Pattern {
  return {
    pattern: new RegExp(`^arn:(?:${ARN}):${rest}$`),
    problem: `is not the ARN of ${what}`,
    limit: `the ARN of ${what}`,
    example,
  };
}

export const TOPIC_ARN = arn(
  `sns:${PLACE}:[A-Za-z0-9_-]{1,256}`,
  "an SNS topic",
  "arn:aws:sns:us-east-1:123456789012:on-call",
);
export const ALARM_ACTION_ARN = arn(
  `(?:sns:${PLACE}:[A-Za-z0-9_-]{1,256}|lambda:${PLACE}:function:[A-Za-z0-9_-]{1,64}(?::(?:\\$LATEST|[A-Za-z0-9_-]{1,128}))?)`,
  "an SNS topic or a Lambda function",
  "arn:aws:sns:us-east-1:123456789012:on-call",
);
export const QUEUE_ARN = arn(
  `sqs:${PLACE}:[A-Za-z0-9_-]{1,80}`,
  "a standard SQS queue",
  "arn:aws:sqs:us-east-1:123456789012:lost-ticks",
);
export const ROLE_ARN = arn(
  "iam::\\d{12}:role/(?:[\\x21-\\x7e]{1,510}/)?[\\w+=,.@-]{1,64}",
  "an IAM role",
  "arn:aws:iam::123456789012:role/matview-refresh",
);
export const BOUNDARY_ARN = arn(
  "iam::(?:\\d{12}|aws):policy/(?:[\\x21-\\x7e]{1,510}/)?[\\w+=,.@-]{1,128}",
  "an IAM policy",
  "arn:aws:iam::123456789012:policy/boundary",
);
export const KMS_KEY_ARN = arn(
  `kms:${PLACE}:key/(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})`,
  "a KMS key (not of an alias)",
  "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
);
export const SECRET_ARN = arn(
  `secretsmanager:${PLACE}:secret:[A-Za-z0-9/_+=.@!-]{1,512}-[A-Za-z0-9]{6}`,
  "a Secrets Manager secret, with the six signs AWS adds to its name",
  "arn:aws:secretsmanager:us-east-1:123456789012:secret:scanner-AbCdEf",
);
export const PROXY_ARN = arn(
  `rds:${PLACE}:db-proxy:prx-[0-9a-z]+`,
  "an RDS Proxy",
  "arn:aws:rds:us-east-1:123456789012:db-proxy:prx-0123456789abcdef0",
);

export const RESOURCE_ID: Pattern = {
  pattern: /^(?:db-[A-Z0-9]+|cluster-[A-Z0-9]+|prx-[0-9a-z]+)$/,
  problem: "is not a resource id; the name of an instance is not one",
  limit: "db-..., cluster-... in capitals, or prx-... of the proxy",
  example: "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
};

function id(prefix: string, what: string): Pattern {
  return {
    pattern: new RegExp(`^${prefix}-(?:[0-9a-f]{8}|[0-9a-f]{17})$`),
    problem: `is not the id of ${what}`,
    limit: `${prefix}- and 8 or 17 hexadecimal digits`,
    example: `${prefix}-0123456789abcdef0`,
  };
}

export const VPC_ID = id("vpc", "a VPC");
export const SUBNET_ID = id("subnet", "a subnet");
export const SECURITY_GROUP_ID = id("sg", "a security group");

/** Letters, digits and signs with single dots between them: RFC 5321's form without quotes, in ASCII. */
export const EMAIL: Pattern = {
  pattern:
    /^(?=[^@]{1,64}@.{1,255}$)[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}$/,
  problem: "is not an e-mail address",
  limit: "name@domain",
  example: "ops@example.com",
};

export const HOST: Pattern = {
  pattern:
    /^(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
  problem: "is not a host name; scheme, port and database name have keys of their own",
  limit: "a host name alone",
  example: "scanner.cluster-abcdefghijkl.us-east-1.rds.amazonaws.com",
};

/** The `prx-…` id at the end of a proxy's ARN. */
export function proxyResourceId(proxyArn: string): string {
  return proxyArn.slice(proxyArn.lastIndexOf(":") + 1);
}
