import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { FunctionPlan } from "../plan/planTypes";
import type { Scope } from "./scope";

/** What a function is made of beside its plan. */
export interface FunctionParts {
  code: pulumi.Input<pulumi.asset.Archive>;
  roleArn: pulumi.Input<string>;
  logGroupName: pulumi.Input<string>;
  environment: Record<string, pulumi.Input<string>>;
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
  securityGroupId: pulumi.Input<string>;
  kmsKeyArn?: pulumi.Input<string> | undefined;
  dependsOn: pulumi.Resource[];
}

/** Makes a function in a VPC. Its log format stays Text for Lambda's own lines: the handler writes its JSON itself. */
export function createFunction(
  logicalName: string,
  { tags, parent }: Scope,
  plan: FunctionPlan,
  parts: FunctionParts,
): aws.lambda.Function {
  return new aws.lambda.Function(
    logicalName,
    {
      name: plan.name,
      description: plan.description,
      code: parts.code,
      handler: plan.handler,
      runtime: plan.runtime,
      architectures: [plan.architecture],
      timeout: plan.timeoutSeconds,
      memorySize: plan.memoryMb,
      reservedConcurrentExecutions: plan.reservedConcurrency,
      role: parts.roleArn,
      kmsKeyArn: parts.kmsKeyArn,
      environment: { variables: parts.environment },
      loggingConfig: { logFormat: "Text", logGroup: parts.logGroupName },
      vpcConfig: { subnetIds: parts.subnetIds, securityGroupIds: [parts.securityGroupId] },
      tags,
    },
    { parent, dependsOn: parts.dependsOn },
  );
}

/** Takes Lambda's own retries away and says where a lost tick is reported. */
export function createInvokeConfig(
  logicalName: string,
  { parent }: Scope,
  fn: aws.lambda.Function,
  config: {
    retries: number;
    eventAgeSeconds: number;
    failureDestinationArn: pulumi.Input<string> | undefined;
  },
): void {
  const { failureDestinationArn: destination } = config;
  new aws.lambda.FunctionEventInvokeConfig(
    logicalName,
    {
      functionName: fn.name,
      maximumRetryAttempts: config.retries,
      maximumEventAgeInSeconds: config.eventAgeSeconds,
      destinationConfig: destination === undefined ? undefined : { onFailure: { destination } },
    },
    { parent },
  );
}
