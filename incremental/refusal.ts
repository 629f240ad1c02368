/** What a stage of the compiler throws where the query cannot be maintained: a finding for people. */
import type { Finding } from "./maintenance";

export class Refusal extends Error {
  override readonly name = "Refusal";

  constructor(readonly finding: Omit<Finding, "possible">) {
    super(`${finding.capability}: ${finding.reason}`);
  }
}

/** @throws Refusal */
export function refuse(capability: string, place: string, reason: string, remedy?: string): never {
  throw new Refusal({ capability, place, reason, ...(remedy === undefined ? {} : { remedy }) });
}
