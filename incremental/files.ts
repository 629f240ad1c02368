/** The steps of apply and revert as files, to be reviewed and run by any migration tool. */
import { escapeIdentifier, escapeLiteral } from "pg";
import type { Session } from "../handler/connect";
import { MAINTENANCE_SCHEMA, inSchema } from "../handler/maintained";
import { qualifiedName, quotedName, shellName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { originalOf } from "./apply";
import { IncrementalFailure } from "./failure";
import { catchUpStep, fillStep, swapStep } from "./install/fill";
import { assertPossible, judge } from "./install/hindrances";
import { loggingStep } from "./install/objects";
import { catalogRows, describeRelation } from "./install/relation";
import { removeSteps } from "./install/remove";
import { readState, type ViewState } from "./install/state";
import { transactionOf, type Statement, type Step } from "./install/step";
import { refreshLock } from "./install/swap";
import { readTriggerRights, readTriggers, triggerSteps } from "./install/triggers";
import type { Maintenance } from "./maintenance";
import { assertRevertible, bringBackSteps } from "./revert";

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
  const { state, dependents } = circumstances;
  const { maintainer } = state;
  // Whoever runs a file is not asked to act as who wrote it.
  const { writer, ...facts } = circumstances.history;
  const history = { ...facts, writer: writer === maintainer ? writer : undefined };
  const described = await describeRelation(session, view);
  if (described?.kind !== "m" || state.status !== undefined) {
    throw new IncrementalFailure(
      `${qualifiedName(view)} is maintained, or half of it: files are for a view of which there is nothing yet`,
      `npm run incremental -- apply --view ${shellName(view)}`,
    );
  }
  const original = originalOf(maintenance, described, dependents);
  const rights = await readTriggerRights(session, logs, state);
  const ownerOf = ({ schema, name }: QualifiedName): string =>
    rights.find((each) => each.schema === schema && each.name === name)?.owner ?? maintainer;
  const triggers = triggerSteps(logs, [], ownerOf);
  const owners = [...new Set(triggers.map(({ role }) => role))].filter((role) => role !== maintainer);
  const mayUse = await readUsers(session, owners);
  const strangers = owners.filter((owner) => !mayUse.includes(owner));
  const ofOwners = (sql: (owner: string) => string[]): string[] =>
    owners.flatMap((owner) => sql(escapeIdentifier(owner)));
  const writers = logs.map((log) => `${inSchema(log.function)}()`).join(", ");
  const logging = loggingStep(maintenance, state, original);
  const ofOthers = logging.statements.filter(
    (each): each is Statement => typeof each !== "string" && ![undefined, maintainer].includes(each.role),
  );
  const swap = swapStep(maintenance, state, { original, dependents, history });
  return numbered(
    [
      ...schemaParts(ofOthers, state),
      {
        role: maintainer,
        what: "logging",
        steps: [
          {
            ...logging,
            statements: [
              ...logging.statements.filter((each) => !ofOthers.some((other) => other === each)),
              ...strangers.map((owner) => schemaUsage("GRANT", owner)),
              ...ofOwners((owner) => [`GRANT EXECUTE ON FUNCTION ${writers} TO ${owner}`]),
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
              ...strangers.map((owner) => schemaUsage("REVOKE", owner)),
              ...ofOwners((owner) => [`REVOKE EXECUTE ON FUNCTION ${writers} FROM ${owner}`]),
            ],
          },
        ],
      },
    ],
    lockTimeoutMs,
  );
}

/** Of these roles, those that may use the schema as it is: theirs is not taken away again. */
async function readUsers(session: Session, roles: string[]): Promise<string[]> {
  if (roles.length === 0) return [];
  const rows = await catalogRows<{ name: string }>(
    session,
    `SELECT r.rolname AS "name" FROM pg_roles r JOIN pg_namespace n ON n.nspname = '${MAINTENANCE_SCHEMA}'
      WHERE r.rolname IN (${roles.map(escapeLiteral).join()}) AND has_schema_privilege(r.oid, n.oid, 'USAGE')`,
  );
  return rows.map(({ name }) => name);
}

/** The schema and the rights on it, where that is not the maintaining role's to do. */
function schemaParts(statements: Statement[], { schema, currentUser, maintainer }: ViewState): Part[] {
  if (statements.length === 0) return [];
  const role = schema.owner ?? currentUser;
  const step: Step = {
    title: `opening the schema ${MAINTENANCE_SCHEMA} to ${maintainer}`,
    role,
    statements: statements.map(({ sql }) => sql),
    locks: [],
  };
  return [{ role, what: "schema", steps: [step] }];
}

