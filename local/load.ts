import { setTimeout as sleep } from "node:timers/promises";
import { Client, DatabaseError, type ClientConfig } from "pg";
import { activeJobCount, jobName, seededRandom, skewedSize } from "./sampleJobs";
import { insertJob, insertObjects } from "./workload";

/** The guide's three workloads, in objects a minute. */
export const loadRates = { off: 0, light: 5_000, medium: 50_000, heavy: 120_000 } as const;

/** How busy the scanner is. */
export type LoadLevel = keyof typeof loadRates;

const stepMs = 250;
/** After a pause the load goes on at its rate and does not catch up on more than this. */
const longestCatchUpSeconds = 2;
const retryMs = 1_000;

/** Growth beyond the first fill, after which the oldest finished jobs are deleted as new ones come. */
const roomForNewObjects = 2_000_000;

interface ActiveJob {
  jobId: string;
}

/**
 * A scanner at work: takes pending objects of the running jobs and marks them processed (or failed), finishes
 * jobs, starts queued ones, and brings new jobs when the queue is empty. Goes on after a lost connection.
 */
export class BackgroundLoad {
  /** Objects worked on so far. */
  processedObjects = 0;
  private client: Client | undefined;
  private active: ActiveJob[] = [];
  private turn = 0;
  private owedObjects = 0;
  private totalObjects = 0;
  private readonly ceilingObjects: number;
  private readonly random = seededRandom(Date.now());

  /**
   * @param firstFillObjects size of the first fill; the tables never hold many more than two million above it
   * @param onState told when the database cannot be reached, and when it can again
   */
  constructor(
    private readonly connection: ClientConfig,
    private readonly objectsPerMinute: number,
    private readonly firstFillObjects: number,
    private readonly onState: (state: "paused" | "resumed", reason: string) => void = () => {},
  ) {
    this.ceilingObjects = firstFillObjects + roomForNewObjects;
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

  /** Works off what is owed, from one job after the other. */
  private async step(): Promise<void> {
    const client = (this.client ??= await this.connect());
    while (this.owedObjects >= 1) {
      if (this.active.length < activeJobCount) await this.startJob(client);
      const job = this.active[this.turn % this.active.length] as ActiveJob;
      const wanted = Math.floor(this.owedObjects);
      const done = await processObjects(client, job.jobId, wanted);
      this.owedObjects -= done;
      this.processedObjects += done;
      if (done < wanted) await this.finishJob(client, job);
      else this.turn += 1;
    }
    if (this.totalObjects > this.ceilingObjects) await this.purgeOldestJob(client);
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
    const running = await client.query<{ job_id: string }>(
      "SELECT job_id FROM public.jobs WHERE status = 'running' ORDER BY job_id",
    );
    this.active = running.rows.map(({ job_id }) => ({ jobId: job_id }));
    const objects = await client.query<{ count: string }>("SELECT count(*) FROM public.job_objects");
    this.totalObjects = Number(objects.rows[0]?.count);
    return client;
  }

  private async disconnect(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  /** The oldest queued job, or a new one when the queue is empty. */
  private async startJob(client: Client): Promise<void> {
    const queued = await client.query<{ job_id: string }>(
      `UPDATE public.jobs SET status = 'running', started_at = now()
        WHERE job_id = (SELECT job_id FROM public.jobs WHERE status = 'queued'
                         ORDER BY job_id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING job_id`,
    );
    const jobId = queued.rows[0]?.job_id ?? (await this.createJob(client));
    this.active.push({ jobId });
  }

  /** A job that keeps one of the active places busy for about a minute, give or take a lot. */
  private async createJob(client: Client): Promise<string> {
    const usual = Math.min(this.objectsPerMinute / 15, this.firstFillObjects / 25);
    const objects = Math.round(Math.min(usual * 5, Math.max(50, usual * skewedSize(this.random, 0.9))));
    const counted = await client.query<{ next: string }>(
      "SELECT coalesce(max(job_id), 0) + 1 AS next FROM public.jobs",
    );
    await client.query("BEGIN");
    const name = jobName(Number(counted.rows[0]?.next));
    const jobId = await insertJob(client, { name, status: "running", createdMinutesAgo: 0 });
    await insertObjects(client, jobId, 1, objects, 0);
    await client.query("COMMIT");
    this.totalObjects += objects;
    return jobId;
  }

  private async finishJob(client: Client, job: ActiveJob): Promise<void> {
    await client.query("UPDATE public.jobs SET status = 'completed', finished_at = now() WHERE job_id = $1", [
      job.jobId,
    ]);
    this.active = this.active.filter((other) => other !== job);
  }

  private async purgeOldestJob(client: Client): Promise<void> {
    const oldest = await client.query<{ job_id: string }>(
      `SELECT job_id FROM public.jobs WHERE status NOT IN ('queued', 'running') ORDER BY job_id LIMIT 1`,
    );
    const jobId = oldest.rows[0]?.job_id;
    if (jobId === undefined) return;
    const removed = await client.query("DELETE FROM public.job_objects WHERE job_id = $1", [jobId]);
    await client.query("DELETE FROM public.jobs WHERE job_id = $1", [jobId]);
    this.totalObjects -= removed.rowCount ?? 0;
  }
}

/** The server's own words where it said any; a broken connection has none worth reading. */
function describePause(error: unknown): string {
  return error instanceof DatabaseError ? error.message : "no connection to the database";
}

/** @returns how many pending objects were left to take, up to `most` */
async function processObjects(client: Client, jobId: string, most: number): Promise<number> {
  const { rowCount } = await client.query(
    `UPDATE public.job_objects
        SET status = CASE WHEN random() < 0.01 THEN 'failed' ELSE 'processed' END, updated_at = now()
      WHERE object_id IN (SELECT object_id FROM public.job_objects
                           WHERE job_id = $1 AND status = 'pending'
                           LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [jobId, most],
  );
  return rowCount ?? 0;
}
