/** Expressions as PostgreSQL's parser makes them: how to walk, compare, replace and write them. */
import type { ColumnRef, Node, SelectStmt } from "@pgsql/types";
import { parseSync } from "libpg-query";
import { Deparser } from "pgsql-deparser";
import { refuse } from "./refusal";

/** A column of an item: what every column reference is after names are resolved. */
interface ColumnName {
  alias: string;
  column: string;
}

type Tree = Record<string, unknown> | unknown[];

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null;

/** The column that a node refers to, if it is a resolved reference. */
export function columnOf(node: Node): ColumnName | undefined {
  if (!("ColumnRef" in node)) return undefined;
  const [alias, column] = (node.ColumnRef.fields ?? []).map((field) =>
    "String" in field ? field.String.sval : undefined,
  );
  return alias === undefined || column === undefined ? undefined : { alias, column };
}

export const columnRef = ({ alias, column }: ColumnName): Node => ({
  ColumnRef: { fields: [{ String: { sval: alias } }, { String: { sval: column } }] } satisfies ColumnRef,
});

/** Calls `see` with every node of a tree, from the outside in; below a node for which it returns false it does not go. */
export function walk(node: unknown, see: (node: Node) => boolean | void): void {
  if (!isTree(node)) return;
  if (!Array.isArray(node) && isNode(node) && see(node) === false) return;
  for (const below of Object.values(node)) walk(below, see);
}

/** A node is an object with one key, which names its kind with a capital letter. */
function isNode(value: Record<string, unknown>): value is Node & Record<string, unknown> {
  const keys = Object.keys(value);
  return keys.length === 1 && /^[A-Z]/.test(keys[0] ?? "");
}

/** A copy in which `replace` has put another node in the place of each for which it returned one. */
export function substitute<T>(tree: T, replace: (node: Node) => Node | undefined): T {
  if (!isTree(tree)) return tree;
  if (Array.isArray(tree)) return tree.map((each: unknown) => substitute(each, replace)) as T;
  const replaced = isNode(tree) ? replace(tree) : undefined;
  if (replaced !== undefined) return replaced as T;
  return Object.fromEntries(
    Object.entries(tree).map(([key, value]) => [key, substitute(value, replace)]),
  ) as T;
}

/** The columns an expression refers to, subqueries in it included. */
export function columnsIn(expression: unknown): ColumnName[] {
  const columns: ColumnName[] = [];
  walk(expression, (node) => {
    const column = columnOf(node);
    if (column !== undefined) columns.push(column);
  });
  return columns;
}

/** The aliases an expression refers to. */
export const aliasesIn = (expression: unknown): Set<string> =>
  new Set(columnsIn(expression).map(({ alias }) => alias));

/** Whether some node of the expression is of one of the kinds. */
export function contains(expression: unknown, isIt: (node: Node) => boolean): boolean {
  let found = false;
  walk(expression, (node) => {
    found ||= isIt(node);
    return !found;
  });
  return found;
}

export const hasSubquery = (expression: unknown): boolean =>
  contains(expression, (node) => "SubLink" in node);

/** The same expression, wherever it stood in the text. */
export const isSame = (one: unknown, other: unknown): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

/** A copy without the places in the text, which would make equal expressions differ. */
export function withoutLocations<T>(tree: T): T {
  if (!isTree(tree)) return tree;
  if (Array.isArray(tree)) return tree.map((each: unknown) => withoutLocations(each)) as T;
  const entries = Object.entries(tree).filter(
    ([key]) =>
      !/^(location|name_location|stmt_location|stmt_len|rexpr_list_start|rexpr_list_end|list_start|list_end)$/.test(
        key,
      ),
  );
  return Object.fromEntries(entries.map(([key, value]) => [key, withoutLocations(value)])) as T;
}

/** Conditions that are joined by AND. */
export function conjuncts(condition: Node | undefined): Node[] {
  if (condition === undefined) return [];
  if ("BoolExpr" in condition && condition.BoolExpr.boolop === "AND_EXPR")
    return (condition.BoolExpr.args ?? []).flatMap(conjuncts);
  return [condition];
}

