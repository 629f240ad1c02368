/** The log of a base table: its table, the function that its triggers call, and the triggers. */
import { createHash } from "node:crypto";
import { escapeLiteral } from "pg";
import { quotedName } from "../handler/names";
import { inSchema, LOG_WRITER, numberedName, type MaintainedNames } from "../handler/maintained";
import type { QualifiedName } from "../handler/settings";
import { deltaQuery, hasDelta, came, went, type Leaf } from "./leaf";
import type { TableLog } from "./maintenance";
import { differs, dollarQuoted, quoted } from "./print";
import type { Column, Relation } from "./source";

/** What a row of a log is, in its first column: a row that came or went, or that something else happened. */
export const OPERATION = "__op";
export const OPERATIONS = { came: 1, went: -1, truncated: 0, unlogged: 2 } as const;
/** How many images a row of summed deltas stands for. */
export const IMAGES = "__images";
const COUNTED_IMAGES = [`count(*) AS ${IMAGES}`];

/** A log and what the fold must know of it. */
export interface Log extends TableLog {
  relation: Relation;
  /** Columns that the query uses: a change of others is no change. */
  columns: Column[];
  /** The keys that it is relied on that no two rows share: old images are paired with new ones by the first. */
  uniqueKeys: string[][];
  /** The leaf whose deltas it holds. */
  leaf: Leaf | undefined;
  /** Name of the fold's variable that holds what was taken from it. */
  variable: string;
}

export function makeLog(
  names: MaintainedNames,
  number: number,
  relation: Relation,
  columns: Column[],
  leaf: Leaf | undefined,
  relied: string[][],
): Log {
  const name = numberedName(names, "log", number);
  const writer = `${name}${LOG_WRITER}`;
  const relations: QualifiedName[] = [relation, ...relation.partitions].map(({ schema, name: table }) => ({
    schema,
    name: table,
  }));
  return {
    table: { schema: relation.schema, name: relation.name },
    tableOid: relation.oid,
    relations,
    name,
    function: writer,
    form: leaf === undefined ? "images" : "deltas",
    createTable:
      leaf === undefined ? createImages(name, relation, columns) : createDeltas(name, relation, leaf),
    createFunction: createWriter(name, writer, relation, columns, leaf),
    triggers: relations.flatMap((each) => triggersOf(names, writer, each)),
    relation,
    columns,
    uniqueKeys: [...relied, leaf === undefined ? pairingKey(relation) : undefined].filter(
      (key) => key !== undefined,
    ),
    leaf,
    variable: `matview_log_${number}`,
  };
}

/** Log tables have no index and no constraint: a writer must never wait for another, or fail, because of them. */
function createImages(name: string, relation: Relation, columns: Column[]): string {
  const list = [
    `0::pg_catalog.int2 AS ${OPERATION}`,
    ...columns.map(({ name: column, type }) =>
      type.baseName === undefined
        ? quoted(column)
        : `${quoted(column)}::${type.baseName} AS ${quoted(column)}`,
    ),
  ];
  return `CREATE TABLE ${inSchema(name)} AS SELECT ${list.join(", ")} FROM ${quotedName(relation)} WITH NO DATA`;
}

function createDeltas(name: string, relation: Relation, leaf: Leaf): string {
  const images = `(SELECT 1 AS sign, row_of.* FROM ${quotedName(relation)} AS row_of) AS ${quoted(leaf.source.alias)}`;
  return (
    `CREATE TABLE ${inSchema(name)} AS\n` +
    `SELECT 1::pg_catalog.int2 AS ${OPERATION}, d.*\n` +
    `FROM (${deltaQuery(leaf, images, `${quoted(leaf.source.alias)}.sign`, true, COUNTED_IMAGES)}) AS d\nWITH NO DATA`
  );
}

const EVENTS = ["insert", "update", "delete", "truncate"] as const;

/** The name of the trigger of one view on any table. */
const triggerName = (names: MaintainedNames, event: (typeof EVENTS)[number]): string =>
  `matview_refresh_${createHash("sha256").update(names.base).digest("hex").slice(0, 8)}_${event}`;

