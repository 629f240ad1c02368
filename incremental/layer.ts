/**
 * Layers: a grouped subquery that is grouped once more, customers by their number of orders. The outer groups come from
 * no table, so that no change could say which of them it concerns. The subquery's rows become a table of the fold's own,
 * which is kept up by its key; what changes in it feeds the outer block, an additive leaf of that table.
 */
import { MAINTENANCE_SCHEMA } from "../handler/maintained";
import { columnOf, isSame, toSql } from "./expression";
import type { Column, ColumnType } from "./source";
import { traceColumn } from "./trace";
import { blocksOf, type Block, type Derived, type Query, type Scan, tableNode } from "./tree";
import { Types } from "./types";

export interface Layer {
  number: number;
  query: Query;
  /** The subquery's text, before its leaves became tables. */
  querySql: string;
  /** The table as the outer block reads it. */
  scan: Scan;
  columns: Column[];
  uniqueKey: string[];
}

/**
 * Takes every such subquery out of the tree, and puts its table there.
 * @param nameOf the name of a layer's table, by number.
 */
export function extractLayers(query: Query, nameOf: (number: number) => string): Layer[] {
  const types = new Types(query);
  const layers: Layer[] = [];
  for (const outer of blocksOf(query)) {
    const [item, ...others] = outer.items;
    if (!outer.isGrouped || item?.kind !== "derived" || others.length > 0) continue;
    const number = layers.length + 1;
    const layer = layerOf(item, types, number, nameOf(number));
    if (layer === undefined) continue;
    readFrom(outer, layer.scan);
    layers.push(layer);
  }
  return layers;
}

function layerOf(
  { query, alias, columns: names }: Derived,
  types: Types,
  number: number,
  table: string,
): Layer | undefined {
  if (query.kind === "set" || !query.isGrouped || query.partitions.length !== 1) return undefined;
  const [groups = []] = query.partitions;
  const keys = groups.map((group) => query.targets.findIndex(({ expression }) => isSame(expression, group)));
  if (keys.length === 0 || keys.includes(-1)) return undefined;
  const columns = names.map((name, index): Column => ({
    name,
    type: typeOf(query, index, types),
    isNotNull: false,
    number: index + 1,
    generated: "",
  }));
  const uniqueKey = keys.map((index) => names[index] ?? "");
  const relation: Scan["relation"] = {
    ...{
      schema: MAINTENANCE_SCHEMA,
      name: table,
      oid: -number,
      kind: "r",
      owner: "",
      columns,
      uniqueKeys: [uniqueKey],
      indexes: [uniqueKey],
    },
    ...{
      estimatedRows: 0,
      sizeBytes: 0,
      partitions: [],
      hasRowSecurity: false,
      hasChildren: false,
      isTemporary: false,
      isUnlogged: false,
    },
    ...{ mayTrigger: true, isMaintained: false },
  };
  return {
    number,
    query,
    querySql: toSql({ SelectStmt: query.select }),
    scan: { kind: "scan", alias, relation, isNullable: false },
    columns,
    uniqueKey,
  };
}

/** A column that is a table's column has its type, with the name; of others the family is enough. */
function typeOf(query: Block, index: number, types: Types): ColumnType {
  const [traced] = traceColumn(query, index, true) ?? [];
  const name = traced && columnOf(traced.expression)?.column;
  const own = traced?.scan.relation.columns.find((column) => column.name === name)?.type;
  return (
    own ?? {
      oid: 0,
      name: "",
      isBuiltIn: true,
      isIdentity: false,
      family: "other",
      ...types.ofTarget(query, index),
    }
  );
}

function readFrom(outer: Block, scan: Scan): void {
  outer.select.fromClause = [tableNode(scan)];
  outer.items = [scan];
}
