/** Questions asked only when something is wrong, to say exactly what is to be done. */
import { escapeIdentifier } from "pg";
import { INDEX_COLUMNS, READS, USABLE_INDEX } from "./catalog";
import type { Session } from "./connect";
import type { RefreshableFacts } from "./mode";

const COLUMN_CANDIDATES = `
SELECT coalesce(
         (SELECT ${INDEX_COLUMNS} FROM pg_catalog.pg_index i
           WHERE i.indrelid = $1 AND i.indisunique AND i.indexprs IS NULL
           ORDER BY i.indexrelid LIMIT 1),
         (SELECT pg_catalog.quote_ident(s.attname) FROM pg_catalog.pg_stats s
            JOIN pg_catalog.pg_class c ON c.oid = $1 AND c.relname = s.tablename
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
           WHERE s.n_distinct = -1 AND s.null_frac = 0 ORDER BY a.attnum LIMIT 1),
         (SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum LIMIT 1)
       ) AS "columns",
       ARRAY(SELECT t.relname::text FROM pg_catalog.pg_class v
               JOIN pg_catalog.pg_class t ON t.relnamespace = v.relnamespace
              WHERE v.oid = $1 AND t.relkind = 'i') AS "takenNames"`;

/**
 * The statement that gives a view the unique index it lacks; undefined where nothing is lacking, or where the first
 * refresh comes before all else. Its columns are, in this order: those of a unique index
 * that cannot be used (partial or invalid), a column that the planner's statistics call unique, the first column.
 */
export async function suggestIndex(session: Session, facts: RefreshableFacts): Promise<string | undefined> {
  if (!facts.populated || facts.usableIndexes.length > 0) return undefined;
  const [row] = await session.query<{ columns: string | null; takenNames: string[] }>(COLUMN_CANDIDATES, [
    facts.oid,
  ]);
  const columns = row?.columns ?? "…";
  const indexName = nameIndex(facts.sqlName, columns, row?.takenNames ?? []);
  return (
    `CREATE UNIQUE INDEX CONCURRENTLY ${indexName}ON ${facts.sqlName} (${columns});` +
    "  -- name the columns that tell every row from the others, and never hold NULL"
  );
}

/** `job_progress_job_id_idx `, or nothing where the server had better find a name: taken, too long or to be quoted. */
function nameIndex(viewSql: string, columns: string, taken: string[]): string {
  const parts = [viewSql.split(".").at(-1) ?? "", ...columns.split(", ")];
  const name = [...parts, "idx"].join("_");
  const plain = parts.every((part) => /^[a-z_][a-z0-9_]*$/.test(part)) && name.length <= 63;
  return plain && !taken.includes(name) ? `${name} ` : "";
}

const UNREADABLE_RELATIONS = `
SELECT DISTINCT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS "relation",
       pg_catalog.quote_ident(n.nspname) AS "schema",
       pg_catalog.has_schema_privilege(m.relowner, n.oid, 'USAGE') AS "schemaUsable"
  FROM ${READS} reads
  JOIN pg_catalog.pg_class c ON c.oid = reads.source AND c.oid <> $1
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class m ON m.oid = $1
 WHERE reads.reader = $1 AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
   AND NOT (pg_catalog.has_any_column_privilege(m.relowner, c.oid, 'SELECT')
            AND pg_catalog.has_schema_privilege(m.relowner, n.oid, 'USAGE'))
 ORDER BY 1`;

/**
 * What a permission error in mid-refresh needs: the query runs as the view's owner, so it is the owner who must be
 * able to read. Undefined when the relations are all readable and something else was refused.
 * @param oid of what has the query: a materialized view, or the plain view of a maintained one.
 */
export async function suggestGrants(
  session: Session,
  oid: number,
  ownerName: string,
): Promise<string | undefined> {
  const rows = await session.query<{ relation: string; schema: string; schemaUsable: boolean }>(
    UNREADABLE_RELATIONS,
    [oid],
  );
  if (rows.length === 0) return undefined;
  const owner = escapeIdentifier(ownerName);
  const schemas = new Set(rows.filter((row) => !row.schemaUsable).map((row) => row.schema));
  const grants = [...schemas].map((schema) => `GRANT USAGE ON SCHEMA ${schema} TO ${owner};`);
  return [...grants, ...rows.map((row) => `GRANT SELECT ON ${row.relation} TO ${owner};`)].join(" ");
}

const KEY_COLUMNS = `
SELECT DISTINCT pg_catalog.quote_ident(a.attname) AS "column"
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_catalog.pg_am am ON am.oid = ic.relam
 CROSS JOIN pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE i.indrelid = $1 AND k.position <= i.indnkeyatts AND ${USABLE_INDEX}
 ORDER BY 1`;

/**
 * Key columns of the view's unique indexes, as SQL, in which it has a NULL. A concurrent refresh compares the keys of
 * old and new rows with `=`, which no NULL satisfies. Reads the view, so it is not for every tick.
 */
export async function findNullKeys(session: Session, facts: RefreshableFacts): Promise<string[]> {
  const columns = (await session.query<{ column: string }>(KEY_COLUMNS, [facts.oid])).map(
    (row) => row.column,
  );
  if (columns.length === 0) return [];
  const holdsNull = columns.map((column) => `EXISTS (SELECT FROM ${facts.sqlName} WHERE ${column} IS NULL)`);
  const [row] = await session.query<{ found: boolean[] }>(`SELECT ARRAY[${holdsNull.join(", ")}] AS "found"`);
  return columns.filter((_, index) => row?.found[index]);
}
