import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { LogsPlan } from "../plan/planTypes";

/** The log group of the function, made before it so that Lambda does not make one without retention. */
export interface LogGroup {
  name: pulumi.Output<string>;
  /** Absent where the group is there already. */
  resource?: aws.cloudwatch.LogGroup;
}

/** Makes the log group, or names the one that is there. */
export function createLogGroup(
  logicalName: string,
  plan: LogsPlan,
  tags: Record<string, string>,
  opts: pulumi.CustomResourceOptions,
): LogGroup {
  if (plan.isGiven) return { name: pulumi.output(plan.name) };
  const resource = new aws.cloudwatch.LogGroup(
    logicalName,
    { name: plan.name, retentionInDays: plan.retentionDays, kmsKeyId: plan.kmsKeyArn, tags },
    opts,
  );
  return { name: resource.name, resource };
}
