/** Refreshes under way, and who stands in the way of one: live, from the lock table. */
import { blockersOfRefresh, LOCK_NAMESPACE, type Blocker, type LockMode } from "../../handler/blockers";
import type { Reader } from "../reader";
import type { CatalogView } from "./catalog";

/** A refresh that runs now. */
export interface RunningRefresh {
  oid: number;
  pid: number;
  /** Waits for a lock. */
  isWaiting: boolean;
  /** Since its transaction began; null where the role may not see it. */
  seconds: number | null;
}

/** A transaction that was left open for longer is in the way, and no refresh any more. */
const LEFT_OPEN_SECONDS = 5;

/**
 * Ours have the view's advisory lock, or that of a fold's lock table, before they ask for another; a REFRESH by anybody
 * else is known by its statement, where the role may see that.
 */
export async function readRunning(reader: Reader, views: CatalogView[]): Promise<RunningRefresh[]> {
  if (views.length === 0) return [];
  const oids = views.map(({ oid, parts }) => `(${oid}::oid, ${parts?.lockOid ?? "NULL"}::oid)`).join(", ");
  return reader.rows(`
    WITH locks AS MATERIALIZED (
      SELECT l.locktype, l.classid, l.objid, l.relation, l.mode, l.granted, l.pid FROM pg_catalog.pg_locks l
       WHERE l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
          OR NOT l.granted
    )
    SELECT v.oid::bigint::double precision AS "oid", l.pid AS "pid",
           EXISTS (SELECT FROM locks w WHERE w.pid = l.pid AND NOT w.granted) AS "isWaiting",
           pg_catalog.max(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start)) AS "seconds"
      FROM (VALUES ${oids}) AS v (oid, lock)
      JOIN locks l
        ON l.locktype = 'advisory' AND l.granted AND l.classid = ${LOCK_NAMESPACE} AND l.objid = v.oid
        OR l.locktype = 'relation' AND l.relation IN (v.oid, v.lock) AND l.mode IN ('ExclusiveLock', 'AccessExclusiveLock')
      JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE CASE WHEN l.locktype = 'advisory' OR l.relation = v.lock
                THEN a.state IS DISTINCT FROM 'idle in transaction'
                     OR a.state_change > pg_catalog.clock_timestamp() - interval '${LEFT_OPEN_SECONDS} seconds'
                ELSE a.state = 'active' AND a.query ~* '\\mrefresh\\s+materialized\\s+view\\M' END
     GROUP BY v.oid, l.pid`);
}

const LONGEST_LOOK_MS = 1_000;

/** Whom a refresh of the view, of that mode, has to wait for: without the refreshes of it that are under way. */
export async function readBlockers(
  reader: Reader,
  { oid, parts }: CatalogView,
  mode: LockMode,
  running: RunningRefresh[],
): Promise<Blocker[]> {
  const fold = parts === null ? null : { queryOid: parts.queryOid };
  const own = running.filter((each) => each.oid === oid).map(({ pid }) => pid);
  const found = await reader.use(
    (session) => blockersOfRefresh(session, LONGEST_LOOK_MS, { oid, fold }, mode),
    LONGEST_LOOK_MS,
  );
  return found.filter(({ pid }) => pid === null || !own.includes(pid));
}