function triggersOf(names: MaintainedNames, writer: string, relation: QualifiedName): TableLog["triggers"] {
  return EVENTS.map((event) => {
    const name = triggerName(names, event);
    return { relation, name, sql: createTrigger(name, event, quotedName(relation), writer) };
  });
}

export function triggerNames(names: MaintainedNames): string[] {
  return EVENTS.map((event) => triggerName(names, event));
}

function createTrigger(name: string, event: (typeof EVENTS)[number], table: string, writer: string): string {
  const seen = [
    ...(event === "update" || event === "delete" ? ["OLD TABLE AS old_rows"] : []),
    ...(event === "update" || event === "insert" ? ["NEW TABLE AS new_rows"] : []),
  ];
  const referencing = seen.length > 0 ? `REFERENCING ${seen.join(" ")} ` : "";
  return `CREATE TRIGGER ${quoted(name)} AFTER ${event.toUpperCase()} ON ${table} ${referencing}FOR EACH STATEMENT EXECUTE FUNCTION ${inSchema(writer)}()`;
}

/** As plpgsql for a partition that is found later: `format('…', partition)`. */
export function triggerTemplates(names: MaintainedNames, writer: string): string[] {
  return EVENTS.map((event) => createTrigger(triggerName(names, event), event, "%s", writer));
}

/**
 * The writer's function runs as the maintaining role, so that writers need no new right. It looks whether the columns
 * still have their names and types, since a renamed one would make the writer fail; the fold learns it from the mark.
 * A block that catches exceptions would do too, and cost a subtransaction a statement.
 */
function createWriter(
  name: string,
  writer: string,
  relation: Relation,
  columns: Column[],
  leaf: Leaf | undefined,
): string {
  const log = inSchema(name);
  const mark = (operation: number): string => `INSERT INTO ${log} (${OPERATION}) VALUES (${operation});`;
  const expected = readColumns(relation, columns, leaf);
  const known = expected
    .map((column) => `(${escapeLiteral(column.name)}, ${escapeLiteral(column.type.name)})`)
    .join(", ");
  const insertion =
    leaf === undefined ? imagesInsertion(log, relation, columns) : deltasInsertion(log, columns, leaf);
  const body = `BEGIN
${relation.kind === "p" ? ignoreDetached(relation) : ""}  IF TG_OP = 'TRUNCATE' THEN
    ${mark(OPERATIONS.truncated)}
    RETURN NULL;
  END IF;
  IF (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a
       WHERE a.attrelid = TG_RELID AND a.attname IN (${expected.map((column) => escapeLiteral(column.name)).join(", ")})
         AND (a.attname, ${SHORT_TYPE}) IN (${known})) <> ${expected.length} THEN
    ${mark(OPERATIONS.unlogged)}
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    ${insertion.insert};
  ELSIF TG_OP = 'DELETE' THEN
    ${insertion.delete};
  ELSE
    ${insertion.update};
  END IF;
  RETURN NULL;
END`;
  return (
    `CREATE OR REPLACE FUNCTION ${inSchema(writer)}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER\n` +
    `SET search_path = pg_catalog, pg_temp${leaf?.timeZone === undefined ? "" : ` SET "TimeZone" = ${escapeLiteral(leaf.timeZone)}`} AS ${dollarQuoted(body)}`
  );
}

/** A partition that was detached keeps its triggers, and its rows are none of the view's any more. */
const ignoreDetached = (
  relation: Relation,
): string => `  IF NOT EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(TG_RELID) a
                  WHERE a.relid = pg_catalog.to_regclass(${escapeLiteral(quotedName(relation))})) THEN
    RETURN NULL;
  END IF;
`;

const SHORT_TYPE = "pg_catalog.format_type(a.atttypid, a.atttypmod)";

/** What the writer's function reads of a row: what it logs, and what pairs the old with the new. */
function readColumns(relation: Relation, columns: Column[], leaf: Leaf | undefined): Column[] {
  const pairing = leaf === undefined ? (relation.uniqueKeys[0] ?? []) : [];
  const extra = relation.columns.filter(
    (column) => pairing.includes(column.name) && !columns.some(({ name }) => name === column.name),
  );
  return [...columns, ...extra];
}

