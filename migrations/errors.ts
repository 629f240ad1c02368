/** Why a migration was not applied. */
import { DatabaseError } from "pg";
import type { Migration, MigrationPart } from "./files";

/** Nothing was applied because the request or the state of the database forbids it. */
export class MigrationRefusedError extends Error {
  override readonly name = "MigrationRefusedError";
}

/** The request names a file that does not exist. */
export class UnknownMigrationError extends Error {
  override readonly name = "UnknownMigrationError";
}

/** A migration failed and is not recorded as applied. The cause is the server's or the connection's error. */
export class MigrationFailedError extends Error {
  override readonly name = "MigrationFailedError";

  constructor(
    readonly migration: Migration,
    part: MigrationPart,
    cause: unknown,
  ) {
    super(describeFailure(migration, part, cause), { cause });
  }
}

/** The server's message and hint, with the line; not its detail, which can hold values of rows. */
function describeFailure({ name, isTransaction }: Migration, part: MigrationPart, cause: unknown): string {
  if (!(cause instanceof DatabaseError)) return `${name} failed: ${(cause as Error).message}`;
  const before = part.sql.slice(0, Number(cause.position) - 1);
  const line = cause.position === undefined ? "" : `:${part.firstLine + before.split("\n").length - 1}`;
  return [
    `${name}${line} failed: ${cause.message} (SQLSTATE ${cause.code})`,
    ...(cause.hint === undefined ? [] : [`Hint: ${cause.hint}`]),
    isTransaction
      ? "It was rolled back. Correct the cause and run the migrations again."
      : "This file runs without a transaction: what its earlier statements did stays, and they run again next time.\n" +
        "Its statements must be divided by lines `-- migrate: next statement`.",
  ].join("\n");
}
