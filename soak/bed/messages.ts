/**
 * The messages of PostgreSQL's protocol, as far as one between client and server has to know them.
 * @see https://www.postgresql.org/docs/18/protocol-message-formats.html
 */
import type { Phase } from "./bed";

/** One whole message. */
export interface Message {
  /** Such as `Q` for a query; empty for the first message of a client, which has none. */
  type: string;
  /** What comes after type and length. */
  body: Buffer;
  /** All of it, as it came. */
  bytes: Buffer;
}

const LENGTH_BYTES = 4;

/** Puts messages together from the pieces in which they arrive. */
export class MessageReader {
  private rest: Buffer = Buffer.alloc(0);

  /** @param isTyped false for the messages that a client begins with, which have no type */
  constructor(private isTyped = true) {}

  /** A client's messages have types after its first. */
  begun(): void {
    this.isTyped = true;
  }

  /** The messages that are whole with this piece. */
  *read(piece: Buffer): Generator<Message> {
    this.rest = Buffer.concat([this.rest, piece]);
    for (;;) {
      const typeBytes = this.isTyped ? 1 : 0;
      if (this.rest.length < typeBytes + LENGTH_BYTES) return;
      const end = typeBytes + this.rest.readUInt32BE(typeBytes);
      if (this.rest.length < end) return;
      const bytes = this.rest.subarray(0, end);
      this.rest = this.rest.subarray(end);
      const type = bytes.toString("latin1", 0, typeBytes);
      yield { type, body: bytes.subarray(typeBytes + LENGTH_BYTES), bytes };
    }
  }
}

const SSL_REQUEST = 80_877_103;

/** Whether a client's first message asks for TLS. */
export const asksForTls = ({ body }: Message): boolean =>
  body.length === LENGTH_BYTES && body.readUInt32BE() === SSL_REQUEST;

const AUTHENTICATION_OK = 0;

/** Whether a server has let the client in; ReadyForQuery follows. */
export const isLetIn = ({ type, body }: Message): boolean =>
  type === "R" && body.readUInt32BE() === AUTHENTICATION_OK;

/** Whether a server's answer is complete: ReadyForQuery. */
export const isReady = ({ type }: Message): boolean => type === "Z";

/** The SQL that a client's message brings to be run: of a query, or of a statement that is parsed. */
export function sqlOf({ type, body }: Message): string | undefined {
  if (type === "Q") return textAt(body, 0);
  if (type === "P") return textAt(body, body.indexOf(0) + 1);
  return undefined;
}

function textAt(body: Buffer, start: number): string {
  return body.toString("utf8", start, body.indexOf(0, start));
}

/**
 * What SQL of the handler is about: the end of a transaction, the refresh or fold, the record of it, or the begin.
 * A text that is a transaction by itself, as what only reads something is, is none of these.
 */
export function phaseOfSql(sql: string): Phase {
  const text = sql.trim();
  if (/^(ROLLBACK TO SAVEPOINT \w+; *)?COMMIT;?$/.test(text)) return "commit";
  if (/\bCOMMIT;?$/.test(text)) return "other";
  if (/^BEGIN\b|\bBEGIN ISOLATION\b/.test(text)) return "begin";
  if (/\bREFRESH MATERIALIZED VIEW\b|__fold"?\(/.test(text)) return "refresh";
  if (/\bINSERT INTO public\.matview_refresh_history\b/.test(text)) return "history";
  return "other";
}

/** AuthenticationCleartextPassword, as RDS asks for a token. */
export const ASK_FOR_PASSWORD = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]);

/** ErrorResponse of the severity that ends a connection. */
export function fatalError(sqlstate: string, message: string): Buffer {
  const fields = ["SFATAL", "VFATAL", `C${sqlstate}`, `M${message}`].map((field) => `${field}\0`).join("");
  const body = Buffer.from(`${fields}\0`, "utf8");
  const head = Buffer.alloc(1 + LENGTH_BYTES);
  head.write("E", "latin1");
  head.writeUInt32BE(LENGTH_BYTES + body.length, 1);
  return Buffer.concat([head, body]);
}
