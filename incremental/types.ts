/** What type an expression has, as far as it must be known: where nothing is returned, nothing is proven. */
import type { Node, TypeName } from "@pgsql/types";
import { columnOf, functionName, operatorOf, toSql } from "./expression";
import { isAggregate, textOf } from "./resolve";
import type { ColumnType } from "./source";
import { blocksOf, type Item, type Query } from "./tree";

type Known = Pick<ColumnType, "isIdentity" | "family" | "isBuiltIn"> & { name?: string };

const known = (family: Known["family"], isIdentity: boolean): Known => ({
  family,
  isIdentity,
  isBuiltIn: true,
});
const INTEGER = known("integer", true);
const TEXT = known("text", true);
const BOOLEAN = known("boolean", true);
const TIME = known("time", true);
const NUMERIC = known("numeric", false);
const FLOAT = known("float", false);

const BY_TYPE_NAME: Record<string, Known> = {
  ...{
    int2: INTEGER,
    int4: INTEGER,
    int8: INTEGER,
    text: TEXT,
    varchar: TEXT,
    bool: BOOLEAN,
    uuid: known("other", true),
  },
  ...{
    date: TIME,
    timestamp: TIME,
    timestamptz: TIME,
    time: TIME,
    float4: FLOAT,
    float8: FLOAT,
    bytea: known("other", true),
  },
};

const BY_FUNCTION: Record<string, Known> = {
  ...{
    lower: TEXT,
    upper: TEXT,
    btrim: TEXT,
    ltrim: TEXT,
    rtrim: TEXT,
    substr: TEXT,
    substring: TEXT,
    left: TEXT,
    right: TEXT,
  },
  ...{
    concat: TEXT,
    concat_ws: TEXT,
    replace: TEXT,
    md5: TEXT,
    to_char: TEXT,
    length: INTEGER,
    char_length: INTEGER,
    date_trunc: TIME,
    date: TIME,
  },
  ...{
    count: INTEGER,
    row_number: INTEGER,
    rank: INTEGER,
    dense_rank: INTEGER,
    bool_and: BOOLEAN,
    bool_or: BOOLEAN,
    every: BOOLEAN,
    string_agg: TEXT,
  },
};

const COMPARISONS = new Set([
  "=",
  "<>",
  "<",
  ">",
  "<=",
  ">=",
  "~~",
  "!~~",
  "~~*",
  "!~~*",
  "~",
  "~*",
  "!~",
  "!~*",
]);

/** Types of the expressions of one query. */
export class Types {
  private readonly items: Map<string, Item>;

  constructor(query: Query) {
    this.items = new Map(
      blocksOf(query).flatMap(({ items }) => items.map((item) => [item.alias, item] as const)),
    );
  }

  of(expression: Node): Known | undefined {
    const column = columnOf(expression);
    if (column !== undefined) return this.ofColumn(this.items.get(column.alias), column.column);
    if ("TypeCast" in expression) return ofTypeName(expression.TypeCast.typeName);
    if ("CollateClause" in expression && expression.CollateClause.arg !== undefined)
      return this.of(expression.CollateClause.arg);
    if ("A_Const" in expression)
      return "sval" in expression.A_Const ? TEXT : "ival" in expression.A_Const ? INTEGER : undefined;
    if ("NullTest" in expression || "BooleanTest" in expression || "BoolExpr" in expression) return BOOLEAN;
    if ("CoalesceExpr" in expression) return this.common(expression.CoalesceExpr.args ?? []);
    if ("MinMaxExpr" in expression) return this.common(expression.MinMaxExpr.args ?? []);
    if ("CaseExpr" in expression) {
      const results = (expression.CaseExpr.args ?? []).map((when) =>
        "CaseWhen" in when ? when.CaseWhen.result : undefined,
      );
      return this.common([...results, expression.CaseExpr.defresult].filter((each) => each !== undefined));
    }
    const operator = operatorOf(expression);
    if (operator !== undefined && "A_Expr" in expression) {
      if (COMPARISONS.has(operator)) return BOOLEAN;
      const sides = [expression.A_Expr.lexpr, expression.A_Expr.rexpr]
        .filter((each) => each !== undefined)
        .map((each) => this.of(each));
      if (operator === "||") return sides.every((side) => side?.family === "text") ? TEXT : undefined;
      if (sides.every((side) => side?.family === "integer") && /^[-+*/%]$/.test(operator)) return INTEGER;
      if (
        sides.every(
          (side) =>
            side?.family === "integer" || side?.family === "numeric" || side?.family === "scaled numeric",
        )
      )
        return NUMERIC;
      return undefined;
    }
    if ("A_Expr" in expression) {
      const { kind, lexpr } = expression.A_Expr;
      return kind === "AEXPR_NULLIF" ? lexpr && this.of(lexpr) : BOOLEAN;
    }
    const name = functionName(expression);
    if (name === undefined || !("FuncCall" in expression)) return undefined;
    const [argument] = expression.FuncCall.args ?? [];
    if (isAggregate(expression) && argument !== undefined && /^(sum|avg|min|max)$/.test(name)) {
      const type = this.of(argument);
      if (name === "min" || name === "max" || type?.family === "float") return type;
      return name === "sum" && type?.family === "integer" ? INTEGER : NUMERIC;
    }
    const result = BY_FUNCTION[name];
    if (result === undefined || !OF_THEIR_ARGUMENT.has(name)) return result;
    // Functions of these names exist for ranges, bytea and interval as well.
    const given = (expression.FuncCall.args ?? []).map((each) => this.of(each));
    return given.some((type) => type?.family === result.family && type.isIdentity) ? result : undefined;
  }

