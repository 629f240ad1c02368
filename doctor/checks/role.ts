/** The role that refreshes: is it there, can it log in the way the stack logs in, may it reach the database. */
import { escapeIdentifier } from "pg";
import { check } from "../check";
import type { Finding } from "../finding";
import type { Scope } from "../scope";
import { countText } from "../words";

export interface RoleFacts {
  exists: boolean;
  canLogin: boolean;
  isSuperuser: boolean;
  /** Its password's end, ISO 8601; null for none. */
  expiredAt: string | null;
  connections: number;
  /** -1 for no limit. */
  mostConnections: number;
  mayConnect: boolean;
  /** Null where the server has no such role: it is not RDS then. */
  hasRdsIam: boolean | null;
  hasRefresher: boolean;
}

export const role = check(
  "the role that refreshes",
  async ({ rows }, scope): Promise<RoleFacts> => {
    const [facts] = await rows<RoleFacts>(
      `SELECT r.oid IS NOT NULL AS "exists", coalesce(r.rolcanlogin, false) AS "canLogin",
              coalesce(r.rolsuper, false) AS "isSuperuser",
              CASE WHEN r.rolvaliduntil < pg_catalog.now() THEN r.rolvaliduntil::text END AS "expiredAt",
              (SELECT pg_catalog.count(*)::int FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid) AS "connections",
              coalesce(r.rolconnlimit, -1) AS "mostConnections",
              coalesce(pg_catalog.has_database_privilege(r.oid, pg_catalog.current_database(), 'CONNECT'), false) AS "mayConnect",
              (SELECT pg_catalog.pg_has_role(r.oid, iam.oid, 'MEMBER') FROM pg_catalog.pg_roles iam WHERE iam.rolname = 'rds_iam')
                AS "hasRdsIam",
              EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'matview_refresher') AS "hasRefresher"
         FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_roles r ON r.rolname = $1`,
      [scope.role],
    );
    return facts as RoleFacts;
  },
  judgeRole,
);

export function judgeRole(facts: RoleFacts, { role: name, database, stack, user }: Scope): Finding[] {
  const findings: Finding[] = [];
  const sql = escapeIdentifier(name);
  const fails = (what: string, why: string, remedy: string, kind: string): void =>
    void findings.push({ name: kind, grade: "will fail", what, why, remedy });
  const auth =
    stack?.plan.settings.database.auth ?? (stack && stack.plan.settings.database.host ? "iam" : undefined);
  if (!facts.exists) {
    const iam = auth === "iam" ? ` GRANT rds_iam TO ${sql};` : "";
    const refresher = facts.hasRefresher ? ` GRANT matview_refresher TO ${sql};` : "";
    fails(
      `role ${name} does not exist`,
      "Nobody can log in as it, so no refresh begins.",
      `CREATE ROLE ${sql} LOGIN;${iam}${refresher}  -- its rights on the views: the stack's output \`grants\``,
      "role-missing",
    );
    return findings;
  }
  const isJudgedForLogin = stack !== undefined || name !== user;
  if (!facts.canLogin && isJudgedForLogin) {
    fails(
      `role ${name} may not log in`,
      "Every run ends before its first statement.",
      `ALTER ROLE ${sql} LOGIN;`,
      "role-may-not-log-in",
    );
  }
  if (facts.expiredAt !== null && auth !== "iam") {
    fails(
      `the password of role ${name} expired at ${facts.expiredAt}`,
      "The server takes no expired password (SQLSTATE 28P01).",
      `ALTER ROLE ${sql} VALID UNTIL 'infinity';  -- or a new password`,
      "password-expired",
    );
  }
  if (!facts.mayConnect) {
    fails(
      `role ${name} may not connect to database ${database}`,
      "Every run ends before its first statement (SQLSTATE 42501).",
      `GRANT CONNECT ON DATABASE ${escapeIdentifier(database)} TO ${sql};`,
      "may-not-connect",
    );
  }
  if (facts.mostConnections >= 0 && !facts.isSuperuser && facts.mostConnections < 2) {
    findings.push({
      name: "connection-limit",
      grade: facts.mostConnections === 0 ? "will fail" : "will hurt",
      what: `role ${name} may have ${countText(facts.mostConnections)} connection${facts.mostConnections === 1 ? "" : "s"} at a time`,
      why: "A run needs one, and one more while another run or a refresh by hand still has its own (SQLSTATE 53300).",
      remedy: `ALTER ROLE ${sql} CONNECTION LIMIT 5;`,
    });
  }
  if (auth === "iam" && facts.hasRdsIam === null) {
    fails(
      "the stack logs in by IAM, and this server has no role rds_iam",
      "A server that is not RDS or Aurora takes no IAM token.",
      "pulumi config set --path database.auth secret  # with database.secretArn; or connect to the stack's own database",
      "iam-not-possible",
    );
  } else if (auth === "iam" && facts.hasRdsIam === false) {
    fails(
      `the stack logs in as ${name} by IAM, and ${name} is no member of rds_iam`,
      "The server asks it for a password and takes no token (SQLSTATE 28P01).",
      `GRANT rds_iam TO ${sql};`,
      "iam-not-granted",
    );
  } else if (auth === "secret" && facts.hasRdsIam === true && stack !== undefined && name !== user) {
    fails(
      `the stack logs in as ${name} by password, and ${name} is a member of rds_iam`,
      "RDS takes tokens alone from members of rds_iam (SQLSTATE 28P01).",
      `REVOKE rds_iam FROM ${sql};`,
      "password-not-taken",
    );
  }
  return findings;
}
