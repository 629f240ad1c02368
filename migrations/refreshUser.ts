/** The database user of the refresh function, made after the migrations. */
import { escapeIdentifier } from "pg";
import { REFRESHER } from "../handler/maintained";
import type { MigrationSession } from "./session";

/** RDS's own role: whoever has it signs in with an IAM token instead of a password. Absent elsewhere. */
const RDS_IAM_ROLE = "rds_iam";

/**
 * Makes sure that the user the refresh function logs in as exists and may refresh: a login role without a password
 * in the refreshers' group and, on RDS, in the group that signs in by IAM. What is there already is left alone, so
 * it may run after every migration.
 *
 * @throws the server's error when the session's user may not create roles.
 */
export async function ensureRefreshUser(session: MigrationSession, user: string): Promise<void> {
  const roles = await session.query<{ rolname: string }>(
    "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY ($1)",
    [[user, REFRESHER, RDS_IAM_ROLE]],
  );
  const existing = new Set(roles.map(({ rolname }) => rolname));
  const quotedUser = escapeIdentifier(user);
  if (!existing.has(user)) await session.query(`CREATE ROLE ${quotedUser} LOGIN`);
  for (const group of [REFRESHER, RDS_IAM_ROLE]) {
    if (existing.has(group)) await session.query(`GRANT ${group} TO ${quotedUser}`);
  }
}
