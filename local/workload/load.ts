/** A scanner that works while a run refreshes. */
import { setTimeout as sleep } from "node:timers/promises";
import { Client, DatabaseError, type ClientConfig } from "pg";
import { activeJobCount, insertObjectsSql, jobNameSql, sampleJobCount, skewedSizeSql } from "./workload";

/** The workloads that docs/configure.md recommends rates for, in objects a minute. */
export const loadRates = { off: 0, light: 5_000, medium: 50_000, heavy: 120_000 } as const;

/** How busy the scanner is. */
export type LoadLevel = keyof typeof loadRates;

const stepMs = 250;
/** After a pause the load goes on at its rate and does not catch up on more than this. */
const longestCatchUpSeconds = 2;
const retryMs = 1_000;

/** Growth beyond the first fill, after which the oldest finished jobs are deleted as new ones come. */
const roomForNewObjects = 2_000_000;

const startQueuedJobs = `
  UPDATE public.jobs SET status = 'running', started_at = now()
   WHERE job_id IN (SELECT job_id FROM public.jobs WHERE status = 'queued' ORDER BY job_id
                     LIMIT greatest(0, ${activeJobCount} - (SELECT count(*) FROM public.jobs WHERE status = 'running')))`;

/** New jobs of about $1 objects, give or take a lot, where the queue had too few. */
const createJobs = `
  WITH drawn AS (
    SELECT nextval(pg_get_serial_sequence('public.jobs', 'job_id')) AS job_id, 1 AS first, 0 AS done,
           round(least($1::float8 * 5, greatest(50, $1 * ${skewedSizeSql(0.9)})))::bigint AS last
      FROM generate_series(1, ${activeJobCount} - (SELECT count(*) FROM public.jobs WHERE status = 'running'))
  ), created AS (
    INSERT INTO public.jobs (job_id, name, status, started_at)
    SELECT job_id, ${jobNameSql("job_id")}, 'running', now() FROM drawn
  )
  ${insertObjectsSql("drawn")}`;

/** Up to $1 pending objects, from all running jobs alike. */
const processObjects = `
  UPDATE public.job_objects
     SET status = CASE WHEN random() < 0.01 THEN 'failed' ELSE 'processed' END, updated_at = now()
   WHERE object_id IN (
         SELECT object_id
           FROM public.jobs AS running
          CROSS JOIN LATERAL (SELECT object_id FROM public.job_objects
                               WHERE job_id = running.job_id AND job_objects.status = 'pending'
                               LIMIT ceil($1 / ${activeJobCount}.0)) AS pending
          WHERE running.status = 'running'
          LIMIT $1)`;

const finishJobs = `
  UPDATE public.jobs SET status = 'completed', finished_at = now()
   WHERE status = 'running'
     AND NOT EXISTS (SELECT FROM public.job_objects
                      WHERE job_id = jobs.job_id AND job_objects.status = 'pending')`;

/** Keeps about $1 jobs; their objects go with those that are deleted. */
const deleteOldestJobs = `
  DELETE FROM public.jobs
   WHERE job_id <= (SELECT max(job_id) FROM public.jobs) - $1 AND status NOT IN ('queued', 'running')`;

/**
 * Processes pending objects of the running jobs, finishes jobs, starts queued ones, and brings new jobs when the
 * queue is empty. Goes on after a lost connection.
 */
export class BackgroundLoad {
  /** Objects worked on so far. */
  processedObjects = 0;
  private client: Client | undefined;
  private owedObjects = 0;
  /** Keeps a running job busy for about a minute. */
  private readonly usualJobObjects: number;

  /**
   * @param firstFillObjects size of the first fill; the tables hold about two million above it at the most
   * @param onState told when the database cannot be reached, and when it can again
   */
  constructor(
    private readonly connection: ClientConfig,
    private readonly objectsPerMinute: number,
    firstFillObjects: number,
    private readonly onState: (state: "paused" | "resumed", reason: string) => void = () => {},
  ) {
    this.usualJobObjects = Math.min(objectsPerMinute / 15, firstFillObjects / 25);
  }

  /** Works until `stop`; never rejects. */
  async run(stop: AbortSignal): Promise<void> {
    let last = performance.now();
    let paused = false;
    while (!stop.aborted) {
      const now = performance.now();
      const mostOwed = (this.objectsPerMinute / 60) * longestCatchUpSeconds;
      this.owedObjects = Math.min(
        mostOwed,
        this.owedObjects + ((now - last) / 60_000) * this.objectsPerMinute,
      );
      last = now;
      try {
        await this.step();
        if (paused) this.onState("resumed", "");
        paused = false;
      } catch (error) {
        await this.disconnect();
        if (stop.aborted) break;
        if (!paused) this.onState("paused", describePause(error));
        paused = true;
      }
      await sleep(paused ? retryMs : stepMs, undefined, { signal: stop }).catch(() => undefined);
    }
    await this.disconnect();
  }

  private async step(): Promise<void> {
    const client = (this.client ??= await this.connect());
    await client.query(startQueuedJobs);
    await client.query(createJobs, [this.usualJobObjects]);
    const { rowCount } = await client.query(processObjects, [Math.floor(this.owedObjects)]);
    this.owedObjects -= rowCount ?? 0;
    this.processedObjects += rowCount ?? 0;
    await client.query(finishJobs);
    const mostJobs = sampleJobCount + roomForNewObjects / this.usualJobObjects;
    await client.query(deleteOldestJobs, [Math.ceil(mostJobs)]);
  }

  private async connect(): Promise<Client> {
    const client = new Client({
      ...this.connection,
      application_name: "matview-refresh load",
      connectionTimeoutMillis: 2000,
    });
    // Without a listener a lost connection would end the whole process; the next statement reports it.
    client.on("error", () => undefined);
    await client.connect();
    return client;
  }

  private async disconnect(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }
}

/** The server's own words where it said any; a broken connection has none worth reading. */
function describePause(error: unknown): string {
  return error instanceof DatabaseError ? error.message : "no connection to the database";
}
