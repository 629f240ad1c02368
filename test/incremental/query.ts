import type { Client } from "pg";
import type { Query } from "../../incremental/readSource";

/** A connection as the compiler's readers take it. */
export const queryOf =
  (client: Client): Query =>
  async (sql, values) =>
    (await client.query(sql, values)).rows as never;

/** Runs work in a transaction that is rolled back. */
export async function rolledBack<Result>(
  client: Client,
  work: (query: Query) => Promise<Result>,
): Promise<Result> {
  await client.query("BEGIN");
  try {
    return await work(queryOf(client));
  } finally {
    await client.query("ROLLBACK");
  }
}
