/** What the benches of incremental maintenance stand on: a maintained view, and beside it a twin that is refreshed. */
import type { Client, ClientConfig } from "pg";
import { Budget } from "../handler/budget";
import { Session } from "../handler/connect";
import { inSchema } from "../handler/maintained";
import { apply } from "../incremental/apply";
import { compile } from "../incremental/compile";
import type { Maintenance } from "../incremental/maintenance";
import { readSource } from "../incremental/readSource";
import { withClient } from "../local/postgres/database";
import { timed } from "./statistics";

export const VIEW = { schema: "public", name: "job_progress" };
/** The same query as a materialized view, over the same tables. */
export const TWIN = "public.job_progress_full";

const HOUR_MS = 3_600_000;
const OBJECTS_IN_A_ROW = 1_000;

/**
 * Fills the scanner's tables. In the first half of the objects each belongs to another job than the one before it, in
 * the second half a thousand in a row belong to one.
 */
export async function fillEvenly(connection: ClientConfig, objects: number, jobs: number): Promise<void> {
  await withClient(connection, async (client) => {
    // Without the foreign key's triggers and with the index at the end, ten million take a minute and not ten.
    await client.query("SET session_replication_role = replica; SET synchronous_commit = off");
    await client.query("TRUNCATE public.jobs, public.job_objects RESTART IDENTITY");
    const { rows } = await client.query<{ sql: string }>(
      "SELECT pg_get_indexdef('public.idx_job_objects_job_id_status'::regclass) AS sql",
    );
    await client.query("DROP INDEX public.idx_job_objects_job_id_status");
    await client.query(
      "INSERT INTO public.jobs (name, status) SELECT 'job ' || n, 'running' FROM generate_series(1, $1::int) AS n",
      [jobs],
    );
    await client.query(
      `INSERT INTO public.job_objects (job_id, object_key, size_bytes, status)
       SELECT 1 + CASE WHEN n <= $1::bigint / 2 THEN n ELSE n / ${OBJECTS_IN_A_ROW} END % $2::int,
              format('exports/part-%s.csv', n), n, CASE n % 3 WHEN 0 THEN 'pending' ELSE 'processed' END
         FROM generate_series(1, $1::bigint) AS n`,
      [objects, jobs],
    );
    await client.query(rows[0]?.sql ?? "");
    await client.query("VACUUM (ANALYZE) public.jobs, public.job_objects");
    await client.query(`REFRESH MATERIALIZED VIEW public.job_progress`);
  });
}

/** Makes the scanner's view incremental, and the twin. */
export async function makeIncremental(connection: ClientConfig): Promise<Maintenance> {
  await withClient(connection, async (client) => {
    const { rows } = await client.query<{ query: string }>(
      "SELECT pg_get_viewdef('public.job_progress'::regclass) AS query",
    );
    await client.query(`CREATE MATERIALIZED VIEW ${TWIN} AS ${rows[0]?.query}`);
    await client.query(`CREATE UNIQUE INDEX ON ${TWIN} (job_id)`);
    await client.query(`GRANT SELECT, MAINTAIN ON ${TWIN} TO matview_refresher; ANALYZE ${TWIN}`);
  });
  const session = await Session.open(connection, new Budget(HOUR_MS));
  try {
    await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    const source = await readSource((sql, values) => session.query(sql, values), VIEW);
    await session.query("ROLLBACK");
    const { maintenance, findings } = await compile(source);
    if (maintenance === undefined) throw new Error(`the view is refused: ${JSON.stringify(findings)}`);
    await apply(session, maintenance, { lockTimeoutMs: 2_000, totalMs: HOUR_MS, report: () => undefined });
    await session.query("CHECKPOINT");
    return maintenance;
  } finally {
    await session.close();
  }
}

/** Opens a session of its own for one piece of work and times the work alone. */
export async function inFreshSession(
  connection: ClientConfig,
  work: (client: Client) => Promise<unknown>,
): Promise<number> {
  return withClient(connection, (client) => timed(() => work(client)));
}

/** The transaction of a fold, as the function sends it. */
export async function fold(
  client: Client,
  { names }: Maintenance,
): Promise<{ changes: number; changedRows: number }> {
  await client.query(
    `BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE; SET LOCAL statement_timeout = '1h'; SET LOCAL lock_timeout = '5s';
     LOCK TABLE ${inSchema(names.lock)} IN EXCLUSIVE MODE NOWAIT; LOCK TABLE ${inSchema(names.query)} IN ACCESS SHARE MODE`,
  );
  const { rows } = await client.query<{
    kind: string;
    reason: string;
    changes: string;
    changed_rows: string;
  }>(`SELECT * FROM ${inSchema(names.fold)}(false, '1 day', true)`);
  await client.query("COMMIT");
  const [did] = rows;
  if (did?.kind !== "incremental") throw new Error(`a fold was ${did?.kind}: ${did?.reason}`);
  return { changes: Number(did.changes), changedRows: Number(did.changed_rows) };
}

/** Which objects are changed next: each in its turn, so that none is always found in memory. */
export class Changes {
  private next: number;

  /** @param first the first of so many objects, of which this one has the use. */
  constructor(
    private readonly first: number,
    private readonly objects: number,
  ) {
    this.next = first;
  }

  /** First and last of as many objects in a row. */
  take(count: number): [number, number] {
    if (this.next + count > this.first + this.objects) this.next = this.first;
    const from = this.next;
    this.next += count;
    return [from, from + count - 1];
  }
}

/** What the scanner does to an object, so that it counts every time. */
const SET = `SET status = CASE status WHEN 'processed' THEN 'failed' ELSE 'processed' END, updated_at = clock_timestamp()`;

/** One statement that changes objects $1 to $2. */
export const BULK = `UPDATE public.job_objects ${SET} WHERE object_id BETWEEN $1 AND $2`;
/** One that changes object $1. */
export const SINGLE = `UPDATE public.job_objects ${SET} WHERE object_id = $1`;

/** Changes objects one by one, within one transaction, since only what is logged matters here. */
export const singleRows = ([from, to]: [number, number]): string =>
  `DO $do$ BEGIN FOR id IN ${from}..${to} LOOP UPDATE public.job_objects ${SET} WHERE object_id = id; END LOOP; END $do$`;
