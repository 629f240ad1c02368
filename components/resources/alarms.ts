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
          warmUpConfiguration: plan.warmUpSeconds === undefined ? undefined : warmUp(plan.warmUpSeconds),
          alarmActions: actions.alarmActions,
          okActions: actions.okActions,
          tags,
        },
        opts,
      ),
  );
}

/** On a first deployment nothing has been refreshed yet, which is no reason to wake anybody. */
function warmUp(seconds: number): aws.types.input.cloudwatch.MetricAlarmWarmUpConfiguration {
  return {
    warmUpPeriodDurationInMinutes: Math.ceil(seconds / 60),
    // One datapoint fills a window of one period, and the first may be a failure.
    onlyStartEvaluatingAfterWarmUpPeriodEnds: true,
  };
}

/** What the alarm reads: one metric, or metric math over one or several. */
function measured({
  metrics,
  expression,
  periodSeconds,
}: AlarmPlan): Partial<aws.cloudwatch.MetricAlarmArgs> {
  const [metric] = metrics;
  if (expression === undefined) {
    return {
      namespace: metric?.namespace,
      metricName: metric?.name,
      dimensions: metric?.dimensions,
      statistic: metric?.statistic,
      period: periodSeconds,
    };
  }
  return {
    metricQueries: [
      { id: "alarm", expression, label: metrics.map(({ name }) => name).join(", "), returnData: true },
      ...metrics.map(({ id, namespace, name, dimensions, statistic }) => ({
        id,
        metric: { namespace, metricName: name, dimensions, stat: statistic, period: periodSeconds },
        returnData: false,
      })),
    ],
  };
}
