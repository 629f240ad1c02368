/**
 * The function that every fold asks first whether the tables are still what its SQL was made for. It reads catalogs
 * alone and takes no lock. A tick has a session of its own, in which each catalog costs 0.2 ms when it is read for the
 * first time: so pg_class, pg_attribute and pg_trigger are read always, others only where there is a reason.
 *
 * Oids stand in `content` only: pg_dump and restore give new ones, which costs one full run there, while a change of
 * `shape` would ask for `apply`. What restoring keeps (names, the order of the columns that are used) is in `shape`.
 */
import { escapeIdentifier, escapeLiteral } from "pg";
import { MAINTENANCE_SCHEMA, type MaintainedNames } from "../handler/maintained";
import { qualifiedName, quotedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { dollarQuoted } from "./print";
import type { Relation } from "./source";

/** A table whose changes are logged, with what the generated SQL takes for granted of it. */
export interface WatchedTable extends QualifiedName {
  /** The columns that the query, the triggers and the fold use. */
  columns: WatchedColumn[];
  /** Columns of each unique key that is relied on, by which old rows are paired with new ones for example. */
  uniqueKeys: string[][];
}

interface WatchedColumn {
  name: string;
  /** Whether it is relied on that it has no NULL. */
  isNotNull: boolean;
  isGenerated: boolean;
  /** Whether its type may be an enum, whose labels can be renamed. */
  isOwnType: boolean;
}

export interface FingerprintParts {
  names: MaintainedNames;
  tables: WatchedTable[];
  /** Names of the triggers that each table has, and each of its partitions. */
  triggers: string[];
  /** Plain views below the query. */
  views: QualifiedName[];
  /** Functions of the user's own, as to_regprocedure takes them: `public.vat(numeric)`. */
  functions: string[];
}

/** A table as it is now, with the columns that are used and the keys that are relied on. */
export function watchedTable(
  { schema, name, columns }: Relation,
  usedColumns: ReadonlySet<string>,
  uniqueKeys: string[][] = [],
): WatchedTable {
  return {
    schema,
    name,
    columns: columns
      .filter((column) => usedColumns.has(column.name))
      .map((column) => ({
        name: column.name,
        isNotNull: column.isNotNull,
        isGenerated: column.generated !== "",
        isOwnType: !column.type.isBuiltIn || column.type.oid >= OWN_TYPES_FROM,
      })),
    uniqueKeys,
  };
}

/** Types of the user's own have oids from here on (FirstNormalObjectId). */
const OWN_TYPES_FROM = 16384;

/** CREATE OR REPLACE FUNCTION matview_refresh."<base>__fingerprint". */
export function fingerprintFunction({ names, tables, triggers, views, functions }: FingerprintParts): string {
  const columns = tables.flatMap((table) => table.columns);
  const keyCount = Math.max(0, ...tables.map(({ uniqueKeys }) => uniqueKeys.length));
  const wanted = nameArray(triggers);
  // The first statement has no parameter, so that its plan is kept whatever plan_cache_mode says.
  const body = `
DECLARE
  watched oid[];
  has_children boolean;
  has_rules boolean;
  firing bigint;
BEGIN
  SELECT array_agg(c.oid ORDER BY t.place), bool_or(c.relhassubclass), bool_or(c.relhasrules),
         sum((SELECT count(*) FROM pg_trigger g
               WHERE g.tgrelid = c.oid AND g.tgname = ANY (${wanted}) AND g.tgenabled IN ('O', 'A'))),
         array_agg(ROW(t.name, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
                       ARRAY(SELECT ROW(a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation,
                                        a.attgenerated, a.attinhcount, a.attname = ANY (t.required) AND a.attnotnull${
                                          columns.some(({ isGenerated }) => isGenerated) ? GENERATED_AS : ""
                                        })
                               FROM pg_attribute a
                              WHERE a.attrelid = c.oid AND a.attnum > 0
                                AND (a.attname = ANY (t.columns) OR a.attinhcount > 0)
                              ORDER BY a.attnum)${times(keyCount, keyIsThere)}) ORDER BY t.place)::text${views.map(viewText).join("")},
         array_agg(ROW(c.oid${columns.some(({ isOwnType }) => isOwnType) ? LABELS : ""}) ORDER BY t.place)::text${functions
           .map(functionText)
           .join("")}
    INTO watched, has_children, has_rules, firing, shape, content
    FROM (VALUES ${tables.map((table, index) => tableRow(table, index + 1, keyCount)).join(", ")})
           AS t (place, name, columns, required${times(keyCount, (key) => `, key_${key}`)})
    LEFT JOIN pg_class c ON c.oid = to_regclass(t.name);
  IF has_rules THEN
    -- relhasrules stays on for a while after the last rule is dropped.
    shape := shape || coalesce((
      SELECT array_agg(ROW(w.place, r.rulename, r.ev_type, r.ev_enabled) ORDER BY w.place, r.rulename)::text
        FROM unnest(watched) WITH ORDINALITY AS w (oid, place) JOIN pg_rewrite r ON r.ev_class = w.oid), '');
  END IF;
  IF has_children THEN
    SELECT array_agg(tree.oid ORDER BY tree.oid) INTO watched
      FROM (WITH RECURSIVE below (oid) AS (
              SELECT unnest(watched)
              UNION
              SELECT i.inhrelid FROM below JOIN pg_inherits i ON i.inhparent = below.oid AND NOT i.inhdetachpending)
            SELECT below.oid FROM below) AS tree;
    content := content || watched::text;
    firing := (SELECT count(*) FROM pg_trigger g
                WHERE g.tgrelid = ANY (watched) AND g.tgname = ANY (${wanted}) AND g.tgenabled IN ('O', 'A'));
  END IF;
  -- A table that is gone stands among the watched ones as NULL.
  IF firing IS DISTINCT FROM cardinality(watched) * ${triggers.length} THEN
    SELECT nullif(concat_ws('; ', string_agg(wrong.text, '; ' ORDER BY wrong.place) FILTER (WHERE wrong.place <= 3),
                            nullif(greatest(count(*) - 3, 0), 0) || ' more'), '')
      INTO broken
      FROM (SELECT found.text, row_number() OVER (ORDER BY found.kind, found.text)
              FROM (SELECT 1, format('table %s is gone', t.label)
                      FROM (VALUES ${tables.map(tableLabel).join(", ")}) AS t (name, label)
                     WHERE to_regclass(t.name) IS NULL
                    UNION ALL
                    SELECT 2, format('trigger %I of %s is %s', w.name, r.oid::regclass,
                                     CASE WHEN g.oid IS NULL THEN 'missing' ELSE 'disabled' END)
                      FROM unnest(watched) AS r (oid)
                     CROSS JOIN unnest(${wanted}) AS w (name)
                      LEFT JOIN pg_trigger g ON g.tgrelid = r.oid AND g.tgname = w.name
                     WHERE r.oid IS NOT NULL AND (g.oid IS NULL OR g.tgenabled NOT IN ('O', 'A'))) AS found (kind, text)
           ) AS wrong (text, place);
  END IF;
  shape := md5(shape);
  content := md5(content);
END`;
  return `CREATE OR REPLACE FUNCTION ${MAINTENANCE_SCHEMA}.${escapeIdentifier(names.fingerprint)}(OUT shape text, OUT content text, OUT broken text)
LANGUAGE plpgsql STABLE
${PINNED.map((setting) => `SET ${setting}`).join(" ")}
AS ${dollarQuoted(body)}`;
}

/** Settings under which the server writes definitions: with others the same query would look changed. */
const PINNED = [
  "search_path = pg_catalog, pg_temp",
  "TimeZone = 'UTC'",
  "DateStyle = 'ISO, YMD'",
  "IntervalStyle = postgres",
  "extra_float_digits = 1",
  "bytea_output = hex",
  "quote_all_identifiers = off",
];

const GENERATED_AS = `,
                                        (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
                                          WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> '')`;

const LABELS = `,
                       ARRAY(SELECT e.enumlabel FROM pg_attribute a JOIN pg_enum e ON e.enumtypid = a.atttypid
                              WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attname = ANY (t.columns)
                              ORDER BY a.attnum, e.enumsortorder)`;

/** Whether a unique index has these columns as its key, in any order. */
const keyIsThere = (key: number): string => `,
                       t.key_${key} IS NULL OR EXISTS (
                         SELECT FROM pg_index i
                          WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                            AND i.indpred IS NULL AND i.indexprs IS NULL
                            AND i.indnkeyatts = cardinality(t.key_${key})
                            AND i.indkey[0:i.indnkeyatts - 1]
                                <@ ARRAY(SELECT a.attnum FROM pg_attribute a
                                          WHERE a.attrelid = c.oid AND a.attname = ANY (t.key_${key})))`;

function tableRow(table: WatchedTable, place: number, keyCount: number): string {
  const { columns, uniqueKeys } = table;
  const namesOf = (some: WatchedColumn[]): string => nameArray(some.map(({ name }) => name));
  const keys = times(keyCount, (key) => {
    const names = uniqueKeys[key - 1];
    return `, ${names === undefined ? "NULL::name[]" : nameArray(names)}`;
  });
  const name = escapeLiteral(quotedName(table));
  return `(${place}, ${name}, ${namesOf(columns)}, ${namesOf(columns.filter(({ isNotNull }) => isNotNull))}${keys})`;
}

function tableLabel(table: WatchedTable): string {
  return `(${escapeLiteral(quotedName(table))}, ${escapeLiteral(qualifiedName(table))})`;
}

/** SQL that adds a view's query to the shape. */
const viewText = (view: QualifiedName): string => `
         || coalesce(pg_get_viewdef(to_regclass(${escapeLiteral(quotedName(view))})), 'gone')`;

/** SQL that adds a function, as it would be created, to the content. */
const functionText = (signature: string): string => `
         || coalesce(pg_get_functiondef(to_regprocedure(${escapeLiteral(signature)})), 'gone')`;

/** What is written for 1, 2, … up to `count`. */
function times(count: number, write: (place: number) => string): string {
  return Array.from({ length: count }, (_, index) => write(index + 1)).join("");
}

function nameArray(names: string[]): string {
  return `ARRAY[${names.map((name) => escapeLiteral(name)).join(", ")}]::name[]`;
}
