/** The ledger as far as it has been read: what has committed, and in which order for each writer. */
import type { Client } from "pg";
import { WRITERS } from "./books";
import type { Operation } from "./model";

/** What one transaction did to the books of one writer. */
interface LedgerRow {
  writer: number;
  number: number;
  operations: Operation[];
  /** The same for all rows of one transaction. */
  xid: string;
}

/** A transaction that wrote into the books of several writers: all of it is seen, or nothing. */
export interface Span {
  xid: string;
  parts: { writer: number; number: number }[];
}

/** A transaction is missing between two others. */
export class LedgerError extends Error {}

const MOST_AT_ONCE = 100_000;
const SELECT_ROWS = `SELECT writer, number::double precision AS number, operation AS operations, xid::text AS xid FROM soak.ledger`;

/** Rows of one writer above a number, in order. */
export async function readRows(
  client: Client,
  writer: number,
  above: number,
  upTo = above + MOST_AT_ONCE,
): Promise<LedgerRow[]> {
  const { rows } = await client.query<LedgerRow>(
    `${SELECT_ROWS} WHERE writer = $1 AND number > $2 AND number <= $3 ORDER BY number`,
    [writer, above, upTo],
  );
  return rows;
}

/** Reads on where it was, and keeps what is still needed. */
export class Ledger {
  private readonly ofWriter = new Map(
    WRITERS.map((writer) => [writer, { above: 0, rows: [] as LedgerRow[] }]),
  );
  private spans: Span[] = [];

  /** All that has committed since, in one snapshot: a transaction that spans writers comes whole. */
  async read(client: Client): Promise<void> {
    const further = WRITERS.map(
      (writer) =>
        `(${SELECT_ROWS} WHERE writer = ${writer} AND number > ${this.end(writer)} ORDER BY number)`,
    );
    const { rows } = await client.query<LedgerRow>(further.join(" UNION ALL "));
    const byXid = new Map<string, Span>();
    for (const row of rows) {
      const { writer, number, xid } = row;
      if (number !== this.end(writer) + 1)
        throw new LedgerError(`ledger: writer ${writer} goes from ${this.end(writer)} to ${number}`);
      this.ofWriter.get(writer)?.rows.push(row);
      const span = byXid.get(xid) ?? { xid, parts: [] };
      span.parts.push({ writer, number });
      byXid.set(xid, span);
    }
    this.spans.push(...[...byXid.values()].filter(({ parts }) => parts.length > 1));
  }

  /** Number of the last transaction that has been read. */
  end(writer: number): number {
    const known = this.ofWriter.get(writer);
    return known === undefined ? 0 : known.above + known.rows.length;
  }

  /** Rows from one number up to another, both included; from the database where they have been forgotten. */
  async between(client: Client, writer: number, from: number, to: number): Promise<LedgerRow[]> {
    const known = this.ofWriter.get(writer);
    if (known === undefined || from <= known.above) return readRows(client, writer, from - 1, to);
    return known.rows.slice(from - known.above - 1, to - known.above);
  }

  /** Those of which a part is above what has been forgotten. */
  get openSpans(): readonly Span[] {
    return this.spans;
  }

  /** Lets go of what every reader has passed. @param cut number of each writer's last transaction that is not needed */
  forget(cut: ReadonlyMap<number, number>): void {
    for (const [writer, known] of this.ofWriter) {
      const passed = Math.max(0, Math.min((cut.get(writer) ?? 0) - known.above, known.rows.length));
      known.rows.splice(0, passed);
      known.above += passed;
    }
    this.spans = this.spans.filter(({ parts }) =>
      parts.some(({ writer, number }) => number > (this.ofWriter.get(writer)?.above ?? 0)),
    );
  }
}
