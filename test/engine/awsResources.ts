/**
 * The table of AWS resource types: required inputs, the provider's defaults, what replaces, ids and computed outputs,
 * as the documentation of @pulumi/aws 7 and AWS' ARN formats have them. A test holds every name in here against the
 * SDK's own classes.
 */
import type { Properties, ResourceAnswer, ResourceContext } from "./answers";
import { digest, text, uuidOf } from "./answerValues";
import { databaseAnswers } from "./awsDatabaseResources";
import { networkAnswers } from "./awsNetworkResources";

/** The moment every created thing of the tests dates from. */
const createdAt = "2026-01-05T10:00:00.000+0000";

const lambdaArn = ({ arn, inputs, name }: ResourceContext) =>
  arn("lambda", `function:${text(inputs.name, name)}`);

/** The bare function name out of a name or an ARN. */
function functionName(value: unknown): string {
  const given = text(value, "unnamed");
  return given.startsWith("arn:") ? given.split(":").slice(6, 7).join() : given;
}

const lambdaAnswers: Record<string, ResourceAnswer> = {
  "aws:lambda/function:Function": {
    nameProperty: "name",
    required: ["role"],
    tagged: true,
    defaults: {
      memorySize: 128,
      packageType: "Zip",
      publish: false,
      reservedConcurrentExecutions: -1,
      skipDestroy: false,
      timeout: 3,
    },
    replaceOn: ["name", "packageType"],
    id: ({ inputs, name }) => text(inputs.name, name),
    computed: (context) => {
      const functionArn = lambdaArn(context);
      const codeSha256 = codeHash(context.inputs);
      const region = context.world.region;
      return {
        architectures: ["x86_64"],
        arn: functionArn,
        codeSha256,
        invokeArn: `arn:aws:apigateway:${region}:lambda:path/2015-03-31/functions/${functionArn}/invocations`,
        lastModified: createdAt,
        qualifiedArn: `${functionArn}:$LATEST`,
        sourceCodeHash: codeSha256,
        sourceCodeSize: 250_000,
        version: "$LATEST",
      };
    },
    changesWith: {
      codeSha256: ["code"],
      sourceCodeHash: ["code"],
      sourceCodeSize: ["code"],
      lastModified: "*",
    },
  },
  "aws:lambda/permission:Permission": {
    required: ["action", "function", "principal"],
    replaceOn: ["action", "function", "principal", "qualifier", "sourceAccount", "sourceArn", "statementId"],
    id: ({ inputs, hex }) => text(inputs.statementId, `terraform-${hex(26)}`),
    computed: ({ hex }) => ({ statementId: `terraform-${hex(26)}` }),
  },
  "aws:lambda/eventSourceMapping:EventSourceMapping": {
    required: ["functionName"],
    tagged: true,
    defaults: { enabled: true },
    replaceOn: ["eventSourceArn", "startingPosition"],
    id: (context) => uuid(context),
    computed: (context) => ({
      arn: context.arn("lambda", `event-source-mapping:${uuid(context)}`),
      batchSize: 10,
      functionArn: context.arn("lambda", `function:${functionName(context.inputs.functionName)}`),
      lastModified: createdAt,
      state: context.inputs.enabled === false ? "Disabled" : "Enabled",
      stateTransitionReason: "USER_INITIATED",
      uuid: uuid(context),
    }),
    changesWith: { state: ["enabled"], lastModified: "*", functionArn: ["functionName"] },
  },
  "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig": {
    required: ["functionName"],
    defaults: { maximumRetryAttempts: 2 },
    replaceOn: ["functionName", "qualifier"],
    id: ({ inputs }) => [functionName(inputs.functionName), text(inputs.qualifier)].filter(Boolean).join(":"),
  },
  "aws:lambda/invocation:Invocation": {
    required: ["functionName", "input"],
    defaults: { lifecycleScope: "CREATE_ONLY", qualifier: "$LATEST", terraformKey: "tf" },
    // With CREATE_ONLY a new input cannot be an update: the function is invoked by making the resource anew.
    replaceOn: (inputs) =>
      inputs.lifecycleScope === "CRUD"
        ? ["functionName", "qualifier"]
        : ["functionName", "qualifier", "triggers", "input"],
    id: ({ inputs, hex }) =>
      `${functionName(inputs.functionName)}_${text(inputs.qualifier, "$LATEST")}_${hex(32)}`,
    computed: () => ({ result: JSON.stringify({ statusCode: 200 }) }),
    changesWith: { result: "*" },
    refuse: ({ inputs, world }) => {
      if (world.failInvocations === undefined) return;
      throw new Error(
        `invoking Lambda Function (${functionName(inputs.functionName)}): ${world.failInvocations}`,
      );
    },
  },
};

