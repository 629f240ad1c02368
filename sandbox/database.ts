import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";

/** What {@link SandboxDatabase} is told. */
export interface SandboxDatabaseArgs {
  vpcId: pulumi.Input<string>;
  /** At least two subnets in different zones, as RDS asks. */
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
  /** RDS instance class, for example `db.t4g.micro`. */
  instanceClass: string;
  storageGb: number;
  port: number;
  databaseName: string;
  /** Database user of the refresh function; the migration function creates it. */
  refreshUser: string;
  /** Whether an RDS Proxy stands before the instance. */
  proxy: boolean;
  /** Path and permissions boundary of the proxy's role. */
  rolePath: string;
  permissionsBoundaryArn: pulumi.Input<string> | undefined;
  tags: Record<string, pulumi.Input<string>>;
  /** Further tags of the instance alone. */
  instanceTags: Record<string, string>;
}

/** Master user of the instance. Its password is made and kept by RDS in Secrets Manager, never seen by Pulumi. */
const MASTER_USER = "matview_admin";

/** The newest that RDS Proxy is known to take, with a proxy or without: a proxy may be added later. */
const ENGINE_VERSION = "17";

/**
 * A small PostgreSQL on RDS for a stack that has none: encrypted, private, TLS and IAM authentication on, with
 * an optional RDS Proxy. Made to be thrown away: no final snapshot, no deletion protection.
 */
export class SandboxDatabase extends pulumi.ComponentResource {
  /** Where clients connect: the proxy when there is one. */
  public readonly host: pulumi.Output<string>;
  /** Where migrations connect: always the instance itself. */
  public readonly instanceHost: pulumi.Output<string>;
  public readonly securityGroupId: pulumi.Output<string>;
  /** `db-…` of the instance or `prx-…` of the proxy: what IAM's rds-db:connect names. */
  public readonly resourceId: pulumi.Output<string>;
  /** What clients wait for: a proxy answers only once it knows its instance. */
  public readonly ready: pulumi.Resource[];
  /** ARN of the secret in which RDS keeps the master user's password. */
  public readonly masterSecretArn: pulumi.Output<string>;

  constructor(name: string, args: SandboxDatabaseArgs, opts?: pulumi.ComponentResourceOptions) {
    super("matview-refresh:sandbox:Database", name, {}, opts);
    const child = { parent: this };

    const securityGroup = new aws.ec2.SecurityGroup(
      `${name}-db`,
      {
        vpcId: args.vpcId,
        description: "PostgreSQL of the matview-refresh sandbox: reached by its own functions alone",
        tags: args.tags,
      },
      child,
    );
    const subnetGroup = new aws.rds.SubnetGroup(
      `${name}-db`,
      { subnetIds: args.subnetIds, tags: args.tags },
      child,
    );
    const instance = new aws.rds.Instance(
      `${name}-db`,
      {
        engine: "postgres",
        engineVersion: ENGINE_VERSION,
        instanceClass: args.instanceClass,
        allocatedStorage: args.storageGb,
        storageType: "gp3",
        storageEncrypted: true,
        port: args.port,
        dbName: args.databaseName,
        username: MASTER_USER,
        manageMasterUserPassword: true,
        iamDatabaseAuthenticationEnabled: true,
        publiclyAccessible: false,
        dbSubnetGroupName: subnetGroup.name,
        vpcSecurityGroupIds: [securityGroup.id],
        backupRetentionPeriod: 1,
        skipFinalSnapshot: true,
        applyImmediately: true,
        autoMinorVersionUpgrade: true,
        copyTagsToSnapshot: true,
        tags: { ...args.tags, ...args.instanceTags },
      },
      // Chosen when the instance is made: RDS refuses a downgrade, and upgrades minor versions by itself.
      { ...child, ignoreChanges: ["engineVersion"] },
    );

    const proxy = args.proxy ? createProxy(name, args, { instance, securityGroup }, child) : undefined;

    this.instanceHost = instance.address;
    this.host = proxy ? proxy.proxy.endpoint : instance.address;
    this.ready = proxy ? [proxy.target] : [];
    this.securityGroupId = securityGroup.id;
    // A proxy's ARN ends in its resource id: arn:aws:rds:REGION:ACCOUNT:db-proxy:prx-…
    this.resourceId = proxy ? proxy.proxy.arn.apply(lastArnPart) : instance.resourceId;
    this.masterSecretArn = masterSecretArn(instance);
    this.registerOutputs({
      host: this.host,
      securityGroupId: this.securityGroupId,
      resourceId: this.resourceId,
      masterSecretArn: this.masterSecretArn,
    });
  }
}

