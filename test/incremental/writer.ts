/** Carries out what writes.ts draws, as a writer would. */
import { Query, type Client, type Connection } from "pg";
import { isTruncation, type Transaction, type Write } from "./writes";

/** COPY FROM STDIN, for which `pg` has the messages and no query. */
class CopyIn extends Query {
  constructor(
    text: string,
    private readonly lines: string,
    callback: (error: Error | null) => void,
  ) {
    // Declared without its third parameter.
    super(...([text, undefined, callback] as unknown as [string]));
  }

  handleCopyInResponse(connection: Connection): void {
    const open = connection as unknown as { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void };
    open.sendCopyFromChunk(Buffer.from(this.lines));
    open.endCopyFrom();
  }
}

export function copyIn(client: Client, text: string, rows: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.query(new CopyIn(text, rows, (error) => (error ? reject(error) : resolve())) as never);
  });
}

const run = async (client: Client, write: Write): Promise<void> => {
  if (typeof write === "string") await client.query(write);
  else await copyIn(client, write.copy, write.rows);
};

/** Constraints of the shop, and rows that one MERGE or upsert would write twice: the writer's own fault. */
const isOwnFault = (error: unknown): boolean => /^(23|21000)/.test((error as { code?: string }).code ?? "");

/**
 * Runs one transaction to its end.
 * @param beforeEnd called when all is written and nothing committed, if others can then read the tables.
 * @throws any error that the shop alone would not have given.
 */
export async function carryOut(
  client: Client,
  { writes, isGuarded, zone, end }: Transaction,
  beforeEnd: () => Promise<void>,
): Promise<void> {
  await client.query(`BEGIN; SET LOCAL TimeZone = '${zone}'`);
  for (const { write, then } of writes) {
    const isInSavepoint = isGuarded || then === "undone";
    if (isInSavepoint) await client.query("SAVEPOINT before_it");
    try {
      await run(client, write);
    } catch (error) {
      if (!isOwnFault(error)) throw failed(error, write);
      await client.query(isInSavepoint ? "ROLLBACK TO before_it" : "ROLLBACK");
      if (!isInSavepoint) return;
    }
    if (then === "undone") await client.query("ROLLBACK TO before_it");
  }
  const isReadable = !writes.some(isTruncation);
  if (end === "prepare") await client.query("PREPARE TRANSACTION 'shop'");
  if (isReadable) await beforeEnd();
  await client.query(end === "prepare" ? "COMMIT PREPARED 'shop'" : end);
}

function failed(error: unknown, write: Write): Error {
  const { message, where } = error as Error & { where?: string };
  return new Error(`a writer failed: ${message}\n  in ${JSON.stringify(write)}\n  ${where ?? ""}`, {
    cause: error,
  });
}
