/**
 * From the text of a query to its tree: PostgreSQL's own parser, then names. Plain views and WITH queries are put in
 * the place of their names, aliases are made unique, and every column is written with the alias that it comes from.
 */
import type {
  CommonTableExpr,
  JoinExpr,
  Node,
  RangeFunction,
  RangeSubselect,
  RangeVar,
  SelectStmt,
} from "@pgsql/types";
import { loadModule, parseSync } from "libpg-query";
import { AGGREGATES } from "./aggregates";
import {
  columnRef,
  conjuncts,
  excerpt,
  substitute,
  toSql,
  walk,
  withoutLocations,
  hasSubquery,
} from "./expression";
import { refuse } from "./refusal";
import type { Relation } from "./source";
import { columnNames, type Block, type Condition, type Item, type Query, tableNode, type Scan } from "./tree";

/** Must have been awaited once before anything is parsed. */
export const loadParser = loadModule;

/**
 * The tree of a query, as pg_get_viewdef writes queries.
 * @throws Refusal for what has no tree here: recursion, LIMIT, whole-row references, grouping sets and their like.
 */
export function resolveQuery(text: string, relations: Relation[]): Query {
  const resolver = new Resolver(relations);
  const query = resolver.query(parseSelect(text), undefined, new Map(), "top");
  // What cannot be written again is refused here, and not in the middle of what is made of it.
  toSql({ SelectStmt: query.select });
  return query;
}

function parseSelect(text: string): SelectStmt {
  const [statement, ...more] = parseSync(text.replace(/;\s*$/, "")).stmts ?? [];
  const node = statement?.stmt;
  if (node === undefined || more.length > 0 || !("SelectStmt" in node))
    return refuse("query", text.slice(0, 60), "it is not one SELECT");
  return withoutLocations(node.SelectStmt);
}

/** What a name in a block can mean: its own items, then those of the blocks around it. */
interface Scope {
  /** By the name that the query has for it. */
  items: Map<string, { item: Item; columns: string[] }>;
  /** Columns that USING has merged, by name. */
  merged: Map<string, Node>;
  outer: Scope | undefined;
}

type WithQueries = Map<string, (alias: string) => { query: Query; columns: string[] }>;

class Resolver {
  private readonly aliases = new Set<string>();

  constructor(private readonly relations: Relation[]) {}

  query(select: SelectStmt, outer: Scope | undefined, known: WithQueries, place: Block["place"]): Query {
    if (select.limitCount !== undefined || select.limitOffset !== undefined)
      refuse(
        "LIMIT",
        excerpt({ SelectStmt: select }),
        "which rows are kept depends on all others",
        "take it out of the view, and put it into the queries that read the view",
      );
    if (select.lockingClause !== undefined)
      refuse(
        "FOR UPDATE",
        excerpt({ SelectStmt: select }),
        "a fold would wait for writers",
        "take it out of the view",
      );
    const withQueries = this.withQueries(select, outer, known);
    const plain: SelectStmt = { ...select };
    delete plain.withClause;
    // The order of a view's rows is none of its promises; where an aggregate depends on it, that is refused.
    delete plain.sortClause;
    if (plain.op !== undefined && plain.op !== "SETOP_NONE") {
      const left = this.query(plain.larg ?? {}, outer, withQueries, place);
      const right = this.query(plain.rarg ?? {}, outer, withQueries, place);
      return {
        kind: "set",
        select: { ...plain, larg: left.select, rarg: right.select },
        branches: [left, right],
      };
    }
    // DISTINCT ON chooses by the order.
    if (isDistinctOn(select) && select.sortClause !== undefined) plain.sortClause = select.sortClause;
    return this.block(plain, outer, withQueries, place);
  }

  private withQueries(select: SelectStmt, outer: Scope | undefined, known: WithQueries): WithQueries {
    const all: WithQueries = new Map(known);
    if (select.withClause?.recursive === true)
      refuse(
        "WITH RECURSIVE",
        excerpt({ SelectStmt: select }),
        "a changed row can reach any other through the recursion",
      );
    for (const node of select.withClause?.ctes ?? []) {
      const {
        ctename = "",
        ctequery,
        aliascolnames,
      } = (node as { CommonTableExpr: CommonTableExpr }).CommonTableExpr;
      if (ctequery === undefined || !("SelectStmt" in ctequery))
        return refuse("WITH", ctename, "it is not a SELECT");
      const inner = ctequery.SelectStmt;
      if (inner.valuesLists !== undefined) refuseQueriesIn(inner);
      const before: WithQueries = new Map(all);
      all.set(ctename, () => {
        const query = this.query(inner, outer, before, "from");
        return { query, columns: aliascolnames?.map(textOf) ?? columnNames(query) };
      });
    }
    return all;
  }

