/**
 * Where rows come from: which column of which table a column of the result is, and from which table a change finds its
 * way to which other. Both stand on one notion: an expression is *transparent* in a block where choosing rows of the
 * block's result by its value is the same as choosing rows before grouping, DISTINCT ON and windows.
 */
import type { Node } from "@pgsql/types";
import {
  aliasesIn,
  columnOf,
  columnRef,
  columnsIn,
  contains,
  hasSubquery,
  isSame,
  operatorOf,
  substitute,
} from "./expression";
import { isAggregate } from "./resolve";
import { blocksOf, targetsOf, type Block, type Condition, type Item, type Query, type Scan } from "./tree";

/** An expression over the columns of one scan. */
interface ScanExpression {
  scan: Scan;
  expression: Node;
}

/**
 * The expressions over scans that a column of the result is: one for each branch of a set operation and each side of a
 * full join. All of them have to be restricted where the column is. Undefined where it comes from no scan alone, or
 * where choosing by it would not be the same.
 * @param mayBeNull whether an outer join may have put NULL in its place: harmless in a condition that is not true then.
 */
export function traceColumn(query: Query, column: number, mayBeNull: boolean): ScanExpression[] | undefined {
  const traced = targetsOf(query, column).map(({ block, expression }) =>
    traceTarget(block, expression, mayBeNull),
  );
  return traced.length > 0 && traced.every((each) => each !== undefined) ? traced.flat() : undefined;
}

function traceTarget(block: Block, expression: Node, mayBeNull: boolean): ScanExpression[] | undefined {
  if (!block.partitions.every((keys) => isMadeOf(expression, keys))) return undefined;
  const sides = fullJoinSides(block, expression);
  if (sides !== undefined) {
    // The side itself is there or not; what is below it may not be missing in a row that is there.
    const traced = sides.map((side) => traceSide(block, side));
    return traced.every((each) => each !== undefined) ? traced.flat() : undefined;
  }
  return traceExpression(block, expression, mayBeNull);
}

/** Whether the expression is a function of the keys: rows with the same keys have the same value of it. */
function isMadeOf(expression: Node, keys: Node[]): boolean {
  const rest = substitute(expression, (node) =>
    keys.some((key) => isSame(key, node)) ? ({ A_Const: { isnull: true } } satisfies Node) : undefined,
  );
  return columnsIn(rest).length === 0;
}

function traceSide(block: Block, side: Node): ScanExpression[] | undefined {
  const [alias] = aliasesIn(side);
  const item = block.items.find((each) => each.alias === alias);
  if (item?.kind === "scan") return [{ scan: item, expression: side }];
  return item && traceInItem({ ...item, isNullable: false }, side, false);
}

/** The two sides of `coalesce(a.k, b.k)` where a full join on `a.k = b.k` joins all that the block reads. */
function fullJoinSides(block: Block, expression: Node): Node[] | undefined {
  if (!("CoalesceExpr" in expression)) return undefined;
  const [from, ...others] = block.select.fromClause ?? [];
  const sides = expression.CoalesceExpr.args ?? [];
  if (from === undefined || others.length > 0 || sides.length !== 2) return undefined;
  if (!("JoinExpr" in from) || from.JoinExpr.jointype !== "JOIN_FULL") return undefined;
  const isOnSide = (side: Node | undefined, tree: Node | undefined): boolean =>
    side !== undefined && [...aliasesIn(side)].every((alias) => isItemOf(tree, alias));
  const { larg, rarg } = from.JoinExpr;
  const inOrder = isOnSide(sides[0], larg) && isOnSide(sides[1], rarg);
  const reversed = isOnSide(sides[0], rarg) && isOnSide(sides[1], larg);
  if (!inOrder && !reversed) return undefined;
  // A side that is itself an outer join may have NULL for its key in a row that is there.
  if (![larg, rarg].every((tree) => tree !== undefined && ("RangeVar" in tree || "RangeSubselect" in tree)))
    return undefined;
  const isJoined = block.conditions.some(
    ({ expression: condition, bound }) =>
      bound !== "all" &&
      bound.size === 0 &&
      operatorOf(condition) === "=" &&
      "A_Expr" in condition &&
      [
        [0, 1],
        [1, 0],
      ].some(
        ([one = 0, other = 0]) =>
          isSame(condition.A_Expr.lexpr, sides[one]) && isSame(condition.A_Expr.rexpr, sides[other]),
      ),
  );
  return isJoined ? sides : undefined;
}

function isItemOf(tree: Node | undefined, alias: string): boolean {
  return contains(tree, (node) => {
    const named =
      "RangeVar" in node ? node.RangeVar : "RangeSubselect" in node ? node.RangeSubselect : undefined;
    return named?.alias?.aliasname === alias;
  });
}

/** The expression over scans below the block's items, without regard to how the block groups. */
function traceExpression(block: Block, expression: Node, mayBeNull: boolean): ScanExpression[] | undefined {
  if (hasSubquery(expression) || contains(expression, isCallOverRows)) return undefined;
  const [alias, ...others] = aliasesIn(expression);
  if (alias === undefined || others.length > 0) return undefined;
  const item = block.items.find((each) => each.alias === alias);
  return item === undefined ? undefined : traceInItem(item, expression, mayBeNull);
}

