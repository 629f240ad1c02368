/** What keeps a view from being swapped though its query could be maintained, found before anything is touched. */
import type { Session } from "../../handler/connect";
import { MAINTENANCE_SCHEMA, REFRESHER } from "../../handler/maintained";
import { qualifiedName, quotedName, shellName } from "../../handler/names";
import { IncrementalFailure } from "../failure";
import type { Finding } from "../maintenance";
import { readDependents, type Dependent, type Obstacle } from "./dependents";
import { canFold, readHistory, type HistoryFacts } from "./historyRow";
import { catalogRows } from "./relation";
import { actAs, isPublished, isQueryGone, QUERY_GONE, readState, type ViewState } from "./state";
import { escapeIdentifier } from "pg";

/** All that has to be known before a swap. */
export interface Circumstances {
  state: ViewState;
  dependents: Dependent[];
  history: HistoryFacts;
  /** Each `no` refuses. */
  findings: Finding[];
}

/** Reads the catalog, and changes nothing. */
export async function readCircumstances(session: Session, state: ViewState): Promise<Circumstances> {
  const { relation, view, maintainer } = state;
  const { dependents, obstacles } =
    relation === undefined ? { dependents: [], obstacles: [] } : await readDependents(session, relation.oid);
  const history = await readHistory(session, view, maintainer);
  const findings = [
    ...ofQuery(state),
    ...ofRoles(state),
    ...ofDependents(state, dependents, obstacles),
    ...ofHistory(state, history),
    ...(await ofReplication(session)),
  ];
  return { state, dependents, history, findings };
}

const no = (capability: string, place: string, reason: string, remedy?: string): Finding => ({
  capability,
  possible: "no",
  place,
  reason,
  ...(remedy === undefined ? {} : { remedy }),
});

function ofQuery(state: ViewState): Finding[] {
  if (!isPublished(state) || !isQueryGone(state)) return [];
  return [no("query", qualifiedName(state.view), QUERY_GONE, revertCommand(state.view))];
}

/** What takes away the rest, and says what to do with the table. */
export const revertCommand = (view: ViewState["view"]): string =>
  `npm run incremental -- revert --view ${shellName(view)}`;

function ofRoles(state: ViewState): Finding[] {
  const { view, relation, maintainer, currentUser, mayAct, schema, database } = state;
  const findings: Finding[] = [];
  const place = qualifiedName(view);
  if (relation !== undefined && !["m", "r"].includes(relation.kind)) {
    findings.push(no("materialized view", place, "it is no materialized view"));
  }
  if (!mayAct || !state.mayReplace) {
    const [owner, isSuperuser] =
      mayAct && relation !== undefined
        ? [relation.owner, relation.isOwnerSuperuser]
        : [maintainer, state.isMaintainerSuperuser];
    findings.push(
      no(
        "ownership",
        place,
        `it belongs to ${owner}, and ${currentUser} may not act as that role`,
        actAs(owner, isSuperuser, currentUser),
      ),
    );
  }
  if (!schema.exists && !schema.mayCreateSchema) {
    findings.push(
      no(
        "schema",
        MAINTENANCE_SCHEMA,
        `it is not there, and ${currentUser} may not create schemas in this database`,
        `GRANT CREATE ON DATABASE ${escapeIdentifier(database)} TO ${escapeIdentifier(currentUser)};`,
      ),
    );
  }
  if (schema.exists && !schema.maintainerMayCreate && !schema.mayGrant) {
    findings.push(
      no(
        "schema",
        MAINTENANCE_SCHEMA,
        `${maintainer} may not create in it`,
        `GRANT USAGE, CREATE ON SCHEMA ${MAINTENANCE_SCHEMA} TO ${escapeIdentifier(maintainer)};`,
      ),
    );
  }
  if (schema.exists && state.hasRefresher && !schema.refresherMayUse && !schema.mayGrant) {
    findings.push({
      ...no(
        "schema",
        MAINTENANCE_SCHEMA,
        `it belongs to ${schema.owner}, and members of ${REFRESHER} may not use it: a function that logs in as one cannot fold`,
        `As ${schema.owner}: GRANT USAGE ON SCHEMA ${MAINTENANCE_SCHEMA} TO ${REFRESHER};`,
      ),
      possible: "note",
    });
  }
  if (!state.maintainerMayCreateInViewSchema) {
    findings.push(
      no(
        "schema",
        view.schema,
        `${maintainer} may not create in it, and the table has to stand there`,
        `GRANT CREATE ON SCHEMA ${escapeIdentifier(view.schema)} TO ${escapeIdentifier(maintainer)};`,
      ),
    );
  }
  return findings;
}

