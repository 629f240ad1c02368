/** Reads from the catalog what the compiler is told of a view. */
import { hasSqlDetails, parse } from "libpg-query";
import { USABLE_INDEX } from "../handler/catalog";
import { MAINTENANCE_SCHEMA, maintainedNames, REFRESHER } from "../handler/maintained";
import { qualifiedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { analyze, type Analyzed } from "./nodeTree";
import type { CalledFunction, Column, ColumnType, Relation, ViewSource } from "./source";

/** Runs one statement in the caller's transaction. */
export type Query = <Row extends object>(sql: string, values?: unknown[]) => Promise<Row[]>;

/** What was asked for is not there, or is nothing that can be maintained, or is no query. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

/** The name of a query that is no view yet. */
export const NAMELESS: QualifiedName = { schema: "public", name: "query" };

/** The group role that migration 004 makes: on servers before 17 it owns views, and nothing that writes. */
/** Objects of an oid below it came with the server (FirstNormalObjectId). */
const FIRST_OWN_OID = 16384;
const SAVEPOINT = "matview_refresh_source";

/**
 * Reads a materialized view, or a maintained one, inside the caller's transaction; changes nothing.
 * @throws SourceError when there is no such view.
 */
export async function readSource(query: Query, view: QualifiedName): Promise<ViewSource> {
  return aside(query, async () => {
    const session = await prepareSession(query);
    const published = await findView(query, view);
    const reader = published.isMaintained ? await queryViewOf(query, view) : published.oid;
    return readReader(query, session, { view, reader, published: published.oid, owner: published.owner });
  });
}

/**
 * Reads a query as if it were a view, by way of a temporary view that is rolled back.
 * @throws SourceError with one message where the query is none that PostgreSQL takes.
 */
export async function readQuery(
  query: Query,
  sqlText: string,
  view: QualifiedName = NAMELESS,
): Promise<ViewSource> {
  const statement = await onlySelect(sqlText);
  return aside(query, async () => {
    try {
      await query(`CREATE TEMPORARY VIEW ${SAVEPOINT} AS\n${statement}`);
    } catch (error) {
      throw asQueryError(error, statement);
    }
    const session = await prepareSession(query);
    const [{ oid } = { oid: 0 }] = await query<{ oid: number }>(
      `SELECT 'pg_temp.${SAVEPOINT}'::regclass::oid::int8::float8 AS oid`,
    );
    const target = { view, reader: oid, published: oid, owner: session.currentUser };
    return { ...(await readReader(query, session, target)), isQuery: true };
  });
}

/** Undoes all that is done inside, settings included. */
async function aside<Result>(query: Query, read: () => Promise<Result>): Promise<Result> {
  await query(`SAVEPOINT ${SAVEPOINT}`);
  try {
    return await read();
  } finally {
    await query(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`);
    await query(`RELEASE SAVEPOINT ${SAVEPOINT}`);
  }
}

/** The one SELECT of a file, without what ends it. */
async function onlySelect(sqlText: string): Promise<string> {
  let statements;
  try {
    // The library takes no empty text.
    statements = sqlText.trim() === "" ? [] : ((await parse(sqlText)).stmts ?? []);
  } catch (error) {
    if (!hasSqlDetails(error)) throw error;
    throw new SourceError(
      `The query cannot be read: ${error.message}${lineOf(sqlText, error.sqlDetails?.cursorPosition)}`,
    );
  }
  const [only] = statements;
  if (!only || statements.length > 1)
    throw new SourceError(`One SELECT is judged at a time; the text holds ${statements.length} statements.`);
  if (!only.stmt || !("SelectStmt" in only.stmt))
    throw new SourceError("Only a SELECT can become a materialized view; the text holds another statement.");
  // Places and lengths are counted in bytes.
  const bytes = Buffer.from(sqlText);
  const start = only.stmt_location ?? 0;
  return bytes.subarray(start, only.stmt_len ? start + only.stmt_len : bytes.length).toString();
}

function asQueryError(error: unknown, statement: string): unknown {
  const { code, message, position } = error as { code?: string; message: string; position?: string };
  if (typeof code !== "string") return error;
  const at = position === undefined ? undefined : Number(position) - 1;
  const head = `CREATE TEMPORARY VIEW ${SAVEPOINT} AS\n`.length;
  return new SourceError(
    `The query cannot be read: ${message}${at === undefined ? "" : lineOf(statement, at - head)}`,
    { cause: error },
  );
}

function lineOf(text: string, position: number | undefined): string {
  if (position === undefined || position < 0) return "";
  return ` (line ${text.slice(0, position).split("\n").length})`;
}

interface SessionFacts {
  currentUser: string;
  timeZone: string;
  serverVersion: number;
}

/** Settings under which the server writes every name in full and every constant so that it can be read again. */
async function prepareSession(query: Query): Promise<SessionFacts> {
  const [facts] = await query<SessionFacts>(`
    SELECT current_user::text AS "currentUser", pg_catalog.current_setting('TimeZone') AS "timeZone",
           pg_catalog.current_setting('server_version_num')::int AS "serverVersion"`);
  for (const setting of [
    "search_path = pg_catalog",
    "DateStyle = 'ISO, YMD'",
    "IntervalStyle = postgres",
    "extra_float_digits = 1",
    "bytea_output = hex",
    "quote_all_identifiers = off",
  ])
    await query(`SET LOCAL ${setting}`);
  return facts as SessionFacts;
}

/** What `CREATE TABLE` and a fold leave in the catalog of a maintained view (see handler/maintained.ts). */
const isMaintainedTable = (relation: string): string => `
  (${relation}.relkind = 'r' AND EXISTS (
     SELECT FROM pg_proc fold
       JOIN pg_namespace folds ON folds.oid = fold.pronamespace AND folds.nspname = '${MAINTENANCE_SCHEMA}'
       JOIN pg_description said ON said.classoid = 'pg_proc'::regclass AND said.objoid = fold.oid AND said.objsubid = 0
      WHERE fold.proowner = ${relation}.relowner
        AND said.description = 'matview-refresh: folds '
              || quote_ident(${relation}.relnamespace::regnamespace::name) || '.' || quote_ident(${relation}.relname)))`;

const KINDS: Record<string, string> = {
  r: "a table",
  p: "a partitioned table",
  v: "a plain view",
  f: "a foreign table",
};

async function findView(
  query: Query,
  view: QualifiedName,
): Promise<{ oid: number; owner: string; isMaintained: boolean }> {
  const [found] = await query<{ oid: number; kind: string; owner: string; isMaintained: boolean }>(
    `SELECT c.oid::int8::float8 AS oid, c.relkind AS kind, pg_get_userbyid(c.relowner)::text AS owner,
            ${isMaintainedTable("c")} AS "isMaintained"
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('m', 'r', 'p', 'v', 'f')`,
    [view.schema, view.name],
  );
  if (!found) throw new SourceError(`There is no materialized view ${qualifiedName(view)}.`);
  if (found.kind !== "m" && !found.isMaintained)
    throw new SourceError(`${qualifiedName(view)} is ${KINDS[found.kind]}, not a materialized view.`);
  return found;
}

async function queryViewOf(query: Query, view: QualifiedName): Promise<number> {
  const name = maintainedNames(view).query;
  const [found] = await query<{ oid: number }>(
    `SELECT c.oid::int8::float8 AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'v'`,
    [MAINTENANCE_SCHEMA, name],
  );
  if (!found)
    throw new SourceError(
      `The query of ${qualifiedName(view)} is gone: ${MAINTENANCE_SCHEMA}.${name} is not there.`,
    );
  return found.oid;
}

interface Target {
  view: QualifiedName;
  /** The relation whose rule holds the query. */
  reader: number;
  /** The relation that people read. */
  published: number;
  owner: string;
}

async function readReader(query: Query, session: SessionFacts, target: Target): Promise<ViewSource> {
  const maintainer = target.owner === REFRESHER ? session.currentUser : target.owner;
  const analyzed = new Map<number, Analyzed>();
  const relations = new Set<number>();
  for (let level = [target.reader]; level.length > 0;) {
    const trees = await query<{ oid: number; tree: string }>(
      `SELECT r.ev_class::int8::float8 AS oid, r.ev_action::text AS tree
         FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        WHERE r.ev_class = ANY($1::int8[]::oid[]) AND r.ev_type = '1' AND (c.relkind = 'v' OR c.oid = $2::int8::oid)
        ORDER BY array_position($1::int8[]::oid[], r.ev_class)`,
      [level, target.reader],
    );
    for (const { oid, tree } of trees) analyzed.set(oid, analyze(tree));
    const named = trees.flatMap(({ oid }) => analyzed.get(oid)?.relations ?? []);
    level = [...new Set(named)].filter((oid) => !relations.has(oid) && !analyzed.has(oid));
    for (const oid of level) relations.add(oid);
  }
  const queries = [...analyzed.values()];
  const read = await readRelations(query, [...relations], maintainer);
  const [view] = await readRelations(query, [target.published], maintainer);
  const [{ definition } = { definition: "" }] = await query<{ definition: string }>(
    "SELECT pg_get_viewdef($1::int8::oid) AS definition",
    [target.reader],
  );
  return {
    view: target.view,
    definition,
    columns: view?.columns ?? [],
    uniqueKeys: await readUsableIndexes(query, target.published),
    relations: read.map((relation) => withUse(relation, queries)),
    functions: await readFunctions(query, queries),
    usesSqlValueFunctions: [...new Set(queries.flatMap(({ sqlValueFunctions }) => sqlValueFunctions))],
    nondeterministicCollations: await readNondeterministic(query, queries),
    timeZone: session.timeZone,
    serverVersion: session.serverVersion,
    estimatedRows: view?.estimatedRows ?? 0,
    maintainer,
  };
}

function withUse(relation: Relation, queries: Analyzed[]): Relation {
  const used = new Set(queries.flatMap(({ columns }) => [...(columns.get(relation.oid) ?? [])]));
  const isReadWhole = used.has(0);
  return {
    ...relation,
    columns: relation.columns.map((column) => ({
      ...column,
      isUsed: isReadWhole || used.has(column.number),
    })),
    isReadWhole,
  };
}

/** A type's facts; of a domain those of the type under it, whatever the number of domains between. */
const TYPE_FACTS = `
  WITH RECURSIVE base (oid, modifier, next) AS (
    SELECT t.oid, a.atttypmod, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
    UNION ALL
    SELECT t.oid, base_of.typtypmod, t.typbasetype
      FROM base JOIN pg_type base_of ON base_of.oid = base.oid JOIN pg_type t ON t.oid = base.next
     WHERE base.next <> 0
  )
  SELECT json_build_object('oid', base.oid::int8, 'modifier', base.modifier, 'isEnum', t.typtype = 'e',
                           'name', format_type(a.atttypid, a.atttypmod),
                           'baseName', format_type(base.oid, base.modifier),
                           'isDeterministic', coalesce(k.collisdeterministic, true),
                           'collation', CASE WHEN a.attcollation <> named.typcollation
                                             THEN quote_ident(kn.nspname) || '.' || quote_ident(k.collname) END)
    FROM base JOIN pg_type t ON t.oid = base.oid
    JOIN pg_type named ON named.oid = a.atttypid
    LEFT JOIN pg_collation k ON k.oid = a.attcollation
    LEFT JOIN pg_namespace kn ON kn.oid = k.collnamespace
   WHERE base.next = 0`;

const KEY_COLUMNS = `
  (SELECT json_agg(a.attname ORDER BY k.position)
     FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.position <= i.indnkeyatts)`;

/** Plain columns up to the first expression. */
const LEADING_COLUMNS = `
  (SELECT json_agg(a.attname ORDER BY k.position)
     FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
     JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE k.position <= i.indnkeyatts
      AND NOT EXISTS (SELECT FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS e (attnum, position)
                       WHERE e.attnum = 0 AND e.position < k.position))`;

const RELATION_FACTS = `
SELECT c.oid::int8::float8 AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
       pg_get_userbyid(c.relowner)::text AS owner,
       (SELECT coalesce(json_agg(json_build_object(
                 'name', a.attname, 'number', a.attnum, 'isNotNull', a.attnotnull, 'generated', a.attgenerated,
                 'type', (${TYPE_FACTS})) ORDER BY a.attnum), '[]')
          FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT coalesce(json_agg(keys.columns ORDER BY keys.place), '[]')
          FROM (SELECT ${KEY_COLUMNS} AS columns, row_number() OVER (ORDER BY NOT i.indisprimary, ic.relname) AS place
                  FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
                 WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                   AND i.indpred IS NULL AND i.indexprs IS NULL) AS keys) AS "uniqueKeys",
       (SELECT coalesce(json_agg(usable.columns ORDER BY usable.name) FILTER (WHERE usable.columns IS NOT NULL), '[]')
          FROM (SELECT ${LEADING_COLUMNS} AS columns, ic.relname AS name
                  FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am am ON am.oid = ic.relam
                 WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND am.amname = 'btree') AS usable)
         AS indexes,
       sizes."estimatedRows", sizes."sizeBytes",
       (SELECT coalesce(json_agg(json_build_object('schema', pn.nspname, 'name', p.relname, 'kind', p.relkind)
                                 ORDER BY tree.level, pn.nspname, p.relname), '[]')
          FROM pg_partition_tree(c.oid) AS tree JOIN pg_class p ON p.oid = tree.relid
          JOIN pg_namespace pn ON pn.oid = p.relnamespace
         WHERE c.relkind = 'p' AND p.oid <> c.oid) AS partitions,
       c.relrowsecurity AS "hasRowSecurity",
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) AS "hasChildren",
       (SELECT json_build_object('schema', pn.nspname, 'name', p.relname)
          FROM pg_inherits JOIN pg_class p ON p.oid = inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
         WHERE inhrelid = c.oid ORDER BY inhseqno LIMIT 1) AS parent,
       c.relpersistence = 't' AS "isTemporary",
       sizes."isUnlogged",
       sizes."mayTrigger",
       ${isMaintainedTable("c")} AS "isMaintained",
       CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition
  FROM unnest($1::int8[]) WITH ORDINALITY AS asked (oid, place)
  JOIN pg_class c ON c.oid = asked.oid::oid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
   SELECT coalesce(sum(greatest(p.reltuples, 0)) FILTER (WHERE p.relkind IN ('r', 'm', 'f')), 0)::float8 AS "estimatedRows",
          coalesce(sum(pg_total_relation_size(p.oid)) FILTER (WHERE p.relkind IN ('r', 'm')), 0)::float8 AS "sizeBytes",
          bool_or(p.relpersistence = 'u') AS "isUnlogged",
          bool_and(has_table_privilege($2::name, p.oid, 'TRIGGER')
                   AND has_schema_privilege($2::name, p.relnamespace, 'USAGE')) AS "mayTrigger"
     FROM (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid) WHERE c.relkind = 'p') AS tree (oid)
     JOIN pg_class p ON p.oid = tree.oid) AS sizes
 ORDER BY asked.place`;

interface RawType {
  oid: number;
  modifier: number;
  isEnum: boolean;
  name: string;
  baseName: string;
  isDeterministic: boolean;
  collation: string | null;
}
type RawRelation = Omit<Relation, "columns" | "parent" | "definition"> & {
  columns: (Omit<Column, "type"> & { type: RawType })[];
  parent: QualifiedName | null;
  definition: string | null;
};

async function readRelations(query: Query, oids: number[], maintainer: string): Promise<Relation[]> {
  if (oids.length === 0) return [];
  const rows = await query<RawRelation>(RELATION_FACTS, [oids, maintainer]);
  return rows.map(({ parent, definition, ...row }) => ({
    ...row,
    columns: row.columns.map((column) => ({ ...column, type: columnType(column.type) })),
    ...(parent && { parent }),
    ...(definition !== null && { definition }),
  }));
}

/** By pg_type.oid, which no server changes. */
const FAMILIES: Record<number, ColumnType["family"]> = {
  16: "boolean",
  18: "text", // "char"
  19: "text", // name
  20: "integer",
  21: "integer",
  23: "integer",
  25: "text",
  700: "float",
  701: "float",
  1042: "text", // bpchar
  1043: "text",
  1082: "time",
  1083: "time",
  1114: "time",
  1184: "time",
  1186: "time",
  1266: "time",
  1700: "numeric",
};
const NUMERIC = 1700;
const BLANK_PADDED = 1042;
/** Types whose equal values are the same bytes; numeric and character(n) where their modifier makes them so. */
const IDENTITY_TYPES = new Set([
  16, // boolean
  17, // bytea
  18, // "char"
  19, // name
  20,
  21,
  23,
  25, // text
  26, // oid
  650, // cidr
  774, // macaddr8
  829, // macaddr
  869, // inet
  1042, // character
  1043, // character varying
  1082, // date
  1083, // time
  1114, // timestamp
  1184, // timestamptz
  1700, // numeric
  2950, // uuid
]);

function columnType({
  oid,
  modifier,
  isEnum,
  name,
  baseName,
  isDeterministic,
  collation,
}: RawType): ColumnType {
  const needsModifier = oid === NUMERIC || oid === BLANK_PADDED;
  const isIdentity =
    isDeterministic && (isEnum || (IDENTITY_TYPES.has(oid) && !(needsModifier && modifier < 0)));
  const family = FAMILIES[oid] ?? "other";
  return {
    oid,
    name,
    isBuiltIn: oid < FIRST_OWN_OID,
    isIdentity,
    family: family === "numeric" && modifier >= 0 ? "scaled numeric" : family,
    ...(baseName !== name && { baseName }),
    ...(collation !== null && { collation }),
  };
}

async function readUsableIndexes(query: Query, published: number): Promise<string[][]> {
  const rows = await query<{ columns: string[] }>(
    `SELECT ${KEY_COLUMNS} AS columns
       FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am am ON am.oid = ic.relam
      WHERE i.indrelid = $1::int8::oid AND ${USABLE_INDEX}
      ORDER BY NOT i.indisprimary, ic.relname`,
    [published],
  );
  return rows.map(({ columns }) => columns);
}

/**
 * Functions that the query calls by name or operator, and those that read and write text where a cast, or a function
 * that takes values of any type (`concat`, `to_json`), does so. Of the latter the immutable ones are left out.
 */
const FUNCTION_FACTS = `
WITH RECURSIVE named (oid, "argumentTypes") AS (
  SELECT f.oid::oid, f."argumentTypes"
    FROM json_to_recordset($1::json) AS f (oid int8, "argumentTypes" int8[])
  UNION
  SELECT o.oprcode::oid, NULL FROM pg_operator o WHERE o.oid = ANY($2::int8[]::oid[])
), handled (type, is_read) AS (
  SELECT type::oid, true FROM unnest($3::int8[]) AS type
  UNION
  SELECT type::oid, false FROM unnest($4::int8[]) AS type
  UNION
  SELECT given.type::oid, false
    FROM named JOIN pg_proc p ON p.oid = named.oid
    CROSS JOIN LATERAL unnest(named."argumentTypes") AS given (type)
   WHERE p.provolatile <> 'i' AND p.prokind = 'f' AND given.type <> 'record'::regtype::oid::int8
     AND EXISTS (SELECT FROM unnest(p.proargtypes::oid[]) AS taken JOIN pg_type ON pg_type.oid = taken WHERE typtype = 'p')
  UNION
  SELECT part.type, handled.is_read
    FROM handled JOIN pg_type t ON t.oid = handled.type
    CROSS JOIN LATERAL (
      SELECT t.typbasetype WHERE t.typtype = 'd'
      UNION ALL SELECT t.typelem WHERE t.typsubscript::oid = 'array_subscript_handler'::regproc
      UNION ALL SELECT rngsubtype FROM pg_range WHERE rngtypid = t.oid OR rngmultitypid = t.oid
      UNION ALL SELECT atttypid FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped
    ) AS part (type)
), converting (oid) AS (
  SELECT DISTINCT (CASE WHEN handled.is_read THEN t.typinput ELSE t.typoutput END)::oid
    FROM handled JOIN pg_type t ON t.oid = handled.type
   WHERE t.typtype IN ('b', 'e', 'p') AND t.typsubscript::oid IS DISTINCT FROM 'array_subscript_handler'::regproc
), called AS (
  SELECT oid, "argumentTypes" FROM named
  UNION ALL
  SELECT converting.oid, NULL FROM converting JOIN pg_proc p USING (oid)
   WHERE p.provolatile <> 'i' OR p.oid >= ${FIRST_OWN_OID}
)
SELECT DISTINCT p.oid::int8::float8 AS oid, n.nspname AS schema, p.proname AS name,
       CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' ELSE 'function' END AS kind,
       p.proretset AS "returnsSet", CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
       p.oid < ${FIRST_OWN_OID} AS "isBuiltIn",
       ARRAY(SELECT format_type(given.type::oid, NULL)
               FROM unnest(CASE WHEN p.prokind = 'a' AND called."argumentTypes" IS NOT NULL
                                THEN called."argumentTypes" ELSE p.proargtypes::oid[]::int8[] END)
                    WITH ORDINALITY AS given (type, place) ORDER BY place) AS "argumentTypes"
  FROM called JOIN pg_proc p USING (oid) JOIN pg_namespace n ON n.oid = p.pronamespace
 ORDER BY schema, name, "argumentTypes"`;

async function readFunctions(query: Query, queries: Analyzed[]): Promise<CalledFunction[]> {
  const all = (oids: (one: Analyzed) => number[]): number[] => [...new Set(queries.flatMap(oids))];
  return query<CalledFunction>(FUNCTION_FACTS, [
    JSON.stringify(
      queries.flatMap(({ functions }) =>
        functions.map(({ oid, argumentTypes }) => ({ oid, argumentTypes: argumentTypes ?? null })),
      ),
    ),
    all(({ operators }) => operators),
    all(({ readTypes }) => readTypes),
    all(({ writtenTypes }) => writtenTypes),
  ]);
}

async function readNondeterministic(query: Query, queries: Analyzed[]): Promise<string[]> {
  const oids = [...new Set(queries.flatMap(({ collations }) => collations))];
  const rows = await query<{ name: string }>(
    `SELECT quote_ident(n.nspname) || '.' || quote_ident(k.collname) AS name
       FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace
      WHERE k.oid = ANY($1::int8[]::oid[]) AND NOT k.collisdeterministic ORDER BY 1`,
    [oids],
  );
  return rows.map(({ name }) => name);
}
