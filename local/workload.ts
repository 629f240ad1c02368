import type { Client } from "pg";
import { sampleJobs, type SampleJob } from "./sampleJobs";

/**
 * Comment on `public.jobs` that says the tables are ours to fill. It is set by the run that saw the tables come
 * into being; without it nothing is ever written to them, whoever made them. It begins as the migrations' own mark
 * does (001_jobs.sql), so the tables stay theirs too.
 */
const mark = "matview-refresh: sample workload, filled and worked on by the local run";

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

/** What a fill wrote. */
export interface Filled {
  jobs: number;
  objects: number;
}

/**
 * Fills the empty tables in one transaction, so that a fill that is broken off leaves nothing.
 * @param onProgress told how many objects are written so far
 * @throws the abort reason when `stop` is given, after the rollback
 */
export async function fill(
  client: Client,
  totalObjects: number,
  onProgress: (objects: number) => void,
  stop?: AbortSignal,
): Promise<Filled> {
  const jobs = sampleJobs(totalObjects);
  await client.query("BEGIN");
  try {
    let written = 0;
    for (const job of jobs) {
      const jobId = await insertJob(client, job);
      for (let from = 0; from < job.objects; from += batchObjects) {
        stop?.throwIfAborted();
        const to = Math.min(job.objects, from + batchObjects);
        await insertObjects(client, jobId, from + 1, to, job.doneObjects);
        written += to - from;
        onProgress(written);
      }
    }
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    throw error;
  }
  await client.query("VACUUM (ANALYZE) public.jobs, public.job_objects");
  return { jobs: jobs.length, objects: totalObjects };
}

/** @returns the new job's id */
export async function insertJob(
  client: Client,
  job: Omit<SampleJob, "objects" | "doneObjects">,
): Promise<string> {
  const { rows } = await client.query<{ job_id: string }>(
    `INSERT INTO public.jobs (name, status, created_at, started_at, finished_at)
     SELECT $1, $2::text, created, CASE WHEN $2 <> 'queued' THEN created + interval '20 seconds' END,
            CASE WHEN $2 NOT IN ('queued', 'running') THEN least(now(), created + interval '30 minutes') END
       FROM (SELECT now() - make_interval(secs => $3 * 60) AS created) AS at
     RETURNING job_id`,
    [job.name, job.status, job.createdMinutesAgo],
  );
  return (rows[0] as { job_id: string }).job_id;
}

/** Objects number `from` to `to` of a job; those up to `doneObjects` are done, one in a hundred of them failed. */
export async function insertObjects(
  client: Client,
  jobId: string,
  from: number,
  to: number,
  doneObjects: number,
): Promise<void> {
  await client.query(
    `INSERT INTO public.job_objects (job_id, object_key, size_bytes, status, updated_at)
     SELECT $1::bigint,
            format('%s/%s/part-%s.%s',
                   (ARRAY['exports','inbox','archive','reports','uploads','scans'])[1 + i % 6],
                   to_char(date '2025-01-01' + (i % 300)::int, 'YYYY/MM/DD'), lpad(i::text, 7, '0'),
                   (ARRAY['csv','pdf','json','docx','parquet','eml','png'])[1 + i % 7]),
            (300 * exp(random() * 11))::bigint,
            CASE WHEN i > $4 THEN 'pending' WHEN i % 100 = 99 THEN 'failed' ELSE 'processed' END,
            now() - make_interval(secs => 60 * random())
       FROM generate_series($2::bigint, $3::bigint) AS i`,
    [jobId, from, to, doneObjects],
  );
}