  private ofColumn(item: Item | undefined, column: string): Known | undefined {
    if (item?.kind === "scan") return item.relation.columns.find(({ name }) => name === column)?.type;
    if (item?.kind !== "derived") return undefined;
    const index = item.columns.indexOf(column);
    return this.ofTarget(item.query, index);
  }

  /** Of a query's column, by number. */
  ofTarget(query: Query, index: number): Known | undefined {
    if (query.kind === "block") {
      const target = query.targets[index];
      return target === undefined ? undefined : this.of(target.expression);
    }
    const [one, other] = query.branches.map((branch) => this.ofTarget(branch, index));
    return one !== undefined && other !== undefined && isSameType(one, other) ? one : undefined;
  }

  private common(expressions: Node[]): Known | undefined {
    const types = expressions.filter((each) => !isNull(each)).map((each) => this.of(each));
    const [first] = types;
    if (first === undefined || types.some((type) => type === undefined)) return undefined;
    if (types.every((type) => type !== undefined && isSameType(type, first))) return first;
    // In one integers and text are alike; numerics of different scales are not.
    if (types.every((type) => type?.family === first.family && /integer|text/.test(first.family)))
      return types.find((type) => type?.isIdentity === false) ?? first;
    const areNumbers = types.every((type) => /integer|numeric/.test(type?.family ?? ""));
    return areNumbers ? NUMERIC : undefined;
  }
}

/** Functions whose result is of the family that one of their arguments is of. */
const OF_THEIR_ARGUMENT = new Set([
  ...["lower", "upper", "btrim", "ltrim", "rtrim", "substr", "substring", "left", "right", "replace"],
  ...["date_trunc", "date"],
]);

/** Whether values of both are the same where they are equal: numerics must have one scale. */
function isSameType(one: Known, other: Known): boolean {
  if (one.family !== other.family || !one.isIdentity || !other.isIdentity) return false;
  return one.family !== "scaled numeric" || (one.name !== undefined && one.name === other.name);
}

const isNull = (node: Node): boolean =>
  ("A_Const" in node && node.A_Const.isnull === true) ||
  ("TypeCast" in node && node.TypeCast.arg !== undefined && isNull(node.TypeCast.arg));

function ofTypeName(type: TypeName | undefined): Known | undefined {
  if (type === undefined || (type.arrayBounds?.length ?? 0) > 0) return undefined;
  const names = (type.names ?? []).map(textOf);
  const name = names.at(-1) ?? "";
  if (names.length > 1 && names[0] !== "pg_catalog") return undefined;
  if (name === "numeric" && (type.typmods?.length ?? 0) > 0)
    return {
      ...known("scaled numeric", true),
      name: `numeric(${(type.typmods ?? []).map((each) => toSql(each)).join(",")})`,
    };
  if (name === "numeric") return NUMERIC;
  if (name === "bpchar") return (type.typmods?.length ?? 0) > 0 ? TEXT : undefined;
  return BY_TYPE_NAME[name];
}

/** For messages. */
export const typeRemedy = (expression: Node): string =>
  `cast it to a type of which equal values are identical: (${toSql(expression)})::text, or ::numeric(p, s)`;
