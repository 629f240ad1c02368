/** Applies the migration files of one folder or more to a database, each once, and tells which are applied. */
import { setTimeout as delay } from "node:timers/promises";
import { MigrationFailedError, MigrationRefusedError, UnknownMigrationError } from "./errors";
import { readMigrations, type Migration, type MigrationPart } from "./files";
import { createLedger, readLedger, recordMigration, type LedgerEntry } from "./ledger";
import { withSession, type Connection, type MigrationSession } from "./session";

export { MigrationFailedError, MigrationRefusedError, UnknownMigrationError };
export type { Connection, MigrationSession };

/** What to apply, and who is told about it. */
export interface MigrateOptions {
  /** Folders of the migration files, each standing on those before it. A file's name is its own in all of them. */
  directories: string[];
  /**
   * Apply this one file; refused when an earlier one that it stands on is pending. One that is applied is run again,
   * with the applied ones that stand on it, which makes what was dropped since: every file leaves alone what it finds.
   */
  only?: string;
  /** How long to wait for another run that is migrating the same database; 120 unless given. */
  lockWaitSeconds?: number;
  /** Told before and after each file, and of each notice the server sends. */
  onEvent?: (event: MigrationEvent) => void;
}

/** What happens during a run. */
export type MigrationEvent =
  | { type: "applying"; name: string }
  | { type: "applied"; name: string; durationSeconds: number }
  | { type: "waiting" }
  | { type: "notice"; message: string };

/** What a run did. */
export interface MigrationResult {
  /** The files applied by this run, in order. */
  applied: { name: string; durationSeconds: number }[];
  /** The files that had been applied before and were not run again. */
  alreadyApplied: string[];
}

/**
 * One file and its state. `changed`: applied, but with another text than the file has now. `unknown`: recorded as
 * applied, but there is no such file here.
 */
export interface MigrationStatus {
  name: string;
  state: "applied" | "pending" | "changed" | "unknown";
  appliedAt: Date | undefined;
  durationSeconds: number | undefined;
}

/** Session advisory lock of one database: one run at a time. */
const migrationLockKey = "5183472906617384402";
const lockRetryMilliseconds = 200;

/**
 * Applies what is pending, in order, each file in a transaction of its own together with its record (unless the file
 * opts out). Two runs at once are safe: the second waits for the first and finds nothing left to do.
 *
 * @throws UnknownMigrationError when `only` names no file.
 * @throws MigrationRefusedError when an applied file has changed, an earlier file is pending, or the wait was too long.
 * @throws MigrationFailedError when a file fails; the files before it stay applied.
 */
export async function migrate(
  connection: Connection,
  { directories, only, lockWaitSeconds = 120, onEvent = () => undefined }: MigrateOptions,
): Promise<MigrationResult> {
  const migrations = await readMigrations(directories);
  return withSession(connection, async (session) => {
    session.onNotice((message) => onEvent({ type: "notice", message }));
    await takeLock(session, lockWaitSeconds, () => onEvent({ type: "waiting" }));
    await createLedger(session);
    const ledger = await readLedger(session);
    refuseChanged(migrations, ledger);
    const pending = migrations.filter(({ name }) => !ledger.has(name));
    const toApply = only === undefined ? pending : filesFor(only, migrations, pending);
    const applied: MigrationResult["applied"] = [];
    for (const migration of toApply) {
      const { name } = migration;
      onEvent({ type: "applying", name });
      const durationSeconds = await apply(session, migration);
      onEvent({ type: "applied", name, durationSeconds });
      applied.push({ name, durationSeconds });
    }
    const alreadyApplied = [...ledger.keys()].filter((name) => !applied.some((one) => one.name === name));
    return { applied, alreadyApplied };
  });
}

