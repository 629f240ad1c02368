/** Compares a maintained view with its own query, after a fold, in the snapshot of that fold. */
import { escapeIdentifier } from "pg";
import { inSchema } from "../handler/maintained";
import { USABLE_INDEX } from "../handler/catalog";
import type { Session } from "../handler/connect";
import { qualifiedName, quotedName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import { IncrementalFailure } from "./failure";
import { foldLocks, foldSettings } from "./install/fill";
import { revertCommand } from "./install/hindrances";
import { describeRelation, catalogRows } from "./install/relation";
import { isQueryGone, QUERY_GONE } from "./install/state";
import { maintainedState } from "./install/maintainedState";
import { transactionOf } from "./install/step";

/** One row that is not as the query has it; as JSON text, so that 1.0 and 1.00 differ to the eye too. */
export interface Difference {
  kind: "missing" | "extra" | "different";
  published: string | null;
  query: string | null;
}

export interface Verification {
  /** What the fold before it came to: `incremental`, or `refused` with the reason why a full run is due, or `paused`. */
  fold: { kind: string; reason: string | null; changes: number | null };
  /** Rows of the query. */
  rows: number;
  missing: number;
  extra: number;
  different: number;
  examples: Difference[];
}

/**
 * No full run is begun: it would put right what is to be found.
 * @param mostExamples how many of the rows that differ are shown.
 */
export async function verify(
  session: Session,
  view: QualifiedName,
  { mostExamples, lockTimeoutMs }: { mostExamples: number; lockTimeoutMs: number },
): Promise<Verification> {
  const state = await maintainedState(session, view);
  const { names, maintainer, relation } = state;
  if (isQueryGone(state))
    throw new IncrementalFailure(`${qualifiedName(view)}: ${QUERY_GONE}`, revertCommand(view));
  const described = await describeRelation(session, view);
  const columns = (described?.columns ?? []).map(({ name }) => name);
  const key = (await uniqueKey(session, relation.oid)) ?? columns;
  const text = transactionOf(
    {
      title: "",
      role: maintainer,
      hasOneSnapshot: true,
      lockFirst: foldLocks({ names }),
      statements: [
        foldSettings({ names }),
        `SELECT kind, reason, changes::float8 AS changes FROM ${inSchema(names.fold)}(false, interval '100 years', false)`,
        comparison({ published: quotedName(view), query: inSchema(names.query), key, columns, mostExamples }),
      ],
      locks: [],
    },
    lockTimeoutMs,
  );
  const results = await session.results(text).catch(async (error: unknown) => {
    if (!session.lost) await session.query("ROLLBACK");
    throw error;
  });
  const compared = results.at(-2)?.rows[0] as Omit<Verification, "fold">;
  return { fold: results.at(-3)?.rows[0] as Verification["fold"], ...compared };
}

/** Columns of the first unique index that tells all rows apart. */
async function uniqueKey(session: Session, oid: number): Promise<string[] | undefined> {
  const [row] = await catalogRows<{ key: string[] }>(
    session,
    `SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k (attnum, position)
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                   WHERE k.position <= i.indnkeyatts ORDER BY k.position) AS "key"
       FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am am ON am.oid = ic.relam
      WHERE i.indrelid = ${oid} AND ${USABLE_INDEX}
      ORDER BY i.indnkeyatts, ic.relname LIMIT 1`,
  );
  return row?.key;
}

interface Compared {
  published: string;
  query: string;
  key: string[];
  columns: string[];
  mostExamples: number;
}

/** By the image of the rows, in which nothing is equal that is not identical; nulls in a key are equal there. */
function comparison({ published, query, key, columns, mostExamples }: Compared): string {
  const rowOf = (names: string[]): string =>
    `ROW(${names.map((name) => `t.${escapeIdentifier(name)}`).join(", ")})::record`;
  const side = (from: string): string =>
    `(SELECT ${rowOf(key)} AS key, ${rowOf(columns)} AS image, row_to_json(t)::text AS shown FROM ${from} t)`;
  return `WITH compared AS MATERIALIZED (
  SELECT CASE WHEN p.shown IS NULL THEN 'missing' WHEN q.shown IS NULL THEN 'extra'
              WHEN p.image OPERATOR(pg_catalog.*<>) q.image THEN 'different' END AS kind,
         p.shown AS published, q.shown AS query
    FROM ${side(published)} p FULL JOIN ${side(query)} q ON p.key OPERATOR(pg_catalog.*=) q.key
)
SELECT count(query)::float8 AS "rows",
       count(*) FILTER (WHERE kind = 'missing')::float8 AS "missing",
       count(*) FILTER (WHERE kind = 'extra')::float8 AS "extra",
       count(*) FILTER (WHERE kind = 'different')::float8 AS "different",
       (SELECT coalesce(json_agg(few), '[]') FROM (
          SELECT * FROM compared WHERE kind IS NOT NULL ORDER BY kind, query, published LIMIT ${mostExamples}) few) AS "examples"
  FROM compared`;
}
