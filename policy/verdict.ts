/** What a rule says, and how it reaches the SDK. */
import type { EnforcementLevel, ReportViolation } from "@pulumi/policy";

/** Where a rule puts what it finds; `urn` is the resource that it is about, where that is not the judged one. */
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
export function verdictsFor(reportViolation: ReportViolation, judgedUrn?: string): Verdicts {
  const remark = (message: string, urn = judgedUrn): void => {
    const violation: LevelledViolation = { message, urn, enforcementLevel: "advisory" };
    (reportViolation as unknown as (violation: LevelledViolation) => void)(violation);
  };
  return {
    refuse: (message, urn = judgedUrn) => reportViolation(message, urn),
    judgedAtUpdate: (what, urn) => remark(`Judged at update: ${what} is not known yet.`, urn),
    remark,
  };
}
