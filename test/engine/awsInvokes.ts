/**
 * The table of lookups (invokes). What exists already in the account of the tests: one VPC with a subnet in each of
 * two zones, one security group, and any database, secret or topic that a program asks for by its name.
 */
import type { Properties, World } from "./answers";
import { digest, text } from "./answerValues";

/** The network that exists in the account of the tests before any stack does. */
export const existingNetwork = {
  vpcId: "vpc-0123456789abcdef0",
  cidrBlock: "10.20.0.0/16",
  /** Subnet ids; the n-th is in the n-th zone. A subnet id not listed here is answered as in the first zone. */
  subnetIds: ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb"],
  securityGroupId: "sg-0123456789abcdef0",
};

type InvokeAnswer = (args: Properties, world: World) => Properties;

const zoneLetters = ["a", "b", "c"];

function zones({ region }: World): string[] {
  return zoneLetters.map((letter) => region + letter);
}

function arn(service: string, rest: string, { region, accountId }: World): string {
  return `arn:aws:${service}:${region}:${accountId}:${rest}`;
}

const placeAnswers: Record<string, InvokeAnswer> = {
  "aws:index/getAvailabilityZones:getAvailabilityZones": (args, world) => ({
    ...args,
    id: world.region,
    names: zones(world),
    zoneIds: zones(world).map((_, i) => `use1-az${i + 1}`),
    groupNames: [world.region],
    region: world.region,
  }),
  "aws:index/getCallerIdentity:getCallerIdentity": (_args, { accountId }) => ({
    id: accountId,
    accountId,
    arn: `arn:aws:iam::${accountId}:user/deployer`,
    userId: "AIDACKCEVSQ6C2EXAMPLE",
  }),
  "aws:index/getRegion:getRegion": (_args, { region }) => ({
    id: region,
    name: region,
    region,
    description: region,
    endpoint: `ec2.${region}.amazonaws.com`,
  }),
  "aws:index/getPartition:getPartition": () => ({
    id: "aws",
    partition: "aws",
    dnsSuffix: "amazonaws.com",
    reverseDnsPrefix: "com.amazonaws",
  }),
};

const networkAnswers: Record<string, InvokeAnswer> = {
  "aws:ec2/getVpc:getVpc": (args, world) => {
    const id = text(args.id, existingNetwork.vpcId);
    return {
      id,
      arn: arn("ec2", `vpc/${id}`, world),
      cidrBlock: existingNetwork.cidrBlock,
      default: false,
      enableDnsHostnames: true,
      enableDnsSupport: true,
      mainRouteTableId: "rtb-0123456789abcdef0",
      ownerId: world.accountId,
      region: world.region,
      state: "available",
      tags: {},
    };
  },
  "aws:ec2/getSubnet:getSubnet": (args, world) => {
    const id = text(args.id, text(existingNetwork.subnetIds[0], ""));
    const position = Math.max(existingNetwork.subnetIds.indexOf(id), 0);
    return {
      id,
      arn: arn("ec2", `subnet/${id}`, world),
      availabilityZone: zones(world)[position],
      availabilityZoneId: `use1-az${position + 1}`,
      availableIpAddressCount: 250,
      cidrBlock: `10.20.${position}.0/24`,
      mapPublicIpOnLaunch: false,
      ownerId: world.accountId,
      region: world.region,
      state: "available",
      tags: {},
      vpcId: existingNetwork.vpcId,
    };
  },
  "aws:ec2/getSubnets:getSubnets": (args, { region }) => ({
    ...args,
    id: region,
    ids: existingNetwork.subnetIds,
    region,
    tags: {},
  }),
  "aws:ec2/getSecurityGroup:getSecurityGroup": (args, world) => {
    const id = text(args.id, existingNetwork.securityGroupId);
    return {
      id,
      arn: arn("ec2", `security-group/${id}`, world),
      description: "database",
      name: text(args.name, "database"),
      region: world.region,
      tags: {},
      vpcId: existingNetwork.vpcId,
    };
  },
};

const serviceAnswers: Record<string, InvokeAnswer> = {
  "aws:rds/getInstance:getInstance": (args, world) => {
    const name = text(args.dbInstanceIdentifier, "database");
    const address = `${name}.c9akciq32rrx.${world.region}.rds.amazonaws.com`;
    return {
      id: name,
      address,
      availabilityZone: `${world.region}a`,
      dbInstanceArn: arn("rds", `db:${name}`, world),
      dbInstanceIdentifier: name,
      dbName: "app",
      endpoint: `${address}:5432`,
      engine: "postgres",
      engineVersion: "17.4",
      masterUsername: "postgres",
      port: 5432,
      region: world.region,
      resourceId: `db-${digest(name).slice(0, 26).toUpperCase()}`,
      storageEncrypted: true,
      vpcSecurityGroups: [existingNetwork.securityGroupId],
    };
  },
  "aws:rds/getCluster:getCluster": (args, world) => {
    const name = text(args.clusterIdentifier, "cluster");
    const suffix = `c9akciq32rrx.${world.region}.rds.amazonaws.com`;
    return {
      id: name,
      arn: arn("rds", `cluster:${name}`, world),
      clusterIdentifier: name,
      clusterResourceId: `cluster-${digest(name).slice(0, 26).toUpperCase()}`,
      databaseName: "app",
      endpoint: `${name}.cluster-${suffix}`,
      engine: "aurora-postgresql",
      engineVersion: "17.4",
      port: 5432,
      readerEndpoint: `${name}.cluster-ro-${suffix}`,
      region: world.region,
      storageEncrypted: true,
      vpcSecurityGroupIds: [existingNetwork.securityGroupId],
    };
  },
  "aws:secretsmanager/getSecret:getSecret": (args, world) => {
    const name = text(args.name, "secret");
    const secretArn = text(
      args.arn,
      arn("secretsmanager", `secret:${name}-${digest(name).slice(0, 6)}`, world),
    );
    return { id: secretArn, arn: secretArn, name, region: world.region, tags: {} };
  },
  "aws:sns/getTopic:getTopic": (args, world) => {
    const name = text(args.name, "topic");
    return {
      id: arn("sns", name, world),
      arn: arn("sns", name, world),
      name,
      region: world.region,
      tags: {},
    };
  },
};

/** Every lookup the tests know, by its token in the long form. */
export const invokeAnswers: Record<string, InvokeAnswer> = {
  ...placeAnswers,
  ...networkAnswers,
  ...serviceAnswers,
};
