/** The server's processes that serve the function, and what is done to them in the middle of a refresh. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import type { Bed } from "../bed/bed";
import type { Planted } from "../fault";
import { strikeAt } from "./moment";

/** Process ids of the sessions that the function has now. */
export async function backendsOf(bed: Bed): Promise<number[]> {
  const client = await bed.connect();
  try {
    return await ask(client, "true");
  } finally {
    await client.end();
  }
}

async function ask(client: Client, where: string): Promise<number[]> {
  const { rows } = await client.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity
      WHERE application_name = 'matview-refresh' AND backend_type = 'client backend' AND ${where}`,
  );
  return rows.map(({ pid }) => pid);
}

export async function signal(
  bed: Bed,
  by: "pg_terminate_backend" | "pg_cancel_backend",
  pids: number[],
): Promise<void> {
  await bed.cluster.execute(`SELECT ${by}(pid) FROM unnest(ARRAY[${pids.join()}]::int[]) AS pid`);
}

const LONGEST_LOCK_WAIT_MS = 1_500;
const LONGEST_LOOK_MS = 1_500;

/**
 * Strikes while the first refresh of a run is under way: it has to wait in its middle for a lock of ours, which is given
 * back after the strike. Where that moment never comes, or the lock is not to be had, nothing waits for it.
 */
export function strikeDuringRefresh(
  bed: Bed,
  what: string,
  strike: (pids: number[]) => Promise<void> | void,
): Planted {
  let struck = false;
  let working: Promise<unknown> = Promise.resolve();
  const hold = async (): Promise<void> => {
    const client = await bed.connect();
    try {
      await client.query(`BEGIN; SET LOCAL lock_timeout = ${LONGEST_LOCK_WAIT_MS}; ${lockInTheWay(bed)}`);
    } catch {
      // Somebody else's lock, or no server: the message goes on its way, and nothing is struck.
      return client.end();
    }
    working = whileHeld(client).finally(() => client.end());
    working.catch(() => undefined);
  };
  const whileHeld = async (client: Client): Promise<void> => {
    const giveUpAtMs = performance.now() + LONGEST_LOOK_MS;
    while (performance.now() < giveUpAtMs) {
      const pids = await ask(client, "wait_event_type = 'Lock'");
      if (pids.length > 0) {
        struck = true;
        return strike(pids);
      }
      await sleep(5);
    }
  };
  const planted = strikeAt(
    bed,
    what,
    { phase: "refresh", moment: "before", time: 1 },
    () => hold().catch(() => undefined),
    async () => {
      // What may go wrong is that the server ends, which is what some of these strikes are for.
      await working.catch(() => undefined);
    },
  );
  return { ...planted, what: `${what} in the middle of the refresh`, hasStruck: () => struck };
}

/** What a refresh needs when it has begun: the tables it reads, or that of the view, which the fold writes at its end. */
function lockInTheWay({ mode, books }: Bed): string {
  const [view] = books.views;
  return mode === "full"
    ? `LOCK TABLE ${books.tables.join(", ")} IN ACCESS EXCLUSIVE MODE`
    : `LOCK TABLE "${view?.schema}"."${view?.name}" IN EXCLUSIVE MODE`;
}
