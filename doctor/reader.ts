/** How the database is asked: in transactions that can change nothing and take no longer than they may. */
import { limitOf, setLimit } from "../handler/budget";
import type { Session } from "../handler/connect";

/** Asks the database, inside the check's transaction. */
export interface Reader {
  readonly session: Session;
  readonly rows: <Row extends object>(sql: string, values?: unknown[]) => Promise<Row[]>;
}

/** The most that one statement of a check may take. */
export const LONGEST_LOOK_MS = 5_000;
/** What is locked is soon told as not seen; who holds it, another check finds out. */
const LONGEST_LOCK_MS = 500;

/** What `look` reads, in one transaction that is rolled back. */
export async function readOnly<Result>(
  session: Session,
  limitMs: number,
  look: (reader: Reader) => Promise<Result>,
): Promise<Result> {
  const limits = setLimit(limitOf(limitMs, LONGEST_LOCK_MS));
  // With this path the server writes every name with its schema, so that a remedy means the same to whoever runs it.
  await session.query(
    `BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; ${limits}; SET LOCAL search_path = pg_catalog`,
  );
  try {
    return await look({ session, rows: (sql, values) => session.query(sql, values) });
  } finally {
    if (!session.lost) await session.query("ROLLBACK");
  }
}
