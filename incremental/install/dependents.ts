/** What hangs on a relation that is to be replaced: what can be made to read the new one, and what cannot. */
import { escapeIdentifier } from "pg";
import type { Session } from "../../handler/connect";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { optionSql } from "./dress";
import { catalogRows } from "./relation";
import { withoutEnd, type Statement } from "./step";

/** A plain view or an SQL-body function, with the text that makes it anew. */
export interface Dependent extends QualifiedName {
  kind: "view" | "function";
  owner: string;
  isOwnerSuperuser: boolean;
  /** pg_get_viewdef, or pg_get_functiondef whole. */
  definition: string;
  options: string[];
  /** Whether the session may act as its owner, and the owner may create in its schema. */
  mayBeReplaced: boolean;
}

/** Something that stays with the old relation whatever is done. */
export interface Obstacle {
  /** As pg_describe_object has it: `materialized view reporting.by_day`. */
  what: string;
  usesRowType: boolean;
}

/*
 * The relation by its pg_class row or by its row type, or by the array of that. What the server drops with it (indexes,
 * statistics, its own rule) is marked as automatic or internal.
 */
const dependentsQuery = (oid: number): string => `
WITH uses AS (
  SELECT d.classid, d.objid, max(d.objsubid) AS objsubid, bool_or(d.refclassid = 'pg_type'::regclass) AS uses_type
    FROM pg_depend d
   WHERE d.deptype NOT IN ('a', 'i', 'P', 'S')
     AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = ${oid}
          OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
               SELECT unnest(ARRAY[t.oid, t.typarray]) FROM pg_type t WHERE t.typrelid = ${oid}))
   GROUP BY d.classid, d.objid
)
SELECT pg_describe_object(u.classid, u.objid, CASE WHEN r.oid IS NULL THEN u.objsubid ELSE 0 END) AS "rule",
       pg_describe_object('pg_class'::regclass, v.oid, 0) AS "relation",
       u.uses_type AS "usesRowType",
       CASE WHEN u.uses_type THEN NULL
            WHEN r.rulename = '_RETURN' AND v.relkind = 'v' AND v.relpersistence = 'p' THEN 'view'
            WHEN p.prosqlbody IS NOT NULL AND p.prokind IN ('f', 'p') THEN 'function' END AS "kind",
       r.rulename = '_RETURN' AS "isReturnRule",
       n.nspname AS "schema", coalesce(v.relname, p.proname) AS "name",
       pg_get_userbyid(coalesce(v.relowner, p.proowner)) AS "owner",
       (SELECT rolsuper FROM pg_roles o WHERE o.oid = coalesce(v.relowner, p.proowner)) AS "isOwnerSuperuser",
       CASE WHEN v.oid IS NOT NULL THEN pg_get_viewdef(v.oid)
            WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) END AS "definition",
       to_json(coalesce(v.reloptions, '{}')) AS "options",
       pg_has_role(coalesce(v.relowner, p.proowner), 'MEMBER')
         AND has_schema_privilege(coalesce(v.relowner, p.proowner), n.oid, 'CREATE') AS "mayBeReplaced"
  FROM uses u
  LEFT JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND r.oid = u.objid
  LEFT JOIN pg_class v ON v.oid = r.ev_class
  LEFT JOIN pg_proc p ON u.classid = 'pg_proc'::regclass AND p.oid = u.objid
  LEFT JOIN pg_namespace n ON n.oid = coalesce(v.relnamespace, p.pronamespace)
 WHERE v.oid IS DISTINCT FROM ${oid}
 -- Readers lock a view before what it reads, and so does the swap: the later made first.
 ORDER BY coalesce(v.oid, p.oid, u.objid) DESC`;

interface Row extends Omit<Dependent, "kind"> {
  rule: string;
  relation: string | null;
  usesRowType: boolean;
  kind: "view" | "function" | null;
  isReturnRule: boolean | null;
}

/** Everything that depends on the relation and is no part of it. */
export async function readDependents(
  session: Session,
  oid: number,
): Promise<{ dependents: Dependent[]; obstacles: Obstacle[] }> {
  const rows = await catalogRows<Row>(session, dependentsQuery(oid));
  const dependents = rows.flatMap(
    ({ kind, schema, name, owner, isOwnerSuperuser, definition, options, mayBeReplaced }) =>
      kind === null
        ? []
        : [{ kind, schema, name, owner, isOwnerSuperuser, definition, options, mayBeReplaced }],
  );
  const obstacles = rows.flatMap(({ kind, rule, relation, isReturnRule, usesRowType }) =>
    kind === null ? [{ what: isReturnRule && relation !== null ? relation : rule, usesRowType }] : [],
  );
  return { dependents, obstacles };
}

/** Takes the locks that {@link replaceDependents} needs, in the order in which readers take them; changes nothing. */
export function lockDependents(dependents: Dependent[]): Statement[] {
  return dependents
    .filter(({ kind }) => kind === "view")
    .map((view) => ({
      sql: `ALTER VIEW ${quotedName(view)} OWNER TO ${escapeIdentifier(view.owner)}`,
      role: view.owner,
    }));
}

/** Makes each read what now has the name. Grants, comments, triggers and what depends on them stay. */
export function replaceDependents(dependents: Dependent[]): Statement[] {
  return dependents.map((each) => {
    if (each.kind === "function") return { sql: each.definition, role: each.owner };
    const options = each.options.length === 0 ? "" : ` WITH (${each.options.map(optionSql).join(", ")})`;
    return {
      sql: `CREATE OR REPLACE VIEW ${quotedName(each)}${options} AS\n${withoutEnd(each.definition)}`,
      role: each.owner,
    };
  });
}
