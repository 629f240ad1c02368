/**
 * What keeps VACUUM from removing old versions of rows: long transactions, prepared ones, replication slots, standbys.
 * A concurrent refresh leaves the old version of each changed row behind, and a fold those of its change tables.
 */
import { escapeIdentifier, escapeLiteral } from "pg";
import { check } from "../check";
import type { Finding, Findings } from "../finding";
import type { Scope } from "../scope";
import { bytesText, countText, secondsText } from "../words";

export interface OpenTransaction {
  pid: number;
  user: string | null;
  application: string;
  state: string;
  transactionSeconds: number;
  stateSeconds: number;
}

export interface Slot {
  name: string;
  isActive: boolean;
  kind: string;
  /** Write-ahead log that is kept for it, in bytes. */
  keptBytes: number | null;
  /** Transactions since the one whose rows it still needs. */
  heldXids: number | null;
}

export interface HorizonFacts {
  transactions: OpenTransaction[];
  prepared: { name: string; owner: string; seconds: number }[];
  slots: Slot[];
  standbys: { address: string; heldXids: number }[];
  /** Sessions of others of which only that they are there may be seen. */
  hidden: number;
}

/** So many transactions behind, a standby's query is no longer a short one. */
const MANY_XIDS = 1_000_000;

export const horizon = check(
  "what holds back VACUUM",
  async ({ rows }): Promise<HorizonFacts> => ({
    transactions: await rows<OpenTransaction>(`
      SELECT pid AS "pid", usename AS "user", application_name AS "application", state AS "state",
             extract(epoch FROM pg_catalog.clock_timestamp() - xact_start)::float8 AS "transactionSeconds",
             extract(epoch FROM pg_catalog.clock_timestamp() - state_change)::float8 AS "stateSeconds"
        FROM pg_catalog.pg_stat_activity
       WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
         AND backend_type = 'client backend' AND xact_start IS NOT NULL AND application_name <> 'matview-refresh'
       ORDER BY xact_start`),
    prepared: await rows(`
      SELECT gid AS "name", owner::text AS "owner",
             extract(epoch FROM pg_catalog.clock_timestamp() - prepared)::float8 AS "seconds"
        FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() ORDER BY prepared`),
    slots: await rows<Slot>(`
      SELECT slot_name::text AS "name", active AS "isActive", slot_type AS "kind",
             CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                  THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::float8 END AS "keptBytes",
             greatest(pg_catalog.age(xmin), pg_catalog.age(catalog_xmin))::float8 AS "heldXids"
        FROM pg_catalog.pg_replication_slots WHERE NOT temporary ORDER BY slot_name`),
    standbys: await rows(`
      SELECT coalesce(client_addr::text, application_name) AS "address", pg_catalog.age(backend_xmin)::float8 AS "heldXids"
        FROM pg_catalog.pg_stat_replication WHERE pg_catalog.age(backend_xmin) > ${MANY_XIDS}`),
    hidden: await hiddenSessions(rows),
  }),
  judgeHorizon,
);

async function hiddenSessions(rows: <Row extends object>(sql: string) => Promise<Row[]>): Promise<number> {
  const [row] = await rows<{ hidden: number }>(`
    SELECT pg_catalog.count(*)::int AS "hidden" FROM pg_catalog.pg_stat_activity
     WHERE datname = pg_catalog.current_database() AND query = '<insufficient privilege>'`);
  return row?.hidden ?? 0;
}

export function judgeHorizon(facts: HorizonFacts, { longSeconds, user }: Scope): Findings {
  const findings: Finding[] = [];
  const hurts = (name: string, what: string, why: string, remedy: string): void =>
    void findings.push({ name, grade: "will hurt", what, why, remedy });
  for (const one of facts.transactions) {
    const who = `pid ${one.pid} (${[one.user, one.application].filter(Boolean).join(", ")})`;
    const isIdle = one.state.startsWith("idle in transaction");
    if (isIdle && one.stateSeconds >= longSeconds) {
      const forGood =
        one.user === null
          ? ""
          : `  -- and for good: ALTER ROLE ${escapeIdentifier(one.user)} SET idle_in_transaction_session_timeout = '5min';`;
      hurts(
        "idle-in-transaction",
        `${who} has been idle in a transaction for ${secondsText(one.stateSeconds)}`,
        "It does nothing, keeps its locks, and lets no dead row be removed that it might still see: views and change tables grow.",
        `SELECT pg_terminate_backend(${one.pid});${forGood}`,
      );
    } else if (one.transactionSeconds >= longSeconds) {
      hurts(
        "long-transaction",
        `${who} has had a transaction open for ${secondsText(one.transactionSeconds)}`,
        "No row that died since then can be removed: what refreshes and folds leave behind piles up.",
        `SELECT pg_cancel_backend(${one.pid});  -- or wait until it ends; long reports belong on a replica`,
      );
    }
  }
  for (const { name, owner, seconds } of facts.prepared.filter((one) => one.seconds >= longSeconds)) {
    hurts(
      "prepared-transaction",
      `prepared transaction ${name} of ${owner} has been open for ${secondsText(seconds)}`,
      "It outlives sessions and restarts, keeps its locks, and lets no row be removed that died since then.",
      `ROLLBACK PREPARED ${escapeLiteral(name)};  -- or COMMIT PREPARED, when its manager says so`,
    );
  }
  for (const { name, isActive, kind, keptBytes, heldXids } of facts.slots) {
    if (!isActive && (keptBytes !== null || heldXids !== null)) {
      hurts(
        "replication-slot",
        `${kind} replication slot ${name} has no consumer, and keeps ${keptBytes === null ? "" : `${bytesText(keptBytes)} of write-ahead log`}${
          heldXids === null
            ? ""
            : `${keptBytes === null ? "" : " and "}the dead rows of ${countText(heldXids)} transactions`
        }`,
        "It keeps more with every refresh, until the disk is full. Dead rows of the catalog stay too, of which each concurrent refresh makes some.",
        `SELECT pg_drop_replication_slot(${escapeLiteral(name)});  -- if its consumer is gone for good`,
      );
    } else if (isActive && (heldXids ?? 0) > MANY_XIDS) {
      hurts(...heldByStandby(`replication slot ${name}`, heldXids ?? 0));
    }
  }
  for (const { address, heldXids } of facts.standbys) hurts(...heldByStandby(`standby ${address}`, heldXids));
  const notSeen =
    facts.hidden === 0
      ? []
      : [
          {
            what: `long and idle transactions of ${countText(facts.hidden)} session${facts.hidden === 1 ? "" : "s"} of others`,
            why: `${user} sees that they are there, and not what they do`,
            remedy: `GRANT pg_read_all_stats TO ${escapeIdentifier(user)};`,
          },
        ];
  return { findings, notSeen };
}

const heldByStandby = (who: string, xids: number): [string, string, string, string] => [
  "standby-feedback",
  `${who} still needs rows that died ${countText(xids)} transactions ago (hot_standby_feedback, or a consumer that lags)`,
  "A query there keeps dead rows here: views that are refreshed concurrently and change tables grow.",
  "ALTER SYSTEM SET hot_standby_feedback = off;  -- on the standby, or end its long queries: SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY xact_start",
];