const scheduleAnswers: Record<string, ResourceAnswer> = {
  "aws:cloudwatch/eventRule:EventRule": {
    nameProperty: "name",
    tagged: true,
    defaults: { eventBusName: "default", forceDestroy: false },
    replaceOn: ["name", "eventBusName"],
    id: ({ inputs, name }) => text(inputs.name, name),
    computed: ({ arn, inputs, name }) => ({
      arn: arn("events", `rule/${text(inputs.name, name)}`),
      isEnabled: inputs.state !== "DISABLED",
      state: "ENABLED",
    }),
    changesWith: { isEnabled: ["state"] },
  },
  "aws:cloudwatch/eventTarget:EventTarget": {
    required: ["arn", "rule"],
    defaults: { eventBusName: "default", forceDestroy: false },
    replaceOn: ["rule", "targetId", "eventBusName"],
    id: ({ inputs, hex }) => `${text(inputs.rule)}-${text(inputs.targetId, `terraform-${hex(26)}`)}`,
    computed: ({ hex }) => ({ targetId: `terraform-${hex(26)}` }),
  },
  "aws:sqs/queue:Queue": {
    nameProperty: "name",
    tagged: true,
    defaults: {
      delaySeconds: 0,
      fifoQueue: false,
      maxMessageSize: 262144,
      messageRetentionSeconds: 345600,
      receiveWaitTimeSeconds: 0,
      visibilityTimeoutSeconds: 30,
    },
    replaceOn: ["name", "fifoQueue"],
    id: queueUrl,
    computed: (context) => ({
      arn: context.arn("sqs", text(context.inputs.name, context.name)),
      kmsDataKeyReusePeriodSeconds: 300,
      sqsManagedSseEnabled: true,
      url: queueUrl(context),
    }),
  },
  "aws:sqs/queuePolicy:QueuePolicy": {
    required: ["policy", "queueUrl"],
    replaceOn: ["queueUrl"],
    id: ({ inputs }) => text(inputs.queueUrl),
  },
};

const observationAnswers: Record<string, ResourceAnswer> = {
  "aws:cloudwatch/logGroup:LogGroup": {
    nameProperty: "name",
    tagged: true,
    defaults: { skipDestroy: false },
    replaceOn: ["name", "logGroupClass"],
    id: ({ inputs, name }) => text(inputs.name, name),
    computed: ({ arn, inputs, name }) => ({
      arn: arn("logs", `log-group:${text(inputs.name, name)}`),
      logGroupClass: "STANDARD",
    }),
  },
  "aws:cloudwatch/metricAlarm:MetricAlarm": {
    nameProperty: "name",
    tagged: true,
    defaults: { actionsEnabled: true, treatMissingData: "missing" },
    replaceOn: ["name"],
    id: ({ inputs, name }) => text(inputs.name, name),
    computed: ({ arn, inputs, name }) => ({ arn: arn("cloudwatch", `alarm:${text(inputs.name, name)}`) }),
  },
  "aws:cloudwatch/compositeAlarm:CompositeAlarm": {
    required: ["alarmName", "alarmRule"],
    tagged: true,
    defaults: { actionsEnabled: true },
    replaceOn: ["alarmName"],
    id: ({ inputs }) => text(inputs.alarmName),
    computed: ({ arn, inputs }) => ({ arn: arn("cloudwatch", `alarm:${text(inputs.alarmName)}`) }),
  },
  "aws:cloudwatch/logMetricFilter:LogMetricFilter": {
    nameProperty: "name",
    required: ["logGroupName", "metricTransformation", "pattern"],
    replaceOn: ["name", "logGroupName"],
    id: ({ inputs, name }) => text(inputs.name, name),
  },
  "aws:cloudwatch/dashboard:Dashboard": {
    required: ["dashboardBody", "dashboardName"],
    replaceOn: ["dashboardName"],
    id: ({ inputs }) => text(inputs.dashboardName),
    // Dashboards belong to no region, so their ARN has none.
    computed: ({ inputs, world }) => ({
      dashboardArn: `arn:aws:cloudwatch::${world.accountId}:dashboard/${text(inputs.dashboardName)}`,
    }),
  },
  "aws:sns/topic:Topic": {
    nameProperty: "name",
    tagged: true,
    defaults: { contentBasedDeduplication: false, fifoTopic: false },
    replaceOn: ["name", "fifoTopic"],
    id: ({ arn, inputs, name }) => arn("sns", text(inputs.name, name)),
    computed: ({ arn, inputs, name, world }) => ({
      arn: arn("sns", text(inputs.name, name)),
      owner: world.accountId,
    }),
  },
  "aws:sns/topicSubscription:TopicSubscription": {
    required: ["endpoint", "protocol", "topic"],
    defaults: { confirmationTimeoutInMinutes: 1, endpointAutoConfirms: false, rawMessageDelivery: false },
    replaceOn: ["endpoint", "protocol", "topic"],
    id: subscriptionArn,
    computed: (context) => ({
      arn: subscriptionArn(context),
      confirmationWasAuthenticated: false,
      filterPolicyScope: "MessageAttributes",
      ownerId: context.world.accountId,
      pendingConfirmation: text(context.inputs.protocol).startsWith("email"),
    }),
  },
  "aws:sns/topicPolicy:TopicPolicy": {
    required: ["arn", "policy"],
    replaceOn: ["arn"],
    id: ({ inputs }) => text(inputs.arn),
    computed: ({ world }) => ({ owner: world.accountId }),
  },
};

