/** Pieces of SQL: names, restrictions, and queries with other things in the place of their tables. */
import type { Node, SelectStmt } from "@pgsql/types";
import { escapeIdentifier } from "pg";
import { quotedName } from "../handler/names";
import { parsed, substitute, toSql } from "./expression";
import type { Shape } from "./shape";
import type { Scan } from "./tree";

export const quoted = escapeIdentifier;

/** The condition that a row is of one of the affected keys. `expressions` are SQL, one for each column of the key. */
export function isAffected({ key, nullKeys }: Shape, expressions: string[]): string {
  const [only, ...others] = expressions;
  if (only !== undefined && others.length === 0) {
    const among = `(${only}) = ANY (${key[0]?.variable})`;
    return key[0]?.mayBeNull === true ? `(${among} OR (${nullKeys} AND (${only}) IS NULL))` : among;
  }
  const variables = key.map(({ variable }) => variable).join(", ");
  const among = `(${expressions.join(", ")}) IN (SELECT * FROM unnest(${variables}))`;
  if (!key.some(({ mayBeNull }) => mayBeNull)) return among;
  const names = key.map((_, index) => `k_${index + 1}`);
  const isSame = names
    .map((name, index) => `matview_affected.${name} IS NOT DISTINCT FROM (${expressions[index]})`)
    .join(" AND ");
  return `(${among} OR (${nullKeys} AND EXISTS (SELECT FROM unnest(${variables}) AS matview_affected (${names.join(", ")}) WHERE ${isSame})))`;
}

/** The condition for a scan that the key reaches by equalities alone, where NULL equals nothing. */
export function isReached({ key }: Shape, expressions: (string | undefined)[]): string {
  return expressions
    .flatMap((expression, index) =>
      expression === undefined ? [] : [`(${expression}) = ANY (${key[index]?.variable})`],
    )
    .join(" AND ");
}

/** The query's text, with some of its tables read only where a condition holds. By alias. */
export function withRestrictions(select: SelectStmt, conditions: Map<string, string>): string {
  const node: Node = { SelectStmt: select };
  return toSql(
    substitute(node, (each) => {
      if (!("RangeVar" in each)) return undefined;
      const condition = conditions.get(each.RangeVar.alias?.aliasname ?? "");
      if (condition === undefined) return undefined;
      const subquery: SelectStmt = {
        targetList: [{ ResTarget: { val: { ColumnRef: { fields: [{ A_Star: {} }] } } } }],
        fromClause: [each],
        whereClause: parsed(condition),
        limitOption: "LIMIT_OPTION_DEFAULT",
        op: "SETOP_NONE",
      };
      return {
        RangeSubselect: {
          subquery: { SelectStmt: subquery },
          alias: { aliasname: each.RangeVar.alias?.aliasname ?? "" },
        },
      };
    }),
  );
}

/** `schema.table AS alias`. */
export const fromScan = ({ relation, alias }: Scan): string => `${quotedName(relation)} AS ${quoted(alias)}`;

/** Whether two rows differ in any bit: `*<>` compares what is stored, and takes types that have no equality. */
export const differs = (one: string[], other: string[]): string =>
  `ROW(${one.join(", ")})::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(${other.join(", ")})::pg_catalog.record`;

/** A function body between quotes that do not occur in it. */
export function dollarQuoted(body: string): string {
  let tag = "$body$";
  for (let number = 1; body.includes(tag); number += 1) tag = `$body_${number}$`;
  return `${tag}\n${body}\n${tag}`;
}

export const indent = (text: string, spaces: number): string =>
  text.replaceAll(/^(?=.)/gm, " ".repeat(spaces));
