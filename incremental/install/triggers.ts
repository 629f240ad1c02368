/** The triggers of a view's logs: which are there, and by whom they are made and dropped. */
import { escapeIdentifier, escapeLiteral } from "pg";
import type { Session } from "../../handler/connect";
import { nameRows, qualifiedName, quotedName } from "../../handler/names";
import { MAINTENANCE_SCHEMA, inSchema } from "../../handler/maintained";
import type { QualifiedName } from "../../handler/settings";
import { IncrementalFailure } from "../failure";
import type { Finding, TableLog } from "../maintenance";
import { catalogRows } from "./relation";
import { type ViewState } from "./state";
import type { Step } from "./step";

/** A relation with triggers of ours. */
export interface Triggered extends QualifiedName {
  /** The function that they call. */
  function: string;
  triggers: string[];
  owner: string;
  /** The session's own or the maintaining role, whichever has the owner's rights; null for neither. */
  dropper: string | null;
}

/** Every relation that has triggers which call functions of the view's logs. */
export async function readTriggers(session: Session, state: ViewState): Promise<Triggered[]> {
  const { objects, maintainer } = state;
  const functions = objects.filter(({ kind }) => kind === "trigger function").map(({ name }) => name);
  if (functions.length === 0) return [];
  return catalogRows<Triggered>(
    session,
    `SELECT n.nspname AS "schema", c.relname AS "name", p.proname AS "function",
            json_agg(t.tgname ORDER BY t.tgname) AS "triggers", pg_get_userbyid(c.relowner) AS "owner",
            CASE WHEN pg_has_role(${escapeLiteral(maintainer)}, c.relowner, 'USAGE') THEN ${escapeLiteral(maintainer)}
                 WHEN pg_has_role(c.relowner, 'USAGE') THEN current_user END AS "dropper"
       FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace pn ON pn.oid = p.pronamespace
      WHERE pn.nspname = '${MAINTENANCE_SCHEMA}' AND p.proname IN (${functions.map(escapeLiteral).join()})
      GROUP BY n.nspname, c.relname, c.relowner, p.proname
      ORDER BY p.proname, n.nspname, c.relname`,
  );
}

/** Missing triggers, one transaction a relation: a lock is held no longer than it takes to make them. */
export function triggerSteps(
  logs: TableLog[],
  there: Triggered[],
  roleOf: (relation: QualifiedName) => string,
): Step[] {
  return logs.flatMap((log) =>
    log.relations.flatMap((relation) => {
      const found = there.find((each) => each.function === log.function && isSame(each, relation));
      const missing = log.triggers.filter(
        (trigger) => isSame(trigger.relation, relation) && !found?.triggers.includes(trigger.name),
      );
      if (missing.length === 0) return [];
      const step: Step = {
        title: `making the triggers of ${qualifiedName(relation)}`,
        role: roleOf(relation),
        statements: missing.map(({ sql }) => sql),
        locks: [{ relation, mode: "ShareRowExclusiveLock" }],
      };
      return [step];
    }),
  );
}

const isSame = (a: QualifiedName, b: QualifiedName): boolean => a.schema === b.schema && a.name === b.name;

/** Who has what on a relation that is to get triggers. */
export interface TriggerRights extends QualifiedName {
  owner: string;
  maintainerMay: boolean;
  sessionMay: boolean;
}

export async function readTriggerRights(
  session: Session,
  logs: TableLog[],
  { maintainer }: ViewState,
): Promise<TriggerRights[]> {
  const relations = logs.flatMap((log) => log.relations);
  if (relations.length === 0) return [];
  return catalogRows<TriggerRights>(
    session,
    `SELECT n.nspname AS "schema", c.relname AS "name", pg_get_userbyid(c.relowner) AS "owner",
            has_table_privilege(${escapeLiteral(maintainer)}, c.oid, 'TRIGGER') AS "maintainerMay",
            has_table_privilege(c.oid, 'TRIGGER') AS "sessionMay"
       FROM (VALUES ${nameRows(relations)}) AS wanted (schema, name)
       JOIN pg_namespace n ON n.nspname = wanted.schema
       JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name`,
  );
}

/**
 * The maintaining role where it has TRIGGER, else the session's.
 * @throws IncrementalFailure with the GRANT for each relation on which neither has it.
 */