/** The state of every file, and of what is recorded without one. Changes nothing. */
export async function status(connection: Connection, directories: string[]): Promise<MigrationStatus[]> {
  const migrations = await readMigrations(directories);
  const checksums = new Map(migrations.map(({ name, checksum }) => [name, checksum]));
  const ledger = await withSession(connection, readLedger);
  return [...new Set([...checksums.keys(), ...ledger.keys()])].sort().map((name) => {
    const checksum = checksums.get(name);
    const entry = ledger.get(name);
    const stateOfApplied = checksum === entry?.checksum ? "applied" : "changed";
    return {
      name,
      state: !entry ? "pending" : !checksum ? "unknown" : stateOfApplied,
      appliedAt: entry?.appliedAt,
      durationSeconds: entry?.durationSeconds,
    };
  });
}

/** Applies and records one migration; returns the seconds it took. */
async function apply(session: MigrationSession, migration: Migration): Promise<number> {
  const started = performance.now();
  let current = migration.parts[0] as MigrationPart;
  try {
    if (migration.isTransaction) await session.query("BEGIN");
    for (const part of migration.parts) {
      current = part;
      await run(session, part.sql);
    }
    const durationSeconds = (performance.now() - started) / 1000;
    await recordMigration(session, migration, durationSeconds);
    if (migration.isTransaction) await session.query("COMMIT");
    return durationSeconds;
  } catch (error) {
    // When the connection is lost the server has rolled back by itself.
    if (migration.isTransaction) await session.query("ROLLBACK").catch(() => undefined);
    throw new MigrationFailedError(migration, current, error);
  }
}

async function run(session: MigrationSession, sql: string): Promise<void> {
  const query = sql.replace(/^\\gexec\s*$/m, "");
  const rows = await session.query<Record<string, string | null>>(query);
  if (query === sql) return;
  for (const statement of rows.flatMap((row) => Object.values(row))) {
    if (statement !== null) await session.query(statement);
  }
}

function refuseChanged(migrations: Migration[], ledger: Map<string, LedgerEntry>): void {
  const changed = migrations.flatMap(({ name, checksum }) => {
    const entry = ledger.get(name);
    const isChanged = entry !== undefined && entry.checksum !== checksum;
    return isChanged ? [`${name} (applied ${entry.appliedAt.toISOString()})`] : [];
  });
  if (changed.length === 0) return;
  throw new MigrationRefusedError(
    `Changed since it was applied: ${changed.join(", ")}. Nothing was done. ` +
      `Bring the file back as it was, and put the change into a further migration.`,
  );
}

function filesFor(only: string, migrations: Migration[], pending: Migration[]): Migration[] {
  const asked = migrations.find(({ name }) => name === only);
  if (!asked) {
    const names = migrations.map(({ name }) => name).join(", ");
    throw new UnknownMigrationError(`There is no migration ${only}. There are: ${names}`);
  }
  if (!pending.includes(asked)) {
    return migrations.filter((one) => one.name >= only && one.set >= asked.set && !pending.includes(one));
  }
  const earlier = pending.filter((one) => one.name < only && one.set <= asked.set);
  if (earlier.length === 0) return [asked];
  throw new MigrationRefusedError(
    `${only} needs ${earlier.map(({ name }) => name).join(", ")} first. Nothing was done. Run all that is pending: npm run migrate`,
  );
}

/**
 * Polls instead of waiting in pg_advisory_lock: a session that waits inside a statement holds a snapshot, and CREATE
 * INDEX CONCURRENTLY in the run that has the lock waits for every older snapshot. The two would wait for each other.
 */
async function takeLock(session: MigrationSession, waitSeconds: number, onWait: () => void): Promise<void> {
  const deadline = performance.now() + waitSeconds * 1000;
  for (let attempt = 0; ; attempt += 1) {
    const [row] = await session.query<{ taken: boolean }>("SELECT pg_try_advisory_lock($1) AS taken", [
      migrationLockKey,
    ]);
    if (row?.taken) return;
    if (attempt === 0) onWait();
    if (performance.now() > deadline) {
      throw new MigrationRefusedError(
        `Another run has been migrating this database for more than ${waitSeconds} s. Nothing was done. ` +
          `Try again when it is over.`,
      );
    }
    await delay(lockRetryMilliseconds);
  }
}
