import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { Plan, QueuePlan, TargetPlan } from "../plan/planTypes";
import type { Scope } from "./scope";

/** A queue that a tick waits in for its delay. */
export interface DelayQueue {
  plan: QueuePlan;
  resource: aws.sqs.Queue;
}

/** Makes the delay queues. They come before the role, which names their ARNs. */
export function createQueues(
  logicalName: string,
  { tags, parent }: Scope,
  plans: QueuePlan[],
  kmsKeyArn: pulumi.Input<string> | undefined,
): DelayQueue[] {
  return plans.map((plan) => ({
    plan,
    resource: new aws.sqs.Queue(
      `${logicalName}-${plan.offsetSeconds}s`,
      {
        name: plan.name,
        delaySeconds: plan.delaySeconds,
        messageRetentionSeconds: plan.retentionSeconds,
        visibilityTimeoutSeconds: plan.visibilityTimeoutSeconds,
        ...(kmsKeyArn === undefined ? { sqsManagedSseEnabled: true } : { kmsMasterKeyId: kmsKeyArn }),
        tags,
      },
      { parent },
    ),
  }));
}

/** What makes the function run, beside the plan. */
export interface TickParts {
  fn: aws.lambda.Function;
  queues: DelayQueue[];
  /** What a mapping waits for: Lambda refuses one whose function may not read the queue yet. */
  grants: pulumi.Resource[];
  /** Takes what EventBridge could not deliver. */
  failureQueueArn: pulumi.Input<string> | undefined;
  /** Further tags of the rule alone. */
  ruleTags: Record<string, pulumi.Input<string>>;
}

/** Makes the rule, its targets, the permission to call the function, and the queues' policies and mappings. */
export function createTicks(
  logicalName: string,
  { tags, parent }: Scope,
  { rule: planned, targets }: Plan,
  parts: TickParts,
): { rule: aws.cloudwatch.EventRule; mappings: aws.lambda.EventSourceMapping[] } {
  const { fn, queues } = parts;
  const opts = { parent };
  const rule = new aws.cloudwatch.EventRule(
    logicalName,
    {
      name: planned.name,
      description: planned.description,
      scheduleExpression: planned.scheduleExpression,
      state: planned.isEnabled ? "ENABLED" : "DISABLED",
      tags: { ...tags, ...parts.ruleTags },
    },
    opts,
  );
  const permission = new aws.lambda.Permission(
    logicalName,
    {
      function: fn.name,
      action: "lambda:InvokeFunction",
      principal: "events.amazonaws.com",
      sourceArn: rule.arn,
    },
    opts,
  );
  const admitted = queues.map((queue) => admitRule(logicalName, queue, rule, opts));
  for (const target of targets) {
    createTarget(logicalName, target, parts, rule, { ...opts, dependsOn: [permission, ...admitted] });
  }
  const mappings = queues.map((queue) => createMapping(logicalName, queue, parts, tags, opts));
  return { rule, mappings };
}

/** Only this rule may put a message into the queue. */
function admitRule(
  logicalName: string,
  queue: DelayQueue,
  rule: aws.cloudwatch.EventRule,
  opts: pulumi.CustomResourceOptions,
): aws.sqs.QueuePolicy {
  return new aws.sqs.QueuePolicy(
    `${logicalName}-${queue.plan.offsetSeconds}s`,
    {
      queueUrl: queue.resource.url,
      policy: pulumi.jsonStringify({
        Version: "2012-10-17",
        Statement: [
          {
            Sid: "TicksOfOneRule",
            Effect: "Allow",
            Principal: { Service: "events.amazonaws.com" },
            Action: "sqs:SendMessage",
            Resource: queue.resource.arn,
            Condition: { ArnEquals: { "aws:SourceArn": rule.arn } },
          },
        ],
      }),
    },
    opts,
  );
}

function createTarget(
  logicalName: string,
  target: TargetPlan,
  { fn, queues, failureQueueArn }: TickParts,
  rule: aws.cloudwatch.EventRule,
  opts: pulumi.CustomResourceOptions,
): void {
  const queue = queues.find(({ plan }) => plan.name === target.queue);
  new aws.cloudwatch.EventTarget(
    `${logicalName}-${target.offsetSeconds}s`,
    {
      rule: rule.name,
      targetId: target.id,
      arn: queue === undefined ? fn.arn : queue.resource.arn,
      input: target.input,
      retryPolicy: {
        maximumRetryAttempts: target.retryAttempts,
        maximumEventAgeInSeconds: target.eventAgeSeconds,
      },
      deadLetterConfig: failureQueueArn === undefined ? undefined : { arn: failureQueueArn },
    },
    opts,
  );
}

function createMapping(
  logicalName: string,
  queue: DelayQueue,
  { fn, grants }: TickParts,
  tags: Scope["tags"],
  opts: pulumi.CustomResourceOptions,
): aws.lambda.EventSourceMapping {
  return new aws.lambda.EventSourceMapping(
    `${logicalName}-${queue.plan.offsetSeconds}s`,
    {
      eventSourceArn: queue.resource.arn,
      functionName: fn.name,
      batchSize: queue.plan.batchSize,
      scalingConfig: { maximumConcurrency: queue.plan.maximumConcurrency },
      tags,
    },
    { ...opts, dependsOn: grants },
  );
}
