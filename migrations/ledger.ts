/** The record of applied migrations, in the database itself. */
import type { Migration } from "./files";
import type { MigrationSession } from "./session";

/** What is recorded of a migration that was applied. */
export interface LedgerEntry {
  name: string;
  /** {@link Migration.checksum} of the file as it was applied. */
  checksum: string;
  appliedAt: Date;
  durationSeconds: number;
}

const ledgerTable = "public.matview_refresh_migrations";

/** Creates the table of applied migrations where it is missing. */
export async function createLedger(session: MigrationSession): Promise<void> {
  // Asked first: IF NOT EXISTS would send a notice on every run, and needs CREATE on the schema every time.
  if (await ledgerExists(session)) return;
  await session.query(`
    CREATE TABLE ${ledgerTable} (
      name text PRIMARY KEY,
      checksum text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now(),
      duration_seconds double precision NOT NULL
    )`);
}

/** Everything that was applied to this database, by name; nothing when there is no ledger yet. */
export async function readLedger(session: MigrationSession): Promise<Map<string, LedgerEntry>> {
  if (!(await ledgerExists(session))) return new Map();
  const rows = await session.query<LedgerEntry>(`
    SELECT name, checksum, applied_at AS "appliedAt", duration_seconds AS "durationSeconds"
      FROM ${ledgerTable} ORDER BY name`);
  return new Map(rows.map((row) => [row.name, row]));
}

/** Records a migration, also one that was run again, in the transaction that is open, or in one of its own. */
export async function recordMigration(
  session: MigrationSession,
  { name, checksum }: Migration,
  durationSeconds: number,
): Promise<void> {
  await session.query(
    `INSERT INTO ${ledgerTable} (name, checksum, duration_seconds) VALUES ($1, $2, $3)
       ON CONFLICT (name) DO UPDATE SET (checksum, applied_at, duration_seconds) = ($2, now(), $3)`,
    [name, checksum, durationSeconds],
  );
}

async function ledgerExists(session: MigrationSession): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>(
    `SELECT to_regclass('${ledgerTable}') IS NOT NULL AS found`,
  );
  return row?.found === true;
}
