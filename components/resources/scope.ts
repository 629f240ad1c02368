/** The AWS resources of the component, a file for each kind. They decide nothing: the plan has. */
import type * as pulumi from "@pulumi/pulumi";

/** What all resources of a component have in common. */
export interface Scope {
  tags: Record<string, pulumi.Input<string>>;
  parent: pulumi.Resource;
}
