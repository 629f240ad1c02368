/** How the state of an additive leaf is kept up: what came is added, what went is taken away, a lost extreme is read again. */
import { inSchema, numberedName, type MaintainedNames } from "../handler/maintained";
import { toSql } from "./expression";
import type { KeyedTable } from "./keyed";
import type { Layer } from "./layer";
import {
  came,
  deltaQuery,
  groupsVariable,
  leafQuery,
  ROW_COUNT,
  summedDeltas,
  went,
  type Cell,
  type Leaf,
} from "./leaf";
import { OPERATION, OPERATIONS, type Log } from "./log";
import { indent, quoted } from "./print";

export const stateName = (names: MaintainedNames, leaf: number): string => numberedName(names, "leaf", leaf);
export const goneRows = (layer: Layer): string => `matview_gone_${layer.number}`;
export const newRows = (layer: Layer): string => `matview_new_${layer.number}`;

/** The rows of a layer, and what reads them. */
export interface KeyedLayer extends KeyedTable {
  layer: Layer;
}

/** Where the changes of leaves come from. */
export interface DeltaSources {
  names: MaintainedNames;
  layers: KeyedLayer[];
  logs: Log[];
}

/**
 * Adds what changed to the state of a leaf, and remembers the old and the new rows of the state: to the layers above it
 * is a table like any other. The statement reads the state as it was before it.
 */
export function applyDeltas(leaf: Leaf, sources: DeltaSources): string {
  const table = inSchema(stateName(sources.names, leaf.number));
  const { deltas, hasSome } = deltasOf(leaf, sources);
  const groups = leaf.groups.map(({ name }) => name);
  const columns = [...groups, ...leaf.cells.map(({ name }) => name)];
  const isGroup = (one: string, other: string): string =>
    leaf.groups
      .map(
        ({ name, mayBeNull }) =>
          `(${one}.${name} = ${other}.${name}${mayBeNull ? ` OR ${one}.${name} IS NULL AND ${other}.${name} IS NULL` : ""})`,
      )
      .join(" AND ");
  const lost = leaf.cells.flatMap((cell) => (cell.kind === "sum" ? [] : [isLost(cell)]));
  const isStale = lost.length === 0 ? "false" : `(${lost.join(" OR ")})`;
  const added = (cell: Cell): string =>
    cell.kind === "sum"
      ? `s.${cell.name} + d.${cell.name}`
      : `${cell.kind === "max" ? "GREATEST" : "LEAST"}(s.${cell.name}, d.${came(cell)})`;
  const first = (cell: Cell): string => (cell.kind === "sum" ? `d.${cell.name}` : `d.${came(cell)}`);
  const images = (from: string): string =>
    `SELECT ${columns.map((name) => `s.${name}`).join(", ")} FROM ${from}`;
  const written = ["kept", "new", ...(lost.length === 0 ? [] : ["again", "first"])];
  const recomputed =
    lost.length === 0
      ? ""
      : `, matview_stale AS MATERIALIZED (
  SELECT ${groups.map((name) => `d.${name}`).join(", ")} FROM d LEFT JOIN ${table} s ON ${isGroup("s", "d")} WHERE coalesce(s.${ROW_COUNT}, 0) + d.${ROW_COUNT} > 0 AND ${isStale}
), fresh (${columns.join(", ")}) AS MATERIALIZED (
${indent(leafQuery(leaf, isOneOf(leaf, "matview_stale")), 2)}
), again AS (
  UPDATE ${table} s SET ${leaf.cells.map(({ name }) => `${name} = fresh.${name}`).join(", ")} FROM fresh WHERE ${isGroup("s", "fresh")}
  RETURNING s.*
), first AS (
  INSERT INTO ${table} (${columns.join(", ")}) SELECT ${columns.map((name) => `fresh.${name}`).join(", ")} FROM fresh
   WHERE NOT EXISTS (SELECT FROM ${table} s WHERE ${isGroup("s", "fresh")})
  RETURNING *
)`;
  const notStale =
    lost.length === 0
      ? ""
      : ` AND NOT EXISTS (SELECT FROM matview_stale WHERE ${isGroup("matview_stale", "d")})`;
  return `IF ${hasSome} THEN
  WITH d AS MATERIALIZED (
${indent(deltas, 4)}
  )${indent(recomputed, 2).trimStart()}, emptied AS (
    DELETE FROM ${table} s USING d WHERE ${isGroup("s", "d")} AND s.${ROW_COUNT} + d.${ROW_COUNT} <= 0
  ), kept AS (
    UPDATE ${table} s SET ${leaf.cells.map((cell) => `${cell.name} = ${added(cell)}`).join(", ")}
      FROM d WHERE ${isGroup("s", "d")} AND s.${ROW_COUNT} + d.${ROW_COUNT} > 0${notStale}
    RETURNING s.*
  ), new AS (
    INSERT INTO ${table} (${columns.join(", ")})
    SELECT ${[...groups.map((name) => `d.${name}`), ...leaf.cells.map(first)].join(", ")} FROM d
     WHERE d.${ROW_COUNT} > 0 AND NOT EXISTS (SELECT FROM ${table} s WHERE ${isGroup("s", "d")})${notStale}
    RETURNING *
  )
  SELECT coalesce(pg_catalog.array_agg(ROW(${columns.map((name) => `s.${name}`).join(", ")})::${table}), '{}') INTO ${groupsVariable(leaf)} FROM (
    ${[images(`${table} s WHERE EXISTS (SELECT FROM d WHERE ${isGroup("s", "d")})`), ...written.map((each) => images(`${each} s`))].join("\n    UNION ALL ")}
  ) AS s;
ELSE
  ${groupsVariable(leaf)} := '{}';
END IF;`;
}

