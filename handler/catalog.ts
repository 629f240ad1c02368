/** What PostgreSQL says of a view, asked before anything is tried. */
import type { Session } from "./connect";
import { quotedName } from "./names";
import type { ViewSettings } from "./settings";

/** What may be done with `public.matview_refresh_history`. */
export interface HistoryAccess {
  mayInsert: boolean;
  maySelect: boolean;
  mayDelete: boolean;
}

/** The facts that decide how, and whether, a view can be refreshed. */
export interface ViewFacts {
  schemaExists: boolean;
  /** pg_class.oid; null when there is no relation of that name. */
  oid: number | null;
  /** pg_class.relkind: `m` for a materialized view. */
  relkind: string | null;
  /** The view's name as SQL, quoted where it must be. */
  sqlName: string | null;
  populated: boolean;
  owner: string;
  currentUser: string;
  /** server_version_num, such as 180004. */
  serverVersion: number;
  database: string;
  /** Whether the current user owns it, has the owner's rights, or has MAINTAIN on it (17 and later). */
  mayRefresh: boolean;
  mayUseSchema: boolean;
  /** A concurrent refresh makes its temporary table as the owner, whoever runs it. */
  ownerMayCreateTemp: boolean;
  /** Unique indexes a concurrent refresh can match rows by, as SQL names with their columns. */
  usableIndexes: string[];
  history: HistoryAccess;
  viewReadable: boolean;
  /** Whether the configured statistics relation is there and readable. */
  statisticsReadable: boolean;
  /** The database's clock, ISO 8601 in UTC with microseconds; read before the snapshot of the refresh. */
  clock: string;
}

export const HISTORY_TABLE = "public.matview_refresh_history";

/** SQL for a time as ISO 8601 text in UTC: it sorts as text and casts back without regard to DateStyle. */
export const isoTime = (time: string): string =>
  `pg_catalog.to_char(${time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/*
 * The rule of the server (is_usable_unique_index in matview.c): unique, valid, checked at once, no predicate, plain
 * columns only; a btree before version 18.
 */
const USABLE_INDEX = `
  i.indisunique AND i.indisvalid AND i.indislive AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND (am.amname = 'btree' OR pg_catalog.current_setting('server_version_num')::int >= 180000)`;

/** Names of an index's columns, as SQL. */
export const INDEX_COLUMNS = `
  (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY k.position)
     FROM pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum)`;

const privilege = (table: string, name: string): string =>
  `coalesce(pg_catalog.has_table_privilege(${table}.oid, '${name}'), false)`;

const FACTS = `
WITH history AS (
  SELECT c.oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = 'public' AND c.relname = 'matview_refresh_history' AND c.relkind IN ('r', 'p')
     AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
), statistics AS (
  SELECT c.oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $3::text AND c.relname = $4::text AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
     AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
)
SELECT n.oid IS NOT NULL AS "schemaExists",
       c.oid AS "oid", c.relkind::text AS "relkind", coalesce(c.relispopulated, false) AS "populated",
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS "sqlName",
       coalesce(pg_catalog.pg_get_userbyid(c.relowner), '') AS "owner",
       current_user AS "currentUser",
       pg_catalog.current_setting('server_version_num')::int AS "serverVersion",
       pg_catalog.current_database() AS "database",
       coalesce(pg_catalog.pg_has_role(c.relowner, 'USAGE'), false)
         OR CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 170000
                 THEN ${privilege("c", "MAINTAIN")} ELSE false END AS "mayRefresh",
       coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false) AS "mayUseSchema",
       coalesce(pg_catalog.has_database_privilege(c.relowner, pg_catalog.current_database(), 'TEMP'), false)
         AS "ownerMayCreateTemp",
       ARRAY(SELECT pg_catalog.quote_ident(ic.relname) || ' (' || ${INDEX_COLUMNS} || ')'
               FROM pg_catalog.pg_index i
               JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
               JOIN pg_catalog.pg_am am ON am.oid = ic.relam
              WHERE i.indrelid = c.oid AND ${USABLE_INDEX}
              ORDER BY ic.relname) AS "usableIndexes",
       ${privilege("c", "SELECT")} AND coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false)
         AS "viewReadable",
       ${privilege("statistics", "SELECT")} AS "statisticsReadable",
       ${privilege("history", "INSERT")} AS "mayInsert",
       ${privilege("history", "SELECT")} AS "maySelect",
       ${privilege("history", "DELETE")} AS "mayDelete",
       ${isoTime("pg_catalog.clock_timestamp()")} AS "clock"
  FROM (SELECT) AS one
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1
  LEFT JOIN pg_catalog.pg_class c
         ON c.relnamespace = n.oid AND c.relname = $2 AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
  LEFT JOIN history ON true
  LEFT JOIN statistics ON true`;

/** Facts of one view as the current statement's snapshot shows them. Works in a transaction and outside one. */
export async function readFacts(session: Session, view: ViewSettings): Promise<ViewFacts> {
  const [row] = await session.query<Omit<ViewFacts, "history"> & HistoryAccess>(FACTS, [
    view.schema,
    view.name,
    view.statistics?.schema ?? null,
    view.statistics?.name ?? null,
  ]);
  if (row === undefined) throw new Error(`the catalog gave no answer about ${quotedName(view)}`);
  const { mayInsert, maySelect, mayDelete, ...facts } = row;
  return { ...facts, history: { mayInsert, maySelect, mayDelete } };
}

/** An advisory key of two halves, shown in pg_locks as classid and objid: ours ("mvrf"), and the view's oid. */
export const LOCK_NAMESPACE = 0x6d767266;
export const LOCK_KEY = `(${LOCK_NAMESPACE}::bigint << 32) | c.oid::bigint`;

const TRY_LOCK = `
SELECT c.oid AS "oid", pg_catalog.pg_try_advisory_xact_lock(${LOCK_KEY}) AS "locked"
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'm'`;

/**
 * Takes the view's lock until the transaction ends, or finds it taken. The lock belongs to the view's oid, so equal
 * names in two schemas never wait for each other; undefined when there is no such materialized view.
 */
export async function tryLock(
  session: Session,
  view: ViewSettings,
): Promise<{ oid: number; locked: boolean } | undefined> {
  const [row] = await session.query<{ oid: number; locked: boolean }>(TRY_LOCK, [view.schema, view.name]);
  return row;
}

/** Waits for the lock of a view that {@link tryLock} found taken, as long as statement_timeout lets it. */
export async function waitForLock(session: Session, oid: number): Promise<void> {
  await session.query(
    `SELECT pg_catalog.pg_advisory_xact_lock(${LOCK_KEY}) FROM (SELECT $1::pg_catalog.oid AS oid) AS c`,
    [oid],
  );
}