function ofDependents(state: ViewState, dependents: Dependent[], obstacles: Obstacle[]): Finding[] {
  return [
    ...obstacles.map(({ what, usesRowType }) =>
      no(
        "dependent object",
        what,
        usesRowType
          ? "it uses the view's row type, which the table has another of"
          : "it reads the view and cannot be replaced in place",
        `drop it, run this command, and create it again on ${quotedName(state.view)}`,
      ),
    ),
    ...dependents
      .filter(({ mayBeReplaced }) => !mayBeReplaced)
      .map(({ kind, owner, isOwnerSuperuser, ...name }) =>
        no(
          "dependent object",
          `${kind} ${qualifiedName(name)}`,
          `it has to be replaced as ${owner}, which needs that role and its right to create in ${name.schema}`,
          isOwnerSuperuser
            ? actAs(owner, true, state.currentUser)
            : `${actAs(owner, false, state.currentUser)} ` +
                `GRANT CREATE ON SCHEMA ${escapeIdentifier(name.schema)} TO ${escapeIdentifier(owner)};`,
        ),
      ),
  ];
}

function ofHistory(state: ViewState, { exists, isCurrent, lastVersion }: HistoryFacts): Finding[] {
  const place = qualifiedName(state.view);
  if (exists && !isCurrent) {
    const reason = "the history of refreshes is older than this version: it cannot tell which functions run";
    return [no("history", "public.matview_refresh_history", reason, "npm run migrate")];
  }
  if (lastVersion !== undefined && !canFold(lastVersion.version)) {
    const version = lastVersion.version === null ? "of an older version" : lastVersion.version;
    const reason = `the function that refreshed it last, at ${lastVersion.at}, is ${version} and cannot fold`;
    return [no("deployed function", place, reason, "pulumi up")];
  }
  return [];
}

/**
 * A blue/green deployment with logical replication carries no DDL over. All that the database shows of it are slots and
 * publications that the platform has made; one that it makes with another name is not seen.
 */
export async function ofReplication(session: Session): Promise<Finding[]> {
  const rows = await catalogRows<{ what: string; isSwitch: boolean }>(
    session,
    `SELECT 'replication slot ' || slot_name AS "what", true AS "isSwitch" FROM pg_replication_slots
      WHERE slot_type = 'logical' AND slot_name ~ '^rds' AND database = current_database()
     UNION ALL
     SELECT 'publication ' || pubname, pubname ~ '^rds' FROM pg_publication WHERE puballtables OR pubname ~ '^rds'
     ORDER BY 1`,
  );
  return rows.map(({ what, isSwitch }) =>
    isSwitch
      ? no(
          "replication",
          what,
          "a blue/green deployment does not carry new tables over",
          "switch over or delete it first",
        )
      : {
          capability: "replication",
          possible: "note",
          place: what,
          reason: "subscribers get the new tables' changes too, and none of their definitions",
        },
  );
}

/** The state as it is now, with all that hinders. */
export async function judge(session: Session, view: ViewState["view"]): Promise<Circumstances> {
  return readCircumstances(session, await readState(session, view));
}

/** @throws IncrementalFailure where nothing has the view's name, with what takes away what is left of it. */
export function assertThere({ relation, objects, view }: ViewState): void {
  if (relation !== undefined) return;
  const name = qualifiedName(view);
  if (objects.length === 0) throw new IncrementalFailure(`there is no materialized view ${name}`);
  throw new IncrementalFailure(
    `there is no materialized view ${name}: its table is gone, and what maintained it is left`,
    revertCommand(view),
  );
}

/** @throws IncrementalFailure with everything that hinders. */
export function assertPossible({ findings, state }: Circumstances): void {
  assertThere(state);
  // Whose objects these are cannot be read by who may not act as their owner.
  if (!state.mayAct && state.objects.length > 0) throwAll(findings);
  if (state.relation?.kind === "r" && !isPublished(state)) {
    throw new IncrementalFailure(`${qualifiedName(state.view)} is a table, and not one that is maintained`);
  }
  throwAll(findings);
}

/** @throws IncrementalFailure with each `no`. */
export function throwAll(findings: Finding[]): void {
  const faults = findings.filter(({ possible }) => possible === "no");
  if (faults.length === 0) return;
  throw new IncrementalFailure(
    faults
      .map(({ place, reason, remedy }) => `${place}: ${reason}${remedy ? `\n  To fix it: ${remedy}` : ""}`)
      .join("\n"),
  );
}
