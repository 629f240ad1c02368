/** Maintains a view the short way: what the compiler made of it, put in place in one transaction. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import { quotedName } from "../../handler/names";
import { inSchema } from "../../handler/maintained";
import type { QualifiedName } from "../../handler/settings";
import * as product from "../../incremental/compile";
import type { Finding, Maintenance } from "../../incremental/maintenance";

import { readSource } from "../../incremental/readSource";
import type { ViewSource } from "../../incremental/source";
import { rolledBack } from "./query";

/** The compiler, or one that was tampered with. */
export type Compiler = Pick<typeof product, "compile">;

/** What a fold returns; counts are int8, which `pg` gives as text. */
export interface Folded {
  kind: "incremental" | "full" | "paused" | "refused";
  reason: string | null;
  changes: string;
  changed_rows: string;
  drift: string | null;
}

export interface Judged {
  source: ViewSource;
  findings: Finding[];
  maintenance: Maintenance | undefined;
}

export async function judgeView(
  client: Client,
  view: QualifiedName,
  compiler: Compiler = product,
): Promise<Judged> {
  const source = await rolledBack(client, (query) => readSource(query, view));
  const { findings, maintenance } = await compiler.compile(source);
  return { source, findings, maintenance };
}

/** Makes a materialized view with a unique index, which {@link judgeView} can judge. */
export async function createView(
  client: Client,
  view: QualifiedName,
  query: string,
  ...keys: string[]
): Promise<void> {
  const indexes = keys.map((key) => `CREATE UNIQUE INDEX ON ${quotedName(view)} (${key})`);
  await client.query([`CREATE MATERIALIZED VIEW ${quotedName(view)} AS ${query}`, ...indexes].join(";\n"));
}

/**
 * Judges and maintains a view.
 * @param edit changes what the compiler made, to find out what it was good for.
 */
export async function maintain(
  client: Client,
  view: QualifiedName,
  {
    compiler,
    edit = (made) => made,
  }: { compiler?: Compiler; edit?: (made: Maintenance) => Maintenance } = {},
): Promise<Maintenance> {
  const { source, findings, maintenance } = await judgeView(client, view, compiler);
  if (maintenance === undefined) {
    const refused = findings.filter(({ possible }) => possible === "no");
    assert.fail(`${quotedName(view)} is refused: ${JSON.stringify(refused, null, 1)}`);
  }
  const edited = edit(maintenance);
  await install(client, source, edited);
  return edited;
}

/** Puts in place what `apply` would, without its phases, its locks and its care for what the view has beside its rows. */
export async function install(
  client: Client,
  source: ViewSource,
  { names, logs, states, view, createFingerprint, createFold }: Maintenance,
): Promise<void> {
  const { rows: indexes } = await client.query<{ sql: string }>(
    `SELECT pg_get_indexdef(indexrelid) AS sql FROM pg_index WHERE indrelid = '${quotedName(view)}'::regclass`,
  );
  const statements = [
    "BEGIN",
    "CREATE SCHEMA IF NOT EXISTS matview_refresh",
    `CREATE VIEW ${inSchema(names.query)} AS ${source.definition.replace(/;\s*$/, "")}`,
    `CREATE TABLE ${inSchema(names.lock)} ()`,
    `CREATE TABLE ${inSchema(names.status)} (generator_version int, phase text, paused boolean,
       applied_at timestamptz, last_full_at timestamptz, last_full_reason text, drift bigint, drift_at timestamptz,
       shape text, content text, original jsonb)`,
    ...states.flatMap(({ query, querySql, create }) => [
      `CREATE VIEW ${inSchema(query)} AS ${querySql}`,
      ...create,
    ]),
    ...logs.flatMap((log) => [log.createTable, log.createFunction, ...log.triggers.map(({ sql }) => sql)]),
    createFingerprint,
    createFold,
    `DROP MATERIALIZED VIEW ${quotedName(view)}`,
    `CREATE TABLE ${quotedName(view)} AS SELECT * FROM ${inSchema(names.query)}`,
    ...indexes.map(({ sql }) => sql),
    ...states.map(({ fill }) => fill),
    `INSERT INTO ${inSchema(names.status)} (generator_version, phase, paused, applied_at, last_full_at, drift, shape, content)
       SELECT 1, 'maintained', false, now(), now(), 0, shape, content FROM ${inSchema(names.fingerprint)}()`,
    "COMMIT",
  ];
  try {
    await client.query(statements.join(";\n"));
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

/** The locks of a fold, which leave the snapshot open. */
export const foldLocks = ({ names }: Pick<Maintenance, "names">): string =>
  `LOCK TABLE ${inSchema(names.lock)} IN EXCLUSIVE MODE NOWAIT;
   LOCK TABLE ${inSchema(names.query)} IN ACCESS SHARE MODE`;

export const foldCall = (
  { names }: Pick<Maintenance, "names">,
  { full = false, allowFull = true }: { full?: boolean; allowFull?: boolean } = {},
): string => `SELECT * FROM ${inSchema(names.fold)}(${full}, '100 years', ${allowFull})`;

/** Rows that the published table has and its query has not (`extra`), or the other way round (`missing`). */
export const differencesQuery = ({ names, view }: Pick<Maintenance, "names" | "view">): string =>
  `(SELECT 'missing' AS what, d.* FROM (SELECT q::text AS row FROM ${inSchema(names.query)} q
                                        EXCEPT ALL SELECT p::text FROM ${quotedName(view)} p) d)
   UNION ALL
   (SELECT 'extra', d.* FROM (SELECT p::text FROM ${quotedName(view)} p
                              EXCEPT ALL SELECT q::text FROM ${inSchema(names.query)} q) d)`;

/** A row that is wrong. */
export interface Difference {
  what: "missing" | "extra";
  row: string;
}

/** Folds, and compares with the view's own query in the fold's own snapshot. */
export async function foldAndCompare(
  client: Client,
  maintenance: Pick<Maintenance, "names" | "view">,
  options: { full?: boolean; allowFull?: boolean } = {},
): Promise<{ folded: Folded; differences: Difference[] }> {
  try {
    // One round trip: what is compared must not depend on what this process does in between.
    const results = (await client.query(
      [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE",
        foldLocks(maintenance),
        foldCall(maintenance, options),
        differencesQuery(maintenance),
        "COMMIT",
      ].join(";\n"),
    )) as unknown as { rows: unknown[] }[];
    const [folded] = results.at(-3)?.rows as Folded[];
    assert.ok(folded);
    return { folded, differences: results.at(-2)?.rows as Difference[] };
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}
