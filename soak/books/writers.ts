/** Those who write into the books while the function refreshes, through whatever happens to the server. */
import { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type ClientConfig } from "pg";
import type { Dice } from "../dice";
import type { Operation } from "./model";
import type { Writers } from "../bed/bed";
import { WRITERS } from "./books";
import { Bookkeeping, BooksError, type Draw } from "./bookkeeping";
import type { Claims } from "./claims";
import { drawFill, drawReload, drawTransaction, drawTransfer } from "./draw";

interface WritersOptions {
  /** To the server that takes writes now: asked for each connection. */
  connection: () => ClientConfig;
  dice: Dice;
  claims: Claims;
  /** Between two transactions of one writer, least and most. */
  pauseMs?: [number, number];
  /** How long {@link Writers.stop} waits for transactions under way; then their connections are given up. */
  patienceMs?: number;
}

const PAUSE_MS: [number, number] = [25, 80];
/** While the server cannot be reached. */
const PAUSE_AFTER_FAILURE_MS = 150;
const PATIENCE_MS = 3_000;
const LONGEST_CONNECT_MS = 3_000;
const LONGEST_CLOSE_MS = 500;
const ROWS_OF_A_DAY = 20_000;

/** Of the server in trouble, and of the way to it; all else is a fault of these books, or of what was hung on them. */
const OUTAGES = /^(08|25006|40|53|55P03|57|58)/;

/**
 * One loop a writer. A transaction begins with its number, which locks the writer's watermark, and ends with its row in
 * the ledger; what became of a COMMIT that was not answered shows when the next one gets its number.
 */
export class BookWriters implements Writers {
  /** Errors that no outage explains, such as one that a trigger threw. */
  readonly surprises: string[] = [];
  private readonly books: Bookkeeping;
  private readonly connections = new Set<WriterConnection>();
  private readonly working = new Set<Promise<void>>();
  private stopping = new AbortController();
  private isRunning = false;

  constructor(private readonly options: WritersOptions) {
    this.books = new Bookkeeping(options.claims);
  }

  start(): void {
    if (this.isRunning) return;
    this.isRunning = true;
    this.stopping = new AbortController();
    for (const writer of WRITERS) void this.track(this.run(writer, this.options.dice.fork()));
  }

  /**
   * Resolves when none is in the middle of a transaction. One that hangs, as COMMIT does while the standby is lost, is
   * left to the server after a while: it holds the writer's watermark until it has ended there.
   */
  async stop(): Promise<void> {
    this.isRunning = false;
    this.stopping.abort();
    const patience = setTimeout(
      () => this.connections.forEach((each) => each.giveUp()),
      this.options.patienceMs ?? PATIENCE_MS,
    );
    while (this.working.size > 0) await Promise.allSettled(this.working);
    clearTimeout(patience);
  }

  /** @throws the server's error, or the connection's; nobody knows then whether it has committed */
  async transact(kind: "truncate" | "day" | "reload", setUp?: string): Promise<void> {
    const dice = this.options.dice.fork();
    const drawn: Record<typeof kind, [readonly number[], Draw]> = {
      truncate: [WRITERS, (models) => eachOf(models, () => [{ kind: "truncate" }])],
      day: [
        WRITERS,
        (models) =>
          eachOf(models, (model) => drawFill(dice, model, Math.ceil(ROWS_OF_A_DAY / models.length))),
      ],
      reload: [[dice.oneOf(WRITERS)], (models) => eachOf(models, () => drawReload(dice))],
    };
    const [involved, draw] = drawn[kind];
    await this.track(
      this.connected((connection) => this.books.transact(connection.client, involved, draw, { setUp })),
    );
  }

  private async run(writer: number, dice: Dice): Promise<void> {
    while (this.isRunning) {
      await this.connected(async (connection) => {
        while (this.isRunning) {
          await this.one(connection, writer, dice);
          await this.pause(dice.between(...(this.options.pauseMs ?? PAUSE_MS)));
        }
      }).catch((error: unknown) => this.note(writer, error));
      await this.pause(PAUSE_AFTER_FAILURE_MS);
    }
  }

  /** What a writer does by itself. Now and then it thinks better of it at the very end. */
  private async one(connection: WriterConnection, writer: number, dice: Dice): Promise<void> {
    const others = WRITERS.filter((each) => each !== writer);
    const rollBack = dice.percent(4);
    if (dice.percent(80)) {
      const draw: Draw = (models) => eachOf(models, (model) => drawTransaction(dice, model));
      return this.books.transact(connection.client, [writer], draw, { rollBack });
    }
    const involved = [writer, dice.oneOf(others)];
    const draw: Draw = (models) => {
      const [from, to] = involved.map((each) => models.find((model) => model.writer === each));
      if (from === undefined || to === undefined) throw new Error("a writer without books");
      return drawTransfer(dice, from, to);
    };
    return this.books.transact(connection.client, involved, draw, { rollBack });
  }

  private async connected(work: (connection: WriterConnection) => Promise<void>): Promise<void> {
    const connection = new WriterConnection(this.options.connection());
    this.connections.add(connection);
    try {
      await connection.open();
      await work(connection);
      await connection.close();
    } finally {
      connection.giveUp();
      this.connections.delete(connection);
    }
  }

  private track(work: Promise<void>): Promise<void> {
    this.working.add(work);
    const forget = (): void => void this.working.delete(work);
    work.then(forget, forget);
    return work;
  }

  private note(writer: number, error: unknown): void {
    const { code, message } = error as { code?: string; message: string };
    const isOurs = error instanceof BooksError || error instanceof TypeError;
    const isOfTheServer = code !== undefined && /^[0-9A-Z]{5}$/.test(code);
    if (!isOurs && (!isOfTheServer || OUTAGES.test(code))) return;
    this.surprises.push(`writer ${writer}: ${message} (${code ?? "no code"})`);
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}

function eachOf(
  models: Parameters<Draw>[0],
  draw: (model: Parameters<Draw>[0][number]) => Operation[],
): Map<number, Operation[]> {
  return new Map(models.map((model) => [model.writer, draw(model)]));
}

/** A writer's way to the server, which can be given up at any moment. */
class WriterConnection {
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