/** An expression over the columns of one item, as expressions over scans. */
function traceInItem(item: Item, expression: Node, mayBeNull: boolean): ScanExpression[] | undefined {
  if (item.isNullable && !mayBeNull) return undefined;
  // Beside no row it has to be NULL itself: coalesce(b.k, 0) is not.
  if (item.isNullable && !isStrict(expression)) return undefined;
  if (item.kind === "scan") return [{ scan: item, expression }];
  if (item.kind === "opaque") return undefined;
  const below = new Map<string, ScanExpression[]>();
  for (const { column } of columnsIn(expression)) {
    const traced = traceColumn(item.query, item.columns.indexOf(column), mayBeNull);
    if (traced === undefined) return undefined;
    below.set(column, traced);
  }
  // All columns must lead to the same scans, in the same order.
  const [first] = below.values();
  const isTogether = [...below.values()].every((each) =>
    isSame(
      each.map(({ scan }) => scan.alias),
      first?.map(({ scan }) => scan.alias),
    ),
  );
  if (first === undefined || !isTogether) return undefined;
  return first.map(({ scan }, index) => ({
    scan,
    expression: substitute(expression, (node) => {
      const column = columnOf(node);
      return column === undefined ? undefined : below.get(column.column)?.[index]?.expression;
    }),
  }));
}

const isCallOverRows = (node: Node): boolean =>
  isAggregate(node) || ("FuncCall" in node && node.FuncCall.over !== undefined);

/**
 * A condition between two scans, seen from one of them: its rows matter to the result only by way of rows of the other
 * for which the condition holds.
 */
export interface Edge {
  from: Scan;
  to: Scan;
  condition: Node;
  /** Where the condition is `from's expression = to's expression`. */
  equality: { from: Node; to: Node } | undefined;
  /** The same for the edges to all branches of a set operation: a row may matter by way of any of them. */
  fork: symbol;
}

/** Every edge of the query, in both directions where it holds in both. */
export function edgesOf(query: Query): Edge[] {
  const blocks = blocksOf(query);
  const owners = new Map(
    blocks.flatMap((block) => block.items.map((item) => [item.alias, { item, block }] as const)),
  );
  return blocks.flatMap((block) =>
    [...block.conditions, ...membershipConditions(block)].flatMap(({ expression, bound }) => {
      const [one, other, ...more] = aliasesIn(expression);
      if (one === undefined || other === undefined || more.length > 0 || !isStrict(expression)) return [];
      const ends = [owners.get(one), owners.get(other)] as const;
      const [x, y] = ends;
      if (x === undefined || y === undefined) return [];
      const isBound = (end: { item: Item; block: Block }): boolean =>
        bound === "all" ? isWithin(end.block, block) : bound.has(end.item.alias);
      return [
        ...(isBound(x) ? edgesBetween(x.item, y.item, expression) : []),
        ...(isBound(y) ? edgesBetween(y.item, x.item, expression) : []),
      ];
    }),
  );
}

/** Of a condition in a block, an item of a block around it is not bound: only what is inside matters through it. */
const isWithin = (owner: Block, block: Block): boolean => owner === block;

/**
 * `x IN (SELECT k …)` in a condition, below AND and OR alone: the subquery's rows matter only where x = k. As NOT IN,
 * and as a value, it also matters whether there is a NULL among the keys, to every row.
 */
function membershipConditions(block: Block): { expression: Node; bound: ReadonlySet<string> }[] {
  const isInFullJoin = (bound: Condition["bound"]): boolean => bound !== "all" && bound.size === 0;
  return block.conditions
    .filter(({ bound }) => !isInFullJoin(bound))
    .flatMap(({ expression: condition }) =>
      unnegated(condition).flatMap((expression) => {
        if (!("SubLink" in expression) || expression.SubLink.subLinkType !== "ANY_SUBLINK") return [];
        const { subselect, testexpr, operName } = expression.SubLink;
        const isEquality =
          operName === undefined || operName.every((name) => "String" in name && name.String.sval === "=");
        const query = block.subqueries.find(
          ({ select }) =>
            subselect !== undefined && "SelectStmt" in subselect && subselect.SelectStmt === select,
        );
        if (testexpr === undefined || !isEquality || query?.kind !== "block") return [];
        const tests = "RowExpr" in testexpr ? (testexpr.RowExpr.args ?? []) : [testexpr];
        return tests.flatMap((test, index) => {
          const key = query.targets[index]?.expression;
          if (key === undefined || !query.partitions.every((keys) => isMadeOf(key, keys))) return [];
          const equality: Node = {
            A_Expr: { kind: "AEXPR_OP", name: [{ String: { sval: "=" } }], lexpr: key, rexpr: test },
          };
          return [{ expression: equality, bound: aliasesIn(key) }];
        });
      }),
    );
}

