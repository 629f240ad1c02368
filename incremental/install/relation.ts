/** All that belongs to a relation beside its rows, read from the catalog so that another relation can be given it. */
import { escapeLiteral } from "pg";
import type { Session } from "../../handler/connect";
import type { QualifiedName } from "../../handler/settings";

/** A privilege. Those of the relation's owner are not among them: he has all. */
export interface Grant {
  /** Null for PUBLIC. */
  grantee: string | null;
  privilege: string;
  isGrantable: boolean;
}

export interface DescribedColumn {
  name: string;
  comment: string | null;
  /** Null for the server's default, as what follows. */
  statistics: number | null;
  storage: string | null;
  compression: string | null;
  /** `n_distinct=100`. */
  options: string[];
  grants: Grant[];
}

export interface DescribedIndex {
  name: string;
  /** `UNIQUE INDEX` or `INDEX`. */
  kind: string;
  /** Everything of CREATE INDEX behind the table's name: `USING btree (id)`. */
  rest: string;
  /** Its columns before the first expression; none of one that does not hold all rows. */
  leading: string[];
  tablespace: string;
  comment: string | null;
  isClustered: boolean;
  statistics: { column: number; target: number }[];
}

export interface DescribedStatistics extends QualifiedName {
  /** Of CREATE STATISTICS, what stands between the name and FROM: `(ndistinct) ON a, b`. */
  what: string;
  target: number | null;
  comment: string | null;
}

export interface Described extends QualifiedName {
  oid: number;
  /** pg_class.relkind: `m`, or `r` for a maintained view's table. */
  kind: "m" | "r";
  owner: string;
  /** Empty for the database's own. */
  tablespace: string;
  accessMethod: string;
  /** `fillfactor=90`, `toast.autovacuum_enabled=false`. */
  options: string[];
  /** pg_class.relreplident: `d`, `n` or `f`. */
  replicaIdentity: string;
  comment: string | null;
  grants: Grant[];
  columns: DescribedColumn[];
  indexes: DescribedIndex[];
  statistics: DescribedStatistics[];
  /** The query of a materialized view, without a semicolon; null for a table. */
  query: string | null;
}

const list = (fields: string, from: string, order: string): string =>
  `(SELECT coalesce(json_agg(json_build_object(${fields}) ORDER BY ${order}), '[]') FROM ${from})`;

const grants = (acl: string): string =>
  list(
    `'grantee', CASE WHEN x.grantee <> 0 THEN pg_get_userbyid(x.grantee) END,
     'privilege', x.privilege_type, 'isGrantable', x.is_grantable`,
    `aclexplode(${acl}) x WHERE x.grantee <> c.relowner`,
    "x.grantee, x.privilege_type",
  );

const tablespace = (oid: string): string =>
  `coalesce((SELECT spcname FROM pg_tablespace t WHERE t.oid = ${oid}), '')`;

const STATISTICS_TARGET = (target: string): string => `CASE WHEN ${target} >= 0 THEN ${target} END`;

const COLUMNS = list(
  `'name', a.attname, 'comment', col_description(c.oid, a.attnum), 'statistics', ${STATISTICS_TARGET("a.attstattarget")},
   'storage', CASE WHEN a.attstorage <> ty.typstorage THEN
                CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END,
   'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
   'options', coalesce(a.attoptions, '{}'), 'grants', ${grants("a.attacl")}`,
  `pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped`,
  "a.attnum",
);

/* How pg_get_indexdef and pg_get_statisticsobjdef begin is known, so that their text is cut and never searched. */
const QUALIFIED = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)";
const INDEX_HEAD = `format('CREATE %sINDEX %I ON %s ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, ic.relname, ${QUALIFIED})`;
const STATISTICS_HEAD = "format('CREATE STATISTICS %I.%I ', sn.nspname, s.stxname)";
const STATISTICS_TAIL = `' FROM ' || ${QUALIFIED}`;

