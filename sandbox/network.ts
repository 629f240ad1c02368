import * as awsx from "@pulumi/awsx";
import * as pulumi from "@pulumi/pulumi";

/** What {@link SandboxNetwork} is told. */
export interface SandboxNetworkArgs {
  /** Availability zones: two or more, as RDS asks. */
  zones: number;
  /** Written on everything that takes tags. */
  tags: Record<string, pulumi.Input<string>>;
}

/**
 * A VPC for a stack that has none: private subnets in each zone for the function and the database, no NAT
 * gateway. Nothing in it needs the internet: IAM database authentication signs its token locally, and Lambda
 * writes its logs from outside the VPC.
 */
export class SandboxNetwork extends pulumi.ComponentResource {
  public readonly vpcId: pulumi.Output<string>;
  public readonly subnetIds: pulumi.Output<string[]>;

  constructor(name: string, args: SandboxNetworkArgs, opts?: pulumi.ComponentResourceOptions) {
    super("matview-refresh:sandbox:Network", name, {}, opts);
    const vpc = new awsx.ec2.Vpc(
      `${name}-vpc`,
      {
        numberOfAvailabilityZones: args.zones,
        natGateways: { strategy: awsx.ec2.NatGatewayStrategy.None },
        subnetStrategy: awsx.ec2.SubnetAllocationStrategy.Auto,
        enableDnsHostnames: true,
        tags: args.tags,
      },
      { parent: this },
    );
    this.vpcId = vpc.vpcId;
    this.subnetIds = vpc.privateSubnetIds;
    this.registerOutputs({ vpcId: this.vpcId, subnetIds: this.subnetIds });
  }
}
