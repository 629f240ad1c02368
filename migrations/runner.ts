import { setTimeout as delay } from "node:timers/promises";
import { MigrationError as UmzugError, Umzug } from "umzug";
import { MigrationFailedError, MigrationRefusedError, UnknownMigrationError } from "./errors";
import { describeGone, filesToRunAgain, findGone } from "./gone";
import { createLedger, readLedger, recordMigration, type LedgerEntry } from "./ledger";
import { withSession, type Connection, type MigrationSession } from "./session";
import { readMigrations, type Migration, type MigrationSource } from "./source";

export { MigrationFailedError, MigrationRefusedError, UnknownMigrationError };
export type { Connection, MigrationSession };
export type { MigrationFile, MigrationSource } from "./source";

/** What to apply, and who is told about it. */
export type MigrateOptions = MigrationSource & {
  /**
   * Apply this one file. Refused when an earlier one is not applied. Of an applied one whose relations are gone, runs
   * it and the later ones again.
   */
  only?: string;
  /** Run applied files again whose relations are gone, and the later ones; otherwise such a run is refused. */
  makeAgain?: boolean;
  /** How long to wait for another run that is migrating the same database; 120 unless given. */
  lockWaitSeconds?: number;
  /** Told before and after each file, and of each notice the server sends. */
  onEvent?: (event: MigrationEvent) => void;
};

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
  /** The files that had been applied before. */
  alreadyApplied: string[];
}

/** What {@link status} found gone and the command that makes it again; undefined when nothing is. */
export function describeMissing(statuses: MigrationStatus[]): string | undefined {
  const gone = statuses.filter(({ missing }) => missing.length > 0);
  return gone.length === 0
    ? undefined
    : describeGone(new Map(gone.map(({ name, missing }) => [name, missing])));
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
  /** What the applied file made and is no longer there. */
  missing: string[];
}

/** Session advisory lock of one database: one run at a time. */
const migrationLockKey = "5183472906617384402";
const lockRetryMilliseconds = 200;

/**
 * Applies what is pending, in order, each file in a transaction of its own together with its record (unless the file
 * opts out). Two runs at once are safe: the second waits for the first and finds nothing left to do.
 *
 * @throws UnknownMigrationError when `only` names no file.
 * @throws MigrationRefusedError when an applied file has changed or what it made is gone, an earlier file is pending,
 * or the wait was too long.
 * @throws MigrationFailedError when a file fails; the files before it stay applied.
 */
export async function migrate(connection: Connection, options: MigrateOptions): Promise<MigrationResult> {
  const migrations = await readMigrations(options);
  return withSession(connection, async (session) => {
    session.onNotice?.((message) => options.onEvent?.({ type: "notice", message }));
    await takeLock(session, options);
    await createLedger(session);
    const ledger = await readLedger(session);
    refuseChanged(migrations, ledger);
    if (options.only !== undefined) refuseOutOfOrder(migrations, ledger, options.only);
    const again = filesToRunAgain(await findGone(session, migrations, ledger), ledger, options);
    return applyPending(session, migrations, options.only, again, options.onEvent);
  });
}

