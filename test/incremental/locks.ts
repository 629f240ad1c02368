/** Waiting for another session to wait, without a clock. */
import type { Client } from "pg";

/** Resolves once the session waits for a lock. Asked by another one. */
export async function waitsForLock(asker: Client, waiting: Client): Promise<void> {
  const { processID } = waiting as unknown as { processID: number };
  for (;;) {
    const { rowCount } = await asker.query("SELECT FROM pg_locks WHERE pid = $1 AND NOT granted", [
      processID,
    ]);
    if (rowCount !== null && rowCount > 0) return;
  }
}
