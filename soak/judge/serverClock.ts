/** How far the server's clock is ahead of this machine's. */
import type { Client } from "pg";

/** Milliseconds between which it is. */
export interface Offset {
  leastMs: number;
  mostMs: number;
}

/** A time of this machine is of whole milliseconds, cut off. */
const CUT_OFF_MS = 1;

export async function measureOffset(client: Client, now: () => number): Promise<Offset> {
  const beforeMs = now();
  const { rows } = await client.query<{ ms: number }>(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::double precision AS ms",
  );
  const afterMs = now() + CUT_OFF_MS;
  const serverMs = rows[0]?.ms ?? NaN;
  return { leastMs: serverMs - afterMs, mostMs: serverMs - beforeMs };
}

/** What both measures allow; undefined where the clock was moved between them. */
export function both(one: Offset, other: Offset): Offset | undefined {
  const leastMs = Math.max(one.leastMs, other.leastMs);
  const mostMs = Math.min(one.mostMs, other.mostMs);
  return leastMs <= mostMs ? { leastMs, mostMs } : undefined;
}
