/** What the catalog says: which views there are, what they read, what maintains them, and what may be read of all this. */
import { FOLDS, foldOf, HISTORY_OID, READS } from "../../handler/catalog";
import { MAINTENANCE_SCHEMA } from "../../handler/maintained";
import type { QualifiedName } from "../../handler/settings";
import type { Reader } from "../reader";

/** What may be read of the history, and which columns it has. */
export interface HistoryState {
  /** Null where there is no such table, or its schema may not be used. */
  oid: number | null;
  maySelect: boolean;
  knowsFolds: boolean;
  knowsRemedies: boolean;
}

/** As the compiler names it; it is nothing that this page may import. */
export const SUMMED = "__images";

/** What there is of a maintained view beside it, as SQL names. */
export interface MaintainedParts {
  status: string;
  mayReadStatus: boolean;
  queryOid: number;
  lockOid: number;
  /** In a log that is summed up, a row stands for as many changes as its column {@link SUMMED} says. */
  logs: { name: string; mayRead: boolean; isSummed: boolean }[];
}

/** A materialized or maintained view that is there. */
export interface CatalogView extends QualifiedName {
  oid: number;
  /** The name as SQL. */
  sqlName: string;
  isPopulated: boolean;
  parts: MaintainedParts | null;
  reads: { oid: number; name: string; isView: boolean }[];
}

export interface Catalog {
  version: string;
  database: string;
  currentUser: string;
  history: HistoryState;
  views: CatalogView[];
}

const has = (column: string): string => `
  EXISTS (SELECT FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = history.oid AND a.attname = '${column}' AND NOT a.attisdropped)`;

/** Its oid; none in a database in which nothing was ever maintained. */
const SCHEMA = `(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = '${MAINTENANCE_SCHEMA}')`;

/** Every relation that a view's query names, itself or through plain views; partitions are no concern of a reader. */
const CATALOG = `
WITH RECURSIVE ${FOLDS}, history AS (${HISTORY_OID}),
refreshed AS MATERIALIZED (
  SELECT c.oid, c.relname, c.relnamespace, c.relispopulated, fold.base, fold.query, fold.lock, fold.owner
    FROM pg_catalog.pg_class c
    LEFT JOIN LATERAL ${foldOf("c")} AS fold ON true
   WHERE c.relkind = 'm' OR c.relkind = 'r' AND fold.oid IS NOT NULL
),
read_by (reader, oid, is_followed) AS (
  SELECT r.oid, coalesce(r.query, r.oid), true FROM refreshed r
  UNION
  SELECT read_by.reader, used.oid, used.relkind = 'v'
    FROM read_by
    JOIN ${READS} reads ON reads.reader = read_by.oid
    JOIN pg_catalog.pg_class used ON used.oid = reads.source AND used.relkind IN ('r', 'p', 'f', 'v', 'm')
   WHERE read_by.is_followed
),
beside AS (
  SELECT r.oid AS view, b.relname, b.oid, b.relowner
    FROM refreshed r
    JOIN pg_catalog.pg_class b ON b.relnamespace = ${SCHEMA} AND b.relkind = 'r'
     AND b.relowner = r.owner AND pg_catalog.starts_with(b.relname::text, r.base)
   WHERE r.base IS NOT NULL
)
SELECT pg_catalog.current_setting('server_version') AS "version", pg_catalog.current_database() AS "database",
       current_user AS "currentUser",
       (SELECT pg_catalog.json_build_object(
                 'oid', history.oid::bigint,
                 'maySelect', coalesce(pg_catalog.has_table_privilege(history.oid, 'SELECT'), false),
                 'knowsFolds', ${has("drift")}, 'knowsRemedies', ${has("blockers")})
          FROM (SELECT) AS one LEFT JOIN history ON true) AS "history",
       (SELECT coalesce(pg_catalog.json_agg(view ORDER BY view.schema, view.name), '[]')
          FROM (
            SELECT n.nspname AS "schema", r.relname AS "name", r.oid::bigint AS "oid", r.relispopulated AS "isPopulated",
                   pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(r.relname) AS "sqlName",
                   (SELECT pg_catalog.json_build_object(
                             'status', '${MAINTENANCE_SCHEMA}.' || pg_catalog.quote_ident(s.relname),
                             'mayReadStatus', pg_catalog.has_table_privilege(s.oid, 'SELECT')
                                              AND pg_catalog.has_schema_privilege(${SCHEMA}, 'USAGE'),
                             'queryOid', r.query::bigint, 'lockOid', r.lock::bigint,
                             'logs', (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                                         'name', '${MAINTENANCE_SCHEMA}.' || pg_catalog.quote_ident(l.relname),
                                         'mayRead', pg_catalog.has_table_privilege(l.oid, 'SELECT'),
                                         'isSummed', EXISTS (SELECT FROM pg_catalog.pg_attribute a
                                                              WHERE a.attrelid = l.oid AND a.attname = '${SUMMED}'))), '[]')
                                        FROM beside l
                                       WHERE l.view = r.oid
                                         AND pg_catalog.substr(l.relname, pg_catalog.length(r.base) + 1) ~ '^log_[0-9]+$'))
                      FROM beside s WHERE s.view = r.oid AND s.relname = r.base || 'status') AS "parts",
                   (SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
                             'oid', c.oid::bigint, 'name', sn.nspname || '.' || c.relname,
                             'isView', EXISTS (SELECT FROM refreshed WHERE refreshed.oid = c.oid))
                           ORDER BY sn.nspname, c.relname), '[]')
                      FROM read_by s
                      JOIN pg_catalog.pg_class c ON c.oid = s.oid AND c.oid <> r.oid AND NOT s.is_followed
                      JOIN pg_catalog.pg_namespace sn ON sn.oid = c.relnamespace
                     WHERE s.reader = r.oid) AS "reads"
              FROM refreshed r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace) AS view) AS "views"`;

const LONGEST_CATALOG_MS = 5_000;

export async function readCatalog(reader: Reader): Promise<Catalog> {
  const [row] = await reader.rows<Catalog>(CATALOG, LONGEST_CATALOG_MS);
  return row as Catalog;
}
