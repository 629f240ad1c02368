import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { PermissionPlan, StatementPlan } from "../plan/planTypes";

/** The role the function runs as. */
export interface FunctionRole {
  arn: pulumi.Output<string>;
  name: pulumi.Output<string>;
  /** What it allows or, when it was given, must allow: an IAM policy document. */
  policy: pulumi.Output<string>;
  /** What the function must wait for: without these it starts with a role that may do nothing. */
  grants: pulumi.Resource[];
}

/** What a role is made of. */
export interface RoleRequest {
  /** Name of the role in AWS. */
  name: string;
  plan: PermissionPlan;
  /** The plan's statements with their placeholders filled in. */
  statements: pulumi.Output<StatementPlan[]>;
  tags: Record<string, string>;
}

/** Makes the role with exactly the plan's statements, or takes the one that is given as it is. */
export function createRole(
  logicalName: string,
  request: RoleRequest,
  opts: pulumi.CustomResourceOptions,
): FunctionRole {
  const { plan } = request;
  const document = request.statements.apply(policyDocument);
  if (plan.roleArn !== undefined) {
    const name = plan.roleArn.slice(plan.roleArn.lastIndexOf("/") + 1);
    return { arn: pulumi.output(plan.roleArn), name: pulumi.output(name), policy: document, grants: [] };
  }
  const role = new aws.iam.Role(
    logicalName,
    {
      name: request.name,
      path: plan.rolePath,
      permissionsBoundary: plan.permissionsBoundaryArn,
      description: "Refreshes materialized views; nothing else",
      assumeRolePolicy: JSON.stringify({
        Version: "2012-10-17",
        Statement: [
          { Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: "lambda.amazonaws.com" } },
        ],
      }),
      tags: request.tags,
    },
    opts,
  );
  const policy = new aws.iam.RolePolicy(
    logicalName,
    { name: request.name, role: role.name, policy: document },
    opts,
  );
  const attachments = plan.managedPolicyArns.map(
    (policyArn) =>
      new aws.iam.RolePolicyAttachment(
        `${logicalName}-${policyArn.slice(policyArn.lastIndexOf("/") + 1)}`,
        { role: role.name, policyArn },
        opts,
      ),
  );
  return { arn: role.arn, name: role.name, policy: document, grants: [policy, ...attachments] };
}

/** An IAM policy document as JSON text. */
function policyDocument(statements: StatementPlan[]): string {
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: statements.map((statement) => ({
      Sid: statement.sid,
      Effect: "Allow",
      Action: statement.actions,
      Resource: statement.resources,
    })),
  });
}
