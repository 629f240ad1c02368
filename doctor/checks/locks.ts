/** Refreshes that wait now, and whoever would keep the next one waiting. */
import {
  blockersOfRefresh,
  endBlocker,
  heldBy,
  LOCK_NAMESPACE,
  STATE,
  type Blocker,
  type LockMode,
} from "../../handler/blockers";
import type { Check } from "../check";
import { LONGEST_LOOK_MS, readOnly, type Reader } from "../reader";
import type { Finding } from "../finding";
import type { Patient, Scope } from "../scope";
import { secondsText } from "../words";

/** A refresh that waits for a lock. */
export interface Waiting {
  oid: number;
  pid: number;
  user: string | null;
  waitedSeconds: number | null;
  blocker: Blocker;
}

/*
 * A refresh is known by its locks, which everybody may see: that on the view's oid under our own number, or the one
 * that nobody else takes of a materialized view; a fold has one on a table of its own.
 */
const REFRESHES = `
  SELECT DISTINCT l.pid, asked.oid
    FROM ROWS FROM (pg_catalog.unnest($1::int8[]), pg_catalog.unnest($2::int8[])) AS asked (oid, lock)
    JOIN pg_catalog.pg_locks l
      ON l.pid IS NOT NULL
     AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
     AND (l.locktype = 'advisory' AND l.classid::int8 = ${LOCK_NAMESPACE} AND l.objid::int8 IN (asked.oid, asked.lock)
          OR l.locktype = 'relation' AND l.relation::int8 = asked.oid AND l.mode IN ('ExclusiveLock', 'AccessExclusiveLock')
             AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = asked.oid AND c.relkind = 'm')
          OR l.locktype = 'relation' AND l.relation::int8 = asked.lock AND l.mode = 'ExclusiveLock')`;

const WAITING = `
WITH refreshes AS (${REFRESHES})
SELECT DISTINCT ON (r.pid) r.oid::float8 AS "oid", r.pid AS "pid", mine.usename AS "user",
       extract(epoch FROM pg_catalog.clock_timestamp() - mine.state_change)::float8 AS "waitedSeconds",
       pg_catalog.json_build_object('relation', coalesce(l.relation::regclass::text, ''), 'isGranted', true, 'pid', nullif(b.pid, 0),
         'preparedTransaction', CASE WHEN b.pid = 0 THEN coalesce(
             (SELECT p.gid FROM pg_catalog.pg_locks own
                JOIN pg_catalog.pg_locks held ON held.virtualtransaction = own.virtualtransaction
                 AND held.pid IS NULL AND held.relation = l.relation
                JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = own.transactionid
               WHERE own.locktype = 'transactionid' AND own.pid IS NULL LIMIT 1), '?') END,
         'user', coalesce(a.usename, a.backend_type), 'state', ${STATE},
         'seconds', extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)) AS "blocker"
  FROM refreshes r
  JOIN pg_catalog.pg_locks l ON l.pid = r.pid AND NOT l.granted
 CROSS JOIN LATERAL (SELECT pid FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(r.pid)) AS pid
                      WHERE pid NOT IN (SELECT other.pid FROM refreshes other JOIN pg_catalog.pg_locks w ON w.pid = other.pid AND NOT w.granted)
                      ORDER BY pid LIMIT 1) b
  LEFT JOIN pg_catalog.pg_stat_activity mine ON mine.pid = r.pid
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
 ORDER BY r.pid`;

/** A session in such a state for that long is not about to go on. */
const STUCK_SECONDS = 30;

export const locks: Check = {
  about: "who holds locks",
  isOutside: true,
  async run({ session }, scope) {
    const there = scope.patients.filter(({ facts }) => facts.oid !== null);
    const oids = there.map(({ facts }) => facts.oid);
    const lockOids = there.map(({ facts }) => facts.fold?.lockOid ?? 0);
    const read = async <Row extends object>(sql: string): Promise<Row[]> =>
      readOnly(session, LONGEST_LOOK_MS, ({ rows }: Reader) => rows<Row>(sql, [oids, lockOids]));
    const waiting = await read<Waiting>(WAITING);
    const findings = waiting.map((one) => judgeWaiting(one, scope));
    const refreshes = new Set((await read<{ pid: number }>(REFRESHES)).map(({ pid }) => pid));
    for (const patient of there) {
      const held = await blockersOfRefresh(session, LONGEST_LOOK_MS, patient.facts, lockOf(patient));
      const stuck = held.filter(({ pid }) => pid === null || !refreshes.has(pid));
      const told = waiting.some(({ oid }) => oid === patient.facts.oid);
      if (!told) findings.push(...judgeHolders(patient, stuck, scope));
    }
    return { findings, notSeen: [] };
  },
};

/** What the next refresh of it takes. */
function lockOf({ facts }: Patient): LockMode {
  if (facts.fold !== null) return "RowExclusiveLock";
  const isConcurrent = facts.populated && facts.usableIndexes.length > 0 && facts.ownerMayCreateTemp;
  return isConcurrent ? "ExclusiveLock" : "AccessExclusiveLock";
}

export function judgeWaiting(
  { oid, pid, user, waitedSeconds, blocker }: Waiting,
  { patients }: Scope,
): Finding {
  const view = patients.find(({ facts }) => facts.oid === oid)?.name;
  const since = waitedSeconds === null ? "" : ` for ${secondsText(waitedSeconds)}`;
  return {
    name: "refresh-waiting",
    grade: "will fail",
    ...(view === undefined ? {} : { view }),
    what: `a refresh (pid ${pid}${user === null ? "" : `, ${user}`}) waits${since} for a lock${heldBy([blocker])}`,
    why: "It gives up when its time is over, and whoever asks for the view meanwhile may queue behind it.",
    remedy: endBlocker([blocker]) ?? "",
  };
}

export function judgeHolders(
  { name, facts }: Patient,
  holders: Blocker[],
  { longSeconds }: Pick<Scope, "longSeconds">,
): Finding[] {
  const stuckSeconds = Math.min(STUCK_SECONDS, longSeconds);
  const [stuck] = holders.filter(
    ({ isGranted, pid, seconds, user }) =>
      isGranted &&
      user !== "autovacuum worker" &&
      (pid === null || seconds === null || seconds >= stuckSeconds),
  );
  if (stuck === undefined) return [];
  const isKnown = stuck.pid === null || stuck.seconds !== null;
  return [
    {
      name: "locked",
      grade: isKnown ? "will fail" : "will hurt",
      view: name,
      what: `what a refresh needs is locked: ${stuck.relation}${heldBy([stuck])}`,
      why: `The next refresh waits ${facts.usableIndexes.length > 0 || facts.fold !== null ? 5 : 1} s for it and fails with SQLSTATE 55P03, again and again.${isKnown ? "" : " How long it has been held may not be seen."}`,
      remedy: endBlocker([stuck]) ?? "",
    },
  ];
}
