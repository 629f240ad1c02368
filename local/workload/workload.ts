/** The scanner's tables as the local run fills and works on them: whose they are, and what a first fill writes. */
import type { Client } from "pg";

/**
 * Comment on `public.jobs` that says the tables are ours to fill. It is set by the run that saw the tables come
 * into being; without it nothing is ever written to them, whoever made them. It begins as the migrations' own mark
 * does (001_jobs.sql), so the tables stay theirs too.
 */
const mark = "matview-refresh: sample workload, filled and worked on by the local run";

/** Jobs of the scanner. */
export const sampleJobCount = 150;

/** How many of them are at work. */
export const activeJobCount = 12;

const queuedJobCount = 6;

/** Objects inserted by one statement: enough to be fast, few enough for the progress to move. */
const batchObjects = 20_000;

/** What stands in the database before the run does anything. */
export type TableState =
  /** Neither table is there: the migration will make them, and they will be ours. */
  | "absent"
  /** An earlier run made and marked them. */
  | "ours"
  /** At least one is there and not marked: somebody's own. */
  | "foreign";

/** Asks whose `jobs` and `job_objects` are. */
export async function tableState(client: Client): Promise<TableState> {
  const { rows } = await client.query<{ any: boolean; comment: string | null }>(
    `SELECT to_regclass('public.jobs') IS NOT NULL OR to_regclass('public.job_objects') IS NOT NULL AS any,
            obj_description(to_regclass('public.jobs'), 'pg_class') AS comment`,
  );
  const [row] = rows;
  if (row?.any !== true) return "absent";
  return row.comment === mark ? "ours" : "foreign";
}

/** Says on the table that it is ours. Only for tables that were absent before the migrations ran. */
export async function markAsOurs(client: Client): Promise<void> {
  await client.query(`COMMENT ON TABLE public.jobs IS ${client.escapeLiteral(mark)}`);
}

/** Whether a fill has been done before. */
export async function isFilled(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ filled: boolean }>(
    "SELECT EXISTS (SELECT FROM public.jobs) AS filled",
  );
  return rows[0]?.filled === true;
}

/** The name of the job with this number. */
export const jobNameSql = (number: string): string => `
  (ARRAY['s3-customer-exports', 's3-invoices', 's3-support-attachments', 'gdrive-finance', 'gdrive-people',
         'slack-archive', 'sharepoint-legal', 'salesforce-files', 'github-artifacts', 'zendesk-tickets'
        ])[1 + ${number} % 10] || '-' || to_char(${number}, 'FM0000')`;

/** A size whose logarithm is normally distributed: many small ones, a few very large. Median 1. */
export const skewedSizeSql = (spread: number): string =>
  `exp(${spread} * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))`;

/**
 * Inserts a job's objects number `first` to `last`; those up to `done` are done, one in a hundred of them failed.
 * @param jobs a relation with the columns job_id, first, last and done
 */
export const insertObjectsSql = (jobs: string): string => `
  INSERT INTO public.job_objects (job_id, object_key, size_bytes, status, updated_at)
  SELECT job_id,
         format('%s/%s/part-%s.%s',
                (ARRAY['exports', 'inbox', 'archive', 'reports', 'uploads', 'scans'])[1 + i % 6],
                to_char(date '2025-01-01' + (i % 300)::int, 'YYYY/MM/DD'), to_char(i, 'FM0000000'),
                (ARRAY['csv', 'pdf', 'json', 'docx', 'parquet', 'eml', 'png'])[1 + i % 7]),
         (300 * exp(random() * 11))::bigint,
         CASE WHEN i > done THEN 'pending' WHEN i % 100 = 99 THEN 'failed' ELSE 'processed' END,
         now() - make_interval(secs => 60 * random())
    FROM ${jobs}, generate_series(first, last) AS i`;

/**
 * A believable history: old jobs finished, some failed or cancelled on the way, 12 running, the newest queued.
 * The objects of all jobs are numbered from 1 to the total; a job has those after `before` up to `through`, and
 * at least one.
 */
const drawJobs = `
  WITH drawn AS (
    SELECT number, ${skewedSizeSql(1.4)} AS weight, random() AS chance, random() * 0.8 AS share
      FROM generate_series(1, ${sampleJobCount}) AS number
  ), sized AS (
    SELECT number, chance, share, number + round(
             ($1 - ${sampleJobCount}) * sum(weight) OVER (ORDER BY number) / sum(weight) OVER ())::bigint AS through,
           CASE WHEN number > ${sampleJobCount - queuedJobCount} THEN 'queued'
                WHEN number > ${sampleJobCount - queuedJobCount - activeJobCount} THEN 'running'
                WHEN chance < 0.04 THEN 'failed'
                WHEN chance < 0.06 THEN 'cancelled'
                ELSE 'completed' END AS status
      FROM drawn
  ), ranged AS (
    SELECT *, lag(through, 1, 0::bigint) OVER (ORDER BY number) AS before FROM sized
  )
  INSERT INTO drawn_jobs
  SELECT nextval(pg_get_serial_sequence('public.jobs', 'job_id')), ${jobNameSql("number")}, status,
         now() - (${sampleJobCount + 1} - number) * interval '7 minutes', before, through,
         floor((through - before) * CASE status WHEN 'completed' THEN 1 WHEN 'queued' THEN 0 ELSE share END)
    FROM ranged ORDER BY number`;

const insertJobs = `
  INSERT INTO public.jobs (job_id, name, status, created_at, started_at, finished_at)
  SELECT job_id, name, status, created_at,
         CASE WHEN status <> 'queued' THEN created_at + interval '20 seconds' END,
         CASE WHEN status NOT IN ('queued', 'running') THEN least(now(), created_at + interval '30 minutes') END
    FROM drawn_jobs`;

const insertBatch = insertObjectsSql(`
  (SELECT job_id, done, greatest($1, before + 1) - before AS first, least($2, through) - before AS last
     FROM drawn_jobs WHERE through >= $1 AND before < $2) AS batch`);

/**
 * Fills the empty tables in one transaction, so that a fill that is broken off leaves nothing.
 * @param totalObjects at least {@link sampleJobCount}
 * @param onProgress told how many objects are written so far
 * @throws the abort reason when `stop` is given, after the rollback
 */
export async function fill(
  client: Client,
  totalObjects: number,
  onProgress: (objects: number) => void,
  stop?: AbortSignal,
): Promise<void> {
  await client.query("BEGIN");
  try {
    await client.query(
      `CREATE TEMPORARY TABLE drawn_jobs (job_id bigint, name text, status text, created_at timestamptz,
                                          before bigint, through bigint, done bigint) ON COMMIT DROP`,
    );
    // The same draws in every run, so that two fills can be compared.
    await client.query("SELECT setseed(0.20251109)");
    await client.query(drawJobs, [totalObjects]);
    await client.query(insertJobs);
    for (let written = 0; written < totalObjects;) {
      stop?.throwIfAborted();
      const through = Math.min(totalObjects, written + batchObjects);
      await client.query(insertBatch, [written + 1, through]);
      written = through;
      onProgress(written);
    }
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
  await client.query("VACUUM (ANALYZE) public.jobs, public.job_objects");
}
