/** The plugin in place of awsx's: a network is a VPC and one private subnet in each zone, as far as a program sees it. */
import { version as awsVersion } from "@pulumi/aws/package.json";
import { version } from "@pulumi/awsx/package.json";
import * as pulumi from "@pulumi/pulumi";
import { main, type ConstructResult, type Provider } from "@pulumi/pulumi/provider";

/** A resource of EC2, without @pulumi/aws, which takes a second to load. */
class Ec2Resource extends pulumi.CustomResource {
  constructor(type: string, name: string, inputs: pulumi.Inputs, parent: pulumi.Resource) {
    super(`aws:ec2/${type}`, name, inputs, { parent, version: awsVersion });
  }
}

class Network extends pulumi.ComponentResource {
  readonly vpcId: pulumi.Output<string>;
  readonly privateSubnetIds: pulumi.Output<string>[];

  constructor(name: string, zones: number, opts: pulumi.ComponentResourceOptions) {
    super("awsx:ec2:Vpc", name, {}, opts);
    const vpc = new Ec2Resource("vpc:Vpc", name, { cidrBlock: "10.0.0.0/16" }, this);
    const subnets = Array.from({ length: zones }, (_, zone) => {
      const args = { vpcId: vpc.id, cidrBlock: `10.0.${zone}.0/24` };
      return new Ec2Resource("subnet:Subnet", `${name}-private-${zone + 1}`, args, vpc);
    });
    this.vpcId = vpc.id;
    this.privateSubnetIds = subnets.map(({ id }) => id);
    this.registerOutputs({ vpcId: this.vpcId, privateSubnetIds: this.privateSubnetIds });
  }
}

const provider: Provider = {
  version,
  construct(name, _type, inputs, opts): Promise<ConstructResult> {
    const { urn, vpcId, privateSubnetIds } = new Network(
      name,
      Number(inputs.numberOfAvailabilityZones),
      opts,
    );
    return Promise.resolve({ urn, state: { vpcId, privateSubnetIds } });
  },
};

void main(provider, process.argv.slice(2));
