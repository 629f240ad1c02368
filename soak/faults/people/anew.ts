/** Views that are dropped and made anew, as a migration does that changes a query. */
import type { Bed } from "../../bed/bed";
import { ask, change, viewAt } from "../administrator";

/** What a view is made anew from, as it was when this was read. */
interface Recipe {
  sql: string;
  /** The view, then its indexes, its owner and its grants. */
  statements: string[];
}

const RECIPE = `
SELECT ARRAY[format('CREATE MATERIALIZED VIEW %s AS %s', $1::text, rtrim(pg_get_viewdef(c.oid), ';'))]
       || ARRAY(SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = c.oid ORDER BY i.indexrelid)
       || format('ALTER MATERIALIZED VIEW %s OWNER TO %I', $1::text, pg_get_userbyid(c.relowner))
       || ARRAY(SELECT format('GRANT %s ON %s TO %s', a.privilege_type, $1::text,
                              CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
                  FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner) AS "statements"
  FROM pg_class c WHERE c.oid = $1::regclass AND c.relkind = 'm'`;

/** Both views of the books, in the order in which they can be made. */
async function readRecipes(bed: Bed): Promise<Recipe[]> {
  const recipes: Recipe[] = [];
  for (const { sql } of [viewAt(bed, 0), viewAt(bed, 1)]) {
    const [row] = await ask<{ statements: string[] }>(bed, RECIPE, [sql]);
    if (row === undefined) throw new Error(`${sql} is no materialized view`);
    recipes.push({ sql, statements: row.statements });
  }
  return recipes;
}

/** The one that others read cannot go without them. Whatever else reads it keeps it where it is. */
const dropAll = (recipes: Recipe[]): string =>
  `DROP MATERIALIZED VIEW ${recipes.map(({ sql }) => sql).join(", ")}`;

/** In one transaction: who looks sees the one or the other. */
export async function makeAnew(bed: Bed): Promise<void> {
  const recipes = await readRecipes(bed);
  await change(bed, dropAll(recipes), ...recipes.flatMap(({ statements }) => statements));
}

/** @returns what makes them anew, where they are not there */
export async function drop(bed: Bed): Promise<() => Promise<void>> {
  const recipes = await readRecipes(bed);
  await change(bed, dropAll(recipes));
  return async () => {
    for (const { sql, statements } of recipes) {
      const [row] = await ask<{ isThere: boolean }>(bed, `SELECT to_regclass($1) IS NOT NULL AS "isThere"`, [
        sql,
      ]);
      if (row?.isThere === false) await change(bed, ...statements);
    }
  };
}
