/**
 * Additive leaves: a block that groups one table, whose aggregates can be kept up by adding what came and taking away
 * what went, without reading the group. Its state becomes a table, and the block a plain query of that table.
 */
import type { Node } from "@pgsql/types";
import {
  parsed,
  aliasesIn,
  columnOf,
  columnRef,
  columnsIn,
  excerpt,
  functionName,
  isSame,
  substitute,
  toSql,
} from "./expression";
import { MAINTENANCE_SCHEMA } from "../handler/maintained";
import { qualifiedName } from "../handler/names";
import { fromScan } from "./print";
import type { Finding } from "./maintenance";
import { isAggregate } from "./resolve";
import { dependsOnTimeZone, isSafe } from "./safe";
import type { Column, Relation } from "./source";
import { blocksOf, type Block, type Query, type Scan, isNotNull, tableNode } from "./tree";
import { Types } from "./types";

/** A column of the state that sums up: what one row counts for it. */
interface SumCell {
  kind: "sum";
  name: string;
  /** What is summed; undefined counts rows. */
  argument: Node | undefined;
  filter: Node | undefined;
}

/** A column of the state that holds the greatest or the least value. */
interface ExtremeCell {
  kind: "max" | "min";
  name: string;
  argument: Node;
  filter: Node | undefined;
}

export type Cell = SumCell | ExtremeCell;

export interface Leaf {
  number: number;
  /** The table as the leaf's own query reads it. */
  source: Scan;
  /** The state as the rest of the query reads it. */
  state: Scan;
  where: Node | undefined;
  groups: { name: string; expression: Node; mayBeNull: boolean }[];
  /** The first counts the rows of the group: it is there as long as this is above 0. */
  cells: Cell[];
  /** Whether the writer's trigger may sum up what it changes. */
  isSummedByTrigger: boolean;
  /** The zone in which times become days, where the state depends on it: a writer's own may be another. */
  timeZone: string | undefined;
}

export const ROW_COUNT = "n";

/** The fold's variable that holds the old and the new rows of the leaf's state. */
export const groupsVariable = ({ number }: Leaf): string => `matview_groups_${number}`;

/**
 * Turns every block that is one into a query of its state, in the tree itself.
 * @param nameOf the name of the state table of a leaf, by number.
 * @param options.tables every scan of the whole query.
 * @param options.before how many leaves there are already.
 */
export function extractLeaves(
  query: Query,
  nameOf: (number: number) => string,
  { timeZone, tables, before }: { timeZone: string; tables: Scan[]; before: number },
): { leaves: Leaf[]; findings: Finding[] } {
  const types = new Types(query);
  const leaves: Leaf[] = [];
  const findings: Finding[] = [];
  for (const block of blocksOf(query)) {
    if (!block.isGrouped) continue;
    const place = excerpt({ SelectStmt: block.select });
    const number = before + leaves.length + 1;
    const leaf = leafOf(block, types, number, nameOf(number), timeZone, tables);
    if (typeof leaf === "string") {
      findings.push({
        capability: "additive leaf",
        possible: "note",
        place,
        reason: `${leaf}: a group is computed anew when one of its rows changed`,
      });
      continue;
    }
    leaves.push(leaf);
    findings.push({
      capability: "additive leaf",
      possible: "yes",
      place,
      reason: `kept up by adding and taking away${leaf.isSummedByTrigger ? ", summed by the writer's trigger" : ""}`,
    });
    findings.push(...extremeNotes(leaf, place));
  }
  return { leaves, findings };
}

/** What went may have been the greatest value: then the group is read again, which takes an index on a large table. */
function extremeNotes({ source: { relation }, groups, cells }: Leaf, place: string): Finding[] {
  const hasExtremes = cells.some(({ kind }) => kind !== "sum");
  const [first] = groups;
  const column = first && columnOf(first.expression)?.column;
  if (!hasExtremes || relation.estimatedRows < 1_000 || relation.schema === MAINTENANCE_SCHEMA) return [];
  if (column !== undefined && relation.indexes.some(([leading]) => leading === column)) return [];
  const reason = `when the row with the greatest or least value of a group goes, the group is read again: the whole of ${qualifiedName(relation)} where no index leads to it`;
  const keys = groups.map(({ expression }) => indexKey(expression)).join(", ");
  return [
    { capability: "min and max", possible: "note", place, reason, remedy: createIndex(relation, keys) },
  ];
}

/** SQL for an index; a key that is no column stands in parentheses. */
export const createIndex = (relation: Relation, keys: string): string =>
  `CREATE INDEX CONCURRENTLY ON ${qualifiedName(relation)} (${keys});`;

