/** What the function may do in AWS: as little as works. */
import { quoteText } from "../settings/names";
import type { Settings } from "../settings/schema";
import { token } from "./arnTemplates";
import type { Plan, QueuePlan, StatementPlan } from "./planTypes";

/** AWS's own policy for network interfaces: describing them takes no resource, so we write no `*` ourselves. */
export const NETWORK_POLICY_ARN = `arn:${token("partition")}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess`;

/**
 * Lambda makes the network interfaces of a function with the function's own role, and AWS takes no resource for that.
 * The code itself needs none of it: so it is denied to calls that come from inside the function.
 * @see https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
 */
export function interfacesForLambdaAlone(functionName: string): StatementPlan {
  return {
    sid: "InterfacesForLambdaAlone",
    actions: [
      "ec2:CreateNetworkInterface",
      "ec2:DeleteNetworkInterface",
      "ec2:DescribeNetworkInterfaces",
      "ec2:DescribeSubnets",
      "ec2:DetachNetworkInterface",
      "ec2:AssignPrivateIpAddresses",
      "ec2:UnassignPrivateIpAddresses",
    ],
    resources: ["*"],
    deniedToFunctionArn: `arn:${token("partition")}:lambda:${token("region")}:${token("accountId")}:function:${functionName}`,
  };
}

/** What the role must allow. No action and no resource is a bare wildcard; only log streams, which Lambda names, end in one. */
export function planStatements(
  settings: Settings,
  queues: QueuePlan[],
  functionName: string,
): StatementPlan[] {
  const { database, failureQueueArn, failureTopicArn, kmsKeyArn } = settings;
  const statement = (sid: string, actions: string[], resources: string[]): StatementPlan[] =>
    resources.length === 0 ? [] : [{ sid, actions, resources }];
  const isSecret = database.auth === "secret";
  const hasDatabase = database.host !== undefined || database.create !== undefined;
  const userArn = `arn:${token("partition")}:rds-db:${token("region")}:${token("accountId")}:dbuser:${token("databaseResourceId")}/${token("databaseUser")}`;
  return [
    // Lambda writes the function's log with the function's role, into streams that it names itself.
    ...statement("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [`${token("logGroupArn")}:*`]),
    // The database's password.
    ...statement(
      "ReadSecret",
      ["secretsmanager:GetSecretValue"],
      hasDatabase && isSecret ? [token("secretArn")] : [],
    ),
    // A token instead of a password, for this user of this database alone.
    ...statement("ConnectToDatabase", ["rds-db:connect"], hasDatabase && !isSecret ? [userArn] : []),
    // Lambda polls the delay queues with the function's role.
    ...statement(
      "TakeTicks",
      ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
      queues.map((queue) => token(`queueArn:${queue.offsetSeconds}`)),
    ),
    // Lambda tells the failure destination with the function's role.
    ...statement(
      "ReportLostTicks",
      [failureQueueArn === undefined ? "sns:Publish" : "sqs:SendMessage"],
      (failureQueueArn ?? failureTopicArn) ? [token("failureDestinationArn")] : [],
    ),
    // Environment, queues and secret are encrypted with these keys.
    ...statement(
      "Decrypt",
      ["kms:Decrypt"],
      [
        ...(kmsKeyArn === undefined ? [] : [token("kmsKeyArn")]),
        ...(database.secretKmsKeyArn === undefined ? [] : [token("secretKmsKeyArn")]),
      ],
    ),
    interfacesForLambdaAlone(functionName),
  ];
}

/** SQL that tells how old each view of the group is, oldest first. */
export function freshnessQueryOf({ views }: Pick<Plan, "views">): string {
  const names = views.map((view) => `(${quoteText(view.schema)}, ${quoteText(view.name)})`).join(", ");
  return (
    "SELECT view_schema, view_name, as_of, checked_at, age, last_outcome FROM public.matview_freshness " +
    `WHERE (view_schema, view_name) IN (${names}) ORDER BY age DESC NULLS FIRST;`
  );
}
