/** The rows of `matview_refresh_history`, each handed on once. */
import { Client, type ClientConfig } from "pg";

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
  durationSeconds: number;
  sqlstate: string | null;
  runId: string | null;
  drift: number | null;
}

/** Rows are read again for so many ids back: one whose COMMIT waited is seen after those that came later. */
const SEEN_LATE = 1_000;

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
    const client = new Client(this.connection());
    client.on("error", () => undefined);
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, unknown>>(ROWS, [this.lastId - SEEN_LATE]);
      const total = Number(rows[0]?.total);
      const fresh = rows.filter(({ id }) => id !== null && !this.seen.has(Number(id))).map(rowOf);
      for (const { id } of fresh) this.seen.add(id);
      this.lastId = Math.max(this.lastId, ...fresh.map(({ id }) => id));
      return { rows: fresh, gone: Math.max(0, this.seen.size - total) };
    } finally {
      await client.end();
    }
  }
}

const ROWS = `
  SELECT h.*, (SELECT count(*) FROM public.matview_refresh_history) AS total
    FROM (SELECT) AS one LEFT JOIN LATERAL (
      SELECT id, view_schema || '.' || view_name AS view, view_oid, outcome, refresh_type,
             (extract(epoch FROM as_of) * 1000000)::bigint AS as_of,
             (extract(epoch FROM started_at) * 1000000)::bigint AS started,
             (extract(epoch FROM finished_at) * 1000000)::bigint AS finished,
             duration_seconds, sqlstate, run_id, drift
        FROM public.matview_refresh_history WHERE id > $1 ORDER BY id) h ON true`;

/** For a sentence about it. */
export function describe({ id, view, outcome }: HistoryRow): string {
  return `row ${id} of history (${view} ${outcome})`;
}

function rowOf(row: Record<string, unknown>): HistoryRow {
  const number = (value: unknown): number | null => (value === null ? null : Number(value));
  return {
    id: Number(row.id),
    view: String(row.view),
    oid: number(row.view_oid),
    outcome: row.outcome as HistoryRow["outcome"],
    refreshType: row.refresh_type as string | null,
    asOfUs: number(row.as_of),
    startedUs: Number(row.started),
    finishedUs: Number(row.finished),
    durationSeconds: Number(row.duration_seconds),
    sqlstate: row.sqlstate as string | null,
    runId: row.run_id as string | null,
    drift: number(row.drift),
  };
}
