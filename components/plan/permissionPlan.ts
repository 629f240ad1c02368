/** What the function may do in AWS, and what its database user may do in PostgreSQL: as little as works. */
import { token } from "./arnTemplates";
import type { PermissionPlan, Place, QueuePlan, StatementPlan } from "./planTypes";
import type { Settings } from "../settings/settings";
import { quoteIdentifier, quoteText } from "../settings/viewNames";

/** The group role that migration 004_refresher_role.sql makes. */
const REFRESHER_ROLE = "matview_refresher";

/** The role's policies. No action and no resource is a bare wildcard; only log streams, which Lambda names, end in one. */
export function planPermissions(
  settings: Settings,
  place: Required<Place>,
  queues: QueuePlan[],
): PermissionPlan {
  const { roleArn, permissionsBoundaryArn, rolePath } = settings;
  const statements = [
    logStatement(),
    ...databaseStatements(settings),
    ...queueStatements(queues),
    ...destinationStatements(settings),
    ...keyStatements(settings),
  ];
  return {
    rolePath,
    managedPolicyArns: [`arn:${place.partition}:iam::aws:policy/service-role/AWSLambdaENIManagementAccess`],
    statements,
    ...(roleArn === undefined ? {} : { roleArn }),
    ...(permissionsBoundaryArn === undefined ? {} : { permissionsBoundaryArn }),
  };
}

function logStatement(): StatementPlan {
  return {
    sid: "WriteLogs",
    reason: "Lambda writes the function's log with the function's role, into streams that it names itself",
    actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
    resources: [`${token("logGroupArn")}:*`],
  };
}

function databaseStatements({ database }: Settings): StatementPlan[] {
  if (database.kind === "none") return [];
  if (database.auth === "secret") {
    return [
      {
        sid: "ReadSecret",
        reason: "the database's password",
        actions: ["secretsmanager:GetSecretValue"],
        resources: [token("secretArn")],
      },
    ];
  }
  const account = `${token("region")}:${token("accountId")}`;
  const user = `${token("databaseResourceId")}/${database.user ?? ""}`;
  return [
    {
      sid: "ConnectToDatabase",
      reason: "a token instead of a password, for this user of this database alone",
      actions: ["rds-db:connect"],
      resources: [`arn:${token("partition")}:rds-db:${account}:dbuser:${user}`],
    },
  ];
}

function queueStatements(queues: QueuePlan[]): StatementPlan[] {
  if (queues.length === 0) return [];
  return [
    {
      sid: "TakeTicks",
      reason: "Lambda polls the delay queues with the function's role",
      actions: ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
      resources: queues.map((queue) => token(`queueArn:${queue.offsetSeconds}`)),
    },
  ];
}

function destinationStatements({ failureDestinationArn }: Settings): StatementPlan[] {
  if (failureDestinationArn === undefined) return [];
  const isQueue = failureDestinationArn.includes(":sqs:");
  return [
    {
      sid: "ReportLostTicks",
      reason: "Lambda tells the failure destination with the function's role",
      actions: [isQueue ? "sqs:SendMessage" : "sns:Publish"],
      resources: [failureDestinationArn],
    },
  ];
}

function keyStatements({ kmsKeyArn, database }: Settings): StatementPlan[] {
  const secretKey = database.kind === "existing" ? database.secretKmsKeyArn : undefined;
  const keys = [kmsKeyArn, secretKey].filter((key) => key !== undefined);
  if (keys.length === 0) return [];
  return [
    {
      sid: "Decrypt",
      reason: "environment, queues and secret are encrypted with these keys",
      actions: ["kms:Decrypt"],
      resources: [...new Set(keys)],
    },
  ];
}

/** SQL for an administrator: what the function's user needs to refresh the views, and nothing more. */
export function planGrants({ database, views }: Settings): string[] {
  const named = database.kind === "none" ? undefined : database.user;
  const user = quoteIdentifier(named ?? "<the user the secret names>");
  const role = quoteIdentifier(REFRESHER_ROLE);
  const isIam = database.kind !== "none" && database.auth === "iam";
  const schemas = [
    ...new Set(views.flatMap((view) => [view.schema, ...(view.statistics ? [view.statistics.schema] : [])])),
  ];
  return [
    ...(isIam ? [`CREATE ROLE ${user} LOGIN;`, `GRANT rds_iam TO ${user};`] : []),
    `GRANT ${role} TO ${user};`,
    ...(database.kind === "none"
      ? []
      : [`GRANT CONNECT, TEMPORARY ON DATABASE ${quoteIdentifier(database.name)} TO ${role};`]),
    ...schemas.map((schema) => `GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${role};`),
    ...views.flatMap((view) => {
      const relation = `${quoteIdentifier(view.schema)}.${quoteIdentifier(view.name)}`;
      const statistics = view.statistics;
      return [
        `GRANT SELECT, MAINTAIN ON ${relation} TO ${role}; -- PostgreSQL 17 and later; before that: ALTER MATERIALIZED VIEW ${relation} OWNER TO ${role};`,
        ...(statistics === undefined
          ? []
          : [
              `GRANT SELECT ON ${quoteIdentifier(statistics.schema)}.${quoteIdentifier(statistics.name)} TO ${role};`,
            ]),
      ];
    }),
  ];
}

/** SQL that tells how old each view of the group is, oldest first. */
export function planFreshnessQuery({ views }: Settings): string {
  const names = views.map((view) => `(${quoteText(view.schema)}, ${quoteText(view.name)})`).join(", ");
  return (
    "SELECT view_schema, view_name, as_of, checked_at, age, last_outcome FROM public.matview_freshness " +
    `WHERE (view_schema, view_name) IN (${names}) ORDER BY age DESC NULLS FIRST;`
  );
}