/**
 * A proxy that uses IAM on both sides: clients sign in with a token, and the proxy itself connects to the
 * instance with one of its own, so that no password of the refresh user exists anywhere.
 */
function createProxy(
  name: string,
  args: SandboxDatabaseArgs,
  target: {
    instance: aws.rds.Instance;
    securityGroup: aws.ec2.SecurityGroup;
  },
  opts: pulumi.CustomResourceOptions,
): { proxy: aws.rds.Proxy; target: aws.rds.ProxyTarget } {
  const role = new aws.iam.Role(
    `${name}-proxy`,
    {
      path: args.rolePath,
      permissionsBoundary: args.permissionsBoundaryArn,
      assumeRolePolicy: {
        Version: "2012-10-17",
        Statement: [
          { Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: "rds.amazonaws.com" } },
        ],
      },
      tags: args.tags,
    },
    opts,
  );
  const userArn = pulumi
    .all([target.instance.arn, target.instance.resourceId])
    .apply(([instanceArn, resourceId]) => databaseUserArn(instanceArn, resourceId, args.refreshUser));
  const policy = new aws.iam.RolePolicy(
    `${name}-proxy`,
    {
      role: role.id,
      policy: pulumi.jsonStringify({
        Version: "2012-10-17",
        Statement: [{ Effect: "Allow", Action: "rds-db:connect", Resource: userArn }],
      }),
    },
    opts,
  );
  // The proxy stands in the database's security group; members of it may reach each other on the port.
  const amongMembers = {
    securityGroupId: target.securityGroup.id,
    referencedSecurityGroupId: target.securityGroup.id,
    ipProtocol: "tcp",
    fromPort: args.port,
    toPort: args.port,
    description: "RDS Proxy to its instance",
    tags: args.tags,
  };
  new aws.vpc.SecurityGroupIngressRule(`${name}-proxy-in`, amongMembers, opts);
  new aws.vpc.SecurityGroupEgressRule(`${name}-proxy-out`, amongMembers, opts);
  const proxy = new aws.rds.Proxy(
    `${name}-proxy`,
    {
      engineFamily: "POSTGRESQL",
      roleArn: role.arn,
      requireTls: true,
      defaultAuthScheme: "IAM_AUTH",
      vpcSubnetIds: args.subnetIds,
      vpcSecurityGroupIds: [target.securityGroup.id],
      tags: args.tags,
    },
    { ...opts, dependsOn: [policy] },
  );
  const targetGroup = new aws.rds.ProxyDefaultTargetGroup(
    `${name}-proxy`,
    { dbProxyName: proxy.name, connectionPoolConfig: { connectionBorrowTimeout: 20 } },
    opts,
  );
  const registered = new aws.rds.ProxyTarget(
    `${name}-proxy`,
    {
      dbProxyName: proxy.name,
      targetGroupName: targetGroup.name,
      dbInstanceIdentifier: target.instance.identifier,
    },
    opts,
  );
  return { proxy, target: registered };
}

/** The secret that RDS made for the master user; there is exactly one when it manages the password. */
function masterSecretArn(instance: aws.rds.Instance): pulumi.Output<string> {
  return instance.masterUserSecrets.apply((secrets) => secrets[0]!.secretArn);
}

function lastArnPart(arn: string): string {
  return arn.slice(arn.lastIndexOf(":") + 1);
}

/** `arn:aws:rds:REGION:ACCOUNT:db:NAME` to the ARN that rds-db:connect wants, of one user of that instance. */
function databaseUserArn(instanceArn: string, resourceId: string, user: string): string {
  const [, partition, , region, account] = instanceArn.split(":");
  return `arn:${partition}:rds-db:${region}:${account}:dbuser:${resourceId}/${user}`;
}
