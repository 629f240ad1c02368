import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { Scope } from "./scope";

/** The log group of a function, made before it so that Lambda does not make one without retention. */
export function createLogGroup(
  logicalName: string,
  { tags, parent }: Scope,
  group: { name: string; retentionDays: number; kmsKeyArn?: pulumi.Input<string> | undefined },
): aws.cloudwatch.LogGroup {
  return new aws.cloudwatch.LogGroup(
    logicalName,
    { name: group.name, retentionInDays: group.retentionDays, kmsKeyId: group.kmsKeyArn, tags },
    { parent },
  );
}
