/** The part of the SDK's resource that rules use, and names of resource types. */
import type { PolicyResource } from "@pulumi/policy";
import type { Properties } from "./reading";

/** A resource of the stack, its relations already resolved to resources. */
export type Resource = Pick<PolicyResource, "type" | "name" | "urn" | "propertyDependencies" | "provider"> & {
  props: Properties;
};

/** Type tokens in the long form, as the engine gives them. */
export const TYPE = {
  function: "aws:lambda/function:Function",
  alias: "aws:lambda/alias:Alias",
  eventSourceMapping: "aws:lambda/eventSourceMapping:EventSourceMapping",
  invokeConfig: "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
  rule: "aws:cloudwatch/eventRule:EventRule",
  target: "aws:cloudwatch/eventTarget:EventTarget",
  schedule: "aws:scheduler/schedule:Schedule",
  queue: "aws:sqs/queue:Queue",
  alarm: "aws:cloudwatch/metricAlarm:MetricAlarm",
  compositeAlarm: "aws:cloudwatch/compositeAlarm:CompositeAlarm",
  dashboard: "aws:cloudwatch/dashboard:Dashboard",
  logGroup: "aws:cloudwatch/logGroup:LogGroup",
  topic: "aws:sns/topic:Topic",
  subscription: "aws:sns/topicSubscription:TopicSubscription",
  role: "aws:iam/role:Role",
  rolePolicy: "aws:iam/rolePolicy:RolePolicy",
  rolePolicyAttachment: "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
  policyAttachment: "aws:iam/policyAttachment:PolicyAttachment",
  policy: "aws:iam/policy:Policy",
  securityGroup: "aws:ec2/securityGroup:SecurityGroup",
  securityGroupRule: "aws:ec2/securityGroupRule:SecurityGroupRule",
  ingressRule: "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
  vpcEndpoint: "aws:ec2/vpcEndpoint:VpcEndpoint",
  database: "aws:rds/instance:Instance",
  databaseCluster: "aws:rds/cluster:Cluster",
  clusterInstance: "aws:rds/clusterInstance:ClusterInstance",
  parameterGroup: "aws:rds/parameterGroup:ParameterGroup",
  clusterParameterGroup: "aws:rds/clusterParameterGroup:ClusterParameterGroup",
  proxy: "aws:rds/proxy:Proxy",
  secret: "aws:secretsmanager/secret:Secret",
} as const;

/** The stack's name out of a URN, `urn:pulumi:<stack>::…`. */
export function stackOf(urn: string): string {
  return urn.split("::", 1)[0]?.split(":")[2] ?? "";
}

/** Whether a resource is a child of one of this product's components, as its URN tells. */
export function isOfOurComponents(urn: string): boolean {
  return (urn.split("::")[2] ?? "").includes("matview-refresh:");
}