export function indexKey(expression: Node): string {
  const column = columnOf(expression)?.column;
  if (column !== undefined) return toSql({ ColumnRef: { fields: [{ String: { sval: column } }] } });
  const unqualified = substitute(expression, (node) => {
    const name = columnOf(node)?.column;
    return name === undefined ? undefined : { ColumnRef: { fields: [{ String: { sval: name } }] } };
  });
  return `(${toSql(unqualified)})`;
}

/** The leaf, after its block has become a query of the state; or why the block is none. */
function leafOf(
  block: Block,
  types: Types,
  number: number,
  table: string,
  timeZone: string,
  tables: Scan[],
): Leaf | string {
  const [source, ...others] = block.items;
  if (source?.kind !== "scan" || others.length > 0) return "it groups something else than one table";
  if (block.subqueries.length > 0) return "it has a subquery";
  if (block.partitions.length !== 1 || block.select.distinctClause !== undefined)
    return "it has windows or DISTINCT";
  const [groupNodes = []] = block.partitions;
  if (groupNodes.length === 0) return "it is one group";
  const parts = [block.select.targetList, block.select.whereClause, block.select.havingClause, groupNodes];
  if ([...aliasesIn(parts)].some((alias) => alias !== source.alias))
    return "it depends on the query around it";
  const alias = `${source.alias}_state`;
  const cells = new Cells(types, source);
  const groups = groupNodes.map((expression, index) => ({
    name: `g_${index + 1}`,
    expression,
    mayBeNull: !isNotNull(expression, source.relation),
  }));
  let obstacle: string | undefined;
  const toState = (tree: Node): Node =>
    substitute(tree, (node) => {
      if (isAggregate(node)) {
        const final = cells.finalOf(node, alias);
        if (typeof final === "string") obstacle ??= final;
        else return final;
      }
      const group = groups.find(({ expression }) => isSame(expression, node));
      return group && columnRef({ alias, column: group.name });
    });
  const targets = block.targets.map(({ name, expression }) => ({ name, expression: toState(expression) }));
  const having = block.select.havingClause && toState(block.select.havingClause);
  if (obstacle !== undefined) return obstacle;
  const isOver = (column: { alias: string }): boolean => column.alias === alias;
  if (!columnsIn([targets, having]).every(isOver)) return "it shows a column that is not grouped";
  const groupColumns = groups.map(({ name, expression, mayBeNull }, index): Column => {
    const column = columnOf(expression)?.column;
    const own = source.relation.columns.find((each) => each.name === column);
    const type = own?.type ?? {
      oid: 0,
      name: "",
      isBuiltIn: true,
      isIdentity: true,
      family: "other" as const,
      ...types.of(expression),
    };
    return { name, type, isNotNull: !mayBeNull, number: index + 1, generated: "" };
  });
  const relation: Relation = {
    ...source.relation,
    ...{
      schema: MAINTENANCE_SCHEMA,
      name: table,
      // Not one that the catalog has, and still its table's.
      oid: -source.relation.oid,
      kind: "r",
      partitions: [],
      hasRowSecurity: false,
      isMaintained: false,
    },
    columns: [...groupColumns, ...cells.columns(groupColumns.length)],
    uniqueKeys: [groups.map(({ name }) => name)],
    indexes: [groups.map(({ name }) => name)],
  };
  const state: Scan = { kind: "scan", alias, relation, isNullable: source.isNullable };
  const computed = [
    block.select.whereClause,
    groupNodes,
    cells.all.map((cell) => [cell.argument, cell.filter]),
  ];
  const leaf: Leaf = {
    number,
    source,
    state,
    where: block.select.whereClause,
    groups,
    cells: cells.all,
    isSummedByTrigger:
      source.relation.schema !== MAINTENANCE_SCHEMA &&
      tables.filter(({ relation: each }) => each.oid === source.relation.oid).length === 1 &&
      isSafe(computed, source.relation),
    timeZone: dependsOnTimeZone(computed, source.relation) ? timeZone : undefined,
  };
  becomeStateQuery(block, state, targets, having);
  return leaf;
}

function becomeStateQuery(
  block: Block,
  state: Scan,
  targets: Block["targets"],
  having: Node | undefined,
): void {
  const { select } = block;
  select.targetList = targets.map(({ name, expression }) => ({ ResTarget: { name, val: expression } }));
  select.fromClause = [tableNode(state)];
  delete select.whereClause;
  delete select.groupClause;
  delete select.havingClause;
  if (having !== undefined) select.whereClause = having;
  Object.assign(block, {
    items: [state],
    conditions: having === undefined ? [] : [{ expression: having, bound: "all" }],
    targets,
    partitions: [],
    isGrouped: false,
  });
}

/** The cells that the aggregates of a block need, each once. */
class Cells {
  readonly all: Cell[] = [{ kind: "sum", name: ROW_COUNT, argument: undefined, filter: undefined }];

