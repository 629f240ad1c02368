/** How far a view has come on its way to be maintained, and who is who. */
import { isDeepStrictEqual } from "node:util";
import { escapeIdentifier, escapeLiteral } from "pg";
import type { Session } from "../../handler/connect";
import {
  maintainedNames,
  MAINTENANCE_SCHEMA,
  type MaintainedNames,
  REFRESHER,
  inSchema,
} from "../../handler/maintained";
import type { QualifiedName } from "../../handler/settings";
import type { Dependent } from "./dependents";
import type { Described } from "./relation";
import { catalogRows } from "./relation";

/** What revert needs, and what tells whether what was generated is still what would be generated. */
export interface Original {
  view: QualifiedName;
  described: Described;
  dependents: Pick<Dependent, "schema" | "name">[];
  generated: Generated;
  /** When the materialized view was built that revert puts in the place of the table, ISO 8601. */
  rebuiltAt?: string;
}

/** Hashes of generated SQL. */
export interface Generated {
  /** By the log's name. */
  logs: Record<string, string>;
  states: string;
  /** Of functions and triggers. */
  functions: string;
}

export type Phase = "logging" | "filled" | "maintained" | "reverting";

/** The one row of a view's status table. */
export interface Status {
  generatorVersion: number;
  phase: Phase;
  paused: boolean;
  appliedAt: string | null;
  lastFullAt: string | null;
  lastFullReason: string | null;
  drift: number | null;
  driftAt: string | null;
  original: Original;
}

export interface ViewState {
  view: QualifiedName;
  names: MaintainedNames;
  /** Undefined where nothing has that name. A table with other columns than the query is somebody's own. */
  relation:
    | {
        oid: number;
        kind: string;
        owner: string;
        isOwnerSuperuser: boolean;
        hasQueryColumns: boolean;
        columns: string[];
      }
    | undefined;
  database: string;
  currentUser: string;
  /** Who owns, or will own, all that maintains the view. */
  maintainer: string;
  isMaintainerSuperuser: boolean;
  /** Whether the session may act as that role. */
  mayAct: boolean;
  /** Whether the maintaining role has the rights of the relation's owner. */
  mayReplace: boolean;
  /** Whether the role matview_refresher exists. */
  hasRefresher: boolean;
  schema: {
    exists: boolean;
    owner: string | null;
    mayCreateSchema: boolean;
    maintainerMayCreate: boolean;
    refresherMayUse: boolean;
    mayGrant: boolean;
  };
  /** Whether the maintaining role may create in the view's own schema. */
  maintainerMayCreateInViewSchema: boolean;
  status: Status | undefined;
  /** Names of everything in the schema that is this view's. */
  objects: { name: string; kind: "view" | "table" | "matview" | "function" | "trigger function" }[];
}

/** What may follow the base and two underscores in the name of an object. */
const PARTS =
  "(fold(_changes)?|query|status|lock|fingerprint|new|restored|log_[0-9]+(_write)?|(leaf|layer)_[0-9]+(_query)?)";

const COLUMNS_OF = (oid: string): string => `
  (SELECT array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
     FROM pg_attribute a WHERE a.attrelid = ${oid} AND a.attnum > 0 AND NOT a.attisdropped)`;

