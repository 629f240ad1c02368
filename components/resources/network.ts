import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { SECRETS_URL_VARIABLE } from "../settings/environment";
import type { Scope } from "./scope";

/** Where the function may connect to. */
export interface SecurityGroupRequest {
  /** Name of the group in AWS. */
  name: string;
  vpcId: pulumi.Input<string>;
  databaseSecurityGroupId: pulumi.Input<string>;
  databasePort: pulumi.Input<number>;
  /** Whether the function fetches a secret, which it reaches by HTTPS. */
  reachesSecretsManager: boolean;
  /** Security group of the Secrets Manager endpoint, when the stack makes one; else HTTPS goes to any address. */
  endpointSecurityGroupId?: pulumi.Input<string> | undefined;
}

const HTTPS_PORT = 443;

/** A security group and what lets its members through: who calls the function at once has to wait for the rules. */
export interface FunctionGroup {
  id: pulumi.Output<string>;
  rules: pulumi.Resource[];
}

/**
 * The function's security group: out to the database's port and nothing else (and to Secrets Manager where the
 * password is a secret), and the one rule on the database's group that lets it in.
 */
export function createSecurityGroup(
  logicalName: string,
  { tags, parent }: Scope,
  request: SecurityGroupRequest,
): FunctionGroup {
  const opts = { parent };
  const group = new aws.ec2.SecurityGroup(
    logicalName,
    {
      name: request.name,
      description: "Materialized view refresh: out to the database only",
      vpcId: request.vpcId,
      tags,
    },
    opts,
  );
  const databasePort = { ipProtocol: "tcp", fromPort: request.databasePort, toPort: request.databasePort };
  const out = new aws.vpc.SecurityGroupEgressRule(
    `${logicalName}-to-database`,
    {
      securityGroupId: group.id,
      referencedSecurityGroupId: request.databaseSecurityGroupId,
      ...databasePort,
      description: "Refresh function to the database",
      tags,
    },
    opts,
  );
  const into = new aws.vpc.SecurityGroupIngressRule(
    `${logicalName}-into-database`,
    {
      securityGroupId: request.databaseSecurityGroupId,
      referencedSecurityGroupId: group.id,
      ...databasePort,
      description: "Refresh function to the database",
      tags,
    },
    opts,
  );
  if (!request.reachesSecretsManager) return { id: group.id, rules: [out, into] };
  const toSecrets = new aws.vpc.SecurityGroupEgressRule(
    `${logicalName}-to-secrets-manager`,
    {
      securityGroupId: group.id,
      ...(request.endpointSecurityGroupId === undefined
        ? { cidrIpv4: "0.0.0.0/0" }
        : { referencedSecurityGroupId: request.endpointSecurityGroupId }),
      ipProtocol: "tcp",
      fromPort: HTTPS_PORT,
      toPort: HTTPS_PORT,
      description: "Refresh function to Secrets Manager",
      tags,
    },
    opts,
  );
  return { id: group.id, rules: [out, into, toSecrets] };
}

/** A Secrets Manager endpoint for subnets that have no way out. */
export interface SecretsEndpointRequest {
  vpcId: pulumi.Input<string>;
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
  region: pulumi.Input<string>;
  secretArn: pulumi.Input<string>;
}

/** The endpoint's security group and the endpoint, which clients must wait for. */
export interface SecretsEndpoint {
  securityGroupId: pulumi.Output<string>;
  endpoint: aws.ec2.VpcEndpoint;
  /** What its clients need in their environment: nobody else in the VPC is sent to the endpoint. */
  variables: Record<string, pulumi.Output<string>>;
}

/** An interface endpoint through which one secret can be read and nothing else. Billed by the hour and zone. */
export function createSecretsEndpoint(
  logicalName: string,
  { tags, parent }: Scope,
  request: SecretsEndpointRequest,
): SecretsEndpoint {
  const opts = { parent };
  const group = new aws.ec2.SecurityGroup(
    logicalName,
    {
      description: "Secrets Manager endpoint of the materialized view refresh",
      vpcId: request.vpcId,
      tags,
    },
    opts,
  );
  const endpoint = new aws.ec2.VpcEndpoint(
    logicalName,
    {
      vpcId: request.vpcId,
      subnetIds: request.subnetIds,
      serviceName: pulumi.interpolate`com.amazonaws.${request.region}.secretsmanager`,
      vpcEndpointType: "Interface",
      // With it every client in the VPC would be sent here, and AWS refuses a second endpoint that has it.
      privateDnsEnabled: false,
      securityGroupIds: [group.id],
      policy: pulumi.jsonStringify({
        Version: "2012-10-17",
        Statement: [
          {
            Effect: "Allow",
            Principal: "*",
            Action: "secretsmanager:GetSecretValue",
            Resource: request.secretArn,
          },
        ],
      }),
      tags,
    },
    opts,
  );
  // The first entry is the regional name, which answers in whichever zones the endpoint has.
  const url = endpoint.dnsEntries.apply((entries) => `https://${entries[0]!.dnsName}`);
  return { securityGroupId: group.id, endpoint, variables: { [SECRETS_URL_VARIABLE]: url } };
}

/** Lets clients of one security group reach the endpoint by HTTPS. */
export function admitToEndpoint(
  logicalName: string,
  { tags, parent }: Scope,
  endpoint: SecretsEndpoint,
  clientSecurityGroupId: pulumi.Input<string>,
): pulumi.Resource {
  return new aws.vpc.SecurityGroupIngressRule(
    logicalName,
    {
      securityGroupId: endpoint.securityGroupId,
      referencedSecurityGroupId: clientSecurityGroupId,
      ipProtocol: "tcp",
      fromPort: HTTPS_PORT,
      toPort: HTTPS_PORT,
      description: "Clients of the endpoint",
      tags,
    },
    { parent },
  );
}
