/** The examination: what is looked at, in which order, and what came of it. */
import type { Session } from "../handler/connect";
import { runChecks, type Check } from "./check";
import { bloat } from "./checks/bloat";
import { certificate } from "./checks/certificate";
import { durations } from "./checks/durations";
import { history } from "./checks/history";
import { horizon } from "./checks/horizon";
import { incremental, measuring } from "./checks/incremental";
import { limits } from "./checks/limits";
import { locks } from "./checks/locks";
import { maintained } from "./checks/maintained";
import { query } from "./checks/query";
import { refreshing } from "./checks/refreshing";
import { role } from "./checks/role";
import { server } from "./checks/server";
import { byGrade, type Findings } from "./finding";
import { readScope, type Request, type Scope } from "./scope";

/** What lets refreshes happen at all comes first. */
const CHECKS: Check[] = [
  server,
  certificate,
  role,
  refreshing,
  history,
  locks,
  limits,
  durations,
  horizon,
  maintained,
  bloat,
  query,
  incremental,
];

export interface Examination extends Findings {
  scope: Scope;
  checks: number;
}

/**
 * Looks at everything, and changes nothing.
 * @param measure set where each view's query may be run; told what is being done.
 * @throws the connection's error where it is lost.
 */
export async function examine(
  session: Session,
  where: Pick<Scope, "address" | "connection">,
  request: Request,
  measure?: (line: string) => void,
): Promise<Examination> {
  const scope = await readScope(session, where, request);
  const checks = [...CHECKS, ...(measure === undefined ? [] : [measuring(measure)])];
  const { findings, notSeen } = await runChecks(session, checks, scope);
  return { scope, checks: checks.length, findings: byGrade(findings), notSeen };
}