  private block(
    select: SelectStmt,
    outer: Scope | undefined,
    known: WithQueries,
    place: Block["place"],
  ): Block {
    const scope: Scope = { items: new Map(), merged: new Map(), outer };
    const conditions: Condition[] = [];
    const from = (select.fromClause ?? []).map((node) => this.from(node, scope, known, conditions));
    const subqueries: Query[] = [];
    const resolve = <T>(tree: T): T => this.expression(tree, scope, known, subqueries);
    // Every column gets the name that it has now, before its expression is written in another way.
    const targetList = (select.targetList ?? []).map((node): Node => {
      if (!("ResTarget" in node) || node.ResTarget.val === undefined) return node;
      return { ResTarget: { ...node.ResTarget, name: node.ResTarget.name ?? nameOf(node.ResTarget.val) } };
    });
    const resolved: SelectStmt = { ...select, targetList, fromClause: from.map(({ node }) => node) };
    if (resolved.fromClause?.length === 0) delete resolved.fromClause;
    if (targetList.length > 0) resolved.targetList = resolve(targetList);
    else delete resolved.targetList;
    for (const part of [
      "whereClause",
      "groupClause",
      "havingClause",
      "windowClause",
      "distinctClause",
      "sortClause",
    ] as const) {
      if (select[part] !== undefined) Object.assign(resolved, { [part]: resolve<unknown>(select[part]) });
    }
    // ON conditions were resolved with their joins; their subqueries belong to this block as well.
    subqueries.push(...from.flatMap((each) => each.subqueries));
    for (const expression of conjuncts(resolved.whereClause)) conditions.push({ expression, bound: "all" });
    return describeBlock(
      resolved,
      [...scope.items.values()].map(({ item }) => item),
      conditions,
      subqueries,
      place,
    );
  }

  /** Adds what stands in FROM to the scope, and its conditions. */
  private from(
    node: Node,
    scope: Scope,
    known: WithQueries,
    conditions: Condition[],
  ): { node: Node; aliases: Set<string>; subqueries: Query[]; columns: Map<string, Node> } {
    if ("RangeVar" in node) return this.table(node.RangeVar, scope, known);
    if ("RangeSubselect" in node) return this.subselect(node.RangeSubselect, scope, known);
    if ("RangeFunction" in node) return this.rangeFunction(node.RangeFunction, scope, known);
    if ("JoinExpr" in node) return this.join(node.JoinExpr, scope, known, conditions);
    return refuse("FROM", excerpt(node), "what stands there is not supported");
  }

  private table(table: RangeVar, scope: Scope, known: WithQueries): ReturnType<Resolver["from"]> {
    const name = table.alias?.aliasname ?? table.relname ?? "";
    const withQuery = table.schemaname === undefined ? known.get(table.relname ?? "") : undefined;
    if (withQuery !== undefined) {
      const { query, columns } = withQuery(name);
      return this.derived(query, name, renamed(columns, table.alias?.colnames), scope, false);
    }
    const relation = this.relations.find(
      (each) => each.schema === (table.schemaname ?? "pg_catalog") && each.name === table.relname,
    );
    if (relation === undefined)
      return refuse(
        "FROM",
        excerpt({ RangeVar: table }),
        "this relation is not known",
        "name it with its schema",
      );
    if (relation.kind === "v") {
      const query = this.query(parseSelect(relation.definition ?? ""), undefined, new Map(), "from");
      const columns = relation.columns.map((column) => column.name);
      return this.derived(query, name, renamed(columns, table.alias?.colnames), scope, false);
    }
    const alias = this.uniqueAlias(name);
    const columns = relation.columns.map((column) => column.name);
    const item: Scan = { kind: "scan", alias, relation, isNullable: false };
    // A list of column aliases would hide the names that the catalog has; references get those names instead.
    scope.items.set(name, { item, columns: renamed(columns, table.alias?.colnames) });
    if (table.inh !== true)
      refuse(
        "ONLY",
        excerpt({ RangeVar: table }),
        "rows of the partitions are left out, and their triggers cannot tell",
      );
    return {
      node: tableNode(item),
      aliases: new Set([alias]),
      subqueries: [],
      columns: visible(item, columns, renamed(columns, table.alias?.colnames)),
    };
  }

