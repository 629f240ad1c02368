import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { AlarmPlan, SubscriptionsPlan } from "../plan/planTypes";

/** Who alarms tell: ARNs for going off and for being over. */
export interface AlarmActions {
  /** Absent where nobody is to be told by e-mail. */
  topic?: aws.sns.Topic;
  alarmActions: pulumi.Output<string[]>;
  okActions: pulumi.Output<string[]>;
}

/** Topics that are there already, or made by the program. */
export interface GivenTopics {
  alarmTopicArns: pulumi.Input<pulumi.Input<string>[]>;
  okActionArns: pulumi.Input<pulumi.Input<string>[]>;
}

/** Makes the topic with its e-mail subscriptions, where the plan has one, and joins it to the topics given. */
export function createAlarmActions(
  logicalName: string,
  plan: SubscriptionsPlan,
  given: GivenTopics,
  tags: Record<string, string>,
  opts: pulumi.CustomResourceOptions,
): AlarmActions {
  const alarmTopics = pulumi.output(given.alarmTopicArns);
  const okActions = pulumi.output(given.okActionArns);
  if (plan.topic === undefined) return { alarmActions: alarmTopics, okActions };
  const topic = new aws.sns.Topic(
    logicalName,
    { name: plan.topic.name, kmsMasterKeyId: plan.topic.kmsKeyArn, tags },
    opts,
  );
  for (const email of plan.topic.emails) {
    new aws.sns.TopicSubscription(
      `${logicalName}-${email}`,
      { topic: topic.arn, protocol: "email", endpoint: email },
      opts,
    );
  }
  return {
    topic,
    alarmActions: pulumi.all([alarmTopics, topic.arn]).apply(([arns, own]) => [...arns, own]),
    okActions: pulumi.all([okActions, topic.arn]).apply(([arns, own]) => [...arns, own]),
  };
}

/** Makes the plan's alarms. */
export function createAlarms(
  logicalName: string,
  plans: AlarmPlan[],
  actions: AlarmActions,
  tags: Record<string, string>,
  opts: pulumi.CustomResourceOptions,
): aws.cloudwatch.MetricAlarm[] {
  return plans.map(
    (plan) =>
      new aws.cloudwatch.MetricAlarm(
        `${logicalName}-${plan.key}`,
        {
          name: plan.name,
          alarmDescription: plan.description,
          ...measured(plan),
          comparisonOperator: plan.comparison,
          threshold: plan.threshold,
          evaluationPeriods: plan.evaluationPeriods,
          datapointsToAlarm: plan.datapointsToAlarm,
          treatMissingData: plan.treatMissingData,
          alarmActions: actions.alarmActions,
          okActions: actions.okActions,
          tags,
        },
        opts,
      ),
  );
}

/** What the alarm reads: a metric, or a metric whose gaps are filled. */
function measured(plan: AlarmPlan): Partial<aws.cloudwatch.MetricAlarmArgs> {
  const { metric, fill } = plan;
  if (fill === undefined) {
    return {
      namespace: metric.namespace,
      metricName: metric.name,
      dimensions: metric.dimensions,
      statistic: metric.statistic,
      period: plan.periodSeconds,
    };
  }
  return {
    metricQueries: [
      { id: fill.expressionId, expression: fill.expression, label: metric.name, returnData: true },
      {
        id: fill.metricId,
        metric: {
          namespace: metric.namespace,
          metricName: metric.name,
          dimensions: metric.dimensions,
          stat: metric.statistic,
          period: plan.periodSeconds,
        },
        returnData: false,
      },
    ],
  };
}
