/** SQL that gives a relation what another one had: before its rows are read, and once it has the name. */
import { escapeIdentifier, escapeLiteral } from "pg";
import { quotedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import type { Described, DescribedColumn, Grant } from "./relation";

/** Room on each page lets an update stay there (HOT), without a new entry in any index. */
const FILLFACTOR = 85;

/** Names that indexes and statistics have until the relation takes the place of the old one. */
export interface TemporaryNames {
  index: (position: number) => string;
  statistics: (position: number) => string;
}

export function temporaryNames(base: string): TemporaryNames {
  return {
    index: (position) => `${base}__i${position + 1}`,
    statistics: (position) => `${base}__s${position + 1}`,
  };
}

const keyword = (kind: "m" | "r"): string => (kind === "m" ? "MATERIALIZED VIEW" : "TABLE");

/** `CREATE TABLE … AS`, the types and collations being those that the same query gave the materialized view. */
export function createAs(kind: "m" | "r", name: QualifiedName, like: Described, query: string): string[] {
  const own = like.options.some((option) => option.startsWith("fillfactor="));
  const options = kind === "r" && !own ? [...like.options, `fillfactor=${FILLFACTOR}`] : like.options;
  const settings = options.length === 0 ? "" : ` WITH (${options.map(optionSql).join(", ")})`;
  return [
    inTablespace(like.tablespace),
    `CREATE ${keyword(kind)} ${quotedName(name)} USING ${escapeIdentifier(like.accessMethod)}${settings} AS\n${query}`,
  ];
}

/** `toast.autovacuum_enabled='false'`, of what the catalog has as `toast.autovacuum_enabled=false`. */
export function optionSql(option: string): string {
  const at = option.indexOf("=");
  const name = option.slice(0, at).split(".").map(escapeIdentifier).join(".");
  return `${name} = ${escapeLiteral(option.slice(at + 1))}`;
}

function inTablespace(tablespace: string): string {
  return `SET LOCAL default_tablespace = ${escapeLiteral(tablespace)}`;
}

/** Columns' settings, indexes and extended statistics under temporary names, then ANALYZE. */
export function beforeRead(name: QualifiedName, like: Described, names: TemporaryNames): string[] {
  const relation = quotedName(name);
  return [
    ...like.columns.flatMap((column) => columnSettings(relation, column)),
    ...like.indexes.flatMap((index, position) => {
      const temporary = { schema: name.schema, name: names.index(position) };
      return [
        inTablespace(index.tablespace),
        `CREATE ${index.kind} ${escapeIdentifier(temporary.name)} ON ${relation} ${index.rest}`,
        ...index.statistics.map(
          ({ column, target }) =>
            `ALTER INDEX ${quotedName(temporary)} ALTER COLUMN ${column} SET STATISTICS ${target}`,
        ),
      ];
    }),
    ...like.statistics.flatMap(({ schema, what, target }, position) => {
      const temporary = quotedName({ schema, name: names.statistics(position) });
      return [
        `CREATE STATISTICS ${temporary} ${what} FROM ${relation}`,
        ...(target === null ? [] : [`ALTER STATISTICS ${temporary} SET STATISTICS ${target}`]),
      ];
    }),
    `ANALYZE ${relation}`,
  ];
}

/** ALTER TABLE takes a materialized view too. */
function columnSettings(relation: string, column: DescribedColumn): string[] {
  const alter = (what: string): string =>
    `ALTER TABLE ${relation} ALTER COLUMN ${escapeIdentifier(column.name)} SET ${what}`;
  return [
    ...(column.statistics === null ? [] : [alter(`STATISTICS ${column.statistics}`)]),
    ...(column.storage === null ? [] : [alter(`STORAGE ${column.storage}`)]),
    ...(column.compression === null ? [] : [alter(`COMPRESSION ${column.compression}`)]),
    ...(column.options.length === 0 ? [] : [alter(`(${column.options.map(optionSql).join(", ")})`)]),
  ];
}

/** Once the old relation is gone: names of indexes and statistics, comments, the marks for CLUSTER and replication. */
export function afterSwap(kind: "m" | "r", like: Described, names: TemporaryNames): string[] {
  const { schema, columns, indexes, statistics, comment } = like;
  const relation = quotedName(like);
  const alter = `ALTER ${keyword(kind)} ${relation}`;
  return [
    ...indexes.flatMap((index, position) => [
      `ALTER INDEX ${quotedName({ schema, name: names.index(position) })} RENAME TO ${escapeIdentifier(index.name)}`,
      ...commentOn("INDEX", quotedName({ schema, name: index.name }), index.comment),
      ...(index.isClustered ? [`${alter} CLUSTER ON ${escapeIdentifier(index.name)}`] : []),
    ]),
    ...statistics.flatMap((each, position) => [
      `ALTER STATISTICS ${quotedName({ schema: each.schema, name: names.statistics(position) })}
        RENAME TO ${escapeIdentifier(each.name)}`,
      ...commentOn("STATISTICS", quotedName(each), each.comment),
    ]),
    ...commentOn(keyword(kind), relation, comment),
    ...columns.flatMap((column) =>
      commentOn("COLUMN", `${relation}.${escapeIdentifier(column.name)}`, column.comment),
    ),
  ];
}

function commentOn(kind: string, name: string, comment: string | null): string[] {
  return comment === null ? [] : [`COMMENT ON ${kind} ${name} IS ${escapeLiteral(comment)}`];
}

/**
 * How logical replication tells rows apart. A table that a fold writes must have a way, or a publication FOR ALL TABLES
 * lets every fold fail; a query's columns may be null, so that no index of theirs will do.
 */
export function replicaIdentity(kind: "m" | "r", relation: QualifiedName, wanted = "d"): string {
  const letter = kind === "r" ? "f" : wanted;
  const identity = letter === "f" ? "FULL" : letter === "n" ? "NOTHING" : "DEFAULT";
  return `ALTER ${keyword(kind)} ${quotedName(relation)} REPLICA IDENTITY ${identity}`;
}

/** Grants of a relation, of its columns with the column's name. */
export interface RelationGrant extends Grant {
  column?: string;
}

/** All grants of a relation on it and on its columns. */
export function grantsOf({ grants, columns }: Described): RelationGrant[] {
  return [
    ...grants,
    ...columns.flatMap(({ name, grants: own }) => own.map((grant) => ({ ...grant, column: name }))),
  ];
}

/** GRANT, once {@link lockDown} has taken away what default privileges gave. The owner himself needs none. */
export function grantSql(relation: QualifiedName, grants: RelationGrant[]): string[] {
  return grants.map(({ grantee, privilege, isGrantable, column }) => {
    const what = column === undefined ? privilege : `${privilege} (${escapeIdentifier(column)})`;
    const whom = grantee === null ? "PUBLIC" : escapeIdentifier(grantee);
    return `GRANT ${what} ON TABLE ${quotedName(relation)} TO ${whom}${isGrantable ? " WITH GRANT OPTION" : ""}`;
  });
}

/** Takes all privileges on relations from everybody but their owners: new ones get what ALTER DEFAULT PRIVILEGES says. */
export function lockDown(relations: QualifiedName[], functions: QualifiedName[] = []): string {
  const names = (all: QualifiedName[]): string =>
    all.map((name) => `(${escapeLiteral(name.schema)}, ${escapeLiteral(name.name)})`).join(", ") ||
    "(NULL, NULL)";
  return `DO $revoke$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT DISTINCT o.kind, o.name, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END AS whom
      FROM (SELECT 'TABLE' AS kind, c.oid::regclass::text AS name, c.relowner AS owner, c.relacl AS acl
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE (n.nspname, c.relname) IN (${names(relations)})
             UNION ALL
            SELECT 'FUNCTION', p.oid::regprocedure::text, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
              FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE (n.nspname, p.proname) IN (${names(functions)})) o,
           aclexplode(o.acl) x
     WHERE x.grantee <> o.owner
  LOOP
    EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', given.kind, given.name, given.whom);
  END LOOP;
END
$revoke$`;
}
