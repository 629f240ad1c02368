/** An administrator who cancels or ends a refresh, or a fold, that is at its work. */
import type { Client } from "pg";
import type { Bed } from "../bed/bed";
import type { Dice } from "../dice";
import type { Planted } from "../fault";
import { leaveOpen, viewAt, whileHeld } from "./administrator";

const PATIENCE_MS = 3_000;

/** Of the function's backends alone, in their work: without OFFSET every session of the server might be signalled first. */
const signalled = (signal: string): string => `
  SELECT FROM (SELECT pid FROM pg_stat_activity
                WHERE usename = $1 AND wait_event_type = 'Lock' AND query ~ '(REFRESH MATERIALIZED VIEW|__fold"?[(])'
               OFFSET 0) AS waiting
   WHERE ${signal}(pid)`;

/**
 * A lock that stops the work when half of it is done: a refresh has locked its view and comes to read a table; a fold has
 * taken what was logged and comes to write. One that finds no change does not come so far.
 */
const lockAhead = (bed: Bed, dice: Dice): string =>
  bed.mode === "full"
    ? `LOCK TABLE ${dice.oneOf(bed.books.tables)} IN ACCESS EXCLUSIVE MODE`
    : `LOCK TABLE ${viewAt(bed, 0).sql} IN SHARE MODE`;

/** Signals the function's backend in the middle of its work, once; it waits there until then, and not longer than that. */
export function signalAtWork(
  bed: Bed,
  dice: Dice,
  signal: "pg_cancel_backend" | "pg_terminate_backend",
): Planted {
  let isOver = false;
  let hits = 0;
  let looking: Promise<unknown> = Promise.resolve();
  const look = async (client: Client): Promise<void> => {
    const endsAtMs = performance.now() + PATIENCE_MS;
    while (hits === 0 && !isOver && performance.now() < endsAtMs)
      hits = (await client.query(signalled(signal), [bed.fn.user])).rowCount ?? 0;
  };
  const lock = lockAhead(bed, dice);
  const at = { phase: "refresh", moment: "before", what: `${signal} where it waits: ${lock}` } as const;
  const planted = whileHeld(bed, at, async () => {
    const client = await bed.connect();
    const open = await leaveOpen(bed, "", lock);
    looking = look(client)
      .catch(() => undefined)
      .finally(() => Promise.all([open.lift(), client.end().catch(() => undefined)]));
  });
  return {
    ...planted,
    async lift() {
      await planted.lift();
      isOver = true;
      await looking;
    },
    hasStruck: () => hits > 0,
  };
}
