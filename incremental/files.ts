/** The steps of apply and revert as files, to be reviewed and run by any migration tool. */
import { escapeIdentifier } from "pg";
import type { Session } from "../handler/connect";
import { MAINTENANCE_SCHEMA } from "../handler/maintained";
import { qualifiedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { originalOf } from "./apply";
import { IncrementalFailure } from "./failure";
import { catchUpStep, fillStep, swapStep } from "./install/fill";
import { assertPossible, judge } from "./install/hindrances";
import { loggingStep } from "./install/objects";
import { describeRelation } from "./install/relation";
import { removeSteps } from "./install/remove";
import { inSchema, readState } from "./install/state";
import { transactionOf, type Step } from "./install/step";
import { readTriggerRights, readTriggers, triggerSteps } from "./install/triggers";
import type { Maintenance } from "./maintenance";
import { bringBackSteps } from "./revert";

/** One file, to be run by one role. */
export interface SqlFile {
  /** `001_app_logging.sql`: their order is that of their names. */
  name: string;
  role: string;
  text: string;
}

/** A file before it has its number. */
interface Part {
  role: string;
  what: string;
  steps: Step[];
}

/**
 * What `apply` would do. The triggers of each table are its owner's to make; for that time, and no longer, he may use
 * the function that they call.
 */
export async function applyFiles(
  session: Session,
  maintenance: Maintenance,
  lockTimeoutMs: number,
): Promise<SqlFile[]> {
  const { view, logs } = maintenance;
  const circumstances = await judge(session, view);
  assertPossible(circumstances);
  const { state, dependents, history } = circumstances;
  const { maintainer } = state;
  const described = await describeRelation(session, view);
  if (described?.kind !== "m" || state.status !== undefined) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is maintained, or half of it: files are for a view of which there is nothing yet`,
      `npm run incremental -- apply --view ${qualifiedName(view)}`,
    );
  }
  const original = originalOf(maintenance, described, dependents);
  const rights = await readTriggerRights(session, logs, state);
  const ownerOf = ({ schema, name }: QualifiedName): string =>
    rights.find((each) => each.schema === schema && each.name === name)?.owner ?? maintainer;
  const triggers = triggerSteps(logs, [], ownerOf);
  const owners = [...new Set(triggers.map(({ role }) => role))].filter((role) => role !== maintainer);
  const ofOwners = (sql: (owner: string) => string[]): string[] =>
    owners.flatMap((owner) => sql(escapeIdentifier(owner)));
  const writers = logs.map((log) => `${inSchema(log.function)}()`).join(", ");
  const logging = loggingStep(maintenance, state, original);
  const swap = swapStep(maintenance, state, { original, dependents, history });
  return numbered(
    [
      {
        role: maintainer,
        what: "logging",
        steps: [
          {
            ...logging,
            statements: [
              ...logging.statements,
              ...ofOwners((owner) => [
                `GRANT USAGE ON SCHEMA ${MAINTENANCE_SCHEMA} TO ${owner}`,
                `GRANT EXECUTE ON FUNCTION ${writers} TO ${owner}`,
              ]),
            ],
          },
          ...triggers.filter(({ role }) => role === maintainer),
        ],
      },
      ...owners.map((role) => ({
        role,
        what: "triggers",
        steps: triggers.filter((step) => step.role === role),
      })),
      { role: maintainer, what: "fill", steps: [fillStep(maintenance, state, original)] },
      {
        role: maintainer,
        what: "swap",
        steps: [
          catchUpStep(maintenance, state),
          {
            ...swap,
            statements: [
              ...swap.statements,
              ...ofOwners((owner) => [
                `REVOKE USAGE ON SCHEMA ${MAINTENANCE_SCHEMA} FROM ${owner}`,
                `REVOKE EXECUTE ON FUNCTION ${writers} FROM ${owner}`,
              ]),
            ],
          },
        ],
      },
    ],
    lockTimeoutMs,
  );
}

/** What `revert` would do, from where the view stands now. */
export async function revertFiles(
  session: Session,
  view: QualifiedName,
  lockTimeoutMs: number,
): Promise<SqlFile[]> {
  const state = await readState(session, view);
  const { maintainer } = state;
  const triggered = await readTriggers(session, state);
  const owners = [...new Set(triggered.map(({ owner }) => owner))].filter((owner) => owner !== maintainer);
  const removal = removeSteps(
    state,
    triggered.map((each) => ({ ...each, dropper: each.owner })),
  );
  return numbered(
    [
      { role: maintainer, what: "view", steps: await bringBackSteps(session, state) },
      ...owners.map((role) => ({
        role,
        what: "triggers",
        steps: removal.filter((step) => step.role === role),
      })),
      { role: maintainer, what: "remove", steps: removal.filter((step) => step.role === maintainer) },
    ],
    lockTimeoutMs,
  );
}

function numbered(parts: Part[], lockTimeoutMs: number): SqlFile[] {
  return parts
    .filter(({ steps }) => steps.length > 0)
    .map(({ role, what, steps }, index) => ({
      name: `${String(index + 1).padStart(3, "0")}_${role.replaceAll(/\W/g, "_")}_${what}.sql`,
      role,
      text: [
        `-- To be run by ${role.replaceAll("\n", " ")}, outside of a transaction of the tool's own: each part is one by itself.`,
        "-- One that fails has changed nothing and may be run again.",
        ...steps.map((step) => textOf(step, lockTimeoutMs)),
      ].join("\n"),
    }));
}

/** Of a server that keeps PostgreSQL's own: a swap gives up before it. */
const DEADLOCK_TIMEOUT_MS = 1_000;

function textOf(step: Step, lockTimeoutMs: number): string {
  const isSwap = step.advisoryLock !== undefined;
  // In a transaction of its own, since some tools send a file as one query, in which BEGIN must come first.
  const lock = (call: string): string =>
    isSwap ? `BEGIN;\nSELECT pg_catalog.${call}(${step.advisoryLock});\nCOMMIT;\n` : "";
  const transaction = transactionOf(
    step,
    isSwap ? Math.min(lockTimeoutMs, DEADLOCK_TIMEOUT_MS * 0.9) : lockTimeoutMs,
  );
  const title = step.title.replaceAll(/\s+/g, " ");
  return `\n-- ${title}\n${lock("pg_advisory_lock")}${transaction}${lock("pg_advisory_unlock")}`;
}
