import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { fillArn, type ArnToken } from "../plan/arnTemplates";
import { NETWORK_POLICY_ARN } from "../plan/permissionPlan";
import type { StatementPlan } from "../plan/planTypes";
import type { Scope } from "./scope";

/** What the placeholders of statements stand for. */
export type ArnValues = Partial<Record<ArnToken, pulumi.Input<string> | undefined>>;

/** The statements as an IAM policy document, with exact ARNs. */
export function policyDocument(statements: StatementPlan[], values: ArnValues): pulumi.Output<string> {
  return pulumi.output(values).apply((known) =>
    JSON.stringify({
      Version: "2012-10-17",
      Statement: statements.map(({ sid, actions, resources, deniedToFunctionArn: denied }) => ({
        Sid: sid,
        Effect: denied === undefined ? "Allow" : "Deny",
        Action: actions,
        Resource: resources.map((template) => fillArn(template, known)),
        ...(denied === undefined
          ? {}
          : { Condition: { ArnEquals: { "lambda:SourceFunctionArn": fillArn(denied, known) } } }),
      })),
    }),
  );
}

/** The role a function runs as. */
export interface FunctionRole {
  arn: pulumi.Output<string>;
  name: pulumi.Output<string>;
  /** What the function must wait for: without these it starts with a role that may do nothing. */
  grants: pulumi.Resource[];
}

/** What a role is made of. */
export interface RoleParts {
  /** Name of the role in AWS. */
  name: string;
  path: string;
  permissionsBoundaryArn: pulumi.Input<string> | undefined;
  policy: pulumi.Input<string>;
  partition: pulumi.Input<string>;
}

/** Makes a function's role with this policy and AWS's own for network interfaces. */
export function createRole(logicalName: string, { tags, parent }: Scope, parts: RoleParts): FunctionRole {
  const role = new aws.iam.Role(
    logicalName,
    {
      name: parts.name,
      path: parts.path,
      permissionsBoundary: parts.permissionsBoundaryArn,
      description: "Refreshes materialized views; nothing else",
      assumeRolePolicy: JSON.stringify({
        Version: "2012-10-17",
        Statement: [
          { Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: "lambda.amazonaws.com" } },
        ],
      }),
      tags,
    },
    { parent },
  );
  const policy = new aws.iam.RolePolicy(
    logicalName,
    { name: parts.name, role: role.name, policy: parts.policy },
    { parent },
  );
  const attachment = new aws.iam.RolePolicyAttachment(
    `${logicalName}-AWSLambdaENIManagementAccess`,
    {
      role: role.name,
      policyArn: pulumi
        .output(parts.partition)
        .apply((partition) => fillArn(NETWORK_POLICY_ARN, { partition })),
    },
    { parent },
  );
  return { arn: role.arn, name: role.name, grants: [policy, attachment] };
}

/** A role that is there already, to which nothing is attached. */
export function givenRole(roleArn: pulumi.Input<string>): FunctionRole {
  const arn = pulumi.output(roleArn);
  return { arn, name: arn.apply((text) => text.slice(text.lastIndexOf("/") + 1)), grants: [] };
}
