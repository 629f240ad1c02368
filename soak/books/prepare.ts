/** Makes the books in an empty database: tables, a first transaction, the views, and what maintains them. */
import type { ClientConfig } from "pg";
import { compileView } from "../../cli/compiler";
import { Budget } from "../../handler/budget";
import { Session } from "../../handler/connect";
import { qualifiedName } from "../../handler/names";
import type { QualifiedName } from "../../handler/settings";
import { apply } from "../../incremental/apply";
import { withClient } from "../../local/postgres/database";
import { migrate } from "../../migrations/runner";
import { PRODUCT_MIGRATIONS } from "../../migrations/sets";
import { Dice } from "../dice";
import type { Operation, WriterModel } from "./model";
import type { Mode } from "../bed/bed";
import { Bookkeeping } from "./bookkeeping";
import { BOOKS, TABLES_SQL, VIEW_SQL, WRITERS } from "./books";
import { Claims } from "./claims";
import { drawFill } from "./draw";

const FIRST_ACCOUNTS = 4;
const FIRST_ENTRIES = 60;
const LONGEST_APPLY_MS = 120_000;
const PATIENCE = { lockTimeoutMs: 2_000, totalMs: 60_000, report: () => undefined };

/**
 * Migrates the database, makes and fills the tables, makes the views, and grants the function's role what it needs to
 * refresh them. Of mode `incremental` both views are maintained afterwards.
 * @param connection as the superuser
 */
export async function prepareBooks(connection: ClientConfig, mode: Mode): Promise<void> {
  await migrate(connection, { directories: [PRODUCT_MIGRATIONS] });
  await withClient(connection, async (client) => {
    await client.query(TABLES_SQL);
    await client.query("INSERT INTO soak.watermark SELECT unnest($1::integer[]), 0", [WRITERS]);
    await new Bookkeeping(new Claims()).transact(client, WRITERS, firstOperations);
    await client.query(
      "GRANT USAGE ON SCHEMA soak TO matview_refresher; ANALYZE soak.account, soak.entry, soak.watermark",
    );
    for (const view of BOOKS.views) {
      await client.query(VIEW_SQL[view.name as keyof typeof VIEW_SQL]);
      // Before the next is made: one that reads a materialized view would hang on that relation, and not on the table.
      if (mode === "incremental") await makeIncremental(connection, view);
    }
  });
}

function firstOperations(models: WriterModel[]): Map<number, Operation[]> {
  const dice = new Dice(models.length);
  return new Map(
    models.map((model) => {
      const accounts = Array.from({ length: FIRST_ACCOUNTS }, (_, index) => model.nextAccount + index);
      const opened = accounts.map((account): Operation => ({
        kind: "open",
        account,
        label: `first ${account}`,
      }));
      const filled = drawFill(dice, { nextEntry: model.nextEntry, accountIds: accounts }, FIRST_ENTRIES);
      return [model.writer, [...opened, ...filled]];
    }),
  );
}

async function makeIncremental(connection: ClientConfig, view: QualifiedName): Promise<void> {
  const session = await Session.open(connection, new Budget(LONGEST_APPLY_MS));
  try {
    const { maintenance, findings } = await compileView(session, view);
    if (maintenance === undefined)
      throw new Error(`${qualifiedName(view)} is refused: ${JSON.stringify(findings, null, 1)}`);
    await apply(session, maintenance, PATIENCE);
  } finally {
    await session.close();
  }
}