/** The state of every file, and of what is recorded without one. Changes nothing. */
export async function status(connection: Connection, source: MigrationSource): Promise<MigrationStatus[]> {
  const migrations = await readMigrations(source);
  const { ledger, gone } = await withSession(connection, async (session) => {
    const applied = await readLedger(session);
    return { ledger: applied, gone: await findGone(session, migrations, applied) };
  });
  const here = migrations.map(({ name, checksum }): MigrationStatus => {
    const entry = ledger.get(name);
    const state = entry === undefined ? "pending" : entry.checksum === checksum ? "applied" : "changed";
    const missing = gone.get(name) ?? [];
    return { name, state, appliedAt: entry?.appliedAt, durationSeconds: entry?.durationSeconds, missing };
  });
  const names = new Set(migrations.map(({ name }) => name));
  const unknown = [...ledger.values()]
    .filter(({ name }) => !names.has(name))
    .map(({ name, appliedAt, durationSeconds }) => ({
      name,
      state: "unknown" as const,
      appliedAt,
      durationSeconds,
      missing: [],
    }));
  return [...here, ...unknown].sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function applyPending(
  session: MigrationSession,
  migrations: Migration[],
  only: string | undefined,
  again: string[],
  onEvent: MigrateOptions["onEvent"],
): Promise<MigrationResult> {
  const durations = new Map<string, number>();
  const umzug = new Umzug({
    migrations: migrations.map((migration) => ({
      name: migration.name,
      up: async () => void durations.set(migration.name, await apply(session, migration)),
    })),
    storage: {
      executed: async () => [...(await readLedger(session)).keys()].filter((name) => !again.includes(name)),
      // The record is written by apply(), in the transaction of the migration itself.
      logMigration: () => Promise.resolve(),
      unlogMigration: () => Promise.reject(new Error("Migrations are not undone: write a further one.")),
    },
    logger: undefined,
  });
  const durationOf = (name: string): number => durations.get(name) ?? 0;
  umzug.on("migrating", ({ name }) => onEvent?.({ type: "applying", name }));
  umzug.on("migrated", ({ name }) => onEvent?.({ type: "applied", name, durationSeconds: durationOf(name) }));
  const before = (await umzug.executed()).map(({ name }) => name);
  const applied = await umzug
    .up(only === undefined ? {} : { migrations: again.includes(only) ? again : [only], rerun: "SKIP" })
    .catch((error: unknown) => {
      throw error instanceof UmzugError ? error.cause : error;
    });
  return {
    applied: applied.map(({ name }) => ({ name, durationSeconds: durationOf(name) })),
    alreadyApplied: before,
  };
}

/** Applies and records one migration; returns the seconds it took. */
async function apply(session: MigrationSession, migration: Migration): Promise<number> {
  const started = performance.now();
  const secondsSoFar = (): number => (performance.now() - started) / 1000;
  if (migration.statements) {
    await runStatements(session, migration.name, migration.statements);
    const durationSeconds = secondsSoFar();
    await recordMigration(session, migration, durationSeconds);
    return durationSeconds;
  }
  await session.query("BEGIN");
  try {
    await session.query(migration.sql);
    const durationSeconds = secondsSoFar();
    await recordMigration(session, migration, durationSeconds);
    await session.query("COMMIT");
    return durationSeconds;
  } catch (error) {
    // When the connection is gone the server has rolled back by itself.
    await session.query("ROLLBACK").catch(() => undefined);
    throw new MigrationFailedError(
      migration.name,
      { sql: migration.sql, firstLine: 1, inTransaction: true },
      error,
    );
  }
}

async function runStatements(session: MigrationSession, name: string, statements: string[]): Promise<void> {
  let firstLine = 1;
  for (const sql of statements) {
    await runStatement(session, sql).catch((error: unknown) => {
      throw new MigrationFailedError(name, { sql, firstLine, inTransaction: false }, error);
    });
    firstLine += sql.split("\n").length - 1;
  }
}

/**
 * As psql: a statement that ends with the line `\gexec` writes statements, one a row, and those run too. It is how a
 * file decides on what cannot stand inside a DO block.
 */
async function runStatement(session: MigrationSession, sql: string): Promise<void> {
  const writer = sql.replace(/^\\gexec\s*$/m, "");
  const rows = await session.query<Record<string, unknown>>(writer);
  if (writer === sql) return;
  for (const written of rows.flatMap((row) => Object.values(row))) {
    if (typeof written === "string") await session.query(written);
  }
}

function refuseChanged(migrations: Migration[], ledger: Map<string, LedgerEntry>): void {
  const changed = migrations.filter(
    ({ name, checksum }) => (ledger.get(name)?.checksum ?? checksum) !== checksum,
  );
  if (changed.length === 0) return;
  const names = changed.map(({ name }) => `${name} (applied ${ledger.get(name)?.appliedAt.toISOString()})`);
  throw new MigrationRefusedError(
    `Changed since it was applied: ${names.join(", ")}. Nothing was done. ` +
      `Bring the file back as it was, and put the change into a further migration.`,
  );
}

function refuseOutOfOrder(migrations: Migration[], ledger: Map<string, LedgerEntry>, only: string): void {
  const index = migrations.findIndex(({ name }) => name === only);
  if (index < 0) {
    const names = migrations.map(({ name }) => name).join(", ");
    throw new UnknownMigrationError(`There is no migration ${only}. There are: ${names}`);
  }
  if (ledger.has(only)) return;
  const pending = migrations.slice(0, index).filter(({ name }) => !ledger.has(name));
  if (pending.length === 0) return;
  throw new MigrationRefusedError(
    `${only} needs ${pending.map(({ name }) => name).join(", ")} first. Nothing was done. ` +
      `Run all that is pending: npm run migrate`,
  );
}

/**
 * Polls instead of waiting in pg_advisory_lock: a session that waits inside a statement holds a snapshot, and CREATE
 * INDEX CONCURRENTLY in the run that has the lock waits for every older snapshot. The two would wait for each other.
 */
async function takeLock(session: MigrationSession, options: MigrateOptions): Promise<void> {
  const waitSeconds = options.lockWaitSeconds ?? 120;
  const deadline = performance.now() + waitSeconds * 1000;
  for (let attempt = 0; ; attempt += 1) {
    const [row] = await session.query<{ taken: boolean }>("SELECT pg_try_advisory_lock($1) AS taken", [
      migrationLockKey,
    ]);
    if (row?.taken) return;
    if (attempt === 0) options.onEvent?.({ type: "waiting" });
    if (performance.now() > deadline) {
      throw new MigrationRefusedError(
        `Another run has been migrating this database for more than ${waitSeconds} s. Nothing was done. ` +
          `Try again when it is over.`,
      );
    }
    await delay(lockRetryMilliseconds);
  }
}
