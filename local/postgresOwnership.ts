import { setTimeout as delay } from "node:timers/promises";
import { Client, type ClientConfig } from "pg";

/**
 * Who owns a running server: the process that holds this advisory lock in the database `postgres`, on a
 * connection of its own. When that process dies, however it dies, the lock is free and the next start may take
 * the server over.
 */
const ownerLockKey = "7742361690274681193";

const retryMilliseconds = 100;

/** A held ownership; ends with {@link Ownership.release}. */
export class Ownership {
  #client: Client;
  #released = false;

  private constructor(
    client: Client,
    private readonly connection: ClientConfig,
    private readonly serverHasEnded: () => boolean,
  ) {
    this.#client = client;
    this.#watch();
  }

  /**
   * Takes the ownership over one connection attempt.
   *
   * @param serverHasEnded a server that has ended is not waited for when the connection is lost.
   * @returns undefined when another process has it.
   * @throws what pg throws when the server cannot be reached yet.
   */
  static async take(connection: ClientConfig, serverHasEnded: () => boolean): Promise<Ownership | undefined> {
    const client = await connectAndLock(connection);
    return client && new Ownership(client, connection, serverHasEnded);
  }

  /** Gives the ownership up; the server goes on running. */
  async release(): Promise<void> {
    this.#released = true;
    await this.#client.end().catch(() => undefined);
  }

  /** A crashed backend or pg_terminate_backend ends our connection too; the lock is then taken again. */
  #watch(): void {
    const client = this.#client;
    // Without a listener a lost connection would end the whole process.
    client.on("error", () => undefined);
    client.once("end", () => void this.#retake());
  }

  async #retake(): Promise<void> {
    while (!this.#released && !this.serverHasEnded()) {
      const client = await connectAndLock(this.connection).catch(() => undefined);
      if (client) {
        this.#client = client;
        if (this.#released) return void (await client.end().catch(() => undefined));
        return this.#watch();
      }
      await delay(retryMilliseconds, undefined, { ref: false });
    }
  }
}

async function connectAndLock(connection: ClientConfig): Promise<Client | undefined> {
  const client = new Client({ ...connection, application_name: "matview-refresh owner", keepAlive: true });
  client.on("error", () => undefined);
  await client.connect();
  const { rows } = await client.query<{ taken: boolean }>("SELECT pg_try_advisory_lock($1) AS taken", [
    ownerLockKey,
  ]);
  if (rows[0]?.taken) return client;
  await client.end();
  return undefined;
}