/**
 * The server only warns where somebody gives, or takes, what is not his to give: the file says by whom it has to be done.
 */
function schemaUsage(what: "GRANT" | "REVOKE", owner: string): string {
  const statement = `${what} USAGE ON SCHEMA ${MAINTENANCE_SCHEMA} ${what === "GRANT" ? "TO" : "FROM"} ${escapeIdentifier(owner)}`;
  const isDone = `has_schema_privilege(${escapeLiteral(owner)}, '${MAINTENANCE_SCHEMA}', 'USAGE')`;
  const [skip, raise] =
    what === "GRANT"
      ? [isDone, "EXCEPTION USING ERRCODE = '42501', MESSAGE ="]
      : [`NOT ${isDone}`, "NOTICE USING MESSAGE ="];
  return `DO $usage$
DECLARE
  schema_owner oid := (SELECT nspowner FROM pg_namespace WHERE nspname = '${MAINTENANCE_SCHEMA}');
BEGIN
  IF ${skip} THEN RETURN; END IF;
  IF pg_has_role(schema_owner, 'USAGE') OR has_schema_privilege('${MAINTENANCE_SCHEMA}', 'USAGE WITH GRANT OPTION') THEN
    EXECUTE ${escapeLiteral(statement)};
    RETURN;
  END IF;
  RAISE ${raise} format('the schema ${MAINTENANCE_SCHEMA} belongs to %s, who has to run: %s;${what === "GRANT" ? " -- then run this file again" : ""}',
    pg_get_userbyid(schema_owner), ${escapeLiteral(statement)});
END $usage$`;
}

/** What `revert` would do, from where the view stands now. */
export async function revertFiles(
  session: Session,
  view: QualifiedName,
  lockTimeoutMs: number,
): Promise<SqlFile[]> {
  const state = await readState(session, view);
  await assertRevertible(session, state);
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
        `-- To be run by ${oneLine(role)}, outside of a transaction of the tool's own: each part is one by itself.`,
        ...alsoActs(role, steps),
        "-- One that fails has changed nothing and may be run again.",
        ...steps.map((step) => textOf(step, lockTimeoutMs)),
      ].join("\n"),
    }));
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ");

/** Views that others own are replaced in the same transaction. */
function alsoActs(role: string, steps: Step[]): string[] {
  const statements = steps.flatMap((step) => step.statements);
  const others = statements.flatMap((each) => (typeof each === "string" ? [] : (each.role ?? [])));
  const names = [...new Set(others)].filter((other) => other !== role);
  if (names.length === 0) return [];
  return [`-- It also acts as ${names.map(oneLine).join(", ")}: whoever runs it has to be a member of that.`];
}

/** Of a server that keeps PostgreSQL's own: a swap gives up before it. */
const DEADLOCK_TIMEOUT_MS = 1_000;

function textOf(step: Step, lockTimeoutMs: number): string {
  const { refreshLockOf } = step;
  const isSwap = refreshLockOf !== undefined;
  // In a transaction of its own, since some tools send a file as one query, in which BEGIN must come first.
  const around = (...statements: string[]): string =>
    isSwap ? `BEGIN;\n${statements.map((sql) => `SELECT pg_catalog.${sql};\n`).join("")}COMMIT;\n` : "";
  const transaction = transactionOf(
    step,
    isSwap ? Math.min(lockTimeoutMs, DEADLOCK_TIMEOUT_MS * 0.9) : lockTimeoutMs,
  );
  return `\n-- ${oneLine(step.title)}\n${around(...lockCalls(refreshLockOf))}${transaction}${around(`pg_advisory_unlock(${KEPT_KEY})`)}`;
}

/** The key is kept in a setting of the session: once the swap is done, the name is another relation's. */
const KEY_SETTING = "'matview_refresh.lock'";
const KEPT_KEY = `pg_catalog.current_setting(${KEY_SETTING})::bigint`;

/** By the oid that the view has in the database in which the file is run. */
function lockCalls(view: QualifiedName | undefined): string[] {
  if (view === undefined) return [];
  const key = refreshLock(`${escapeLiteral(quotedName(view))}::regclass::oid`);
  return [`set_config(${KEY_SETTING}, (${key})::text, false)`, `pg_advisory_lock(${KEPT_KEY})`];
}
