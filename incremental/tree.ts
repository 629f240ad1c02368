/**
 * The relational tree of a query: blocks of SELECT, what stands in their FROM, and the conditions between those.
 * Expressions stay what PostgreSQL's parser made of them, but every column is written as `alias.column`, and an alias
 * is unique in the whole query, so that a piece may be moved to another place and means the same there.
 */
import type { Node, SelectStmt } from "@pgsql/types";
import { columnOf } from "./expression";
import type { Relation } from "./source";

/** A table, or a table of the fold's own, at one place of the query. */
export interface Scan {
  kind: "scan";
  alias: string;
  relation: Relation;
  /** Whether an outer join of its block can put NULLs in its place. */
  isNullable: boolean;
}

/** A subquery in FROM; plain views and WITH queries become such. */
export interface Derived {
  kind: "derived";
  alias: string;
  query: Query;
  /** Names of its columns as the block around it knows them, in order. */
  columns: string[];
  isNullable: boolean;
}

/** A function or VALUES in FROM: rows of its own, in which no table is seen. */
interface Opaque {
  kind: "opaque";
  alias: string;
  columns: string[];
  isNullable: boolean;
}

export type Item = Scan | Derived | Opaque;

/** One of the conditions that are joined by AND in WHERE or ON. */
export interface Condition {
  expression: Node;
  /**
   * Aliases whose rows matter only where the condition holds. Of an inner join those of both sides, of a left join
   * those of its right side, of a full join none.
   */
  bound: ReadonlySet<string> | "all";
}

export interface Target {
  name: string;
  expression: Node;
}

/** One SELECT. */
export interface Block {
  kind: "block";
  /** The parsed statement, resolved: the block's truth, which is printed again. */
  select: SelectStmt;
  items: Item[];
  conditions: Condition[];
  targets: Target[];
  /** Lists of expressions that each row's fate is tied to: GROUP BY, DISTINCT ON, every PARTITION BY. */
  partitions: Node[][];
  isGrouped: boolean;
  /** Subqueries in expressions: EXISTS, IN, scalar. */
  subqueries: Query[];
  /** How it stands in the query. */
  place: "top" | "from" | "expression";
}

/** UNION, INTERSECT, EXCEPT. */
export interface SetOperation {
  kind: "set";
  select: SelectStmt;
  branches: [Query, Query];
}

export type Query = Block | SetOperation;

/** A scan as it stands in FROM. */
export const tableNode = ({ relation: { schema, name }, alias }: Pick<Scan, "relation" | "alias">): Node => ({
  RangeVar: {
    schemaname: schema,
    relname: name,
    inh: true,
    relpersistence: "p",
    alias: { aliasname: alias },
  },
});

/** Whether an expression over one table is never NULL: a constant, or a column that the table has as NOT NULL. */
export function isNotNull(expression: Node, { columns }: Pick<Relation, "columns">): boolean {
  if ("A_Const" in expression) return expression.A_Const.isnull !== true;
  const name = columnOf(expression)?.column;
  return columns.some((column) => column.name === name && column.isNotNull);
}

/** Every block of a query, those in FROM and in expressions included, from the outside in. */
export function blocksOf(query: Query): Block[] {
  if (query.kind === "set") return query.branches.flatMap(blocksOf);
  const below = query.items.flatMap((item) => (item.kind === "derived" ? blocksOf(item.query) : []));
  return [query, ...below, ...query.subqueries.flatMap(blocksOf)];
}

/** Every scan of a query, in the order in which it is written. */
export const scansOf = (query: Query): Scan[] =>
  blocksOf(query).flatMap(({ items }) => items.filter((item) => item.kind === "scan"));

/** Columns of a query's result, by number: one expression for each branch of a set operation. */
export function targetsOf(query: Query, column: number): { block: Block; expression: Node }[] {
  if (query.kind === "set") return query.branches.flatMap((branch) => targetsOf(branch, column));
  const target = query.targets[column];
  return target === undefined ? [] : [{ block: query, expression: target.expression }];
}

/** Names of a query's columns. */
export function columnNames(query: Query): string[] {
  return query.kind === "set" ? columnNames(query.branches[0]) : query.targets.map(({ name }) => name);
}
