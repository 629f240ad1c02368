import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { MaterializedViewRefreshArgs } from "../args";
import { runError } from "../checkedPlan";
import type { AlarmPlan } from "../plan/planTypes";
import { MOST_ALARM_ACTIONS } from "../time/limits";
import type { Scope } from "./scope";

/** Who alarms tell: ARNs for going off and for being over. */
export interface AlarmActions {
  /** Absent where nobody is to be told by e-mail. */
  topic?: aws.sns.Topic;
  alarmActions: pulumi.Output<string[]>;
  okActions: pulumi.Output<string[]>;
}

/** Makes the topic with its e-mail subscriptions, where there are any, and joins it to the topics given. */
export function createAlarmActions(
  logicalName: string,
  { tags, parent }: Scope,
  topicName: string,
  args: Pick<MaterializedViewRefreshArgs, "alarmEmails" | "alarmTopicArns" | "okActionArns" | "kmsKeyArn">,
  region: pulumi.Output<string>,
): AlarmActions {
  const emails = args.alarmEmails ?? [];
  const most = MOST_ALARM_ACTIONS - (emails.length > 0 ? 1 : 0);
  const given = (arns: pulumi.Input<pulumi.Input<string>[]> | undefined): pulumi.Output<string[]> =>
    pulumi.all([pulumi.output(arns ?? []), region]).apply(([known, home]) => actionsOf(known, home, most));
  const [alarmActions, okActions] = [given(args.alarmTopicArns), given(args.okActionArns)];
  if (emails.length === 0) return { alarmActions, okActions };
  const topic = new aws.sns.Topic(
    logicalName,
    { name: topicName, kmsMasterKeyId: args.kmsKeyArn, tags },
    { parent },
  );
  for (const email of emails) {
    new aws.sns.TopicSubscription(
      `${logicalName}-${email}`,
      { topic: topic.arn, protocol: "email", endpoint: email },
      { parent },
    );
  }
  const withTopic = (actions: pulumi.Output<string[]>): pulumi.Output<string[]> =>
    pulumi.all([actions, topic.arn]).apply(([arns, own]) => [...arns, own]);
  return { topic, alarmActions: withTopic(alarmActions), okActions: withTopic(okActions) };
}

/**
 * Topics that were known only now.
 * @throws RunError for one of another region, which an alarm could not tell, and for too many.
 */
function actionsOf(arns: string[], region: string, most: number): string[] {
  if (arns.length > most) {
    throw runError(
      `An alarm tells at most ${MOST_ALARM_ACTIONS}, the topic of alarmEmails included, and ${arns.length} topics are ` +
        `given. Give at most ${most}.`,
    );
  }
  const elsewhere = arns.find((arn) => (arn.split(":")[3] ?? region) !== region);
  if (elsewhere === undefined) return arns;
  throw runError(
    `Alarms tell only what is in their own region, ${region}, and ${elsewhere} is not. Give a topic of ${region}.`,
  );
}

/** Makes the plan's alarms. */
export function createAlarms(
  logicalName: string,
  { tags, parent }: Scope,
  plans: AlarmPlan[],
  actions: AlarmActions,
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
        { parent },
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
