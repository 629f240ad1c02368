/** Whether what a view shows can have been at one moment, and at the moment that is claimed. */
import type { Client } from "pg";
import type { Span } from "../books/ledger";
import type { Refreshed } from "./shown";

/** The number of each writer's last transaction that is in a view. */
export type Cut = ReadonlyMap<number, number>;

/** A transaction, for those who look it up. */
const named = ({ writer, number }: Span["parts"][number]): string =>
  `transaction ${number} of writer ${writer}`;

/** `1:45 2:33 3:50`. */
export const cutText = (cut: Cut): string =>
  [...cut].map(([writer, number]) => `${writer}:${number}`).join(" ");

/** Transactions of which one part is shown and another is not. */
export function tornSpans(cut: Cut, spans: readonly Span[]): string[] {
  const isInside = ({ writer, number }: Span["parts"][number]): boolean => number <= (cut.get(writer) ?? 0);
  return spans
    .filter(({ parts }) => parts.some(isInside) && !parts.every(isInside))
    .map(({ xid, parts }) => {
      const [inside, outside] = [parts.filter(isInside), parts.filter((part) => !isInside(part))].map(
        (some) => some.map(named).join(", "),
      );
      return `a transaction (${xid}) was cut in two: ${inside} is shown, ${outside} is not`;
    });
}

/** A transaction, and when it began or had returned, by this machine's clock. */
export interface Edge {
  writer: number;
  number: number;
  ms: number;
}

/** The transaction of those inside that began last, and of those outside that returned first. */
interface Edges {
  began: Edge | undefined;
  returned: Edge | undefined;
}

/** One writer's transaction is shown, and another's, that was over before it began, is not. */
export function notOneMoment({ began, returned }: Edges): string[] {
  if (began === undefined || returned === undefined || returned.ms >= began.ms) return [];
  return [
    `no moment is like this: ${named(returned)} had returned ${began.ms - returned.ms} ms ` +
      `before ${named(began)} began, and only the latter is shown`,
  ];
}

/** How far the server's clock is ahead of this machine's: milliseconds between which it is. */
export interface Offset {
  leastMs: number;
  mostMs: number;
}

/** A time of this machine is of whole milliseconds, cut off. */
const CUT_OFF_MS = 1;

export async function measureOffset(client: Client): Promise<Offset> {
  const beforeMs = Date.now();
  const { rows } = await client.query<{ ms: number }>(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::double precision AS ms",
  );
  const afterMs = Date.now() + CUT_OFF_MS;
  const serverMs = rows[0]?.ms ?? NaN;
  return { leastMs: serverMs - afterMs, mostMs: serverMs - beforeMs };
}

/** What both measures allow; undefined where the clock was moved between them. */
export function both(one: Offset, other: Offset): Offset | undefined {
  const leastMs = Math.max(one.leastMs, other.leastMs);
  const mostMs = Math.min(one.mostMs, other.mostMs);
  return leastMs <= mostMs ? { leastMs, mostMs } : undefined;
}

const TOO_OLD = "history is too old";
export const WITHOUT_ROW = "without a row of history";

/** Whether a violation is no more than that history has no row of the last refresh. */
export const isOfMissingRow = (violation: string): boolean =>
  violation.includes(WITHOUT_ROW) || violation.includes(TOO_OLD);

/** What had returned before as_of has to be shown, what began after the row was written cannot be. */
export function falseTimes(newest: Refreshed, { began, returned }: Edges, offset: Offset): string[] {
  const violations: string[] = [];
  const { asOfMs, finishedMs } = newest;
  // By this machine's clock, and the earliest that it can have been.
  const asOfAtLeastMs = asOfMs === null ? -Infinity : asOfMs - offset.mostMs;
  if (returned !== undefined && returned.ms + 1 <= asOfAtLeastMs) {
    violations.push(
      `as_of claims too much: ${named(returned)} had returned ` +
        `${Math.floor(asOfAtLeastMs - returned.ms)} ms before it and is not shown`,
    );
  }
  const finishedAtMostMs = finishedMs - offset.leastMs;
  if (began !== undefined && began.ms > finishedAtMostMs) {
    violations.push(
      `${TOO_OLD}: ${named(began)} began ` +
        `${Math.ceil(began.ms - finishedAtMostMs)} ms after finished_at and is shown`,
    );
  }
  return violations;
}
