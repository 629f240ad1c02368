/**
 * Whether the query has one answer: the same rows whatever order they are read in. Where it has not, a recomputed row
 * may differ from the one that is there though nothing changed, and nobody could tell a right view from a wrong one.
 */
import type { Node } from "@pgsql/types";
import { ORDERED_AGGREGATES } from "./aggregates";
import {
  columnOf,
  columnsIn,
  excerpt,
  functionName,
  isSame,
  operatorOf,
  substitute,
  walk,
} from "./expression";
import { isAggregate, textOf, isDistinctOn } from "./resolve";
import { refuse } from "./refusal";
import type { Relation } from "./source";
import { blocksOf, columnNames, type Block, type Item, type Query, type SetOperation } from "./tree";
import { typeRemedy, Types } from "./types";

/** Of two rows that are equal in the window's order, these tell which comes first. */
const TIE_BREAKING_WINDOWS = new Set([
  "row_number",
  "ntile",
  "lag",
  "lead",
  "first_value",
  "last_value",
  "nth_value",
]);

/** Unique keys by which an order tells all rows apart, by table. */
type ReliedKeys = Map<Relation, string[][]>;

/**
 * @returns the unique keys without which the answer would depend on the order of rows.
 * @throws Refusal
 */
export function assertDeterministic(query: Query): ReliedKeys {
  const types = new Types(query);
  const relied: ReliedKeys = new Map();
  for (const block of blocksOf(query)) assertBlock(block, types, relied);
  for (const set of setOperationsOf(query)) assertSetOperation(set, types);
  return relied;
}

function assertBlock(block: Block, types: Types, relied: ReliedKeys): void {
  for (const keys of block.partitions)
    for (const key of keys) assertIdentity(key, types, "equal values make one group");
  const distinct = block.select.distinctClause ?? [];
  const isChosen = isDistinctOn(block.select);
  if (distinct.length > 0 && !isChosen)
    for (const { expression } of block.targets)
      assertIdentity(expression, types, "DISTINCT keeps one of equal values");
  const windows = new Map(
    (block.select.windowClause ?? []).map((node) =>
      "WindowDef" in node ? [node.WindowDef.name ?? "", node.WindowDef] : ["", {}],
    ),
  );
  const order = sortExpressions(block.select.sortClause);
  if (isChosen && !isDetermined(block, [...distinct, ...order], relied))
    refuse(
      "DISTINCT ON",
      distinct.map((node) => excerpt(node)).join(", "),
      "ORDER BY does not say which of several rows comes first",
      "add the columns of a unique key to ORDER BY",
    );
  walk([block.select.targetList, block.select.havingClause, block.select.sortClause], (node) => {
    if ("SubLink" in node) return false;
    if ("JsonArrayAgg" in node || "JsonObjectAgg" in node)
      refuse(
        "ordered aggregate",
        excerpt(node),
        "its result depends on the order in which rows are read",
        "jsonb_agg(… ORDER BY …)",
      );
    if (isAggregate(node)) assertAggregate(block, node, types, relied);
    if ("FuncCall" in node && node.FuncCall.over !== undefined) {
      const { over } = node.FuncCall;
      const window = { ...windows.get(over.name ?? over.refname ?? ""), ...over };
      assertWindow(block, node, window, relied);
    }
    return true;
  });
}

function assertIdentity(expression: Node, types: Types, why: string): void {
  const type = types.of(expression);
  if (type?.isIdentity === true) return;
  const reason =
    type === undefined
      ? `the type of the expression is not known to the compiler; ${why}`
      : `values of its type can be equal and not the same (1.0 and 1.00); ${why}`;
  refuse("key of identical values", excerpt(expression), reason, typeRemedy(expression));
}

function assertAggregate(block: Block, node: Node, types: Types, relied: ReliedKeys): void {
  if (!("FuncCall" in node)) return;
  const { agg_order, args = [] } = node.FuncCall;
  const name = functionName(node) ?? "";
  const [argument] = args;
  if ((name === "min" || name === "max") && argument !== undefined)
    assertIdentity(argument, types, `${name} shows one of equal values`);
  if (!ORDERED_AGGREGATES.has(name)) return;
  const order = sortExpressions(agg_order);
  const rest = substitute(args, (each) =>
    order.some((key) => isSame(key, each)) ? ({ A_Const: { isnull: true } } satisfies Node) : undefined,
  );
  // What an aggregate reads are rows of FROM, of which one group's share the values that they are grouped by.
  const known = [...(block.partitions[0] ?? []), ...order];
  if (order.length > 0 && isRowDetermined(block, known, relied)) return;
  const isOrderedByItself = order.length > 0 && columnsIn(rest).length === 0;
  const isSorted = order.length === 0 && node.FuncCall.agg_distinct === true && args.length === 1;
  if (isOrderedByItself || (isSorted && name !== "string_agg")) {
    for (const each of isSorted ? args : order)
      assertIdentity(each, types, "which of two equal values comes first would show");
    return;
  }
  refuse(
    "ordered aggregate",
    excerpt(node),
    "its result depends on the order in which rows are read",
    `write ${name}(… ORDER BY …) with a unique key, or with what it aggregates`,
  );
}

