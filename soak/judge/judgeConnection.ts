/** A judge's connection: kept from look to look, and opened again where it was lost. */
import { Client, type ClientConfig } from "pg";

const SESSION_LIMITS = "SET statement_timeout = '10s'; SET lock_timeout = '2s'; SET jit = off";
const LONGEST_CONNECT_MS = 3_000;

export class JudgeConnection {
  private client: Client | undefined;

  /** @param connection to the server that takes writes now: asked for each connection */
  constructor(private readonly connection: () => ClientConfig) {}

  get isOpen(): boolean {
    return this.client !== undefined;
  }

  /** @throws the server's error, or the socket's, where it cannot be reached */
  async open(): Promise<Client> {
    if (this.client !== undefined) {
      const { client } = this;
      const isThere = await client.query("SELECT").then(
        () => true,
        () => false,
      );
      if (isThere) return client;
      await this.close();
    }
    const client = new Client({
      application_name: "soak judge",
      ...this.connection(),
      connectionTimeoutMillis: LONGEST_CONNECT_MS,
    });
    client.on("error", () => {
      if (this.client === client) this.client = undefined;
    });
    await client.connect();
    this.client = client;
    await client.query(SESSION_LIMITS);
    return client;
  }

  async close(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }
}
