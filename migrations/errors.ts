import { DatabaseError } from "pg";

/** Nothing was applied because the request or the state of the database forbids it. */
export class MigrationRefusedError extends Error {
  override readonly name = "MigrationRefusedError";
}

/** The request names a file that is not there. */
export class UnknownMigrationError extends Error {
  override readonly name = "UnknownMigrationError";
}

/** A migration failed. Its transaction was rolled back and it is not recorded as applied. */
export class MigrationFailedError extends Error {
  override readonly name = "MigrationFailedError";

  constructor(
    /** The file. */
    readonly migration: string,
    /** The text that was sent when it failed, and the line of the file it starts at. */
    sent: { sql: string; firstLine: number; inTransaction: boolean },
    cause: unknown,
  ) {
    super(describeFailure(migration, sent, cause), { cause });
  }

  /** SQLSTATE, when the server refused a statement. */
  get sqlstate(): string | undefined {
    return this.cause instanceof DatabaseError ? this.cause.code : undefined;
  }
}

/** The server's message and hint, with the line; not its detail, which can hold values of rows. */
function describeFailure(
  migration: string,
  sent: { sql: string; firstLine: number; inTransaction: boolean },
  cause: unknown,
): string {
  if (!(cause instanceof DatabaseError)) return `${migration} failed: ${(cause as Error).message}`;
  const line =
    cause.position === undefined
      ? ""
      : `:${sent.firstLine + countLines(sent.sql.slice(0, Number(cause.position) - 1))}`;
  const lines = [`${migration}${line} failed: ${cause.message} (SQLSTATE ${cause.code})`];
  if (cause.hint !== undefined) lines.push(`Hint: ${cause.hint}`);
  if (sent.inTransaction) {
    lines.push("It was rolled back. Mend the file and run the migrations again.");
  } else {
    lines.push(
      "This file runs without a transaction: what its earlier statements did stays, and they run again next time.",
      "Its statements must stand apart by a line `-- migrate: next statement`.",
    );
  }
  return lines.join("\n");
}

function countLines(text: string): number {
  return text.split("\n").length - 1;
}
