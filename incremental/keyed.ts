/** A table that is kept equal to a query, by keys: which keys changes concern, and the rows of those computed anew. */
import { escapeLiteral } from "pg";
import { quotedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { toSql } from "./expression";
import { groupsVariable, type Leaf } from "./leaf";
import type { Log } from "./log";
import { differs, fromScan, indent, isAffected, isReached, quoted, withRestrictions } from "./print";
import type { Shape } from "./shape";
import type { Column } from "./source";
import { scansOf, type Scan } from "./tree";

/** A table that is kept equal to a query, by keys. */
export interface KeyedTable {
  table: QualifiedName;
  columns: Column[];
  uniqueKey: string[];
  hasSeveralUniqueIndexes: boolean;
  /** Whether the query can have no two rows of one key. Where it can, a refresh would fail, and so must a fold. */
  isKeyUnique: boolean;
  shape: Shape;
  /** The leaves that its query reads. */
  leaves: Leaf[];
}

export const hasKeys = ({ key, nullKeys }: Shape): string =>
  `pg_catalog.cardinality(${key[0]?.variable}) > 0 OR ${nullKeys}`;

export function publishAffected(keyed: KeyedTable, counter = "changed_rows"): string {
  const { shape } = keyed;
  const affected = isAffected(
    shape,
    shape.key.map(({ column }) => `p.${quoted(column.name)}`),
  );
  return publish(keyed, restrictedQuery(shape), affected, counter);
}

/** The images of a scan's changed rows, as a FROM item with its alias. */
function imagesOf(scan: Scan, leaves: Leaf[], logs: Log[]): string | undefined {
  const leaf = leaves.find(({ state }) => state === scan);
  const variable =
    leaf === undefined
      ? logs.find((log) => log.relation.oid === scan.relation.oid && log.form === "images")?.variable
      : groupsVariable(leaf);
  return variable && `pg_catalog.unnest(${variable}) AS ${quoted(scan.alias)}`;
}

/** Fills the variables of the keys whose rows may have changed. */
export function affectedKeys(keyed: KeyedTable, logs: Log[]): string {
  const { shape } = keyed;
  const queries = scansOf(shape.query).flatMap((scan) => keyQueries(scan, keyed, logs));
  const names = shape.key.map((_, index) => `k_${index + 1}`);
  const isNull = names.map((name) => `k.${name} IS NULL`).join(" OR ");
  const arrays = names.map(
    (name) =>
      `coalesce(pg_catalog.array_agg(k.${name})${names.length === 1 ? ` FILTER (WHERE k.${name} IS NOT NULL)` : ""}, '{}')`,
  );
  return `SELECT ${arrays.join(", ")}, coalesce(pg_catalog.bool_or(${isNull}), false)
  INTO ${shape.key.map(({ variable }) => variable).join(", ")}, ${shape.nullKeys}
  FROM (
${indent(queries.join("\nUNION\n"), 4)}
  ) AS k (${names.join(", ")});`;
}

/**
 * The keys that changed rows of one scan belong to, a query for each way to them; none where nothing is logged of it or
 * every change concerns all.
 */
function keyQueries(scan: Scan, { shape, leaves }: KeyedTable, logs: Log[]): string[] {
  const images = imagesOf(scan, leaves, logs);
  if (images === undefined || shape.unbound.includes(scan)) return [];
  const go = (at: Scan, from: string[], conditions: string[]): string[] => {
    const expressions = shape.reached.get(at) ?? [];
    if (expressions.length === shape.key.length && expressions.every((each) => each !== undefined)) {
      const where = conditions.length > 0 ? `\n WHERE ${conditions.join(" AND ")}` : "";
      return [
        `SELECT ${expressions.map((each) => toSql(each)).join(", ")}\n  FROM ${from.join(", ")}${where}`,
      ];
    }
    return (shape.paths.get(at) ?? []).flatMap((step) =>
      go(
        step.to,
        [...from, fromScan(step.to)],
        [...conditions, ...step.conditions.map((condition) => `(${toSql(condition)})`)],
      ),
    );
  };
  return go(scan, [images], []);
}

/** The query, every scan that the key reaches restricted to the affected keys. */
function restrictedQuery(shape: Shape): string {
  const conditions = new Map<string, string>();
  for (const [scan, expressions] of shape.reached) {
    const texts = expressions.map((each) => (each === undefined ? undefined : toSql(each)));
    const isRoot = shape.roots.some((root) => root.scan === scan);
    conditions.set(
      scan.alias,
      isRoot
        ? isAffected(
            shape,
            texts.map((text) => text ?? "NULL"),
          )
        : isReached(shape, texts),
    );
  }
  return withRestrictions(shape.query.select, conditions);
}

/**
 * Makes published rows equal to those of a query.
 * @param where which published rows the query may speak of, as a condition over `p`.
 * @param counter the variable to which the number of changed rows is added.
 */
export function publish(
  { table: name, columns, uniqueKey, hasSeveralUniqueIndexes, isKeyUnique }: KeyedTable,
  query: string,
  where: string | undefined,
  counter: string,
): string {
  const names = columns.map(({ name }) => quoted(name));
  const of = (row: string): string[] => names.map((name) => `${row}.${name}`);
  const isSameRow = uniqueKey.map((name) => `r.${quoted(name)} = p.${quoted(name)}`).join(" AND ");
  // Where a key may be NULL, such a row equals none, itself included: it is put there anew, and is no drift by that.
  const nullable = uniqueKey.filter(
    (name) => columns.find((column) => column.name === name)?.isNotNull !== true,
  );
  const isTold = uniqueKey.map((name) => `${quoted(name)} IS NOT NULL`).join(" AND ");
  const told = nullable.length === 0 ? "true" : isTold;
  const keys = `SELECT ${uniqueKey.map(quoted).join(", ")} FROM r WHERE ${isTold}`;
  const doubled = isKeyUnique
    ? "0"
    : `(SELECT pg_catalog.count(*) FROM (${keys}) AS k) - (SELECT pg_catalog.count(*) FROM (${keys.replace("SELECT", "SELECT DISTINCT")}) AS k)`;
  const refusal = isKeyUnique
    ? ""
    : `
IF doubled > 0 THEN
  RAISE unique_violation USING MESSAGE = ${escapeLiteral(`the query has several rows of one key (${uniqueKey.join(", ")})`)};
END IF;`;
  const rows = `WITH r (${names.join(", ")}) AS MATERIALIZED (\n${indent(query, 2)}\n)`;
  const among = where === undefined ? "" : `${where} AND `;
  const table = quotedName(name);
  const deletion = (obsolete: string): string =>
    `DELETE FROM ${table} p WHERE ${among}NOT EXISTS (SELECT FROM r WHERE ${obsolete}) RETURNING ${told} AS told`;
  const insertion = `INSERT INTO ${table} (${names.join(", ")}) SELECT ${of("r").join(", ")} FROM r WHERE NOT EXISTS (SELECT FROM ${table} p WHERE ${isSameRow}) RETURNING ${told} AS told`;
  const count = (rowsOf: string, isKeyTold: boolean): string =>
    `(SELECT pg_catalog.count(*) FROM ${rowsOf} WHERE ${isKeyTold ? "" : "NOT "}told)`;
  if (!hasSeveralUniqueIndexes) {
    const untold =
      nullable.length === 0 ? "" : ` + pg_catalog.abs(${count("d", false)} - ${count("i", false)})`;
    return `${rows}, d AS (
  ${deletion(isSameRow)}
), u AS (
  UPDATE ${table} p SET ${names.map((name) => `${name} = r.${name}`).join(", ")} FROM r WHERE ${isSameRow} AND ${differs(of("p"), of("r"))} RETURNING 1
), i AS (
  ${insertion}
)
SELECT ${count("d", true)} + ${count("i", true)} + (SELECT pg_catalog.count(*) FROM u)${untold}, ${doubled} INTO taken, doubled;${refusal}
${counter} := coalesce(${counter}, 0) + taken;`;
  }
  // With a second unique index a value may move from one row to another, which no single statement could do.
  const isIdentical = `${isSameRow} AND NOT (${differs(of("p"), of("r"))})`;
  return `${rows}, d AS (
  ${deletion(isIdentical)}
)
SELECT pg_catalog.count(*), ${doubled} INTO taken, doubled FROM d;${refusal}
${rows}, i AS (
  ${insertion}
)
SELECT GREATEST(taken, pg_catalog.count(*)) INTO taken FROM i;
${counter} := coalesce(${counter}, 0) + taken;`;
}
