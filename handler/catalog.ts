/** What PostgreSQL says of a view, asked before anything is tried. */
import { escapeLiteral } from "pg";
import type { Session } from "./connect";
import { FOLD_COMMENT, MAINTENANCE_SCHEMA } from "./maintained";
import type { QualifiedName, ViewSettings } from "./settings";

/** What may be done with `public.matview_refresh_history`. */
export interface HistoryAccess {
  mayInsert: boolean;
  maySelect: boolean;
  mayDelete: boolean;
  /** Whether it has the columns and the refresh types of migration 008. */
  knowsFolds: boolean;
  /** Whether it has the columns of migration 009. */
  knowsRemedies: boolean;
}

/** What maintains a view: names as SQL, qualified. */
export interface FoldFacts {
  /** The function, without its arguments. */
  name: string;
  /** The table whose lock lets one fold run at a time. */
  lock: string;
  lockOid: number;
  /** The plain view that has the view's query. */
  query: string;
  queryOid: number;
  status: string;
  /** What a fold needs and the current user lacks: `UPDATE ON …`, as in a GRANT. */
  missingRights: string[];
}

/** The facts that decide how, and whether, a view can be refreshed. */
export interface ViewFacts {
  schemaExists: boolean;
  /** pg_class.oid; null when there is no relation of that name. */
  oid: number | null;
  /** pg_class.relkind: `m` for a materialized view, `r` for one that is maintained. */
  relkind: string | null;
  /** Set for a maintained view: a table into which this function folds what changed. */
  fold: FoldFacts | null;
  /** The view's name as SQL, quoted where it must be. */
  sqlName: string | null;
  populated: boolean;
  owner: string;
  currentUser: string;
  /** server_version_num, such as 180004. */
  serverVersion: number;
  database: string;
  /** Whether the current user owns it, has the owner's rights, or has MAINTAIN on it (17 and later). */
  mayRefresh: boolean;
  mayUseSchema: boolean;
  /** A concurrent refresh makes its temporary table as the owner, whoever runs it. */
  ownerMayCreateTemp: boolean;
  /** Unique indexes a concurrent refresh can match rows by, as SQL names with their columns. */
  usableIndexes: string[];
  history: HistoryAccess;
  viewReadable: boolean;
  /**
   * Materialized and maintained views that it reads itself or through plain views. What those read is no concern of
   * this one: their own age tells of it.
   */
  sources: QualifiedName[];
  /** Whether the configured statistics relation is there and readable. */
  statisticsReadable: boolean;
  /** Whether the server is a standby, which takes no writes. */
  inRecovery: boolean;
  /** The database's clock, ISO 8601 in UTC with microseconds; read before the snapshot of the refresh. */
  clock: string;
}

export const HISTORY_TABLE = "public.matview_refresh_history";

/** A query for its oid; no row where it is not there or its schema may not be used. */
export const HISTORY_OID = `
  SELECT c.oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = 'public' AND c.relname = 'matview_refresh_history' AND c.relkind IN ('r', 'p')
     AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')`;

