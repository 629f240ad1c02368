/** What people do to the soak's database by hand, for faults that are made of it. */
import type { Client, ClientConfig } from "pg";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed/bed";
import type { Planted } from "../fault";

/** A lock that is queued for keeps everybody behind it: no try of ours waits longer. */
const LOCK_TIMEOUT_MS = 2_000;
const MOST_TRIES = 5;

/**
 * As the superuser. What people do waits for no standby: one that is lost would keep the fault's end waiting for that of
 * another fault.
 */
export function byHand(bed: Bed): ClientConfig {
  return { ...bed.cluster.connection(), options: "-c synchronous_commit=local" };
}

/** Rows of a question. */
export async function ask<Row extends object>(bed: Bed, sql: string, values: unknown[] = []): Promise<Row[]> {
  return withClient(byHand(bed), async (client) => (await client.query<Row>(sql, values)).rows);
}

/**
 * Statements as the superuser, all or none of them, tried again while writers or runs hold what they lock.
 * @throws the server's error
 */
export async function change(bed: Bed, ...statements: string[]): Promise<void> {
  const sql = `BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; ${statements.join("; ")}; COMMIT`;
  for (let tries = 1; ; tries++) {
    try {
      await ask(bed, sql);
      return;
    } catch (error) {
      const isPassing = ["55P03", "40P01"].includes((error as { code?: string }).code ?? "");
      if (!isPassing || tries === MOST_TRIES) throw error;
    }
  }
}

/** Something that is changed, and changed back. */
export async function changed(bed: Bed, statement: string, ...back: string[]): Promise<Planted> {
  await change(bed, statement);
  return { what: statement, lift: () => change(bed, ...back) };
}

/** A transaction that somebody has left open, with whatever it has locked. Ends when its connection does. */
export async function leaveOpen(bed: Bed, ...statements: string[]): Promise<Planted> {
  const client = await bed.connect();
  let isLost = false;
  let isLifted = false;
  const lose = (): void => void (isLost ||= !isLifted);
  client.on("error", lose).on("end", lose);
  const lift = async (): Promise<void> => {
    isLifted = true;
    await rollBack(client);
  };
  try {
    const settings =
      "idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'; SET synchronous_commit = local";
    await client.query(`SET ${settings}; BEGIN`);
    for (const statement of statements) await client.query(statement);
  } catch (error) {
    await lift();
    throw error;
  }
  return { what: `left open: BEGIN; ${statements.join("; ")}`, lift, hasStruck: () => !isLost };
}

/** The answer is waited for, so that the locks are free afterwards; the connection may be gone already. */
async function rollBack(client: Client): Promise<void> {
  await client.query("ROLLBACK").catch(() => undefined);
  await client.end().catch(() => undefined);
}

/** A right that the function's role has through its group is taken away, until it is given back; what a remedy gave goes then. */
export function takeAway(bed: Bed, right: string): Promise<Planted> {
  return changed(
    bed,
    `REVOKE ${right} FROM matview_refresher`,
    `REVOKE ${right} FROM "${bed.fn.user}"`,
    `GRANT ${right} TO matview_refresher`,
  );
}