const identityAnswers: Record<string, ResourceAnswer> = {
  "aws:iam/role:Role": {
    nameProperty: "name",
    required: ["assumeRolePolicy"],
    tagged: true,
    global: true,
    defaults: { forceDetachPolicies: false, maxSessionDuration: 3600, path: "/" },
    replaceOn: ["name", "path"],
    id: ({ inputs, name }) => text(inputs.name, name),
    computed: ({ inputs, name, world, hex }) => ({
      arn: `arn:aws:iam::${world.accountId}:role${text(inputs.path, "/")}${text(inputs.name, name)}`,
      createDate: createdAt,
      uniqueId: `AROA${hex(17).toUpperCase()}`,
    }),
  },
  "aws:iam/rolePolicy:RolePolicy": {
    nameProperty: "name",
    required: ["policy", "role"],
    global: true,
    replaceOn: ["name", "role"],
    id: ({ inputs, name }) => `${text(inputs.role)}:${text(inputs.name, name)}`,
  },
  "aws:iam/rolePolicyAttachment:RolePolicyAttachment": {
    required: ["policyArn", "role"],
    global: true,
    replaceOn: ["policyArn", "role"],
    id: ({ inputs }) => `${text(inputs.role)}/${text(inputs.policyArn)}`,
  },
  "aws:iam/policy:Policy": {
    nameProperty: "name",
    required: ["policy"],
    tagged: true,
    global: true,
    defaults: { path: "/" },
    replaceOn: ["name", "path", "description"],
    id: policyArn,
    computed: (context) => ({
      arn: policyArn(context),
      attachmentCount: 0,
      policyId: `ANPA${context.hex(17).toUpperCase()}`,
    }),
  },
};

/** Every AWS resource type the tests know, by its token in the long form. */
export const resourceAnswers: Record<string, ResourceAnswer> = {
  ...lambdaAnswers,
  ...scheduleAnswers,
  ...observationAnswers,
  ...identityAnswers,
  ...networkAnswers,
  ...databaseAnswers,
};

/** The base64 SHA-256 that Lambda shows for the code; of the archive's content hash, since nothing is uploaded here. */
function codeHash(inputs: Properties): string {
  const code = inputs.code as { hash?: unknown; path?: unknown } | undefined;
  return Buffer.from(digest(text(code?.hash, JSON.stringify(code ?? inputs.imageUri ?? ""))), "hex").toString(
    "base64",
  );
}

function queueUrl({ inputs, name, world }: ResourceContext): string {
  return `https://sqs.${world.region}.amazonaws.com/${world.accountId}/${text(inputs.name, name)}`;
}

function subscriptionArn(context: ResourceContext): string {
  return `${text(context.inputs.topic)}:${uuid(context)}`;
}

function policyArn({ inputs, name, world }: ResourceContext): string {
  return `arn:aws:iam::${world.accountId}:policy${text(inputs.path, "/")}${text(inputs.name, name)}`;
}

function uuid({ hex }: ResourceContext): string {
  return uuidOf(hex(32));
}
