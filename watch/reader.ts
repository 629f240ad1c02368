/** The page's one session: opened when somebody looks, opened again when it was lost, closed when nobody looks. */
import { Budget } from "../handler/budget";
import type { Connector, Session } from "../handler/connect";
import { classify } from "../handler/failure";

/** The database does not answer, which passes: the next question opens a new session. */
export class Disconnected extends Error {
  override readonly name = "Disconnected";
}

/** A session is opened anew after this time, between two questions. */
const OLDEST_SESSION_MS = 3_600_000;

/** What the session may take before this side cuts it. */
const LONGEST_SESSION_MS = 2 * OLDEST_SESSION_MS;

/** A statement that the server has not ended by itself so long after its limit is never answered. */
const SILENCE_MS = 3_000;

/** The longest that one question may take, unless it says otherwise. */
const LONGEST_QUESTION_MS = 2_000;

export class Reader {
  private session: Session | undefined;
  private openedMs = 0;
  private last: Promise<unknown> = Promise.resolve();
  private isClosed = false;

  constructor(
    private readonly connector: Connector,
    private readonly onStatement: (tookMs: number) => void = () => {},
  ) {}

  /** `host:port/database`. */
  get address(): string {
    return this.connector.address;
  }

  /**
   * Rows of the last statement, in a read-only transaction of its own.
   * @throws Disconnected, or the server's error, after which the session goes on.
   */
  async rows<Row>(sql: string, limitMs = LONGEST_QUESTION_MS): Promise<Row[]> {
    // Compiling takes longer than any of these queries should.
    const text = `SET LOCAL jit = off; ${sql}`;
    return this.use(async (session) => {
      const startedMs = performance.now();
      const { rows } = await session.resultWithin(limitMs, text);
      this.onStatement(performance.now() - startedMs);
      return rows as Row[];
    }, limitMs);
  }

  /** Lends the session, to one at a time. `limitMs` is what its statements are bounded by. */
  async use<Result>(work: (session: Session) => Promise<Result>, limitMs: number): Promise<Result> {
    const result = this.last.then(() => this.ask(work, limitMs));
    this.last = result.catch(() => undefined);
    return result;
  }

  /** Ends the session; the next question opens another. */
  async rest(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    await session?.close();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.rest();
  }

  private async ask<Result>(work: (session: Session) => Promise<Result>, limitMs: number): Promise<Result> {
    const session = await this.open();
    let isSilent = false;
    const cutOff = setTimeout(() => {
      isSilent = true;
      void session.close();
    }, limitMs + SILENCE_MS);
    try {
      return await work(session);
    } catch (error) {
      if (!isSilent && !session.lost) throw error;
      await this.rest();
      const known = isSilent ? Object.assign(new Error("it does not answer"), { code: "ETIMEDOUT" }) : error;
      throw this.disconnected(known, true);
    } finally {
      clearTimeout(cutOff);
    }
  }

  private async open(): Promise<Session> {
    if (this.isClosed) throw new Disconnected("the page is being closed");
    const isUsable = this.session !== undefined && !this.session.lost;
    if (isUsable && performance.now() - this.openedMs < OLDEST_SESSION_MS) return this.session as Session;
    await this.rest();
    try {
      const session = await this.connector.open(new Budget(LONGEST_SESSION_MS));
      await session.query("SET application_name = 'matview-refresh watch'");
      this.openedMs = performance.now();
      this.session = session;
      return session;
    } catch (error) {
      throw this.disconnected(error, false);
    }
  }

  private disconnected(error: unknown, connected: boolean): Disconnected {
    const { address, auth } = this.connector;
    const context = { address, auth, connected, connectionLost: connected };
    return new Disconnected(classify(error, context).problem);
  }
}