export function triggerRoles(
  rights: TriggerRights[],
  { maintainer, currentUser }: ViewState,
): (relation: QualifiedName) => string {
  const refused = rights.filter(({ maintainerMay, sessionMay }) => !maintainerMay && !sessionMay);
  if (refused.length > 0) {
    const tables = refused.map(quotedName).join(", ");
    throw new IncrementalFailure(
      `${maintainer} may not create triggers on ${refused.map(qualifiedName).join(", ")}`,
      `GRANT TRIGGER ON ${tables} TO ${escapeIdentifier(maintainer)};  -- may be taken back afterwards`,
    );
  }
  return (relation) =>
    rights.find((each) => isSame(each, relation))?.maintainerMay === false ? currentUser : maintainer;
}

/** What the owners of the tables have to know. Where they make the triggers themselves, nobody else needs a right. */
export function triggerNotes(
  rights: TriggerRights[],
  { maintainer }: ViewState,
  ownersMakeTriggers: boolean,
): Finding[] {
  const ofOthers = rights.filter(({ owner }) => owner !== maintainer);
  if (ownersMakeTriggers) {
    return ofOthers.map((relation) => ({
      capability: "triggers",
      possible: "note",
      place: qualifiedName(relation),
      reason: `It belongs to ${relation.owner}, who makes its triggers with a file of his own.`,
    }));
  }
  return ofOthers.map((relation) => ({
    capability: "triggers",
    possible: "note",
    place: qualifiedName(relation),
    reason:
      `It belongs to ${relation.owner}. TRIGGER on it is needed while apply runs and no longer; ` +
      "whoever has it can run code as any writer of the table.",
    remedy: `After apply: REVOKE TRIGGER ON ${quotedName(relation)} FROM ${escapeIdentifier(maintainer)};`,
  }));
}

/**
 * Triggers on what is not logged any more, as a partition that was detached or a table that left the query, and those
 * that write to the log of another table. Where only the owner could drop them, the function goes, and with it all of
 * its triggers: they are missing then, and made anew.
 */
export function dropStaleSteps(there: Triggered[], logs: TableLog[], state: ViewState): Step[] {
  const stale = there.filter(
    (each) =>
      !logs.some(
        (log) => log.function === each.function && log.relations.some((relation) => isSame(relation, each)),
      ),
  );
  const stuck = new Set(stale.filter(({ dropper }) => dropper === null).map((each) => each.function));
  const byFunction = [...stuck].map((name) =>
    dropFunctionStep(
      name,
      there.filter((each) => each.function === name),
      state,
    ),
  );
  return [...byFunction, ...dropByNameSteps(stale.filter((each) => !stuck.has(each.function)))];
}

/** By the name of each where that is allowed, one table at a time; then the functions, and with them what is left. */
export function dropTriggerSteps(there: Triggered[], state: ViewState): Step[] {
  const functions = state.objects.filter(({ kind }) => kind === "trigger function");
  const withFunction = functions.map(({ name }) =>
    dropFunctionStep(
      name,
      there.filter((each) => each.function === name && each.dropper === null),
      state,
    ),
  );
  return [...dropByNameSteps(there), ...withFunction];
}

/** A trigger goes with its function, whoever owns the table. */
function dropFunctionStep(name: string, triggered: Triggered[], { maintainer }: ViewState): Step {
  return {
    title: `dropping ${name}`,
    role: maintainer,
    statements: [`DROP FUNCTION ${inSchema(name)} CASCADE`],
    locks: triggered.map((each) => ({
      relation: { schema: each.schema, name: each.name },
      mode: "AccessExclusiveLock",
    })),
  };
}

function dropByNameSteps(there: Triggered[]): Step[] {
  return there.flatMap(({ schema, name, triggers, dropper }): Step[] => {
    if (dropper === null) return [];
    const relation = { schema, name };
    return [
      {
        title: `dropping the triggers of ${qualifiedName(relation)}`,
        role: dropper,
        statements: triggers.map(
          (trigger) => `DROP TRIGGER IF EXISTS ${escapeIdentifier(trigger)} ON ${quotedName(relation)}`,
        ),
        locks: [{ relation, mode: "AccessExclusiveLock" }],
      },
    ];
  });
}