  private subselect(sub: RangeSubselect, scope: Scope, known: WithQueries): ReturnType<Resolver["from"]> {
    const name = sub.alias?.aliasname ?? "unnamed_subquery";
    const subquery = sub.subquery;
    if (subquery === undefined || !("SelectStmt" in subquery))
      return refuse("FROM", name, "it is not a SELECT");
    if (subquery.SelectStmt.valuesLists !== undefined) {
      refuseQueriesIn(subquery.SelectStmt);
      const width = listOf(subquery.SelectStmt.valuesLists[0]).length;
      const columns = Array.from({ length: width }, (_, index) => `column${index + 1}`);
      return this.opaque(
        { RangeSubselect: { ...sub, subquery: this.expression(subquery, scope, known, []) } },
        sub.alias?.aliasname ?? name,
        renamed(columns, sub.alias?.colnames),
        scope,
      );
    }
    const outer = sub.lateral === true ? scope : scope.outer;
    const query = this.query(subquery.SelectStmt, outer, known, "from");
    return this.derived(
      query,
      name,
      renamed(columnNames(query), sub.alias?.colnames),
      scope,
      sub.lateral === true,
    );
  }

  private derived(
    query: Query,
    name: string,
    columns: string[],
    scope: Scope,
    isLateral: boolean,
  ): ReturnType<Resolver["from"]> {
    const alias = this.uniqueAlias(name);
    const item: Item = { kind: "derived", alias, query, columns, isNullable: false };
    scope.items.set(name, { item, columns });
    const colnames = columns.map((column): Node => ({ String: { sval: column } }));
    const node: Node = {
      RangeSubselect: {
        ...(isLateral ? { lateral: true } : {}),
        subquery: { SelectStmt: query.select },
        alias: { aliasname: alias, ...(colnames.length > 0 ? { colnames } : {}) },
      },
    };
    return { node, aliases: new Set([alias]), subqueries: [], columns: visible(item, columns, columns) };
  }

  private rangeFunction(call: RangeFunction, scope: Scope, known: WithQueries): ReturnType<Resolver["from"]> {
    const name = call.alias?.aliasname ?? "";
    if (name === "")
      return refuse("FROM", excerpt({ RangeFunction: call }), "a function there needs an alias");
    const subqueries: Query[] = [];
    const node: Node = { RangeFunction: this.expression(call, scope, known, subqueries) };
    const columns =
      call.alias?.colnames?.map(textOf) ??
      (call.coldeflist ?? []).map((each) => ("ColumnDef" in each ? (each.ColumnDef.colname ?? "") : ""));
    return { ...this.opaque(node, name, columns.length > 0 ? columns : [name], scope), subqueries };
  }

  private opaque(node: Node, name: string, columns: string[], scope: Scope): ReturnType<Resolver["from"]> {
    const alias = this.uniqueAlias(name);
    const item: Item = { kind: "opaque", alias, columns, isNullable: false };
    scope.items.set(name, { item, columns });
    const named = Object.values(node)[0] as { alias?: { aliasname?: string } };
    named.alias = { ...named.alias, aliasname: alias };
    return { node, aliases: new Set([alias]), subqueries: [], columns: visible(item, columns, columns) };
  }

