import type { Node } from "@pgsql/types";
import assert from "node:assert/strict";
import { loadModule, parseSync } from "libpg-query";
import { toSql, withoutLocations } from "../../incremental/expression";

/** Conditions that mean something else, or nothing, once a pair of parentheses is left out. */
const EXPRESSIONS = [
  ...[
    "(a AND b) IS NULL",
    "(a OR b) IS NOT NULL",
    "(NOT a) IS NULL",
    "(NOT a) IS TRUE",
    "(a AND b) IS NOT FALSE",
  ],
  ...[
    "(a IS NULL) IS FALSE",
    "(a IS DISTINCT FROM b) IS FALSE",
    "(a IS DISTINCT FROM b) IS NULL",
    "(a = b) IN (c)",
  ],
  ...[
    "(a AND b) IN (true)",
    "(NOT a) IN (b)",
    "(a = b) BETWEEN c AND d",
    "(a > 1) = ANY (b)",
    "(a OR b) = ANY (c)",
  ],
  ...[
    "(a IS NULL) = ANY (b)",
    "(a IS NULL) IS DISTINCT FROM b",
    "(a BETWEEN b AND c) = d",
    "((a = b) = c) IS UNKNOWN",
  ],
  ...["CASE WHEN (a OR b) IS NULL THEN (NOT c) IS TRUE END", "NOT ((a AND b) IS NULL AND (c OR d) IS TRUE)"],
  ...[
    "a - (b - c)",
    "(a - b) - c",
    "- (a + b)",
    "(a || b)[1]",
    "(a + b)::text",
    "(a, b) IN ((1, 2), (3, 4))",
    "(a).b IS NULL",
  ],
];

describe("expressions as SQL", () => {
  before(() => loadModule());

  it("are read again as what they were", () => {
    const read = (sql: string): Node => withoutLocations(parseSync(sql).stmts?.[0]?.stmt ?? assert.fail(sql));
    for (const expression of EXPRESSIONS) {
      const tree = read(`SELECT ${expression} FROM t`);
      assert.deepEqual(read(toSql(tree)), tree, expression);
    }
  });
});