/** SQL for a time as ISO 8601 text in UTC: it sorts as text and casts back without regard to DateStyle. */
export const isoTime = (time: string): string =>
  `pg_catalog.to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/*
 * The rule of the server (is_usable_unique_index in matview.c): unique, valid, checked at once, no predicate, plain
 * columns only; a btree before version 18.
 */
export const USABLE_INDEX = `
  i.indisunique AND i.indisvalid AND i.indislive AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND (am.amname = 'btree' OR pg_catalog.current_setting('server_version_num')::int >= 180000)`;

/** Names of an index's columns, as SQL. */
export const INDEX_COLUMNS = `
  (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY k.position)
     FROM pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum)`;

const privilege = (oid: string, name: string): string =>
  `coalesce(pg_catalog.has_table_privilege(${oid}, '${name}'), false)`;

/** Every relation (`reader`) with every relation that its query names (`source`), by oid. */
export const READS = `
  (SELECT r.ev_class AS reader, d.refobjid AS source
     FROM pg_catalog.pg_rewrite r
     JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
      AND d.refclassid = 'pg_catalog.pg_class'::regclass)`;

/** A fold's name without its last word. */
const BASE = "pg_catalog.left(p.proname::text, -pg_catalog.length('fold'))";

/** The relation beside a fold that has this last word. What is a function's is its owner's: nobody else can put one there. */
const beside = (part: string): string => `
  (SELECT r.oid FROM pg_catalog.pg_class r
    WHERE r.relnamespace = p.pronamespace AND r.relname = ${BASE} || '${part}' AND r.relowner = p.proowner)`;

/**
 * For the WITH of a query, the functions that maintain views, each with its comment, by which {@link foldOf} finds the
 * table. None where the schema is missing. Asked at every tick: so by what depends on the schema and not by all
 * functions, and with few joins, since planning them takes longer than running them. One that would not run as its
 * owner is none: by calling it, whoever refreshes would lend him his own rights.
 */
export const FOLDS = `
folds AS MATERIALIZED (
  SELECT p.oid, p.proowner AS owner, p.pronamespace AS schema, ${BASE} AS base,
         ${beside("query")} AS query, ${beside("lock")} AS lock,
         (SELECT d.description FROM pg_catalog.pg_description d
           WHERE d.objoid = p.oid AND d.classoid = 'pg_catalog.pg_proc'::regclass) AS comment
    FROM pg_catalog.pg_depend member
    JOIN pg_catalog.pg_proc p ON p.oid = member.objid AND p.prosecdef AND p.proname LIKE '%\\_\\_fold'
   WHERE member.classid = 'pg_catalog.pg_proc'::regclass
     AND member.refclassid = 'pg_catalog.pg_namespace'::regclass
     AND member.refobjid = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = '${MAINTENANCE_SCHEMA}'))`;

/**
 * The row of {@link FOLDS} that maintains a row of pg_class; none where that is no maintained view. A query in brackets.
 */
export const foldOf = (table: string): string => `
  (SELECT f.*
     FROM folds f
    WHERE ${table}.relkind = 'r' AND f.owner = ${table}.relowner AND f.query IS NOT NULL AND f.lock IS NOT NULL
      AND f.comment = '${FOLD_COMMENT}' || ${table}.relnamespace::regnamespace::text || '.'
                      || pg_catalog.quote_ident(${table}.relname)
    ORDER BY f.oid LIMIT 1)`;

/** Whether a row of pg_class is a materialized view or a maintained one. Needs {@link FOLDS}. */
export const isRefreshed = (relation: string): string =>
  `(${relation}.relkind = 'm' OR EXISTS ${foldOf(relation)})`;

const SOURCES = `
  (WITH RECURSIVE read_by (oid, is_followed) AS (
     SELECT coalesce(fold.query, c.oid), true
     UNION
     SELECT used.oid, used.relkind = 'v'
       FROM read_by
       JOIN ${READS} reads ON reads.reader = read_by.oid
       JOIN pg_catalog.pg_class used ON used.oid = reads.source AND used.relkind IN ('v', 'm', 'r')
      WHERE read_by.is_followed
   )
   SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('schema', (
              SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = s.relnamespace), 'name', s.relname)
            ORDER BY s.oid), '[]')
     FROM read_by
     JOIN pg_catalog.pg_class s ON s.oid = read_by.oid AND s.oid <> c.oid AND ${isRefreshed("s")})`;

const ofFold = (part: string): string =>
  `'${MAINTENANCE_SCHEMA}.' || pg_catalog.quote_ident(fold.base || '${part}')`;

const FOLD_FACTS = `
  CASE WHEN fold.oid IS NOT NULL THEN pg_catalog.json_build_object(
    'name', ${ofFold("fold")}, 'lock', ${ofFold("lock")}, 'lockOid', fold.lock::bigint,
    'query', ${ofFold("query")}, 'queryOid', fold.query::bigint, 'status', ${ofFold("status")},
    'missingRights', ARRAY(
      SELECT needed.what
        FROM (VALUES
          (pg_catalog.has_schema_privilege(fold.schema, 'USAGE'), 'USAGE ON SCHEMA ${MAINTENANCE_SCHEMA}'),
          (pg_catalog.has_function_privilege(fold.oid, 'EXECUTE'),
           'EXECUTE ON FUNCTION ' || ${ofFold("fold")} || '(boolean, interval, boolean)'),
          (${privilege("fold.lock", "UPDATE")}, 'UPDATE ON ' || ${ofFold("lock")}),
          (${privilege("fold.query", "SELECT")}, 'SELECT ON ' || ${ofFold("query")})
        ) AS needed (is_given, what)
       WHERE NOT needed.is_given)) END`;

const literalOrNull = (text: string | undefined): string =>
  text === undefined ? "NULL" : escapeLiteral(text);

const historyHas = (column: string): string => `
  EXISTS (SELECT FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = history.oid AND a.attname = '${column}' AND NOT a.attisdropped)`;

/** The query for {@link ViewFacts}: one row, without parameters, so that it can travel with other statements. */
export const factsQuery = (view: ViewSettings): string => `
WITH ${FOLDS}, history AS (${HISTORY_OID}), statistics AS (
  SELECT c.oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = ${literalOrNull(view.statistics?.schema)} AND c.relname = ${literalOrNull(view.statistics?.name)} AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
     AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
)
SELECT n.oid IS NOT NULL AS "schemaExists",
       c.oid AS "oid", c.relkind::text AS "relkind", coalesce(c.relispopulated, false) AS "populated",
       ${FOLD_FACTS} AS "fold",
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS "sqlName",
       coalesce(pg_catalog.pg_get_userbyid(c.relowner), '') AS "owner",
       current_user AS "currentUser",
       pg_catalog.current_setting('server_version_num')::int AS "serverVersion",
       pg_catalog.current_database() AS "database",
       coalesce(pg_catalog.pg_has_role(c.relowner, 'USAGE'), false)
         OR CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 170000
                 THEN ${privilege("c.oid", "MAINTAIN")} ELSE false END AS "mayRefresh",
       coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false) AS "mayUseSchema",
       coalesce(pg_catalog.has_database_privilege(c.relowner, pg_catalog.current_database(), 'TEMP'), false)
         AS "ownerMayCreateTemp",
       ARRAY(SELECT pg_catalog.quote_ident(ic.relname) || ' (' || ${INDEX_COLUMNS} || ')'
               FROM pg_catalog.pg_index i
               JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
               JOIN pg_catalog.pg_am am ON am.oid = ic.relam
              WHERE i.indrelid = c.oid AND ${USABLE_INDEX}
              ORDER BY ic.relname) AS "usableIndexes",
       ${privilege("c.oid", "SELECT")} AND coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false)
         AS "viewReadable",
       ${privilege("statistics.oid", "SELECT")} AS "statisticsReadable",
       pg_catalog.json_build_object('mayInsert', ${privilege("history.oid", "INSERT")},
                                    'maySelect', ${privilege("history.oid", "SELECT")},
                                    'mayDelete', ${privilege("history.oid", "DELETE")},
                                    'knowsFolds', ${historyHas("drift")},
                                    'knowsRemedies', ${historyHas("blockers")}) AS "history",
       ${SOURCES} AS "sources",
       pg_catalog.pg_is_in_recovery() AS "inRecovery",
       ${isoTime("pg_catalog.clock_timestamp()")} AS "clock"
  FROM (SELECT) AS one
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = ${escapeLiteral(view.schema)}
  LEFT JOIN pg_catalog.pg_class c
         ON c.relnamespace = n.oid AND c.relname = ${escapeLiteral(view.name)}
        AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
  LEFT JOIN LATERAL ${foldOf("c")} AS fold ON true
  LEFT JOIN history ON true
  LEFT JOIN statistics ON true`;

/** Facts of one view as the current statement's snapshot shows them. Works in a transaction and outside one. */
export async function readFacts(session: Session, view: ViewSettings): Promise<ViewFacts> {
  const [facts] = await session.query<ViewFacts>(factsQuery(view));
  return facts as ViewFacts;
}
