/**
 * The stand-in for the awsx plugin: `new awsx.ec2.Vpc` in a program makes the engine call construct here, and the
 * children are registered with the engine as awsx 3 registers them (names, parents, dependencies).
 */
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { main, type ConstructResult, type Provider } from "@pulumi/pulumi/provider";
import type { Properties } from "../answers";
import { planNetwork, type PlannedSubnet } from "../awsxNetwork";

interface NetworkParts {
  vpc: aws.ec2.Vpc;
  internetGateway: aws.ec2.InternetGateway;
  natGateways: aws.ec2.NatGateway[];
  subnets: { kind: PlannedSubnet["kind"]; subnet: aws.ec2.Subnet }[];
}

class Network extends pulumi.ComponentResource {
  /** The outputs that the program sees. */
  readonly state: pulumi.Inputs;

  constructor(name: string, args: Properties, zones: string[], opts: pulumi.ComponentResourceOptions) {
    super("awsx:ec2:Vpc", name, {}, opts);
    const plan = planNetwork(name, args, zones);
    const given = pulumi.output(args.tags as pulumi.Input<Record<string, string>> | undefined);
    const tags = given.apply((own): Record<string, string> => ({ Name: name, ...own }));
    const vpc = new aws.ec2.Vpc(
      name,
      {
        cidrBlock: plan.cidrBlock,
        enableDnsHostnames: (args.enableDnsHostnames as boolean | undefined) ?? true,
        enableDnsSupport: (args.enableDnsSupport as boolean | undefined) ?? true,
        tags,
      },
      { parent: this },
    );
    const internetGateway = new aws.ec2.InternetGateway(
      name,
      { vpcId: vpc.id, tags },
      { parent: vpc, dependsOn: [vpc] },
    );
    const parts: NetworkParts = { vpc, internetGateway, natGateways: [], subnets: [] };
    for (const planned of plan.subnets) {
      const subnet = createSubnet(name, planned, plan.natStrategy, parts, tags);
      parts.subnets.push({ kind: planned.kind, subnet });
    }
    const idsOf = (kind: PlannedSubnet["kind"]) =>
      parts.subnets.filter((made) => made.kind === kind).map(({ subnet }) => subnet.id);
    this.state = {
      vpcId: vpc.id,
      publicSubnetIds: idsOf("public"),
      privateSubnetIds: idsOf("private"),
      isolatedSubnetIds: idsOf("isolated"),
    };
    this.registerOutputs(this.state);
  }
}

/** A subnet with its route table, association and, where the kind asks for it, its NAT gateway and route. */
function createSubnet(
  networkName: string,
  planned: PlannedSubnet,
  natStrategy: string,
  parts: NetworkParts,
  sharedTags: pulumi.Output<Record<string, string>>,
): aws.ec2.Subnet {
  const { vpc, internetGateway, natGateways } = parts;
  const { name, kind, zone, zoneNumber, cidrBlock } = planned;
  const tags = sharedTags.apply((shared) => ({ ...shared, Name: name, SubnetType: kind }));
  const subnet = new aws.ec2.Subnet(
    name,
    { vpcId: vpc.id, availabilityZone: zone, cidrBlock, mapPublicIpOnLaunch: kind === "public", tags },
    { parent: vpc, dependsOn: [vpc] },
  );
  const routeTable = new aws.ec2.RouteTable(
    name,
    { vpcId: vpc.id, tags },
    { parent: subnet, dependsOn: [subnet] },
  );
  const below = { parent: routeTable, dependsOn: [routeTable] };
  new aws.ec2.RouteTableAssociation(name, { routeTableId: routeTable.id, subnetId: subnet.id }, below);
  const anywhere = { routeTableId: routeTable.id, destinationCidrBlock: "0.0.0.0/0" };
  if (kind === "public") {
    const wanted = natStrategy === "oneperaz" || (natStrategy === "single" && natGateways.length === 0);
    if (wanted) natGateways.push(createNatGateway(`${networkName}-${zoneNumber}`, subnet));
    new aws.ec2.Route(name, { ...anywhere, gatewayId: internetGateway.id }, below);
  } else if (kind === "private" && natStrategy !== "none") {
    new aws.ec2.Route(name, { ...anywhere, natGatewayId: natGateways.at(-1)?.id }, below);
  }
  return subnet;
}

function createNatGateway(name: string, subnet: aws.ec2.Subnet): aws.ec2.NatGateway {
  const opts = { parent: subnet, dependsOn: [subnet] };
  const address = new aws.ec2.Eip(name, { tags: { Name: name } }, opts);
  const inputs = { subnetId: subnet.id, allocationId: address.allocationId, tags: { Name: name } };
  return new aws.ec2.NatGateway(name, inputs, opts);
}

const provider: Provider = {
  version: "3.9.0",
  async construct(name, type, inputs, opts): Promise<ConstructResult> {
    if (type !== "awsx:ec2:Vpc") {
      throw new Error(`no answer for component ${type}: add it to test/engine/standin/awsxPlugin.ts`);
    }
    const providers = (opts.providers ?? {}) as Record<string, pulumi.ProviderResource>;
    const { names } = await aws.getAvailabilityZones({ state: "available" }, { provider: providers.aws });
    const network = new Network(name, inputs, names, opts);
    return { urn: network.urn, state: network.state };
  },
};

void main(provider, process.argv.slice(2));
