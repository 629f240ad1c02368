/** The connection that migrations run over. */
import { Client, type ClientConfig, type QueryResult } from "pg";

/** What the runner needs of an open connection. The sessions of the handler's connector are such. */
export interface MigrationSession {
  /** Rows of the last statement in `text`; it may hold several when there are no values. */
  query<Row extends object>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
  /** Calls the listener with each notice of the server. */
  onNotice(listener: (message: string) => void): void;
}

/** How to reach the database: settings, or a function that opens a session (which is closed after use). */
export type Connection = ClientConfig | (() => Promise<MigrationSession>);

/** Opens a session, does the work and closes the session; its end frees its advisory locks too. */
export async function withSession<T>(
  connection: Connection,
  work: (session: MigrationSession) => Promise<T>,
): Promise<T> {
  const session = typeof connection === "function" ? await connection() : await openClient(connection);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

async function openClient(config: ClientConfig): Promise<MigrationSession> {
  const client = new Client(config);
  // A lost connection also rejects the query that is running; without a listener it would end the process.
  client.on("error", () => undefined);
  await client.connect();
  return {
    async query<Row extends object>(text: string, values?: unknown[]): Promise<Row[]> {
      const result: unknown = await client.query(text, values);
      const last = (Array.isArray(result) ? result.at(-1) : result) as QueryResult<Row> | undefined;
      return last?.rows ?? [];
    },
    close: () => client.end().catch(() => undefined),
    onNotice: (listener) => void client.on("notice", ({ message }) => listener(message ?? "")),
  };
}
