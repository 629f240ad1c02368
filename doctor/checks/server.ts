/** The server as a whole: may it be written to, is its version kept, has it connections left, does it vacuum. */
import { BRING_STANDBY_BACK, IS_WAITING_FOR_STANDBY } from "../../handler/blockers";
import { SQLSTATE_RULES } from "../../handler/remedies";
import { check } from "../check";
import type { Finding } from "../finding";
import type { Reader } from "../reader";
import type { Scope } from "../scope";
import { countText } from "../words";

export interface ServerFacts {
  nowMs: number;
  isStandby: boolean;
  connections: number;
  /** What ordinary roles may have of them. */
  mostConnections: number;
  autovacuum: boolean;
  /** COMMIT waits for a standby, by the settings, and none is connected and in step. */
  lacksStandby: boolean;
  /** Sessions whose COMMIT waits for a standby, and goes on waiting, of those that may be seen; not asked where it is lacking. */
  waitingForStandby: number;
}

/** Last day of each major version, by the policy of postgresql.org/support/versioning. */
const END_OF_LIFE: Record<number, string> = {
  13: "2025-11-13",
  14: "2026-11-12",
  15: "2027-11-11",
  16: "2028-11-09",
  17: "2029-11-08",
  18: "2030-11-14",
};

const OLDEST_VERSION = 13;
const FULL_SHARE = 0.9;

export const server = check(
  "the server",
  async ({ rows }): Promise<ServerFacts> => {
    const [facts] = await rows<Omit<ServerFacts, "waitingForStandby">>(`
      SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::float8 AS "nowMs",
             pg_catalog.pg_is_in_recovery() AS "isStandby",
             (SELECT coalesce(pg_catalog.sum(numbackends), 0)::int FROM pg_catalog.pg_stat_database) AS "connections",
             pg_catalog.current_setting('max_connections')::int
               - pg_catalog.current_setting('superuser_reserved_connections')::int
               - coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int AS "mostConnections",
             pg_catalog.current_setting('autovacuum')::bool AND pg_catalog.current_setting('track_counts')::bool AS "autovacuum",
             pg_catalog.current_setting('synchronous_standby_names') <> '' AND NOT pg_catalog.pg_is_in_recovery()
               AND pg_catalog.current_setting('synchronous_commit') NOT IN ('off', 'local')
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_replication
                                WHERE coalesce(sync_state, 'unseen') IN ('sync', 'quorum', 'unseen')) AS "lacksStandby"`);
    const found = facts as Omit<ServerFacts, "waitingForStandby">;
    return { ...found, waitingForStandby: found.lacksStandby ? 0 : await waitingForStandby(rows) };
  },
  judgeServer,
);

/** Sessions whose COMMIT still waits a second later: every COMMIT does so for a moment. */
async function waitingForStandby(rows: Reader["rows"]): Promise<number> {
  const look = (): Promise<{ transaction: string }[]> =>
    rows(
      `SELECT a.pid || ' ' || a.xact_start AS "transaction" FROM pg_catalog.pg_stat_activity a WHERE ${IS_WAITING_FOR_STANDBY}`,
    );
  const first = await look();
  if (first.length === 0) return 0;
  await rows("SELECT pg_catalog.pg_sleep(1), pg_catalog.pg_stat_clear_snapshot()");
  const second = new Set((await look()).map(({ transaction }) => transaction));
  return first.filter(({ transaction }) => second.has(transaction)).length;
}

export function judgeServer(facts: ServerFacts, scope: Scope): Finding[] {
  const findings: Finding[] = [];
  const { version, serverVersion, address } = scope;
  const major = Math.floor(serverVersion / 10_000);
  if (facts.isStandby) {
    const context = { address, auth: "", connected: true, connectionLost: false };
    findings.push({
      name: "standby",
      grade: "will fail",
      what: `${address} is a standby or a reader endpoint: it takes no writes`,
      why: "Every refresh ends with SQLSTATE 25006.",
      remedy: SQLSTATE_RULES["25006"]?.remedy(context) ?? "",
    });
  }
  const { lacksStandby, waitingForStandby } = facts;
  if (lacksStandby) {
    findings.push({
      name: "synchronous-standby",
      grade: "will fail",
      what: "COMMIT waits for a synchronous standby, and none is connected and in step",
      why: "A refresh is done then, but nobody sees it and its locks stay: it runs into its timeout, and so does the next.",
      remedy: BRING_STANDBY_BACK,
    });
  } else if (waitingForStandby > 0) {
    findings.push({
      name: "synchronous-standby",
      grade: "will hurt",
      what: `COMMIT of ${countText(waitingForStandby)} ${waitingForStandby === 1 ? "session" : "sessions"} has waited for a synchronous standby for more than a second`,
      why: "A refresh keeps its locks for as long, and fails where that goes beyond its timeout.",
      remedy: BRING_STANDBY_BACK,
    });
  }
  const endOfLife = END_OF_LIFE[major];
  if (major < OLDEST_VERSION) {
    findings.push({
      name: "server-version",
      grade: "will fail",
      what: `PostgreSQL ${version} is older than what this product is made for`,
      why: `It uses what came with ${OLDEST_VERSION}, and was never run on anything older.`,
      remedy:
        "aws rds modify-db-instance --db-instance-identifier <id> --engine-version <17 or later> --allow-major-version-upgrade",
    });
  } else if (endOfLife !== undefined && facts.nowMs > Date.parse(endOfLife)) {
    findings.push({
      name: "server-version",
      grade: "worth knowing",
      what: `PostgreSQL ${version} has had no fixes since ${endOfLife}`,
      why: "Known faults stay, and RDS bills extended support. From 17 on a refresh needs no ownership of the view.",
      remedy:
        "aws rds modify-db-instance --db-instance-identifier <id> --engine-version <17 or later> --allow-major-version-upgrade",
    });
  }
  if (facts.connections >= FULL_SHARE * facts.mostConnections) {
    findings.push({
      name: "connections",
      grade: "will hurt",
      what: `${countText(facts.connections)} of ${countText(facts.mostConnections)} connections are taken`,
      why: "A refresh that gets none fails with SQLSTATE 53300, and is tried again until its time is up.",
      remedy:
        "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3 ORDER BY 4 DESC;" +
        "  -- then fewer in the pools, or RDS Proxy in front",
    });
  }
  if (!facts.autovacuum) {
    findings.push({
      name: "autovacuum-off",
      grade: "will hurt",
      what: "autovacuum is switched off on this server",
      why: "A concurrent refresh leaves the old version of each changed row behind, and a fold does too: nobody removes them.",
      remedy:
        "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf();  -- on RDS in the parameter group; track_counts too",
    });
  }
  return findings;
}