function stateQuery({ schema, name }: QualifiedName, { base, status, query }: MaintainedNames): string {
  const queryOid = `(SELECT q.oid FROM pg_class q JOIN ours ON ours.oid = q.relnamespace WHERE q.relname = ${escapeLiteral(query)})`;
  return `
WITH ours AS (SELECT oid, nspowner FROM pg_namespace WHERE nspname = '${MAINTENANCE_SCHEMA}'),
relation AS (
  SELECT c.oid, c.relkind::text AS kind, pg_get_userbyid(c.relowner) AS owner,
         (SELECT rolsuper FROM pg_roles r WHERE r.oid = c.relowner) AS "isOwnerSuperuser",
         coalesce(${COLUMNS_OF("c.oid")} = ${COLUMNS_OF(queryOid)}, false) AS "hasQueryColumns",
         ARRAY(SELECT a.attname FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = ${escapeLiteral(schema)} AND c.relname = ${escapeLiteral(name)}
     AND c.relkind IN ('r', 'm', 'v', 'p', 'f')
),
maintainer AS (
  SELECT coalesce(
    (SELECT pg_get_userbyid(s.relowner) FROM pg_class s JOIN ours ON ours.oid = s.relnamespace
      WHERE s.relname = ${escapeLiteral(status)}),
    (SELECT nullif(owner, '${REFRESHER}') FROM relation), current_user) AS name
),
objects AS (
  SELECT c.relname AS name, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'matview' ELSE 'table' END AS kind
    FROM pg_class c JOIN ours ON ours.oid = c.relnamespace WHERE c.relkind IN ('r', 'v', 'm')
  UNION ALL
  SELECT p.proname, CASE p.prorettype WHEN 'trigger'::regtype THEN 'trigger function' ELSE 'function' END
    FROM pg_proc p JOIN ours ON ours.oid = p.pronamespace
)
SELECT (SELECT to_json(relation) FROM relation) AS "relation",
       current_database() AS "database", current_user AS "currentUser", m.name AS "maintainer",
       (SELECT rolsuper FROM pg_roles WHERE rolname = m.name) AS "isMaintainerSuperuser",
       pg_has_role(m.name, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
         AS "mayAct",
       coalesce((SELECT pg_has_role(m.name, owner, 'USAGE') FROM relation), true) AS "mayReplace",
       EXISTS (SELECT FROM pg_roles WHERE rolname = '${REFRESHER}') AS "hasRefresher",
       json_build_object(
         'exists', EXISTS (SELECT FROM ours), 'owner', (SELECT pg_get_userbyid(nspowner) FROM ours),
         'mayCreateSchema', has_database_privilege(current_database(), 'CREATE'),
         'maintainerMayCreate', coalesce((SELECT has_schema_privilege(m.name, oid, 'CREATE') AND has_schema_privilege(m.name, oid, 'USAGE') FROM ours), false),
         'refresherMayUse', coalesce((SELECT has_schema_privilege(r.oid, ours.oid, 'USAGE') FROM ours, pg_roles r WHERE r.rolname = '${REFRESHER}'), false),
         'mayGrant', coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM ours), false)) AS "schema",
       coalesce((SELECT has_schema_privilege(m.name, n.oid, 'CREATE') FROM pg_namespace n WHERE n.nspname = ${escapeLiteral(schema)}), false)
         AS "maintainerMayCreateInViewSchema",
       (SELECT coalesce(json_agg(objects ORDER BY name), '[]') FROM objects
         WHERE starts_with(name, ${escapeLiteral(`${base}__`)})
           AND substr(name, length(${escapeLiteral(`${base}__`)}) + 1) ~ '^${PARTS}$') AS "objects"
  FROM maintainer m`;
}

/** What there is of a view. Changes nothing. */
export async function readState(session: Session, view: QualifiedName): Promise<ViewState> {
  const names = maintainedNames(view);
  const [row] = await catalogRows<Omit<ViewState, "view" | "names" | "status">>(
    session,
    stateQuery(view, names),
  );
  const state = row as Omit<ViewState, "view" | "names" | "status">;
  const hasStatus = state.objects.some(({ name }) => name === names.status);
  return {
    ...state,
    relation: state.relation ?? undefined,
    view,
    names,
    status: hasStatus ? await readStatusOf(session, names.status, state.mayAct) : undefined,
  };
}

/** Undefined too where it is another role's: who may not act as that is told so, and does nothing else. */
async function readStatusOf(session: Session, table: string, mayAct: boolean): Promise<Status | undefined> {
  return readStatus(session, table).catch((error: unknown) => {
    if (mayAct || (error as { code?: string }).code !== "42501") throw error;
    return undefined;
  });
}

/** The row of a status table; undefined where it has none. */
export async function readStatus(session: Session, table: string): Promise<Status | undefined> {
  const [row] = await catalogRows<Status>(
    session,
    `SELECT generator_version AS "generatorVersion", phase, paused, to_json(applied_at) #>> '{}' AS "appliedAt",
            to_json(last_full_at) #>> '{}' AS "lastFullAt", last_full_reason AS "lastFullReason",
            drift::float8 AS "drift", to_json(drift_at) #>> '{}' AS "driftAt", original
       FROM ${inSchema(table)}`,
  );
  return row;
}

/** Whether what has the view's name is the table that a fold writes, or the one that a revert has not replaced yet. */
export function isPublished(state: ViewState): boolean {
  const { relation, status, maintainer } = state;
  const isSwapped = status?.phase === "maintained" || status?.phase === "reverting";
  if (relation?.kind !== "r" || !isSwapped) return false;
  if (!isQueryGone(state)) return relation.hasQueryColumns;
  const before = status.original.described.columns.map(({ name }) => name);
  return relation.owner === maintainer && isDeepStrictEqual(relation.columns, before);
}

/** Whether the query's view was dropped, which nothing of ours does while there is a status. */
export function isQueryGone({ status, objects, names }: ViewState): boolean {
  return status !== undefined && !objects.some(({ name }) => name === names.query);
}

/** Said of a view of which that is so. */
export const QUERY_GONE = "its query is gone: a column or table that it read was dropped with CASCADE";

/** What lets the session act as a role: a superuser's rights are not to be granted. */
export function actAs(role: string, isSuperuser: boolean, currentUser: string): string {
  return isSuperuser
    ? `run this command as ${role}, which is a superuser`
    : `GRANT ${escapeIdentifier(role)} TO ${escapeIdentifier(currentUser)};`;
}

/** A name in the schema of everything that maintains views. */
export function ours(name: string): QualifiedName {
  return { schema: MAINTENANCE_SCHEMA, name };
}
