/**
 * Makes a network, a database, a key and a topic, and keeps two views of that database fresh: one deployment, no ids
 * copied by hand. Before it runs: `npm install` and `pulumi package add ../../components`.
 */
import * as aws from "@pulumi/aws";
import { MaterializedViewRefresh } from "@pulumi/matview-refresh";
import * as pulumi from "@pulumi/pulumi";

const config = new pulumi.Config();
const { accountId } = aws.getCallerIdentityOutput();
const { region } = aws.getRegionOutput();

// Two private subnets. Nothing here needs the internet, so there is no NAT gateway.
const vpc = new aws.ec2.Vpc("reports", { cidrBlock: "10.0.0.0/16", enableDnsHostnames: true });
const zones = aws.getAvailabilityZonesOutput({ state: "available" });
const subnets = [0, 1].map(
  (index) =>
    new aws.ec2.Subnet(`reports-${index}`, {
      vpcId: vpc.id,
      cidrBlock: `10.0.${index}.0/24`,
      availabilityZone: zones.names[index],
    }),
);
const subnetIds = subnets.map(({ id }) => id);

// The services that use the key for the component, beside the account itself.
const services = [
  "events.amazonaws.com",
  "cloudwatch.amazonaws.com",
  pulumi.interpolate`logs.${region}.amazonaws.com`,
];
const key = new aws.kms.Key("reports", {
  policy: pulumi.jsonStringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { AWS: pulumi.interpolate`arn:aws:iam::${accountId}:root` },
        Action: "kms:*",
        Resource: "*",
      },
      {
        Effect: "Allow",
        Principal: { Service: services },
        Action: ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
        Resource: "*",
      },
    ],
  }),
});

const onCall = new aws.sns.Topic("on-call", { kmsMasterKeyId: key.arn });

const databaseGroup = new aws.ec2.SecurityGroup("reports-db", { vpcId: vpc.id });
const database = new aws.rds.Instance("reports", {
  engine: "postgres",
  engineVersion: "17",
  instanceClass: "db.t4g.micro",
  allocatedStorage: 20,
  dbName: "reports",
  username: "reports_admin",
  manageMasterUserPassword: true,
  iamDatabaseAuthenticationEnabled: true,
  storageEncrypted: true,
  kmsKeyId: key.arn,
  dbSubnetGroupName: new aws.rds.SubnetGroup("reports", { subnetIds }).name,
  vpcSecurityGroupIds: [databaseGroup.id],
  finalSnapshotIdentifier: "reports-final",
});

const refresh = new MaterializedViewRefresh(
  "reports",
  {
    groupName: "reporting",
    views: [{ name: "reporting.sales" }, { name: "reporting.customers", allowBlocking: false }],
    refreshRate: "rate(30 seconds)",
    // Set it to true once the views exist and the SQL of the output `grants` has been run.
    refreshEnabled: config.getBoolean("refreshEnabled") ?? false,
    database: {
      host: database.address,
      name: database.dbName,
      user: "matview_refresh",
      resourceId: database.resourceId,
    },
    network: { vpcId: vpc.id, subnetIds, databaseSecurityGroupId: databaseGroup.id },
    kmsKeyArn: key.arn,
    alarmTopicArns: [onCall.arn],
  },
  {
    transforms: [
      // The log outlives the stack: a child is changed by its type, without an argument of the component for it.
      ({ type, props, opts }) =>
        type === "aws:cloudwatch/logGroup:LogGroup"
          ? { props: { ...props, skipDestroy: true }, opts }
          : undefined,
    ],
  },
);

export const functionName = refresh.functionName;
export const dashboardUrl = refresh.dashboardUrl;
export const grants = refresh.grants;
export const monthlyCost = refresh.monthlyCost;