function assertWindow(
  block: Block,
  node: Node,
  window: { partitionClause?: Node[]; orderClause?: Node[]; frameOptions?: number },
  relied: ReliedKeys,
): void {
  const name = functionName(node) ?? textOf("FuncCall" in node ? node.FuncCall.funcname?.at(-1) : undefined);
  const order = sortExpressions(window.orderClause);
  // FRAMEOPTION_ROWS: single rows are counted, so that it matters which of two equal ones comes first.
  const isByRow = ((window.frameOptions ?? 0) & 0x4) !== 0;
  if (!TIE_BREAKING_WINDOWS.has(name) && !isByRow && !ORDERED_AGGREGATES.has(name)) return;
  if (!isDetermined(block, [...(window.partitionClause ?? []), ...order], relied))
    refuse(
      "window order",
      excerpt(node),
      "its ORDER BY does not say which of several rows comes first",
      "add the columns of a unique key to the window's ORDER BY",
    );
}

function sortExpressions(nodes: Node[] | undefined): Node[] {
  return (nodes ?? []).map((node) => ("SortBy" in node ? (node.SortBy.node ?? node) : node));
}

/**
 * Whether no two rows of the result can share the key, whatever the tables hold.
 * @param relied gets the unique keys by which that is so.
 */
export function isUnique(query: Query, key: string[], relied: ReliedKeys): boolean {
  if (query.kind === "set") return false;
  const expressions = query.targets
    .filter(({ name }) => key.includes(name))
    .map(({ expression }) => expression);
  return isDetermined(query, expressions, relied);
}

/** Whether the expressions together tell every row that the block's windows and DISTINCT see from every other. */
function isDetermined(block: Block, expressions: Node[], relied: ReliedKeys): boolean {
  if (!block.isGrouped) return isRowDetermined(block, expressions, relied);
  const [groups = []] = block.partitions;
  return groups.every((group) => expressions.some((each) => isSame(each, group)));
}

/** Whether the expressions together tell every row of the block's FROM from every other. */
function isRowDetermined(block: Block, expressions: Node[], relied: ReliedKeys): boolean {
  const known = new Set(
    expressions.flatMap((each) => (columnOf(each) === undefined ? [] : [JSON.stringify(columnOf(each))])),
  );
  const determined = new Set<Item>();
  const key = (item: Item, column: string): string => JSON.stringify({ alias: item.alias, column });
  for (let before = -1; before !== known.size + determined.size;) {
    before = known.size + determined.size;
    for (const item of block.items) {
      const found = uniqueKeysOf(item).find((names) => names.every((column) => known.has(key(item, column))));
      if (determined.has(item) || found === undefined) continue;
      determined.add(item);
      if (item.kind === "scan") relied.set(item.relation, [...(relied.get(item.relation) ?? []), found]);
      const columns = item.kind === "scan" ? item.relation.columns.map(({ name }) => name) : item.columns;
      for (const column of columns) known.add(key(item, column));
    }
    for (const { expression, bound } of block.conditions) {
      if (operatorOf(expression) !== "=" || !("A_Expr" in expression)) continue;
      const sides = [expression.A_Expr.lexpr, expression.A_Expr.rexpr].map((side) => side && columnOf(side));
      const [one, other] = sides;
      if (one === undefined || other === undefined) continue;
      // Of an outer join, the side that may be missing follows from the other, and not the other from it.
      for (const [from, to] of [
        [one, other],
        [other, one],
      ] as const)
        if (known.has(JSON.stringify(from)) && (bound === "all" || bound.has(to.alias)))
          known.add(JSON.stringify(to));
    }
  }
  return block.items.every((item) => determined.has(item));
}

/** Column lists that no two rows of the item share. */
function uniqueKeysOf(item: Item): string[][] {
  if (item.kind === "opaque") return [];
  if (item.kind === "scan") {
    const notNull = new Set(
      item.relation.columns.filter(({ isNotNull }) => isNotNull).map(({ name }) => name),
    );
    return item.relation.uniqueKeys.filter((columns) => columns.every((column) => notNull.has(column)));
  }
  const { query } = item;
  if (query.kind === "set" || !query.isGrouped || query.partitions.length !== 1) return [];
  const [groups = []] = query.partitions;
  const columns = groups.map((group) =>
    query.targets.findIndex(({ expression }) => isSame(expression, group)),
  );
  return columns.includes(-1) ? [] : [columns.map((index) => item.columns[index] ?? "")];
}

function setOperationsOf(query: Query): SetOperation[] {
  if (query.kind === "set") return [query, ...query.branches.flatMap(setOperationsOf)];
  return [
    ...query.items.flatMap((item) => (item.kind === "derived" ? setOperationsOf(item.query) : [])),
    ...query.subqueries.flatMap(setOperationsOf),
  ];
}

function assertSetOperation(set: SetOperation, types: Types): void {
  if (set.select.op === "SETOP_UNION" && set.select.all === true) return;
  columnNames(set).forEach((name, index) => {
    const type = types.ofTarget(set, index);
    if (type?.isIdentity !== true)
      refuse(
        "set operation",
        name,
        "it keeps one of equal values, and equal values of this column need not be the same",
        "cast the column, or use UNION ALL",
      );
  });
}
