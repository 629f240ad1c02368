/**
 * What `new awsx.ec2.Vpc` makes: the plan of its subnets (for the stand-in of the awsx plugin, which registers the
 * children) and its outputs (for the mocks, which never see the children). Names and numbers are those of awsx 3;
 * the address ranges are simply sixteenths of the VPC, because nothing depends on how awsx cuts them.
 */
import { answerInvoke, checkedInputs, describeResource, type Properties, type World } from "./answers";
import { text } from "./answerValues";

/** One subnet with its route table, as awsx would make it. */
export interface PlannedSubnet {
  /** Pulumi name of the subnet, its route table, association and route. */
  name: string;
  kind: "public" | "private" | "isolated";
  zone: string;
  zoneNumber: number;
  cidrBlock: string;
}

/** How many NAT gateways there are. */
export type NatStrategy = "none" | "single" | "oneperaz";

/** What awsx would make for these arguments. */
export interface NetworkPlan {
  cidrBlock: string;
  natStrategy: NatStrategy;
  subnets: PlannedSubnet[];
}

/** Arguments of awsx.ec2.Vpc that the stand-in understands; any other is an error that names it. */
const understood = new Set([
  "availabilityZoneNames",
  "cidrBlock",
  "enableDnsHostnames",
  "enableDnsSupport",
  "natGateways",
  "numberOfAvailabilityZones",
  "region",
  "subnetSpecs",
  "subnetStrategy",
  "tags",
]);

/** Plans the network; `allZones` are the zones of the region, of which awsx takes the first three unless told. */
export function planNetwork(name: string, args: Properties, allZones: string[]): NetworkPlan {
  for (const [property, value] of Object.entries(args)) {
    if (value === undefined || value === null || understood.has(property)) continue;
    throw new Error(
      `no answer for argument ${property} of awsx:ec2:Vpc: add it to test/engine/awsxNetwork.ts`,
    );
  }
  const cidrBlock = text(args.cidrBlock, "10.0.0.0/16");
  const count = typeof args.numberOfAvailabilityZones === "number" ? args.numberOfAvailabilityZones : 3;
  const zones = (args.availabilityZoneNames as string[] | undefined) ?? allZones.slice(0, count);
  const specs = (args.subnetSpecs as { type: string; name?: string }[] | undefined) ?? [
    { type: "Private" },
    { type: "Public" },
  ];
  const natGateways = args.natGateways as { strategy?: string } | undefined;
  const subnets = zones.flatMap((zone, index) =>
    specs.map((spec) => ({ spec, zone, zoneNumber: index + 1, kind: kindOf(spec.type) })),
  );
  return {
    cidrBlock,
    natStrategy: text(natGateways?.strategy, "OnePerAz").toLowerCase() as NatStrategy,
    // awsx makes the public subnets of a zone first, because the others' routes lead to a NAT gateway in them.
    subnets: subnets
      .map(({ spec, ...subnet }, position) => ({
        ...subnet,
        name: `${name}-${spec.name ?? subnet.kind}-${subnet.zoneNumber}`,
        cidrBlock: sixteenth(cidrBlock, position),
      }))
      .sort(
        (a, b) => a.zoneNumber - b.zoneNumber || Number(b.kind === "public") - Number(a.kind === "public"),
      ),
  };
}

/**
 * The outputs of a component whose code runs in a plugin, for the mocks. Throws with the token for any component
 * but `awsx:ec2:Vpc`.
 */
export function answerComponent(type: string, name: string, inputs: Properties, world: World): Properties {
  if (type !== "awsx:ec2:Vpc")
    throw new Error(`no answer for component ${type}: add it to test/engine/awsxNetwork.ts`);
  const zones = answerInvoke("aws:index/getAvailabilityZones:getAvailabilityZones", {}, world)
    .names as string[];
  const plan = planNetwork(name, inputs, zones);
  const make = (childType: string, childName: string, childInputs: Properties) =>
    describeResource(childType, childName, checkedInputs(childType, childName, childInputs), world).id;
  const vpcId = make("aws:ec2/vpc:Vpc", name, { cidrBlock: plan.cidrBlock });
  const idsOf = (kind: PlannedSubnet["kind"]) =>
    plan.subnets
      .filter((subnet) => subnet.kind === kind)
      .map(({ name: subnetName, zone, cidrBlock }) =>
        make("aws:ec2/subnet:Subnet", subnetName, { availabilityZone: zone, cidrBlock, vpcId }),
      );
  return {
    vpcId,
    publicSubnetIds: idsOf("public"),
    privateSubnetIds: idsOf("private"),
    isolatedSubnetIds: idsOf("isolated"),
  };
}

function kindOf(type: string): PlannedSubnet["kind"] {
  const kind = type.toLowerCase();
  if (kind === "public" || kind === "private" || kind === "isolated") return kind;
  throw new Error(`no answer for subnet type ${type} of awsx:ec2:Vpc`);
}

/** The n-th sixteenth of an IPv4 block. */
function sixteenth(cidrBlock: string, position: number): string {
  const [address = "", bits = ""] = cidrBlock.split("/");
  if (position > 15) throw new Error(`no room for subnet ${position + 1} in ${cidrBlock}`);
  const length = Number(bits) + 4;
  const start =
    address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0) + position * 2 ** (32 - length);
  return `${[24, 16, 8, 0].map((shift) => Math.floor(start / 2 ** shift) % 256).join(".")}/${length}`;
}
