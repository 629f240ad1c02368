/** The order of several views: whatever a view reads comes before it. */
import { FOLDS, foldOf, HISTORY_OID, isRefreshed, READS } from "./catalog";
import { nameRows, qualifiedName } from "./names";
import type { QualifiedName, ViewSettings } from "./settings";

/** One view of a run that reads another, directly or through views of every kind between them. */
export interface Dependency {
  /** Qualified name of the view that reads. */
  reader: string;
  /** Qualified name of the view that is read. */
  source: string;
}

const dependenciesQuery = (views: QualifiedName[]): string => `
WITH RECURSIVE ${FOLDS}, chosen AS (
  SELECT c.oid, v.schema || '.' || v.name AS qualified
    FROM (VALUES ${nameRows(views)}) AS v (schema, name)
    JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name AND ${isRefreshed("c")}
), reached (reader, source) AS (
  SELECT oid, oid FROM chosen
  UNION
  SELECT reached.reader, used.oid
    FROM reached
    JOIN pg_catalog.pg_class c ON c.oid = reached.source
   CROSS JOIN LATERAL (
     SELECT reads.source FROM ${READS} reads WHERE reads.reader = c.oid
     UNION ALL
     SELECT fold.query FROM ${foldOf("c")} fold) reads
    JOIN pg_catalog.pg_class used ON used.oid = reads.source AND (used.relkind = 'v' OR ${isRefreshed("used")})
)
SELECT coalesce((
         SELECT pg_catalog.json_agg(pg_catalog.json_build_object('reader', reader.qualified, 'source', source.qualified))
           FROM reached
           JOIN chosen reader ON reader.oid = reached.reader
           JOIN chosen source ON source.oid = reached.source
          WHERE reached.reader <> reached.source), '[]') AS "dependencies",
       EXISTS (SELECT FROM (${HISTORY_OID}) h WHERE pg_catalog.has_table_privilege(h.oid, 'SELECT'))
         AS "mayReadHistory"`;

/** Who reads whom among the views of a run, and whether the role may read what history knows of them. */
interface Dependencies {
  /** Indirect ones too. Views that do not exist have none. */
  dependencies: Dependency[];
  mayReadHistory: boolean;
}

/** @param ask gives the rows of a query, in as much time as the caller has for it. */
export async function readDependencies(
  ask: (query: string) => Promise<object[]>,
  views: QualifiedName[],
): Promise<Dependencies> {
  const [row] = await ask(dependenciesQuery(views));
  return row as Dependencies;
}

/** Of each view that reads others of the run, by qualified name: the qualified names of those. */
export type Sources = ReadonlyMap<string, ReadonlySet<string>>;

/** The same dependencies by reader: a group of 200 views in 20 levels may have 19,000 of them. */
export function sourcesByReader(dependencies: Dependency[]): Sources {
  const sources = new Map<string, Set<string>>();
  for (const { reader, source } of dependencies) {
    const known = sources.get(reader);
    if (known === undefined) sources.set(reader, new Set([source]));
    else known.add(source);
  }
  return sources;
}

/** The views with every source before its readers, otherwise in the order of the settings. */
export function orderViews(views: ViewSettings[], sources: Sources): ViewSettings[] {
  const waiting = [...views];
  const names = new Set(waiting.map(qualifiedName));
  const ordered: ViewSettings[] = [];
  const isReady = (view: ViewSettings): boolean =>
    ![...(sources.get(qualifiedName(view)) ?? [])].some((source) => names.has(source));
  while (waiting.length > 0) {
    // PostgreSQL lets no view read itself, so some view is always ready.
    const [next] = waiting.splice(Math.max(0, waiting.findIndex(isReady)), 1);
    if (next === undefined) break;
    names.delete(qualifiedName(next));
    ordered.push(next);
  }
  return ordered;
}
