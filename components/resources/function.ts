import * as aws from "@pulumi/aws";
import type * as pulumi from "@pulumi/pulumi";
import type { FunctionPlan } from "../plan/planTypes";

/** A function in a VPC, with its code on disk. */
export interface FunctionRequest {
  plan: FunctionPlan;
  code: pulumi.Input<pulumi.asset.Archive>;
  roleArn: pulumi.Input<string>;
  logGroupName: pulumi.Input<string>;
  environment: Record<string, pulumi.Input<string>>;
  subnetIds: pulumi.Input<pulumi.Input<string>[]>;
  securityGroupId: pulumi.Input<string>;
  tags: Record<string, string>;
}

/** Makes the function. Its log format stays Text for Lambda's own lines: the handler writes its JSON itself. */
export function createFunction(
  logicalName: string,
  request: FunctionRequest,
  opts: pulumi.CustomResourceOptions,
): aws.lambda.Function {
  const { plan } = request;
  return new aws.lambda.Function(
    logicalName,
    {
      name: plan.name,
      description: plan.description,
      code: request.code,
      handler: plan.handler,
      runtime: plan.runtime,
      architectures: [plan.architecture],
      timeout: plan.timeoutSeconds,
      memorySize: plan.memoryMb,
      reservedConcurrentExecutions: plan.reservedConcurrency,
      role: request.roleArn,
      kmsKeyArn: plan.kmsKeyArn,
      environment: { variables: request.environment },
      loggingConfig: { logFormat: "Text", logGroup: request.logGroupName },
      vpcConfig: { subnetIds: request.subnetIds, securityGroupIds: [request.securityGroupId] },
      tags: request.tags,
    },
    opts,
  );
}

/** Takes Lambda's own retries away and says where a lost tick is reported. */
export function createInvokeConfig(
  logicalName: string,
  fn: aws.lambda.Function,
  plan: FunctionPlan,
  opts: pulumi.CustomResourceOptions,
): void {
  new aws.lambda.FunctionEventInvokeConfig(
    logicalName,
    {
      functionName: fn.name,
      maximumRetryAttempts: plan.asyncRetries,
      maximumEventAgeInSeconds: plan.eventAgeSeconds,
      destinationConfig:
        plan.failureDestinationArn === undefined
          ? undefined
          : { onFailure: { destination: plan.failureDestinationArn } },
    },
    opts,
  );
}