interface Insertion {
  insert: string;
  delete: string;
  update: string;
}

function imagesInsertion(log: string, relation: Relation, columns: Column[]): Insertion {
  const of = (row: string): string[] => columns.map(({ name }) => `${row}.${quoted(name)}`);
  const target = `INSERT INTO ${log} (${[OPERATION, ...columns.map(({ name }) => quoted(name))].join(", ")})`;
  const select = (operation: number, row: string): string =>
    `SELECT ${[String(operation), ...of(row)].join(", ")}`;
  const key = pairingKey(relation);
  const both = `${select(OPERATIONS.went, "o")} FROM old_rows o UNION ALL ${select(OPERATIONS.came, "n")} FROM new_rows n`;
  if (key === undefined)
    return {
      insert: `${target} ${select(1, "n")} FROM new_rows n`,
      delete: `${target} ${select(-1, "o")} FROM old_rows o`,
      update: `${target} ${both}`,
    };
  const join = key.map((name) => `o.${quoted(name)} = n.${quoted(name)}`).join(" AND ");
  const isThere = (row: string): string => `${row}.${quoted(key[0] ?? "")} IS NOT NULL`;
  const compared = [...new Set([...key.map(quoted), ...columns.map(({ name }) => quoted(name))])];
  const image = (operation: number, row: string): string => `${select(operation, row)} WHERE ${isThere(row)}`;
  return {
    insert: `${target} ${select(OPERATIONS.came, "n")} FROM new_rows n`,
    delete: `${target} ${select(OPERATIONS.went, "o")} FROM old_rows o`,
    update: `${target}
    SELECT image.* FROM old_rows o FULL JOIN new_rows n ON ${join}
     CROSS JOIN LATERAL (${image(OPERATIONS.went, "o")} UNION ALL ${image(OPERATIONS.came, "n")}) AS image
     WHERE ${differs(
       compared.map((name) => `o.${name}`),
       compared.map((name) => `n.${name}`),
     )}`,
  };
}

/** The key that pairs the old image of a row with its new one: the primary key, or a unique one without NULLs. */
function pairingKey(relation: Relation): string[] | undefined {
  const isNotNull = (name: string): boolean =>
    relation.columns.some((column) => column.name === name && column.isNotNull);
  const [first] = relation.uniqueKeys;
  return first?.every(isNotNull) === true ? first : undefined;
}

function deltasInsertion(log: string, columns: Column[], leaf: Leaf): Insertion {
  const list = columns.map(({ name }) => quoted(name));
  const alias = quoted(leaf.source.alias);
  const image = (sign: number, rows: string): string =>
    `SELECT ${[`${sign} AS ${OPERATION}`, ...list].join(", ")} FROM ${rows}`;
  const names = [
    ...leaf.groups.map(({ name }) => name),
    ...leaf.cells.flatMap((cell) => (cell.kind === "sum" ? [cell.name] : [came(cell), went(cell)])),
  ];
  const insertion = (images: string, where: string): string => {
    const deltas = deltaQuery(leaf, `(${images}) AS ${alias}`, `${alias}.${OPERATION}`, true, COUNTED_IMAGES);
    return `INSERT INTO ${log} (${[OPERATION, IMAGES, ...names].join(", ")})
    SELECT 1, ${[IMAGES, ...names].map((column) => `d.${column}`).join(", ")} FROM (${deltas}) AS d${where}`;
  };
  // Rows that come, or go, change the count of their group. So does an update nearly always what a greatest or a least
  // value is told of: to look would cost more than it saves.
  const tellsAlways = leaf.cells.some((cell) => cell.kind !== "sum" && cell.filter === undefined);
  return {
    insert: insertion(image(OPERATIONS.came, "new_rows"), ""),
    delete: insertion(image(OPERATIONS.went, "old_rows"), ""),
    update: insertion(
      `${image(OPERATIONS.went, "old_rows")} UNION ALL ${image(OPERATIONS.came, "new_rows")}`,
      tellsAlways ? "" : `\n     WHERE ${hasDelta(leaf)}`,
    ),
  };
}
