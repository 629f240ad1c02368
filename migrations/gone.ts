import { MigrationRefusedError } from "./errors";
import type { LedgerEntry } from "./ledger";
import type { MigrationSession } from "./session";
import type { Migration } from "./source";

/** Relations that applied files made and that are no longer there, by the file's name, in the files' order. */
export type Gone = Map<string, string[]>;

/** Looks for what the applied files leave behind. */
export async function findGone(
  session: MigrationSession,
  migrations: Migration[],
  ledger: Map<string, LedgerEntry>,
): Promise<Gone> {
  const left = migrations.filter(({ name, leaves }) => ledger.has(name) && leaves.length > 0);
  const rows = await session.query<{ relation: string }>(
    "SELECT relation FROM unnest($1::text[]) AS relation WHERE to_regclass(relation) IS NULL",
    [left.flatMap(({ leaves }) => leaves)],
  );
  const missing = new Set(rows.map(({ relation }) => relation));
  return new Map(
    left
      .map(({ name, leaves }): [string, string[]] => [
        name,
        leaves.filter((relation) => missing.has(relation)),
      ])
      .filter(([, relations]) => relations.length > 0),
  );
}

/** What is gone, and the command that makes it again. */
export function describeGone(gone: Gone): string {
  const what = [...gone].map(([name, relations]) => `${relations.join(", ")} of ${name}`).join("; ");
  return `Gone: ${what}. To make what is missing again, empty: npm run migrate -- ${[...gone.keys()][0]}`;
}

/**
 * The applied files to run again: the first that misses something and every later one, since grants and views may
 * have gone with it. Every file may be run again, and none changes what it finds.
 *
 * @throws MigrationRefusedError when something is gone and neither `only` nor `makeAgain` asks for it.
 */
export function filesToRunAgain(
  gone: Gone,
  ledger: Map<string, LedgerEntry>,
  asked: { only?: string; makeAgain?: boolean },
): string[] {
  const [first] = gone.keys();
  if (first === undefined) return [];
  if (asked.makeAgain !== true && (asked.only === undefined || !gone.has(asked.only))) {
    throw new MigrationRefusedError(describeGone(gone));
  }
  return [...ledger.keys()].filter((name) => name >= first);
}
