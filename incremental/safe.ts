/** Which expressions a writer's trigger may compute: those that can neither fail nor call code that can be replaced. */
import type { Node } from "@pgsql/types";
import { columnOf, contains, functionName, operatorOf } from "./expression";
import { textOf } from "./resolve";
import type { Relation } from "./source";

const COMPARISONS = new Set(["=", "<>", "<", ">", "<=", ">="]);
/** Casts that every value of the source's family survives. Not so a date as a timestamp: there are later dates. */
const SAFE_CASTS: Record<string, (family: string) => boolean> = {
  date: (family) => family === "moment",
  timestamp: (family) => family === "moment",
  int8: (family) => family === "integer",
  numeric: (family) => family === "integer" || family.includes("numeric"),
  text: (family) => family === "text",
  varchar: (family) => family === "text",
};

/** Whether a trigger may compute the expression over the columns of one table, whatever a row holds. */
export function isSafe(expression: unknown, relation: Relation): boolean {
  const typeOf = (node: Node | undefined): string | undefined => {
    const name = node && columnOf(node)?.column;
    const type = relation.columns.find((column) => column.name === name)?.type;
    if (type?.isBuiltIn !== true) return undefined;
    return /^timestamp\b/.test(type.name) ? "moment" : type.family;
  };
  return !contains(expression, (node) => {
    if ("ColumnRef" in node) return typeOf(node) === undefined;
    if ("A_Expr" in node) {
      const { kind, lexpr, rexpr } = node.A_Expr;
      // Of columns of other types, an operator may be anybody's.
      if (lexpr !== undefined && contains(lexpr, (each) => "ColumnRef" in each && typeOf(each) === "other"))
        return !isUuidLike(lexpr, relation);
      if (kind === "AEXPR_OP") return !COMPARISONS.has(operatorOf(node) ?? "");
      return (
        !["AEXPR_OP_ANY", "AEXPR_IN", "AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT", "AEXPR_BETWEEN"].includes(
          kind ?? "",
        ) || rexpr === undefined
      );
    }
    if ("TypeCast" in node) {
      const { arg, typeName } = node.TypeCast;
      if (arg !== undefined && isConstant(arg)) return false;
      const family = typeOf(arg);
      const safe = SAFE_CASTS[textOf(typeName?.names?.at(-1))];
      return (
        family === undefined || safe === undefined || !safe(family) || (typeName?.typmods?.length ?? 0) > 0
      );
    }
    if ("FuncCall" in node) {
      const [unit, time] = node.FuncCall.args ?? [];
      return (
        functionName(node) !== "date_trunc" ||
        unit === undefined ||
        !isConstant(unit) ||
        typeOf(time) !== "moment"
      );
    }
    return ![
      ...[
        "A_Const",
        "A_ArrayExpr",
        "List",
        "BoolExpr",
        "NullTest",
        "BooleanTest",
        "CaseExpr",
        "CaseWhen",
        "CoalesceExpr",
      ],
      ...["TypeName", "String", "Integer", "Float", "Boolean"],
    ].some((kind) => kind in node);
  });
}

const isConstant = (node: Node): boolean =>
  "A_Const" in node ||
  ("TypeCast" in node && node.TypeCast.arg !== undefined && isConstant(node.TypeCast.arg)) ||
  ("A_ArrayExpr" in node && (node.A_ArrayExpr.elements ?? []).every(isConstant));

/** Built-in types of the family `other` whose comparisons cannot fail: all of PostgreSQL's own that are keys. */
function isUuidLike(expression: Node, relation: Relation): boolean {
  return !contains(expression, (node) => {
    const name = columnOf(node)?.column;
    if (name === undefined) return false;
    const type = relation.columns.find((column) => column.name === name)?.type;
    return !(type?.isBuiltIn === true && type.isIdentity);
  });
}

/** Whether what the expression gives depends on the session's TimeZone. */
export const dependsOnTimeZone = (expression: unknown, relation: Relation): boolean =>
  contains(expression, (node) => "TypeCast" in node || "FuncCall" in node) &&
  relation.columns.some(
    (column) =>
      column.type.name.startsWith("timestamp with") || column.type.name === "timestamp with time zone",
  );
