/** One short-lived connection: opened by a run, used by it alone, closed at its end. */
import { Socket } from "node:net";
import { Client, type ClientConfig, type QueryResult } from "pg";
import { limitOf, setLimit, type Budget } from "./budget";
import { credentialSource, CredentialsError, type CredentialSource } from "./credentials";
import type { DatabaseSettings } from "./settings";
import { verifiedTls, type TlsOptions } from "./tls";

/** Opens sessions for one run. */
export interface Connector {
  /** `host:port/database`, for logs and remedies. */
  readonly address: string;
  /** How it authenticates, which decides what a refused password means. */
  readonly auth: string;
  /** As whom it logs in; absent where that is not known before it does. */
  readonly user?: string;
  open(budget: Budget): Promise<Session>;
}

const NO_TLS = "N".charCodeAt(0);
const LONGEST_CONNECT_MS = 10_000;
const CLOSE_PATIENCE_MS = 500;
const KEEP_ALIVE_AFTER_MS = 5_000;

/** An open connection that knows when it is gone, and that this side cuts when its time is up. */
export class Session {
  private isLost = false;
  private readonly cutOff: NodeJS.Timeout;

  private constructor(
    private readonly client: Client,
    private readonly socket: Socket,
    budget: Budget,
  ) {
    client.on("error", () => (this.isLost = true));
    client.on("end", () => (this.isLost = true));
    // A server that went silent answers no statement_timeout either.
    this.cutOff = setTimeout(
      () => this.socket.destroy(timedOut("the server did not answer")),
      budget.cutOffMs(),
    );
  }

  /**
   * @throws the server's error, or a socket error; one with code ETIMEDOUT when the connect took too long, and with
   * TLS_NOT_OFFERED when TLS is asked for and the server has none.
   */
  static async open(config: ClientConfig, budget: Budget): Promise<Session> {
    const socket = new Socket();
    // No timeouts among these: they would go out as startup parameters, and RDS Proxy refuses those.
    const client = new Client({
      application_name: "matview-refresh",
      ...config,
      stream: () => socket,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
    });
    const session = new Session(client, socket, budget);
    // The first thing a server says is its answer to the request for TLS, where there was one: S for yes, N for no.
    let offersNoTls = false;
    if (config.ssl) socket.once("data", (answer) => (offersNoTls = answer[0] === NO_TLS));
    const patienceMs = Math.min(LONGEST_CONNECT_MS, budget.workLeftMs());
    const patience = setTimeout(
      () => socket.destroy(timedOut(`no connection within ${Math.round(patienceMs)} ms`)),
      patienceMs,
    );
    try {
      await client.connect();
      return session;
    } catch (error) {
      // A connection that ends before the login (a server that stops, a proxy that gives up) is reported without a code.
      const isEnded = session.lost && (error as { code?: string }).code === undefined;
      await session.close();
      const code = offersNoTls ? "TLS_NOT_OFFERED" : isEnded ? "ECONNRESET" : undefined;
      throw code === undefined ? error : Object.assign(error as Error, { code });
    } finally {
      clearTimeout(patience);
    }
  }

  /** Whether the connection has been closed by the server, the network or this side. */
  get lost(): boolean {
    return this.isLost;
  }

  /** Rows of one statement; several statements without values give the rows of the last that returned any. */
  async query<Row extends object>(text: string, values?: unknown[]): Promise<Row[]> {
    const result = await this.results(text, values);
    return (result.at(-1)?.rows ?? []) as Row[];
  }

  /** The result of every statement in `text`, which may hold several where there are no values. */
  async results(text: string, values?: unknown[]): Promise<QueryResult[]> {
    const result = (await this.client.query(text, values)) as QueryResult | QueryResult[];
    return Array.isArray(result) ? result : [result];
  }

  /**
   * Result of one statement without values, in a transaction of its own that may take so long and no longer: one
   * round trip. Outside of a transaction only.
   */
  async resultWithin(
    limitMs: number,
    text: string,
    access: "READ ONLY" | "READ WRITE" = "READ ONLY",
  ): Promise<QueryResult> {
    try {
      const results = await this.results(
        `BEGIN ISOLATION LEVEL READ COMMITTED ${access}; ${setLimit(limitOf(limitMs))}; ${text}; COMMIT`,
      );
      return results.at(-2) as QueryResult;
    } catch (error) {
      if (!this.lost) await this.query("ROLLBACK");
      throw error;
    }
  }

  /** The same for several statements with values: `work` runs in a transaction that may write. */
  async within<Result>(limitMs: number, work: () => Promise<Result>): Promise<Result> {
    await this.query(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${setLimit(limitOf(limitMs))}`);
    try {
      const result = await work();
      await this.query("COMMIT");
      return result;
    } catch (error) {
      if (!this.lost) await this.query("ROLLBACK");
      throw error;
    }
  }

  /** Calls the listener with each notice of the server. */
  onNotice(listener: (message: string) => void): void {
    this.client.on("notice", ({ message }) => listener(message ?? ""));
  }

  /** Says goodbye to the server, but waits for no answer that does not come. */
  async close(): Promise<void> {
    clearTimeout(this.cutOff);
    const patience = setTimeout(() => this.socket.destroy(), CLOSE_PATIENCE_MS);
    await this.client.end().catch(() => undefined);
    clearTimeout(patience);
    this.socket.destroy();
  }
}

/** The connector of a function's settings. */
export function connectorFor(database: DatabaseSettings): Connector {
  const tls = database.tls === "disable" ? (): TlsOptions => false : () => verifiedTls(database.caFile);
  return makeConnector(
    { host: database.host, port: Number(database.port), database: database.name },
    database.auth,
    credentialSource(database),
    tls,
  );
}

/** A connector from its parts; `tls` is read at the first connect, so that its faults are the connection's. */
export function makeConnector(
  server: { host: string; port: number; database: string },
  auth: string,
  source: CredentialSource,
  tls: () => TlsOptions,
): Connector {
  const openOnce = async (budget: Budget, refused: boolean): Promise<Session> => {
    const { user, password } = await source.get(refused, budget.workLeftMs());
    try {
      // As a function, or the client would look for an absent password in places of its own.
      return await Session.open({ ...server, user, password: () => password, ssl: tls() }, budget);
    } catch (error) {
      const isServersOrNetworks = (error as { code?: string }).code !== undefined;
      if (password !== "" || isServersOrNetworks) throw error;
      throw new CredentialsError("the server asks for a password, and none is set", "28P01");
    }
  };
  return {
    address: `${server.host}:${server.port}/${server.database}`,
    auth,
    ...(source.user === undefined ? {} : { user: source.user }),
    async open(budget) {
      try {
        return await openOnce(budget, false);
      } catch (error) {
        const refused = (error as { code?: string }).code === "28P01";
        if (!refused || !source.renewable) throw error;
        return openOnce(budget, true);
      }
    },
  };
}

function timedOut(message: string): Error {
  return Object.assign(new Error(message), { code: "ETIMEDOUT" });
}
