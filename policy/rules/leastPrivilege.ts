import { wideGrants } from "../iamDocument";
import { known, readList, readNames, readText, type Properties, type Reading } from "../reading";
import { refersTo, type StackFacts } from "../relations";
import { isOfOurComponents, TYPE, type Resource } from "../resource";
import { defineRule, type SingleResource } from "../rule";
import type { Verdicts } from "../verdict";

interface PrivilegeConfig {
  allowedManagedPolicies: string[];
}

/** Describing network interfaces takes no resource, so AWS's own policy stands for it. */
const NETWORK_POLICY = "AWSLambdaENIManagementAccess";

/** A function that refreshes views needs its log, its database and its queues, by name. */
export const leastPrivilege = defineRule<PrivilegeConfig>({
  name: "least-privilege",
  description: "The roles of refresh functions allow exact actions on exact resources.",
  remedy:
    "Name actions and resources in full; log streams of an exact group (…:log-group:NAME:*) are allowed. For the VPC " +
    `attach AWS's ${NETWORK_POLICY}.`,
  severity: "critical",
  schema: {
    allowedManagedPolicies: {
      type: "array",
      items: { type: "string", minLength: 1 },
      default: [NETWORK_POLICY],
      description:
        "Names of managed policies that a refresh role may have although they are not in the stack.",
    },
  },
  // Children of our components are judged before they are made: their role is known by where it stands.
  judgeResource(resource, config, verdicts) {
    if (isOfOurComponents(resource.urn)) judgeGrant(resource, config, verdicts);
  },
  judgeStack(facts, config, verdicts) {
    const roles = new Set(facts.functions.flatMap((fn) => rolesOf(fn.resource, facts, verdicts)));
    for (const role of roles) judgeRole(role, facts, config, verdicts);
  },
});

function rolesOf(fn: Resource, facts: StackFacts, verdicts: Verdicts): Resource[] {
  const roles = facts.ofType(TYPE.role).filter((role) => refersTo(fn, ["role"], role) === "yes");
  if (roles.length > 0) return roles;
  const role = readText(fn.props, "role");
  if (role.state === "unknown") verdicts.judgedAtUpdate(`the role of ${fn.name}`, fn.urn);
  else verdicts.remark(`The role of ${fn.name} is not in this stack; what it allows is not judged.`, fn.urn);
  return [];
}

/** Everything that gives a role permissions. Ours were judged one by one. */
function judgeRole(role: Resource, facts: StackFacts, config: PrivilegeConfig, verdicts: Verdicts): void {
  const own = facts
    .ofType(TYPE.rolePolicy, TYPE.rolePolicyAttachment)
    .filter((grant) => refersTo(grant, ["role"], role) === "yes");
  const shared = facts.ofType(TYPE.policyAttachment).filter(({ props, propertyDependencies }) => {
    const names = readList(props, "roles");
    if (names.state === "unknown")
      return propertyDependencies.roles?.some(({ urn }) => urn === role.urn) ?? false;
    return (
      names.state === "known" &&
      names.value.some((name) => known(name) === known(readText(role.props, "name")))
    );
  });
  const grants = [role, ...own, ...shared];
  for (const grant of grants) {
    if (!isOfOurComponents(grant.urn)) judgeGrant(grant, config, verdicts);
  }
  const attached = facts
    .ofType(TYPE.policy)
    .filter((policy) => grants.some((grant) => refersTo(grant, ["policyArn"], policy) === "yes"));
  for (const policy of attached) judgeDocument(policy, readText(policy.props, "policy"), verdicts);
}

/** Judges one resource that gives permissions, by itself. */
function judgeGrant(resource: SingleResource, config: PrivilegeConfig, verdicts: Verdicts): void {
  const { type, props } = resource;
  if (type === TYPE.rolePolicy) judgeDocument(resource, documentOf(props, "policy"), verdicts);
  if (type === TYPE.rolePolicyAttachment || type === TYPE.policyAttachment) {
    judgeManaged(resource, readText(props, "policyArn"), config, verdicts);
  }
  if (type === TYPE.role) judgeInline(resource, config, verdicts);
}

/** A document is a text, or an object that the provider writes as one. */
function documentOf(props: Properties, ...path: (string | number)[]): Reading<string> {
  const text = readText(props, ...path);
  const names = readNames(props, ...path);
  if (text.state !== "absent" || names.state !== "known") return text;
  const statements = readList(props, ...path, "Statement");
  if (statements.state === "unknown") return statements;
  try {
    const value = JSON.stringify(path.reduce<unknown>((at, step) => (at as Properties)[step], props));
    return { state: "known", value, path: path.join(".") };
  } catch {
    // Some part of it is not known yet.
    return { state: "unknown", path: path.join(".") };
  }
}

function judgeInline(role: SingleResource, config: PrivilegeConfig, verdicts: Verdicts): void {
  const inline = readList(role.props, "inlinePolicies");
  const managed = readList(role.props, "managedPolicyArns");
  if (inline.state === "known") {
    for (const index of inline.value.keys()) {
      judgeDocument(role, documentOf(role.props, "inlinePolicies", index, "policy"), verdicts);
    }
  }
  if (managed.state === "known") {
    for (const index of managed.value.keys()) {
      judgeManaged(role, readText(role.props, "managedPolicyArns", index), config, verdicts);
    }
  }
  for (const reading of [inline, managed]) {
    if (reading.state === "unknown")
      verdicts.judgedAtUpdate(`${reading.path} of role ${role.name}`, role.urn);
  }
}

function judgeDocument({ name, urn }: SingleResource, document: Reading<string>, verdicts: Verdicts): void {
  if (document.state === "unknown") return verdicts.judgedAtUpdate(`what policy ${name} allows`, urn);
  if (document.state === "absent") return;
  for (const { statement, problem } of wideGrants(document.value)) {
    verdicts.refuse(`Policy ${name} of a refresh role: ${statement} ${problem}.`, urn);
  }
}

/** A managed policy from outside the stack: allowed by name, else refused; one of the stack is judged by its text. */
function judgeManaged(
  { name, urn }: SingleResource,
  arn: Reading<string>,
  { allowedManagedPolicies }: PrivilegeConfig,
  verdicts: Verdicts,
): void {
  // Not known yet: a policy that the stack makes, whose document the stack rule reads.
  if (arn.state === "unknown") return verdicts.judgedAtUpdate(`which policy ${name} attaches`, urn);
  if (arn.state === "absent") return;
  const policyName = arn.value.slice(arn.value.lastIndexOf("/") + 1);
  const isAwsOwn = /^arn:aws[a-z-]*:iam::aws:policy\//.test(arn.value);
  if (allowedManagedPolicies.includes(policyName)) return;
  if (!isAwsOwn)
    return verdicts.remark(
      `${name} attaches ${arn.value}; a policy that is not of this stack is not judged.`,
      urn,
    );
  verdicts.refuse(
    `${name} attaches ${policyName} of AWS to a refresh role, which allows more than a refresh needs. ` +
      `Allowed: ${allowedManagedPolicies.join(", ") || "none"}.`,
    urn,
  );
}