/** What a condition is made of by AND and OR. */
function unnegated(condition: Node): Node[] {
  if (!("BoolExpr" in condition) || condition.BoolExpr.boolop === "NOT_EXPR") return [condition];
  return (condition.BoolExpr.args ?? []).flatMap(unnegated);
}

function edgesBetween(from: Item, to: Item, expression: Node): Edge[] {
  const over = (item: Item): Map<string, ScanExpression[]> | undefined => {
    const columns = new Map<string, ScanExpression[]>();
    for (const { alias, column } of columnsIn(expression)) {
      if (alias !== item.alias) continue;
      const traced = traceInItem(item, columnRef({ alias, column }), true);
      if (traced === undefined) return undefined;
      columns.set(column, traced);
    }
    return columns;
  };
  const [fromColumns, toColumns] = [over(from), over(to)];
  if (fromColumns === undefined || toColumns === undefined) return [];
  const places = (columns: Map<string, ScanExpression[]>): Scan[] => {
    const lists = [...columns.values()].map((each) => each.map(({ scan }) => scan));
    const [first = []] = lists;
    return lists.every(
      (list) => list.length === first.length && list.every((scan, index) => scan === first[index]),
    )
      ? first
      : [];
  };
  const [fromScans, toScans] = [places(fromColumns), places(toColumns)];
  return fromScans.flatMap((fromScan, fromIndex) => {
    const fork = Symbol("fork");
    return toScans.map((toScan, toIndex) => {
      const resolve = <T>(tree: T): T =>
        substitute(tree, (node) => {
          const column = columnOf(node);
          if (column?.alias === from.alias) return fromColumns.get(column.column)?.[fromIndex]?.expression;
          if (column?.alias === to.alias) return toColumns.get(column.column)?.[toIndex]?.expression;
          return undefined;
        });
      const sides = equalSides(expression, from.alias, to.alias);
      return {
        from: fromScan,
        to: toScan,
        condition: resolve(expression),
        equality: sides && { from: resolve(sides.from), to: resolve(sides.to) },
        fork,
      };
    });
  });
}

function equalSides(expression: Node, from: string, to: string): { from: Node; to: Node } | undefined {
  if (operatorOf(expression) !== "=" || !("A_Expr" in expression)) return undefined;
  const { lexpr, rexpr } = expression.A_Expr;
  if (lexpr === undefined || rexpr === undefined) return undefined;
  const [left, right] = [aliasesIn(lexpr), aliasesIn(rexpr)];
  const isOnly = (aliases: Set<string>, alias: string): boolean => aliases.size === 1 && aliases.has(alias);
  if (isOnly(left, from) && isOnly(right, to)) return { from: lexpr, to: rexpr };
  if (isOnly(left, to) && isOnly(right, from)) return { from: rexpr, to: lexpr };
  return undefined;
}

/**
 * Whether the expression is never true where one of its columns is NULL: operators, casts and lists of them alone. Of
 * PostgreSQL's own operators only `||` of arrays takes NULL; one with a schema is somebody's own.
 */
export function isStrict(expression: Node): boolean {
  const kinds = new Set(["AEXPR_OP", "AEXPR_BETWEEN", "AEXPR_LIKE", "AEXPR_ILIKE"]);
  return !contains(expression, (node) => {
    if ("A_Expr" in node) {
      const { kind = "", name = [] } = node.A_Expr;
      return (
        !kinds.has(kind) ||
        (kind === "AEXPR_OP" && [undefined, "||"].includes(operatorOf(node))) ||
        name.length > 1
      );
    }
    return !["ColumnRef", "A_Const", "TypeCast", "TypeName", "String", "Integer", "List"].some(
      (kind) => kind in node,
    );
  });
}

/** Edges by their fork: all of one lead from the same scan. */
export function forksOf(edges: Edge[]): Edge[][] {
  const forks = new Map<symbol, Edge[]>();
  for (const edge of edges) forks.set(edge.fork, [...(forks.get(edge.fork) ?? []), edge]);
  return [...forks.values()];
}

/** One step of a way: the next scan, and the conditions between the two. */
export interface Step {
  to: Scan;
  conditions: Node[];
}

/** For every scan that leads to a root: its steps, of which there are several where a set operation has branches. */
export type Paths = Map<Scan, Step[]>;

/**
 * The shortest way of each scan to the roots, all ways together a tree. A scan that is in none of them matters to every
 * row.
 */
export function pathsTo(roots: Scan[], edges: Edge[]): Paths {
  const paths: Paths = new Map();
  const reached = new Set(roots);
  const forks = forksOf(edges);
  for (let before = -1; before !== reached.size;) {
    before = reached.size;
    const there = new Set(reached);
    for (const fork of forks) {
      const from = fork[0]?.from;
      if (from === undefined || reached.has(from) || !fork.every(({ to }) => there.has(to))) continue;
      const steps = fork.map(({ to }) => ({
        to,
        conditions: edges
          .filter((edge) => edge.from === from && edge.to === to)
          .map(({ condition }) => condition),
      }));
      paths.set(from, steps);
      reached.add(from);
    }
  }
  return paths;
}