  constructor(
    private readonly types: Types,
    private readonly source: Scan,
  ) {}

  columns(before: number): Column[] {
    return this.all.map((cell, index) => {
      const own = cell.kind === "sum" ? undefined : columnOf(cell.argument)?.column;
      const type = this.source.relation.columns.find(({ name }) => name === own)?.type;
      const unknown = { oid: 0, name: "", isBuiltIn: true, isIdentity: true, family: "other" as const };
      return {
        name: cell.name,
        type: type ?? unknown,
        isNotNull: cell.kind === "sum",
        number: before + index + 1,
        generated: "",
      };
    });
  }

  /** The aggregate's value from the state, or why it is not additive. */
  finalOf(node: Node, alias: string): Node | string {
    if (!("FuncCall" in node)) return "it is no aggregate";
    const {
      args = [],
      agg_star,
      agg_filter: filter,
      agg_distinct,
      agg_order,
      agg_within_group,
    } = node.FuncCall;
    const name = functionName(node) ?? "";
    if (agg_distinct === true || agg_order !== undefined || agg_within_group === true)
      return `${excerpt(node)} is not additive`;
    const at = (cell: Cell): string => toSql(columnRef({ alias, column: cell.name }));
    if (name === "count" && agg_star === true) return parsed(at(this.sum(undefined, filter)));
    const [argument] = args;
    if (argument === undefined || args.length > 1) return `${excerpt(node)} is not additive`;
    const isThere = this.present(argument);
    const count = (condition: Node | undefined): string => at(this.sum(undefined, both(filter, condition)));
    if (name === "count") return parsed(count(isThere));
    if (name === "bool_and" || name === "every" || name === "bool_or") {
      const isOr = name === "bool_or";
      const decisive = count(test(argument, isOr ? "IS TRUE" : "IS FALSE"));
      return parsed(`CASE WHEN ${count(isThere)} = 0 THEN NULL ELSE ${decisive} ${isOr ? ">" : "="} 0 END`);
    }
    if (name === "min" || name === "max") {
      if (this.types.of(argument)?.isIdentity !== true)
        return `values of ${excerpt(argument)} can be equal and not the same`;
      return parsed(at(this.extreme(name, argument, filter)));
    }
    if (name !== "sum" && name !== "avg") return `${name} is not additive`;
    const family = this.types.of(argument)?.family;
    if (family !== "integer" && family !== "scaled numeric")
      return `the sum of ${excerpt(argument)} may not be exact, or its scale may drift: cast it to numeric(p, s)`;
    const isNumeric = family === "scaled numeric";
    const real = isNumeric ? both(filter, test(argument, "<> 'NaN'::pg_catalog.numeric")) : filter;
    const sum = at(this.sum(argument, real));
    const nan = isNumeric
      ? `WHEN ${count(test(argument, "= 'NaN'::pg_catalog.numeric"))} > 0 THEN 'NaN'::pg_catalog.numeric `
      : "";
    const value = name === "sum" ? sum : `${sum}::pg_catalog.numeric / ${count(isThere)}::pg_catalog.numeric`;
    return parsed(`CASE WHEN ${count(isThere)} = 0 THEN NULL ${nan}ELSE ${value} END`);
  }

  /** The condition under which the argument is not NULL; undefined where it never is. */
  private present(argument: Node): Node | undefined {
    return isNotNull(argument, this.source.relation) ? undefined : test(argument, "IS NOT NULL");
  }

  private sum(argument: Node | undefined, filter: Node | undefined): Cell {
    return this.cell({ kind: "sum", name: argument === undefined ? "c" : "s", argument, filter });
  }

  private extreme(kind: "min" | "max", argument: Node, filter: Node | undefined): Cell {
    return this.cell({ kind, name: kind, argument, filter });
  }

  private cell(wanted: Cell): Cell {
    const same = this.all.find(({ kind, argument, filter }) =>
      isSame([kind, argument, filter], [wanted.kind, wanted.argument, wanted.filter]),
    );
    if (same !== undefined) return same;
    const cell = { ...wanted, name: `${wanted.name}_${this.all.length}` };
    this.all.push(cell);
    return cell;
  }
}

const both = (one: Node | undefined, other: Node | undefined): Node | undefined =>
  one === undefined || other === undefined
    ? (one ?? other)
    : { BoolExpr: { boolop: "AND_EXPR", args: [one, other] } };

const test = (argument: Node, condition: string): Node => parsed(`(${toSql(argument)}) ${condition}`);

const filtered = (aggregate: string, ...conditions: (string | undefined)[]): string => {
  const all = conditions.filter((each) => each !== undefined);
  return all.length === 0 ? aggregate : `${aggregate} FILTER (WHERE ${all.join(" AND ")})`;
};

