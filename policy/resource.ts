/** The part of the SDK's resource that rules use, and names of resource types. */
import type { PolicyResource } from "@pulumi/policy";
import { known, readText, type Properties } from "./reading";

/** A resource of the stack. */
export type Resource = Pick<PolicyResource, "type" | "name" | "urn" | "propertyDependencies"> & {
  props: Properties;
};

/** A resource by itself, as it is about to be made: what the program wrote, before AWS adds to it. */
export type SingleResource = Pick<Resource, "type" | "name" | "props">;

/** Gives the resources of a type. */
export type ResourcesOfType = (type: string) => Resource[];

/** Type tokens in the long form, as the engine gives them. */
export const TYPE = {
  function: "aws:lambda/function:Function",
  eventSourceMapping: "aws:lambda/eventSourceMapping:EventSourceMapping",
  invokeConfig: "aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
  rule: "aws:cloudwatch/eventRule:EventRule",
  target: "aws:cloudwatch/eventTarget:EventTarget",
  schedule: "aws:scheduler/schedule:Schedule",
  queue: "aws:sqs/queue:Queue",
  alarm: "aws:cloudwatch/metricAlarm:MetricAlarm",
  logGroup: "aws:cloudwatch/logGroup:LogGroup",
  topic: "aws:sns/topic:Topic",
  subscription: "aws:sns/topicSubscription:TopicSubscription",
  role: "aws:iam/role:Role",
  rolePolicy: "aws:iam/rolePolicy:RolePolicy",
  rolePolicyAttachment: "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
  securityGroup: "aws:ec2/securityGroup:SecurityGroup",
  securityGroupRule: "aws:ec2/securityGroupRule:SecurityGroupRule",
  ingressRule: "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
  database: "aws:rds/instance:Instance",
  clusterInstance: "aws:rds/clusterInstance:ClusterInstance",
} as const;

/** A resource's name in AWS where it is known, else its Pulumi name. */
export function nameOf({ props, name }: Pick<Resource, "props" | "name">): string {
  return known(readText(props, "name")) ?? name;
}
