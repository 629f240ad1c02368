/** The rows of `matview_refresh_history`, each handed on once. */
import type { ClientConfig } from "pg";
import { withClient } from "../../local/postgres/database";

/** A row of history; times in microseconds since 1970, by the server's clock. */
export interface HistoryRow {
  id: number;
  /** `schema.name` */
  view: string;
  oid: number | null;
  outcome: "refreshed" | "skipped" | "failed";
  refreshType: string | null;
  asOfUs: number | null;
  startedUs: number;
  finishedUs: number;
  sqlstate: string | null;
  runId: string | null;
  drift: number | null;
}

/** Rows are read again for so many ids back: one whose COMMIT waited is seen after those that came later. */
const SEEN_LATE = 1_000;

const microseconds = (time: string): string => `(extract(epoch FROM ${time}) * 1000000)::double precision`;
const ROWS = `
  SELECT id::double precision AS id, view_schema || '.' || view_name AS view, view_oid AS oid, outcome,
         refresh_type AS "refreshType", ${microseconds("as_of")} AS "asOfUs",
         ${microseconds("started_at")} AS "startedUs", ${microseconds("finished_at")} AS "finishedUs",
         sqlstate, run_id AS "runId", drift::double precision AS drift
    FROM public.matview_refresh_history WHERE id > $1 ORDER BY id`;

export class HistoryReader {
  private readonly seen = new Set<number>();
  private lastId = 0;

  /** @param connection of a superuser, to the server that takes writes now. */
  constructor(private readonly connection: () => ClientConfig) {}

  /** Rows that were handed on so far. */
  get count(): number {
    return this.seen.size;
  }

  /** The rows that are new, in the order of their ids, and how many that were seen before are gone. */
  async read(): Promise<{ rows: HistoryRow[]; gone: number }> {
    return withClient(this.connection(), async (client) => {
      const { rows } = await client.query<HistoryRow>(ROWS, [this.lastId - SEEN_LATE]);
      const fresh = rows.filter(({ id }) => !this.seen.has(id));
      for (const { id } of fresh) this.seen.add(id);
      this.lastId = Math.max(this.lastId, ...fresh.map(({ id }) => id));
      const total = await client.query<{ rows: number }>(
        "SELECT count(*)::double precision AS rows FROM public.matview_refresh_history",
      );
      return { rows: fresh, gone: Math.max(0, this.seen.size - (total.rows[0]?.rows ?? 0)) };
    });
  }
}

/** For a sentence about it. */
export function describe({ id, view, outcome }: HistoryRow): string {
  return `row ${id} of history (${view} ${outcome})`;
}
