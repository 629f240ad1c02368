/** What a maintained view is made of, looked up for faults that touch it. */
import { escapeLiteral } from "pg";
import { inSchema, maintainedNames, type MaintainedNames } from "../../../handler/maintained";
import type { Bed } from "../../bed/bed";
import { ask, change, viewAt } from "../administrator";

/** Names of what maintains a view of the books. */
export const namesAt = (bed: Bed, place: 0 | 1): MaintainedNames => maintainedNames(viewAt(bed, place));

/** A trigger that tells a view's fold of changes, on a table of the books. */
export interface LogTrigger {
  table: string;
  /** As SQL. */
  name: string;
  sql: string;
}

/** Those of the first view. */
export function readTriggers(bed: Bed): Promise<LogTrigger[]> {
  return ask(
    bed,
    `SELECT t.tgrelid::regclass::text AS "table", quote_ident(t.tgname) AS "name", pg_get_triggerdef(t.oid) AS "sql"
       FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
      WHERE p.pronamespace = 'matview_refresh'::regnamespace AND starts_with(p.proname, $1)
      ORDER BY 1, 2`,
    [`${namesAt(bed, 0).base}__log_`],
  );
}

/** Columns that the first view takes for NOT NULL and that can be told otherwise. */
export function readRequired(bed: Bed): Promise<{ table: string; column: string }[]> {
  return ask(
    bed,
    `SELECT DISTINCT a.attrelid::regclass::text AS "table", quote_ident(a.attname) AS "column"
       FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
       JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'r'
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
      WHERE d.refclassid = 'pg_class'::regclass AND r.ev_class = $1::regclass AND a.attnotnull AND a.attidentity = ''
        AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))
      ORDER BY 1, 2`,
    [inSchema(namesAt(bed, 0).query)],
  );
}

/** A row that no change of the tables concerns: only a full run takes it away. */
export async function insertStrangeRow(bed: Bed): Promise<string> {
  const { sql } = viewAt(bed, 0);
  const keys = await ask<{ name: string; isText: boolean }>(
    bed,
    `SELECT a.attname AS "name", format_type(a.atttypid, NULL) IN ('text', 'character varying') AS "isText"
       FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
      WHERE i.indrelid = $1::regclass AND i.indisunique`,
    [sql],
  );
  const strange = JSON.stringify(
    Object.fromEntries(keys.map(({ name, isText }) => [name, isText ? "nobody's" : -1])),
  );
  await change(
    bed,
    `INSERT INTO ${sql} SELECT (jsonb_populate_record(v, ${escapeLiteral(strange)}::jsonb)).* FROM ${sql} v LIMIT 1`,
  );
  return `INSERT INTO ${sql} of a row like another with the key ${strange}`;
}
