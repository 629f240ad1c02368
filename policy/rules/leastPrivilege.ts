/** Rule: exact actions on exact resources. */
import { known, readList, readText, type Reading } from "../reading";
import { refersTo, related } from "../relations";
import { TYPE, type Resource } from "../resource";
import { defineRule } from "../rule";
import type { Verdicts } from "../verdict";

/** Describing network interfaces takes no resource, so AWS's own policy stands for it. */
const NETWORK_POLICY = "AWSLambdaENIManagementAccess";

/** A function that refreshes views needs its log, its database and its queues, by name. */
export const leastPrivilege = defineRule<{ allowedManagedPolicies: string[] }>({
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
      description: "Names of AWS's own policies that a refresh role may have.",
    },
  },
  isAboutMigrations: true,
  judgeFunction({ resource, name }, { allowedManagedPolicies }, verdicts, { ofType }) {
    const roles = related(ofType(TYPE.role), (role) => refersTo(resource, ["role"], role));
    if (roles.isUnclear) verdicts.judgedAtUpdate(`the role of ${name}`);
    for (const role of roles.found) {
      const given = (type: string): Resource[] =>
        ofType(type).filter((grant) => refersTo(grant, ["role"], role) === "yes");
      for (const policy of given(TYPE.rolePolicy)) {
        judgeDocument(policy, readText(policy.props, "policy"), verdicts);
      }
      for (const attachment of given(TYPE.rolePolicyAttachment)) {
        judgeManaged(attachment, readText(attachment.props, "policyArn"), allowedManagedPolicies, verdicts);
      }
      const managed = readList(role.props, "managedPolicyArns");
      if (managed.state === "unknown") verdicts.judgedAtUpdate(`the policies of role ${role.name}`, role.urn);
      for (const index of (known(managed) ?? []).keys()) {
        judgeManaged(
          role,
          readText(role.props, "managedPolicyArns", index),
          allowedManagedPolicies,
          verdicts,
        );
      }
    }
  },
});

function judgeDocument({ name, urn }: Resource, document: Reading<string>, verdicts: Verdicts): void {
  if (document.state !== "known") return verdicts.judgedAtUpdate(`what policy ${name} allows`, urn);
  for (const problem of wideGrants(document.value)) {
    verdicts.refuse(`Policy ${name} of a refresh role: ${problem}. Name actions and resources in full.`, urn);
  }
}

/** Judges a managed policy of AWS; one of the account's own is not read. */
function judgeManaged(
  { name, urn }: Resource,
  arn: Reading<string>,
  allowed: string[],
  verdicts: Verdicts,
): void {
  if (arn.state !== "known") return verdicts.judgedAtUpdate(`which policy ${name} attaches`, urn);
  const [, policyName = ""] = /^arn:aws[a-z-]*:iam::aws:policy\/(?:.*\/)?([^/]+)$/.exec(arn.value) ?? [];
  if (policyName === "" || allowed.includes(policyName)) return;
  verdicts.refuse(
    `${name} attaches ${policyName} of AWS to a refresh role, which allows more than a refresh needs. Attach ` +
      `${NETWORK_POLICY} and name the rest in a policy, or add it to allowedManagedPolicies.`,
    urn,
  );
}

/** Log streams of one group: Lambda names them, so their names cannot be known. */
const LOG_STREAMS = /^arn:aws[a-z-]*:logs:[^*?:]*:[^*?:]*:log-group:[^*?:]+:(?:\*|log-stream:\*)$/;

interface Statement {
  Sid?: string;
  Effect: string;
  Action?: string | string[];
  Resource?: string | string[];
  NotAction?: unknown;
  NotResource?: unknown;
}

/** Every wildcard of the statements of an IAM policy document that allow something. */
function wideGrants(document: string): string[] {
  const { Statement } = JSON.parse(document) as { Statement: Statement | Statement[] };
  return [Statement]
    .flat()
    .filter(({ Effect }) => Effect === "Allow")
    .flatMap(({ Sid = "a statement", Action = [], Resource = [], NotAction, NotResource }) => {
      const wide = [Action, Resource].flat().filter((text) => /[*?]/.test(text) && !LOG_STREAMS.test(text));
      const isException = NotAction !== undefined || NotResource !== undefined;
      return [...wide, ...(isException ? ["all but exceptions"] : [])].map((what) => `${Sid} allows ${what}`);
    });
}
