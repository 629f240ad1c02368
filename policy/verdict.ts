/** What a rule says, and how it reaches the SDK. */
import type { ReportViolation } from "@pulumi/policy";

/** Where a rule puts what it finds; `urn` is the resource that it is about, where that is not the judged one. */
export interface Verdicts {
  /** The stack must not be deployed so. The message never holds a value that may be a secret. */
  refuse(message: string, urn?: string): void;
  /** What a preview cannot tell: said now, judged when the update knows it. */
  judgedAtUpdate(what: string, urn?: string): void;
  /** Worth knowing, and no reason to refuse. */
  remark(message: string, urn?: string): void;
}

/** Passes verdicts on to the SDK: refusals at the rule's level, the rest as advice. */
export function verdictsFor(reportViolation: ReportViolation, judgedUrn?: string): Verdicts {
  // The type declares text alone, the code takes a violation with a level of its own as well. Were that to change, a
  // remark would become a refusal, which is the safe side.
  const report = reportViolation as unknown as (violation: object) => void;
  const remark = (message: string, urn = judgedUrn): void =>
    report({ message, urn, enforcementLevel: "advisory" });
  return {
    refuse: (message, urn = judgedUrn) => reportViolation(message, urn),
    judgedAtUpdate: (what, urn) => remark(`Judged at update: ${what} is not known yet.`, urn),
    remark,
  };
}
