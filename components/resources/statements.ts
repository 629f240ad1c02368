import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import type { DatabaseArgs } from "../args";
import { fillArn, type ArnToken } from "../plan/arnTemplates";
import type { Plan, StatementPlan } from "../plan/planTypes";

/** What the placeholders of the plan's statements stand for. */
export interface StatementSources {
  database: DatabaseArgs;
  /** Absent where the log group is there already. */
  logGroup?: aws.cloudwatch.LogGroup;
  /** In the order of the plan's queues. */
  queues: aws.sqs.Queue[];
}

/** The plan's statements with exact ARNs. */
export function fillStatements(
  plan: Plan,
  sources: StatementSources,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<StatementPlan[]> {
  const { partition, region } = plan.place;
  const accountId = aws.getCallerIdentityOutput({}, { parent: opts.parent }).accountId;
  const logGroupArn =
    sources.logGroup?.arn ??
    pulumi.interpolate`arn:${partition}:logs:${region}:${accountId}:log-group:${plan.logs.name}`;
  const queueArns = plan.queues.map(
    ({ offsetSeconds }, index) => [`queueArn:${offsetSeconds}`, sources.queues[index]!.arn] as const,
  );
  const values: Partial<Record<ArnToken, pulumi.Input<string>>> = {
    partition,
    region,
    accountId,
    logGroupArn,
    databaseResourceId: sources.database.resourceId,
    secretArn: sources.database.secretArn,
    ...Object.fromEntries(queueArns),
  };
  return pulumi.output(values).apply((known) =>
    plan.permissions.statements.map((statement) => ({
      ...statement,
      resources: statement.resources.map((template) => fillArn(template, known)),
    })),
  );
}
