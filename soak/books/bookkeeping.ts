/** Transactions in the books, with their numbers, their rows in the ledger and what is claimed of them. */
import type { Client } from "pg";
import { readRows } from "./ledger";
import { WriterModel, type Operation } from "./model";
import { WRITERS } from "./books";
import type { Claims } from "./claims";
import { carryOut } from "./operations";

/** Draws what a transaction does to the books of each writer; called with the books as they are, all of them locked. */
export type Draw = (models: WriterModel[]) => Map<number, Operation[]>;

interface TransactionOptions {
  /** SQL that goes first. */
  setUp?: string | undefined;
  /** Takes everything back instead of the COMMIT. */
  rollBack?: boolean;
}

/** The books are not what they have to be: no trouble of the server explains that. */
export class BooksError extends Error {}

export class Bookkeeping {
  private readonly models = new Map(WRITERS.map((writer) => [writer, new WriterModel(writer)]));

  constructor(private readonly claims: Claims) {}

  /**
   * One transaction in the books of these writers.
   * @throws the server's error, or the connection's; its outcome is unknown where COMMIT had been sent
   */
  async transact(
    client: Client,
    involved: readonly number[],
    draw: Draw,
    { setUp, rollBack = false }: TransactionOptions = {},
  ): Promise<void> {
    const { claims } = this;
    // Always in this order: two that span the same writers would else wait for each other.
    const writers = involved.toSorted((one, other) => one - other);
    const beganMs = Date.now();
    await client.query("BEGIN");
    if (setUp !== undefined) await client.query(setUp);
    const numbers = new Map<number, number>();
    for (const writer of writers) numbers.set(writer, await this.takeNumber(client, writer));
    const drawn = draw(writers.map((writer) => this.model(writer)));
    let isTruncated = false;
    for (const [writer, operations] of drawn) {
      for (const operation of operations) {
        // Once is for all writers.
        if (operation.kind !== "truncate" || !isTruncated) await carryOut(client, writer, operation);
        isTruncated ||= operation.kind === "truncate";
      }
    }
    for (const [writer, operations] of drawn) {
      await client.query("INSERT INTO soak.ledger (writer, number, operation) VALUES ($1, $2, $3)", [
        ...[writer, numbers.get(writer), JSON.stringify(operations)],
      ]);
    }
    if (rollBack) return void (await client.query("ROLLBACK"));
    for (const [writer, number] of numbers) claims.begin(writer, number, beganMs);
    const { command } = await client.query("COMMIT");
    const returnedMs = Date.now();
    if (command !== "COMMIT") throw new BooksError(`COMMIT was answered with ${command}`);
    for (const [writer, number] of numbers) {
      claims.returned(writer, number, returnedMs);
      const model = this.model(writer);
      // Whoever has the lock by now may have read it in the ledger.
      if (model.number === number - 1) model.advance(drawn.get(writer) ?? []);
    }
  }

  /** Locks the writer's books, and brings what is known of them up to the transaction before. */
  private async takeNumber(client: Client, writer: number): Promise<number> {
    const { rows } = await client.query<{ number: string }>(
      "UPDATE soak.watermark SET number = number + 1 WHERE writer = $1 RETURNING number",
      [writer],
    );
    const number = Number(rows[0]?.number);
    const model = this.model(writer);
    if (model.number >= number) {
      this.models.set(writer, new WriterModel(writer));
      throw new BooksError(`transaction ${model.number} of writer ${writer} had committed and is gone`);
    }
    if (model.number === number - 1) return number;
    for (const row of await readRows(client, writer, model.number, number - 1)) {
      if (row.number === model.number + 1) model.advance(row.operations);
    }
    if (model.number !== number - 1) {
      throw new BooksError(
        `ledger: writer ${writer} has number ${number} and ${model.number} rows before it`,
      );
    }
    return number;
  }

  private model(writer: number): WriterModel {
    const model = this.models.get(writer);
    if (model === undefined) throw new BooksError(`there is no writer ${writer}`);
    return model;
  }
}
