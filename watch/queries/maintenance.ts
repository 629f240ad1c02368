/** Maintained views: how far they have come, and what waits to be folded. */
import type { Reader } from "../reader";
import { SUMMED, type CatalogView, type MaintainedParts } from "./catalog";
import { epochMs } from "./now";

export interface MaintenanceStatus {
  isPaused: boolean;
  lastFullAtMs: number | null;
  lastFullReason: string | null;
  drift: number;
  pendingChanges: number | null;
  pendingIsAtLeast: boolean;
}

/** Entries of one table's log are counted up to this. */
export const MOST_PENDING = 10_000;
const LONGEST_STATUS_MS = 500;

type Parts = MaintainedParts;

/** One row for each view that may be read, in their order; a view that is not maintained, or not to be read, gets null. */
export async function readMaintenance(
  reader: Reader,
  views: CatalogView[],
): Promise<{ statuses: (MaintenanceStatus | null)[]; notes: string[] }> {
  const notes: string[] = [];
  const statuses: (MaintenanceStatus | null)[] = [];
  for (const { parts, sqlName } of views) {
    if (parts === null) statuses.push(null);
    else if (!parts.mayReadStatus) {
      statuses.push(null);
      notes.push(`How ${sqlName} is maintained is not seen: GRANT SELECT ON ${parts.status} is missing.`);
    } else statuses.push(await readStatus(reader, parts, sqlName, notes));
  }
  return { statuses, notes };
}

async function readStatus(
  reader: Reader,
  { status, logs }: Parts,
  sqlName: string,
  notes: string[],
): Promise<MaintenanceStatus | null> {
  const unread = logs.filter(({ mayRead }) => !mayRead).map(({ name }) => name);
  const counts = logs.map(countOf);
  const pending = unread.length > 0 || counts.length === 0 ? "NULL::float8[]" : `ARRAY[${counts.join(", ")}]`;
  if (unread.length > 0) {
    notes.push(
      `Changes of ${sqlName} that wait are not counted: GRANT SELECT ON ${unread.join(", ")} is missing.`,
    );
  }
  try {
    const [row] = await reader.rows<
      Omit<MaintenanceStatus, "pendingChanges"> & {
        counts: [rows: number, changes: number][] | null;
      }
    >(
      `SELECT paused AS "isPaused", ${epochMs("last_full_at")} AS "lastFullAtMs", last_full_reason AS "lastFullReason",
              coalesce(drift, 0)::double precision AS "drift", ${pending} AS "counts"
         FROM ${status}`,
      LONGEST_STATUS_MS,
    );
    if (row === undefined) return null;
    const { counts: found, ...rest } = row;
    return {
      ...rest,
      pendingChanges: found === null ? null : found.reduce((sum, [, changes]) => sum + changes, 0),
      pendingIsAtLeast: found?.some(([rows]) => rows >= MOST_PENDING) ?? false,
    };
  } catch (error) {
    if ((error as { code?: string }).code === undefined) throw error;
    notes.push(`How ${sqlName} is maintained could not be read (${(error as { code?: string }).code}).`);
    return null;
  }
}

/** Rows of a log, and the changes that they stand for. */
const countOf = ({ name, isSummed }: Parts["logs"][number]): string => {
  const changes = isSummed
    ? `coalesce(pg_catalog.sum(coalesce(counted.${SUMMED}, 1)), 0)`
    : "pg_catalog.count(*)";
  return `(SELECT ARRAY[pg_catalog.count(*), ${changes}]::float8[] FROM (SELECT * FROM ${name} LIMIT ${MOST_PENDING}) AS counted)`;
};
