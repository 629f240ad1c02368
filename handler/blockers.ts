/** Who stands in the way of a refresh: asked of pg_locks once a wait for a lock has been given up. */
import { escapeLiteral } from "pg";
import { READS, type FoldFacts, type ViewFacts } from "./catalog";
import type { Session } from "./connect";
import { LOG_WRITER, WRITTEN_BESIDES } from "./maintained";

/** Of the two halves of a view's advisory lock, the first ("mvrf"); shown in pg_locks as classid. */
export const LOCK_NAMESPACE = 0x6d767266;

/** A session, or a prepared transaction, whose lock conflicts with the one that was waited for. Holds no row data. */
export interface Blocker {
  /** What it has locked, as SQL. */
  relation: string;
  /** False where it waits in the queue itself, in front of the refresh. */
  isGranted: boolean;
  /** Null for a prepared transaction. */
  pid: number | null;
  preparedTransaction: string | null;
  /** Login role or kind of process; null, as what follows, where the function's role may not see it. */
  user: string | null;
  state: string | null;
  /** Seconds that it has been in this state. */
  seconds: number | null;
}

/** The state of a session whose COMMIT waits for a synchronous standby. To end it frees its locks, until the next COMMIT. */
const WAITS_FOR_STANDBY = "waiting for a synchronous standby";

/** Whether a session `a` of pg_stat_activity does so, as SQL: a lock of the server's has the same name. */
export const IS_WAITING_FOR_STANDBY = "a.wait_event_type = 'IPC' AND a.wait_event = 'SyncRep'";

/** The state of such a session, as SQL. */
export const STATE = `CASE WHEN ${IS_WAITING_FOR_STANDBY} THEN '${WAITS_FOR_STANDBY}' ELSE a.state END`;

/** What lets a COMMIT go on that waits for a standby. */
export const BRING_STANDBY_BACK =
  "SELECT application_name, state, sync_state FROM pg_stat_replication;  " +
  "-- bring back a standby that synchronous_standby_names asks for, or take it out of that setting";

/** The modes that each mode of ours has to wait for. */
const CONFLICTS = {
  RowExclusiveLock: ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"],
  ExclusiveLock: [
    ...["RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock"],
    ...["ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"],
  ],
  get AccessExclusiveLock() {
    return ["AccessShareLock", ...this.ExclusiveLock];
  },
};

/*
 * The locks of a prepared transaction belong to no process. It is known by its own transaction id, which it has locked
 * under the same virtual transaction as all else.
 */
const PREPARED_TRANSACTION = `
  CASE WHEN l.pid IS NULL THEN
    (SELECT p.gid
       FROM pg_catalog.pg_locks own
       JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = own.transactionid
      WHERE own.locktype = 'transactionid' AND own.virtualtransaction = l.virtualtransaction LIMIT 1) END`;

const blockersWhere = (condition: string): string => `
SELECT coalesce(pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), '') AS "relation",
       pg_catalog.bool_or(l.granted) AS "isGranted", l.pid AS "pid", ${PREPARED_TRANSACTION} AS "preparedTransaction",
       coalesce(a.usename, a.backend_type) AS "user",
       ${STATE} AS "state",
       extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::double precision AS "seconds"
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_class c ON c.oid = CASE l.locktype WHEN 'advisory' THEN l.objid ELSE l.relation END
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
   AND (${condition})
 GROUP BY n.nspname, c.relname, l.pid, l.virtualtransaction, a.usename, a.backend_type, a.state, a.wait_event_type, a.wait_event, a.state_change
 ORDER BY "isGranted" DESC, a.state_change`;

/** What a view's query reads, through plain views and down to partitions: all of it is locked by a refresh. */
const readBy = (view: string): string => `
  WITH RECURSIVE read_by (oid) AS (
    SELECT ${view}
    UNION
    SELECT used.oid
      FROM read_by
      JOIN pg_catalog.pg_class reader ON reader.oid = read_by.oid
     CROSS JOIN LATERAL (
       SELECT source AS oid FROM ${READS} reads
        WHERE reads.reader = reader.oid AND (reader.relkind = 'v' OR reader.oid = ${view})
       UNION ALL
       SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = reader.oid) used
  )
  SELECT oid FROM read_by`;

/** What a fold writes beside the view, by the oid of its query: its own tables, and the logs of those that read the view. */
const writtenBesides = (view: number | null, query: number): string => `
  SELECT own.oid
    FROM pg_catalog.pg_class query
   CROSS JOIN LATERAL (SELECT pg_catalog.left(query.relname::text, -pg_catalog.length('query')) AS base) named
    JOIN pg_catalog.pg_class own ON own.relnamespace = query.relnamespace AND own.relkind = 'r'
     AND pg_catalog.starts_with(own.relname::text, named.base)
     AND pg_catalog.substr(own.relname::text, pg_catalog.length(named.base) + 1) ~ '${WRITTEN_BESIDES}'
   WHERE query.oid = ${query}
  UNION ALL
  SELECT log.oid
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_class query ON query.oid = ${query} AND query.relnamespace = p.pronamespace
    JOIN pg_catalog.pg_class log ON log.relnamespace = p.pronamespace AND log.relname::text || '${LOG_WRITER}' = p.proname
   WHERE t.tgrelid = ${view}`;

