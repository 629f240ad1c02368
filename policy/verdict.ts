/** What a rule says, and how it reaches the SDK. */
import type { EnforcementLevel, ReportViolation } from "@pulumi/policy";

/** Where a rule puts what it finds. */
export interface Verdicts {
  /** The stack must not be deployed so. The message never holds a value that may be a secret. */
  refuse(message: string, urn?: string): void;
  /** What a preview cannot tell: said now, judged when the update knows it. */
  judgedAtUpdate(what: string, urn?: string): void;
  /** Worth knowing, and no reason to refuse. */
  remark(message: string, urn?: string): void;
}

/**
 * The SDK's own form of a violation with a level of its own. Its type declares text alone, its code takes this
 * as well; were that to change, a remark would become a refusal, which is the safe side.
 */
interface LevelledViolation {
  message: string;
  urn?: string;
  enforcementLevel: EnforcementLevel;
}

/** Passes verdicts on to the SDK: refusals at the rule's level, the rest as advice. */
export function verdictsFor(reportViolation: ReportViolation, ownUrn?: string): Verdicts {
  const advise = (message: string, urn?: string): void => {
    const violation: LevelledViolation = { message, urn: urn ?? ownUrn, enforcementLevel: "advisory" };
    (reportViolation as unknown as (violation: LevelledViolation) => void)(violation);
  };
  return {
    refuse: (message, urn) => reportViolation(message, urn ?? ownUrn),
    judgedAtUpdate: (what, urn) => advise(`Judged at update: ${what} is not known yet.`, urn),
    remark: advise,
  };
}