const wrap = (node: Node | undefined): string | undefined => node && `(${toSql(node)})`;

/** SELECT of the whole state from the table. `where` restricts it further. */
export function leafQuery(leaf: Leaf, where?: string): string {
  const { source, groups, cells } = leaf;
  const conditions = [wrap(leaf.where), where].filter((each) => each !== undefined);
  return [
    `SELECT ${[
      ...groups.map((group) => `${toSql(group.expression)} AS ${group.name}`),
      ...cells.map((cell) => `${cellOf(cell)} AS ${cell.name}`),
    ].join(", ")}`,
    `FROM ${fromScan(source)}`,
    ...(conditions.length > 0 ? [`WHERE ${conditions.join(" AND ")}`] : []),
    `GROUP BY ${groups.map((_, index) => index + 1).join(", ")}`,
  ].join("\n");
}

function cellOf(cell: Cell): string {
  const filter = wrap(cell.filter);
  if (cell.kind !== "sum") return filtered(`${cell.kind}(${toSql(cell.argument)})`, filter);
  if (cell.argument === undefined) return filtered("count(*)", filter);
  return `coalesce(${filtered(`sum(${toSql(cell.argument)})`, filter)}, 0)`;
}

/** Names of what a delta has for an extreme: the best value that came, and the best that went and matters. */
export const came = (cell: Cell): string => `${cell.name}_came`;
export const went = (cell: Cell): string => `${cell.name}_went`;

/**
 * SELECT of the changes of the groups from images of rows.
 * @param images a FROM item with the leaf's alias, whose column `sign` is 1 for a row that came and -1 for one that went.
 * @param sign SQL of that column.
 * @param isOneStatement whether all images are of one statement: a value that went does not matter then where one as
 * good came, since what came is there at the statement's end.
 */
export function deltaQuery(
  leaf: Leaf,
  images: string,
  sign: string,
  isOneStatement: boolean,
  more: string[] = [],
): string {
  const columns = [...leaf.cells.flatMap((cell) => deltaColumns(cell, sign, isOneStatement)), ...more];
  return [
    `SELECT ${[...leaf.groups.map((group) => `${toSql(group.expression)} AS ${group.name}`), ...columns].join(", ")}`,
    `FROM ${images}`,
    ...(leaf.where === undefined ? [] : [`WHERE ${toSql(leaf.where)}`]),
    `GROUP BY ${leaf.groups.map((_, index) => index + 1).join(", ")}`,
  ].join("\n");
}

function deltaColumns(cell: Cell, sign: string, isOneStatement: boolean): string[] {
  const filter = wrap(cell.filter);
  const [isNew, isOld] = [`${sign} > 0`, `${sign} < 0`];
  if (cell.kind === "sum") {
    const { argument } = cell;
    if (argument === undefined)
      return [`coalesce(${filtered(`sum(${sign})`, filter)}, 0)::pg_catalog.int8 AS ${cell.name}`];
    const sum = (which: string): string =>
      `coalesce(${filtered(`sum(${toSql(argument)})`, which, filter)}, 0)`;
    return [`${sum(isNew)} - ${sum(isOld)} AS ${cell.name}`];
  }
  const best = (which: string): string => filtered(`${cell.kind}(${toSql(cell.argument)})`, which, filter);
  const isBetter = cell.kind === "max" ? ">" : "<";
  const lost = isOneStatement
    ? `CASE WHEN ${best(isNew)} IS NULL OR ${best(isOld)} ${isBetter} ${best(isNew)} THEN ${best(isOld)} END`
    : best(isOld);
  return [`${best(isNew)} AS ${came(cell)}`, `${lost} AS ${went(cell)}`];
}

/** The sum of deltas that were written one by one. */
export function summedDeltas(leaf: Leaf, from: string): string {
  const columns = leaf.cells.flatMap((cell) =>
    cell.kind === "sum"
      ? [`sum(${cell.name})${cell.argument === undefined ? "::pg_catalog.int8" : ""} AS ${cell.name}`]
      : [`${cell.kind}(${came(cell)}) AS ${came(cell)}`, `${cell.kind}(${went(cell)}) AS ${went(cell)}`],
  );
  return `SELECT ${[...leaf.groups.map(({ name }) => name), ...columns].join(", ")} FROM ${from} GROUP BY ${leaf.groups.map((_, index) => index + 1).join(", ")}`;
}

/** Whether any value of a cell was wanted and is not known: a condition over the delta `d`. */
export const hasDelta = (leaf: Leaf): string =>
  leaf.cells
    .flatMap((cell) =>
      cell.kind === "sum"
        ? [`d.${cell.name} <> 0`]
        : [`d.${came(cell)} IS NOT NULL`, `d.${went(cell)} IS NOT NULL`],
    )
    .join(" OR ");