/** The operator of `left operator right`. */
export function operatorOf(node: Node): string | undefined {
  if (!("A_Expr" in node) || node.A_Expr.kind !== "AEXPR_OP") return undefined;
  const names = (node.A_Expr.name ?? []).map((name) => ("String" in name ? name.String.sval : undefined));
  return names.length === 1 || names[0] === "pg_catalog" ? names.at(-1) : undefined;
}

/** Lower-case name of a function that is called without a schema or with pg_catalog's, as built-in ones are. */
export function functionName(node: Node): string | undefined {
  if (!("FuncCall" in node)) return undefined;
  const names = (node.FuncCall.funcname ?? []).map((name) =>
    "String" in name ? name.String.sval : undefined,
  );
  return names.length === 1 || names[0] === "pg_catalog" ? names.at(-1) : undefined;
}

type Visited<Name extends "A_Expr" | "NullTest" | "BooleanTest"> = Parameters<Deparser[Name]>;

/** The library writes `(a AND b) IS NULL` or `(a = b) IN (c)` without the parentheses, which are other conditions then. */
class Writer extends Deparser {
  override NullTest(...visited: Visited<"NullTest">): string {
    return withParentheses(super.NullTest(...visited));
  }

  override BooleanTest(...visited: Visited<"BooleanTest">): string {
    return withParentheses(super.BooleanTest(...visited));
  }

  override A_Expr(...[node, context]: Visited<"A_Expr">): string {
    const { lexpr } = node;
    if (lexpr === undefined || !COMPOUND.some((kind) => kind in lexpr)) return super.A_Expr(node, context);
    // No query of a view has parameters.
    const text = super.A_Expr({ ...node, lexpr: { ParamRef: { number: 32_767 } } }, context);
    return text.replace("$32767", () => `(${this.visit(lexpr, context)})`);
  }
}

const COMPOUND = ["A_Expr", "BoolExpr", "NullTest", "BooleanTest"];

const withParentheses = (test: string): string =>
  test.replace(/^(.*) (IS (?:NOT )?(?:NULL|TRUE|FALSE|UNKNOWN))$/s, "($1) $2");

/**
 * SQL text of an expression, a table of FROM or a statement, on one line.
 * @throws Refusal where PostgreSQL's parser reads the text as something else: the deparser is a library beside it.
 */
export function toSql(node: Node): string {
  const text = written(node);
  if (canonical(reread(node, text)) !== canonical(node))
    refuse(
      "query",
      text.slice(0, 60),
      "an expression of it could not be written as it was read",
      "write it in another form",
    );
  return text;
}

const written = (node: Node): string => new Writer(node, { pretty: false }).deparseQuery();

/** The expression that a text is. */
export function parsed(sql: string): Node {
  const [target] = selectOf(`SELECT ${sql}`).targetList ?? [];
  if (target === undefined || !("ResTarget" in target) || target.ResTarget.val === undefined)
    throw new Error(`no expression: ${sql}`);
  return withoutLocations(target.ResTarget.val);
}

function selectOf(sql: string): SelectStmt {
  const [only] = parseSync(sql).stmts ?? [];
  return only?.stmt !== undefined && "SelectStmt" in only.stmt ? only.stmt.SelectStmt : {};
}

/** What the parser makes of the text, as a node of the same kind. */
function reread(node: Node, text: string): Node | undefined {
  if ("SelectStmt" in node) return { SelectStmt: selectOf(text) };
  if ("RangeVar" in node) return selectOf(`SELECT FROM ${text}`).fromClause?.[0];
  const [target] = selectOf(`SELECT ${text}`).targetList ?? [];
  return target !== undefined && "ResTarget" in target ? target.ResTarget.val : undefined;
}

const canonical = (tree: unknown): string => JSON.stringify(sortedKeys(withoutLocations(tree)));

function sortedKeys(tree: unknown): unknown {
  if (Array.isArray(tree)) return tree.map(sortedKeys);
  if (typeof tree !== "object" || tree === null) return tree;
  return Object.fromEntries(
    Object.entries(tree)
      .filter(([key, value]) => value !== undefined && key !== "funcformat")
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, sortedKeys(value)]),
  );
}

/** The beginning of an expression's text, for people. */
export function excerpt(node: Node, longest = 60): string {
  const text = written(node).replaceAll(/\s+/g, " ");
  return text.length <= longest ? text : `${text.slice(0, longest - 1)}…`;
}