const LEADING = `
  (SELECT coalesce(json_agg(a.attname ORDER BY k.position), '[]')
     FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k (attnum, position)
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE k.position <= i.indnkeyatts AND i.indpred IS NULL AND i.indisvalid
      AND k.position < ALL (SELECT e.position FROM unnest(i.indkey::smallint[]) WITH ORDINALITY e (attnum, position) WHERE e.attnum = 0))`;

const INDEXES = list(
  `'name', ic.relname, 'kind', CASE WHEN i.indisunique THEN 'UNIQUE INDEX' ELSE 'INDEX' END,
   'rest', substr(pg_get_indexdef(i.indexrelid), length(${INDEX_HEAD}) + 1),
   'leading', ${LEADING}, 'tablespace', ${tablespace("ic.reltablespace")},
   'comment', obj_description(i.indexrelid, 'pg_class'), 'isClustered', i.indisclustered,
   'statistics', ${list(
     "'column', a.attnum, 'target', a.attstattarget",
     "pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0",
     "a.attnum",
   )}`,
  "pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid",
  "ic.relname",
);

const STATISTICS = list(
  `'schema', sn.nspname, 'name', s.stxname, 'target', ${STATISTICS_TARGET("s.stxstattarget")},
   'comment', obj_description(s.oid, 'pg_statistic_ext'),
   'what', substr(def.text, length(${STATISTICS_HEAD}) + 1,
                  length(def.text) - length(${STATISTICS_HEAD}) - length(${STATISTICS_TAIL}))`,
  `pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = s.stxnamespace
    CROSS JOIN LATERAL (SELECT pg_get_statisticsobjdef(s.oid) AS text) def
    WHERE s.stxrelid = c.oid`,
  "sn.nspname, s.stxname",
);

const OPTIONS = `
  to_json(coalesce(c.reloptions, '{}') ||
          coalesce((SELECT array_agg('toast.' || option) FROM pg_class t, unnest(t.reloptions) option
                     WHERE t.oid = c.reltoastrelid), '{}'))`;

const describeQuery = ({ schema, name }: QualifiedName): string => `
SELECT c.oid AS "oid", n.nspname AS "schema", c.relname AS "name", c.relkind::text AS "kind",
       pg_get_userbyid(c.relowner) AS "owner", ${tablespace("c.reltablespace")} AS "tablespace",
       (SELECT amname FROM pg_am WHERE pg_am.oid = c.relam) AS "accessMethod", ${OPTIONS} AS "options",
       c.relreplident::text AS "replicaIdentity", obj_description(c.oid, 'pg_class') AS "comment",
       ${grants("c.relacl")} AS "grants", ${COLUMNS} AS "columns", ${INDEXES} AS "indexes",
       ${STATISTICS} AS "statistics",
       CASE c.relkind WHEN 'm' THEN rtrim(pg_get_viewdef(c.oid), '; ') END AS "query"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ${escapeLiteral(schema)} AND c.relname = ${escapeLiteral(name)} AND c.relkind IN ('m', 'r')`;

/** The relation of that name, a materialized view or a table; undefined where there is none. */
export async function describeRelation(
  session: Session,
  name: QualifiedName,
): Promise<Described | undefined> {
  const [row] = await catalogRows<Described>(session, describeQuery(name));
  return row;
}

/** Rows of one statement that reads the catalog. All names in what the server writes are qualified. */
export async function catalogRows<Row>(session: Session, query: string): Promise<Row[]> {
  const results = await session
    .results(
      `BEGIN READ ONLY; SET LOCAL search_path = pg_catalog; SET LOCAL lock_timeout = '10s'; ${query}; COMMIT`,
    )
    .catch(async (error: unknown) => {
      if (!session.lost) await session.query("ROLLBACK");
      throw error;
    });
  return (results.at(-2)?.rows ?? []) as Row[];
}