/** A lock on a relation, as pg_locks calls it. */
export type LockMode = keyof typeof CONFLICTS;

/**
 * Who holds, or waits in front of us for, a lock that a refresh of the view needs: its own mode on the view, and on
 * what a fold writes besides, and plain reading on what its query reads.
 */
export async function blockersOfRefresh(
  session: Session,
  limitMs: number,
  { oid, fold }: Pick<ViewFacts, "oid"> & { fold: Pick<FoldFacts, "queryOid"> | null },
  mode: LockMode,
): Promise<Blocker[]> {
  const conflicts = CONFLICTS[mode].map(escapeLiteral).join();
  const written =
    fold === null ? `= ${oid}` : `IN (SELECT ${oid} UNION ALL ${writtenBesides(oid, fold.queryOid)})`;
  return findBlockers(
    session,
    limitMs,
    `l.locktype = 'relation' AND (l.relation ${written} AND l.mode IN (${conflicts})
      OR l.mode = 'AccessExclusiveLock' AND l.relation IN (${readBy(`${fold?.queryOid ?? oid}::pg_catalog.oid`)}))`,
  );
}

/** The refresh that has the lock of a view: the advisory one of its oid, or that of a fold's lock table. */
export async function refreshInFront(session: Session, limitMs: number, oid: number): Promise<Blocker[]> {
  return findBlockers(
    session,
    limitMs,
    `l.granted AND (l.locktype = 'advisory' AND l.classid = ${LOCK_NAMESPACE} AND l.objid = ${oid}
      OR l.locktype = 'relation' AND l.relation = ${oid} AND l.mode = 'ExclusiveLock')`,
  );
}

/** Who keeps rows from being written to a table. */
export async function blockersOfWriting(
  session: Session,
  limitMs: number,
  table: string,
): Promise<Blocker[]> {
  const conflicts = CONFLICTS.RowExclusiveLock.map(escapeLiteral).join();
  return findBlockers(
    session,
    limitMs,
    `l.locktype = 'relation' AND l.relation = ${escapeLiteral(table)}::regclass AND l.mode IN (${conflicts})`,
  );
}

/**
 * By a condition over `l` (pg_locks), `c` and `n` (the relation and its schema). Empty where the answer does not come in
 * time: who cannot be told must not become a failure of its own.
 */
export async function findBlockers(session: Session, limitMs: number, condition: string): Promise<Blocker[]> {
  try {
    return (await session.resultWithin(limitMs, blockersWhere(condition))).rows as Blocker[];
  } catch {
    return [];
  }
}

/** `, held by pid 812 (etl, idle in transaction for 660 s) and 2 more`; nothing where nobody was found. */
export function heldBy([first, ...others]: Blocker[]): string {
  if (first === undefined) return "";
  return `, ${nameOf(first)}${others.length === 0 ? "" : ` and ${others.length} more`}`;
}

/** As many lines are kept of a failure, and each no longer than that. */
const MOST_LINES = 20;
const LONGEST_LINE = 300;

/** A line each, for the record: `public.jobs, held by pid 812 (etl, idle in transaction for 660 s)`. */
export function blockerLines(blockers: Blocker[]): string[] {
  return blockers
    .slice(0, MOST_LINES)
    .map((blocker) => `${blocker.relation}, ${nameOf(blocker)}`.slice(0, LONGEST_LINE));
}

/** `held by pid 812 (etl, idle in transaction for 660 s)`, or `behind` who waits for the same. */
function nameOf({ pid, preparedTransaction, user, state, seconds, isGranted }: Blocker): string {
  const who = pid === null ? `prepared transaction "${preparedTransaction}"` : `pid ${pid}`;
  const since = seconds === null ? "" : ` for ${Math.round(seconds)} s`;
  const about = [user, state === null ? null : `${state}${since}`].filter(Boolean);
  return `${isGranted ? "held by" : "behind"} ${who}${about.length === 0 ? "" : ` (${about.join(", ")})`}`;
}

/** SQL that ends the first of them; undefined where nobody was found. */
export function endBlocker([first]: Blocker[]): string | undefined {
  if (first === undefined) return undefined;
  if (first.state === WAITS_FOR_STANDBY) return BRING_STANDBY_BACK;
  return first.pid === null
    ? `ROLLBACK PREPARED ${escapeLiteral(first.preparedTransaction ?? "")};  -- or COMMIT PREPARED; in psql, as its owner`
    : `SELECT pg_terminate_backend(${first.pid});  -- or wait until it ends`;
}