/** The changes of a leaf's groups, from what its table's log or its layer has, and whether there are any. */
function deltasOf(leaf: Leaf, { layers, logs }: DeltaSources): { deltas: string; hasSome: string } {
  const alias = quoted(leaf.source.alias);
  const sign = `${alias}.${OPERATION}`;
  const layer = layers.find((keyed) => keyed.layer.scan === leaf.source)?.layer;
  if (layer !== undefined) {
    const side = (operation: number, variable: string): string =>
      `SELECT ${operation} AS ${OPERATION}, row_of.* FROM pg_catalog.unnest(${variable}) AS row_of`;
    const images = `(${side(OPERATIONS.went, goneRows(layer))} UNION ALL ${side(OPERATIONS.came, newRows(layer))}) AS ${alias}`;
    const hasSome = [goneRows(layer), newRows(layer)]
      .map((variable) => `pg_catalog.cardinality(${variable}) > 0`)
      .join(" OR ");
    return { deltas: deltaQuery(leaf, images, sign, true), hasSome };
  }
  const log = logs.find(({ relation }) => relation.oid === leaf.source.relation.oid);
  if (log === undefined) throw new Error(`no log of ${leaf.source.relation.name}`);
  const taken = `pg_catalog.unnest(${log.variable})`;
  return {
    deltas:
      log.form === "deltas"
        ? summedDeltas(leaf, taken)
        : deltaQuery(leaf, `${taken} AS ${alias}`, sign, false),
    hasSome: `pg_catalog.cardinality(${log.variable}) > 0`,
  };
}

/**
 * The best value may be gone: one as good went as the state has or as came. Comparing with the state alone would miss
 * a best value that came and went between two folds.
 */
function isLost(cell: Cell): string {
  const best = `${cell.kind === "max" ? "GREATEST" : "LEAST"}(s.${cell.name}, d.${came(cell)})`;
  return `d.${went(cell)} IS NOT NULL AND (d.${went(cell)} ${cell.kind === "max" ? "<" : ">"} ${best}) IS NOT TRUE`;
}

/** The condition over the leaf's table that a row's group is among those of `list`. */
function isOneOf(leaf: Leaf, list: string): string {
  const expressions = leaf.groups.map(({ expression }) => `(${toSql(expression)})`);
  const names = leaf.groups.map(({ name }) => `${list}.${name}`);
  const [only, ...others] = expressions;
  const mayBeNull = leaf.groups.some((group) => group.mayBeNull);
  const isNullGroup = names.map((name) => `${name} IS NULL`).join(" OR ");
  const hasNullGroup = `EXISTS (SELECT FROM ${list} WHERE ${isNullGroup})`;
  // Where the list is empty the table is not read at all: the condition does not depend on its rows.
  const hasSome = `EXISTS (SELECT FROM ${list})`;
  if (only !== undefined && others.length === 0) {
    const among = `${only} = ANY (ARRAY(SELECT ${names[0]} FROM ${list}))`;
    return `${hasSome} AND (${among}${mayBeNull ? ` OR ${only} IS NULL AND ${hasNullGroup}` : ""})`;
  }
  const among = `(${expressions.join(", ")}) IN (SELECT ${names.join(", ")} FROM ${list})`;
  if (!mayBeNull) return `${hasSome} AND ${among}`;
  const isSame = names
    .map((name, index) => `${name} IS NOT DISTINCT FROM ${expressions[index]}`)
    .join(" AND ");
  return `${hasSome} AND (${among} OR ${hasNullGroup} AND EXISTS (SELECT FROM ${list} WHERE (${isNullGroup}) AND ${isSame}))`;
}
