import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { QueuePlan, RulePlan, TargetPlan } from "../plan/planTypes";

/** What makes the function run. */
export interface TicksRequest {
  rule: RulePlan;
  targets: TargetPlan[];
  queues: QueuePlan[];
  fn: aws.lambda.Function;
  /** What a mapping waits for: Lambda refuses one whose function may not read the queue yet. */
  mappingsDependOn: pulumi.Resource[];
  tags: Record<string, string>;
  /** Further tags of the rule alone. */
  ruleTags: Record<string, string>;
}

/** The rule and, for rates under a minute, the queues that hold ticks back and their mappings. */
export interface Ticks {
  rule: aws.cloudwatch.EventRule;
  queues: aws.sqs.Queue[];
  mappings: aws.lambda.EventSourceMapping[];
}

/** A queue that a tick waits in for its delay. */
interface DelayQueue {
  plan: QueuePlan;
  resource: aws.sqs.Queue;
}

/** Makes the delay queues. They come before the role, which names their ARNs. */
export function createQueues(
  logicalName: string,
  plans: QueuePlan[],
  tags: Record<string, string>,
  opts: pulumi.CustomResourceOptions,
): aws.sqs.Queue[] {
  return plans.map(
    (plan) =>
      new aws.sqs.Queue(
        `${logicalName}-${plan.offsetSeconds}s`,
        {
          name: plan.name,
          delaySeconds: plan.delaySeconds,
          messageRetentionSeconds: plan.retentionSeconds,
          visibilityTimeoutSeconds: plan.visibilityTimeoutSeconds,
          ...(plan.kmsKeyArn === undefined
            ? { sqsManagedSseEnabled: true }
            : { kmsMasterKeyId: plan.kmsKeyArn }),
          tags,
        },
        opts,
      ),
  );
}

/** Makes the rule, its targets, the permission to call the function, and the queues' policies and mappings. */
export function createTicks(
  logicalName: string,
  request: TicksRequest & { queueResources: aws.sqs.Queue[] },
  opts: pulumi.CustomResourceOptions,
): Ticks {
  const rule = new aws.cloudwatch.EventRule(
    logicalName,
    {
      name: request.rule.name,
      description: request.rule.description,
      scheduleExpression: request.rule.scheduleExpression,
      state: request.rule.isEnabled ? "ENABLED" : "DISABLED",
      tags: { ...request.tags, ...request.ruleTags },
    },
    opts,
  );
  const permission = new aws.lambda.Permission(
    logicalName,
    {
      function: request.fn.name,
      action: "lambda:InvokeFunction",
      principal: "events.amazonaws.com",
      sourceArn: rule.arn,
    },
    opts,
  );
  const queues = request.queues.map((plan, index) => ({ plan, resource: request.queueResources[index]! }));
  const admitted = queues.map((queue) => admitRule(logicalName, queue, rule, opts));
  for (const target of request.targets) {
    createTarget(logicalName, target, request, rule, queues, {
      ...opts,
      dependsOn: [permission, ...admitted],
    });
  }
  const mappings = queues.map((queue) => createMapping(logicalName, queue, request, opts));
  return { rule, queues: request.queueResources, mappings };
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
  request: TicksRequest,
  rule: aws.cloudwatch.EventRule,
  queues: DelayQueue[],
  opts: pulumi.CustomResourceOptions,
): void {
  const queue = queues.find(({ plan }) => plan.name === target.queue);
  new aws.cloudwatch.EventTarget(
    `${logicalName}-${target.offsetSeconds}s`,
    {
      rule: rule.name,
      targetId: target.id,
      arn: queue === undefined ? request.fn.arn : queue.resource.arn,
      input: target.input,
      retryPolicy: {
        maximumRetryAttempts: target.retryAttempts,
        maximumEventAgeInSeconds: target.eventAgeSeconds,
      },
      deadLetterConfig: target.deadLetterArn === undefined ? undefined : { arn: target.deadLetterArn },
    },
    opts,
  );
}

function createMapping(
  logicalName: string,
  queue: DelayQueue,
  request: TicksRequest,
  opts: pulumi.CustomResourceOptions,
): aws.lambda.EventSourceMapping {
  return new aws.lambda.EventSourceMapping(
    `${logicalName}-${queue.plan.offsetSeconds}s`,
    {
      eventSourceArn: queue.resource.arn,
      functionName: request.fn.name,
      batchSize: queue.plan.batchSize,
      scalingConfig: { maximumConcurrency: queue.plan.maximumConcurrency },
      tags: request.tags,
    },
    { ...opts, dependsOn: request.mappingsDependOn },
  );
}