  private join(
    join: JoinExpr,
    scope: Scope,
    known: WithQueries,
    conditions: Condition[],
  ): ReturnType<Resolver["from"]> {
    if (join.alias !== undefined || join.join_using_alias !== undefined)
      return refuse(
        "JOIN",
        excerpt({ JoinExpr: join }),
        "a join with an alias of its own is not supported",
        "take the alias away",
      );
    if (join.isNatural === true)
      return refuse("NATURAL JOIN", excerpt({ JoinExpr: join }), "write the columns: USING (…)");
    const left = this.from(join.larg as Node, scope, known, conditions);
    const right = this.from(join.rarg as Node, scope, known, conditions);
    const kind = join.jointype ?? "JOIN_INNER";
    const using = (join.usingClause ?? []).map(textOf);
    const columns = new Map([...left.columns, ...right.columns]);
    const subqueries: Query[] = [];
    const equalities = using.map((column): Node => {
      const [one, other] = [left.columns.get(column), right.columns.get(column)];
      if (one === undefined || other === undefined)
        return refuse("USING", column, "the column is not on both sides");
      const merged =
        kind === "JOIN_FULL"
          ? ({ CoalesceExpr: { args: [one, other] } } satisfies Node)
          : kind === "JOIN_RIGHT"
            ? other
            : one;
      columns.set(column, merged);
      scope.merged.set(column, merged);
      return { A_Expr: { kind: "AEXPR_OP", name: [{ String: { sval: "=" } }], lexpr: one, rexpr: other } };
    });
    const quals =
      using.length > 0
        ? conjunction(equalities)
        : join.quals && this.expression(join.quals, scope, known, subqueries);
    const nullable =
      kind === "JOIN_LEFT"
        ? right.aliases
        : kind === "JOIN_RIGHT"
          ? left.aliases
          : kind === "JOIN_FULL"
            ? new Set([...left.aliases, ...right.aliases])
            : new Set<string>();
    for (const { item } of scope.items.values()) if (nullable.has(item.alias)) item.isNullable = true;
    const bound = kind === "JOIN_INNER" ? "all" : kind === "JOIN_FULL" ? new Set<string>() : nullable;
    for (const expression of conjuncts(quals)) conditions.push({ expression, bound });
    const node: Node = {
      JoinExpr: {
        jointype: kind,
        larg: left.node,
        rarg: right.node,
        ...(quals === undefined ? {} : { quals }),
      },
    };
    return {
      node,
      aliases: new Set([...left.aliases, ...right.aliases]),
      subqueries: [...left.subqueries, ...right.subqueries, ...subqueries],
      columns,
    };
  }

  /** Resolves the columns of an expression, and the queries in it. */
  private expression<T>(tree: T, scope: Scope, known: WithQueries, subqueries: Query[]): T {
    return substitute(tree, (node) => {
      if ("ColumnRef" in node) return this.column(node, scope);
      if ("SubLink" in node) {
        const { subselect, testexpr, subLinkType } = node.SubLink;
        if (subselect === undefined || !("SelectStmt" in subselect)) return undefined;
        if (subLinkType === "ARRAY_SUBLINK")
          refuse(
            "ordered aggregate",
            excerpt(node),
            "its result depends on the order in which rows are read",
            "write (SELECT array_agg(… ORDER BY …) FROM …) with a unique key, or with what it aggregates",
          );
        const query = this.query(subselect.SelectStmt, scope, known, "expression");
        subqueries.push(query);
        const resolved: Node = { SubLink: { ...node.SubLink, subselect: { SelectStmt: query.select } } };
        if (testexpr !== undefined)
          resolved.SubLink.testexpr = this.expression(testexpr, scope, known, subqueries);
        return resolved;
      }
      return undefined;
    });
  }

  private column(node: Node, scope: Scope): Node | undefined {
    const fields = "ColumnRef" in node ? (node.ColumnRef.fields ?? []) : [];
    const place = excerpt(node);
    if (fields.some((field) => "A_Star" in field))
      return refuse(
        "whole row",
        place,
        "the row of a table as one value has columns that the query does not name",
        "name the columns",
      );
    const names = fields.map(textOf);
    const column = names.at(-1) ?? "";
    for (let around: Scope | undefined = scope; around !== undefined; around = around.outer) {
      if (names.length === 1) {
        const merged = around.merged.get(column);
        if (merged !== undefined) return merged;
      }
      const candidates =
        names.length === 1
          ? [...around.items.values()]
          : [around.items.get(names[0] ?? "")].filter((each) => each !== undefined);
      for (const { item, columns } of candidates) {
        const index = columns.indexOf(column);
        const own = item.kind === "scan" ? item.relation.columns.map(({ name }) => name) : item.columns;
        if (index >= 0) return columnRef({ alias: item.alias, column: own[index] ?? column });
      }
    }
    return refuse("column", place, "it names no column of what the query reads");
  }

