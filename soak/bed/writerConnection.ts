/** A writer's way to the server, which can be given up at any moment. */
import { Socket } from "node:net";
import { Client, type ClientConfig } from "pg";

const LONGEST_CONNECT_MS = 3_000;
const LONGEST_CLOSE_MS = 500;

export class WriterConnection {
  readonly client: Client;
  private readonly socket = new Socket();

  constructor(config: ClientConfig) {
    this.client = new Client({
      application_name: "soak writer",
      ...config,
      stream: () => this.socket,
      connectionTimeoutMillis: LONGEST_CONNECT_MS,
    });
    // The statement under way is rejected as well; without a listener an idle connection's end would be that of the process.
    this.client.on("error", () => undefined);
  }

  async open(): Promise<void> {
    await this.client.connect();
    // A statement whose writer has given it up must not go on, and hold its locks.
    await this.client.query("SET client_connection_check_interval = '500ms'");
  }

  async close(): Promise<void> {
    const patience = setTimeout(() => this.giveUp(), LONGEST_CLOSE_MS);
    await this.client.end().catch(() => undefined);
    clearTimeout(patience);
  }

  /** Says nothing to the server: a COMMIT that waits there for the standby goes on waiting, and nobody sees it until then. */
  giveUp(): void {
    this.socket.destroy();
  }
}
