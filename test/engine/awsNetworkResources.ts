/** The part of the table that is network: VPC, subnets, routes, gateways, security groups, endpoints. */
import type { ResourceAnswer, ResourceContext } from "./answers";

/** An id such as `subnet-0a1b2c3d4e5f60718`. */
function idWith(prefix: string): (context: ResourceContext) => string {
  return ({ hex }) => `${prefix}-0${hex(16)}`;
}

/** The usual answer of an EC2 thing: an id with a prefix, an ARN that ends in it, an owner. */
function owned(prefix: string, resource: string, answer: Omit<ResourceAnswer, "id">): ResourceAnswer {
  const id = idWith(prefix);
  return {
    tagged: true,
    ...answer,
    id,
    computed: (context) => ({
      arn: context.arn("ec2", `${resource}/${id(context)}`),
      ownerId: context.world.accountId,
      ...answer.computed?.(context),
    }),
  };
}

/** A rule of a security group; all it says can be changed in place except the group. */
function groupRule(): ResourceAnswer {
  const id = idWith("sgr");
  return {
    required: ["ipProtocol", "securityGroupId"],
    tagged: true,
    replaceOn: ["securityGroupId"],
    id,
    computed: (context) => ({
      arn: context.arn("ec2", `security-group-rule/${id(context)}`),
      securityGroupRuleId: id(context),
    }),
  };
}

/** The network types of the table. */
export const networkAnswers: Record<string, ResourceAnswer> = {
  "aws:ec2/vpc:Vpc": owned("vpc", "vpc", {
    defaults: { enableDnsSupport: true, instanceTenancy: "default" },
    replaceOn: ["cidrBlock"],
    computed: ({ hex }) => ({
      defaultNetworkAclId: `acl-0${hex(16)}`,
      defaultRouteTableId: `rtb-0${hex(16)}`,
      defaultSecurityGroupId: `sg-0${hex(16)}`,
      dhcpOptionsId: `dopt-0${hex(16)}`,
      enableDnsHostnames: false,
      mainRouteTableId: `rtb-0${hex(16)}`,
    }),
  }),
  "aws:ec2/subnet:Subnet": owned("subnet", "subnet", {
    required: ["vpcId"],
    defaults: { assignIpv6AddressOnCreation: false, mapPublicIpOnLaunch: false },
    replaceOn: ["availabilityZone", "cidrBlock", "vpcId"],
  }),
  "aws:ec2/routeTable:RouteTable": owned("rtb", "route-table", { required: ["vpcId"], replaceOn: ["vpcId"] }),
  "aws:ec2/route:Route": {
    required: ["routeTableId"],
    replaceOn: ["destinationCidrBlock", "routeTableId"],
    id: ({ hex }) => `r-rtb-0${hex(16)}`,
    computed: () => ({ origin: "CreateRoute", state: "active" }),
  },
  "aws:ec2/routeTableAssociation:RouteTableAssociation": {
    required: ["routeTableId"],
    replaceOn: ["gatewayId", "subnetId"],
    id: idWith("rtbassoc"),
  },
  "aws:ec2/internetGateway:InternetGateway": owned("igw", "internet-gateway", {}),
  "aws:ec2/eip:Eip": {
    tagged: true,
    id: idWith("eipalloc"),
    computed: (context) => ({
      allocationId: idWith("eipalloc")(context),
      arn: context.arn("ec2", `elastic-ip/${idWith("eipalloc")(context)}`),
      domain: "vpc",
      publicIp: "203.0.113.10",
    }),
  },
  "aws:ec2/natGateway:NatGateway": {
    tagged: true,
    defaults: { connectivityType: "public" },
    replaceOn: ["allocationId", "connectivityType", "subnetId"],
    id: idWith("nat"),
    computed: ({ hex }) => ({
      networkInterfaceId: `eni-0${hex(16)}`,
      privateIp: "10.0.0.10",
      publicIp: "203.0.113.10",
    }),
  },
  "aws:ec2/securityGroup:SecurityGroup": owned("sg", "security-group", {
    nameProperty: "name",
    defaults: { description: "Managed by Pulumi", revokeRulesOnDelete: false },
    replaceOn: ["description", "name", "vpcId"],
    computed: () => ({ egress: [], ingress: [] }),
  }),
  "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": groupRule(),
  "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": groupRule(),
  "aws:ec2/vpcEndpoint:VpcEndpoint": owned("vpce", "vpc-endpoint", {
    required: ["vpcId"],
    defaults: { vpcEndpointType: "Gateway" },
    replaceOn: ["serviceName", "vpcEndpointType", "vpcId"],
    computed: ({ hex, world, inputs }) => ({
      dnsEntries: [
        {
          dnsName: `vpce-0${hex(16)}.${String(inputs.serviceName).split(".").at(-1)}.${world.region}.vpce.amazonaws.com`,
          hostedZoneId: "Z7HUB22UULQXV",
        },
      ],
      networkInterfaceIds: [`eni-0${hex(16)}`],
      requesterManaged: false,
      state: "available",
    }),
  }),
};