  private uniqueAlias(wanted: string): string {
    for (let number = 1; ; number += 1) {
      const alias = number === 1 ? wanted : `${wanted}_${number}`;
      if (this.aliases.has(alias)) continue;
      this.aliases.add(alias);
      return alias;
    }
  }
}

function refuseQueriesIn(values: SelectStmt): void {
  if (hasSubquery(values.valuesLists))
    refuse("VALUES", excerpt({ SelectStmt: values }), "a subquery in it", "write the subquery into FROM");
}

/** Columns of an item as references, by the names that the query has for them. */
function visible(item: Item, own: string[], names: string[]): Map<string, Node> {
  return new Map(
    names.map((name, index) => [name, columnRef({ alias: item.alias, column: own[index] ?? name })]),
  );
}

export const isDistinctOn = (select: SelectStmt): boolean =>
  (select.distinctClause ?? []).some((node) => Object.keys(node).length > 0);

function describeBlock(
  select: SelectStmt,
  items: Item[],
  conditions: Condition[],
  subqueries: Query[],
  place: Block["place"],
): Block {
  const groups = select.groupClause ?? [];
  if (groups.some((node) => "GroupingSet" in node))
    refuse(
      "GROUPING SETS",
      excerpt({ SelectStmt: select }),
      "one row counts in several groups",
      "write one view for each set",
    );
  const targets = (select.targetList ?? []).map((node) => {
    const { name, val } = "ResTarget" in node ? node.ResTarget : {};
    const expression = val ?? node;
    return { name: name ?? nameOf(expression), expression };
  });
  const partitions: Node[][] = [];
  const isGrouped =
    groups.length > 0 ||
    select.havingClause !== undefined ||
    targets.some(({ expression }) => isAggregated(expression));
  if (isGrouped) partitions.push(groups);
  if (isDistinctOn(select)) partitions.push(select.distinctClause ?? []);
  const windows = new Map<string, Node[]>();
  for (const node of select.windowClause ?? []) {
    if ("WindowDef" in node) windows.set(node.WindowDef.name ?? "", node.WindowDef.partitionClause ?? []);
  }
  walk([select.targetList, select.distinctClause, select.sortClause], (node) => {
    if ("SubLink" in node) return false;
    if (!("FuncCall" in node) || node.FuncCall.over === undefined) return true;
    const { name, refname, partitionClause } = node.FuncCall.over;
    const named = windows.get(name ?? refname ?? "");
    partitions.push(partitionClause ?? named ?? []);
    return true;
  });
  return { kind: "block", select, items, conditions, targets, partitions, isGrouped, subqueries, place };
}

/** Whether the expression has an aggregate of its own block. User-defined ones are refused before they get here. */
function isAggregated(expression: Node): boolean {
  let found = false;
  walk(expression, (node) => {
    if ("SubLink" in node) return false;
    if (isAggregate(node)) found = true;
    return !found;
  });
  return found;
}

/** Whether a node is a call of an aggregate, and not of a window over one. */
export function isAggregate(node: Node): boolean {
  if (!("FuncCall" in node) || node.FuncCall.over !== undefined) return false;
  const { funcname, agg_star, agg_filter, agg_order, agg_within_group } = node.FuncCall;
  const name = textOf(funcname?.at(-1));
  return (
    AGGREGATES.has(name) ||
    agg_star === true ||
    agg_within_group === true ||
    agg_filter !== undefined ||
    agg_order !== undefined
  );
}

function conjunction(conditions: Node[]): Node | undefined {
  const [only] = conditions;
  return conditions.length < 2 ? only : { BoolExpr: { boolop: "AND_EXPR", args: conditions } };
}

function nameOf(expression: Node): string {
  return "ColumnRef" in expression ? textOf(expression.ColumnRef.fields?.at(-1)) : "?column?";
}

function renamed(columns: string[], aliases: Node[] | undefined): string[] {
  return columns.map((column, index) => (aliases?.[index] === undefined ? column : textOf(aliases[index])));
}

export function textOf(node: Node | undefined): string {
  return node !== undefined && "String" in node ? (node.String.sval ?? "") : "";
}

function listOf(node: Node | undefined): Node[] {
  return node !== undefined && "List" in node ? (node.List.items ?? []) : [];
}
