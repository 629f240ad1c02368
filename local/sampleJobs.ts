/** A believable history of a scanner: which jobs it had, how large they were, and how far each has come. */

/** Status of a job, as 001_jobs.sql allows it. */
export type JobStatus = "queued" | "running" | "completed" | "failed" | "cancelled";

/** One job and its objects; the first ones are processed or failed, the rest is pending. */
export interface SampleJob {
  name: string;
  status: JobStatus;
  objects: number;
  doneObjects: number;
  /** Age of the job at the time of the fill. */
  createdMinutesAgo: number;
}

/** As many jobs as the guide's log shows. */
export const sampleJobCount = 150;

/** How many of them are at work, as in the guide. */
export const activeJobCount = 12;

const queuedJobCount = 6;

const sources = [
  "s3-customer-exports",
  "s3-invoices",
  "s3-support-attachments",
  "gdrive-finance",
  "gdrive-people",
  "slack-archive",
  "sharepoint-legal",
  "salesforce-files",
  "github-artifacts",
  "zendesk-tickets",
];

/** Numbers from 0 to 1 that are the same in every run (mulberry32), so that two fills can be compared. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A size whose logarithm is normally distributed: many small ones, a few very large. Median 1. */
export function skewedSize(random: () => number, spread = 1.4): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.exp(normal * spread);
}

/** Name of the n-th job, counted from 1. */
export function jobName(number: number): string {
  return `${sources[number % sources.length]}-${String(number).padStart(4, "0")}`;
}

/**
 * The jobs of a first fill: old ones finished, some failed or cancelled on the way, 12 running, the newest
 * still queued. Their objects add up to `totalObjects` exactly.
 * @param totalObjects at least one a job
 */
export function sampleJobs(totalObjects: number, jobCount = sampleJobCount): SampleJob[] {
  const random = seededRandom(20_251_109);
  const weights = Array.from({ length: jobCount }, () => skewedSize(random));
  const sizes = shareOut(totalObjects, weights);
  return sizes.map((objects, index) => {
    const status = statusOf(index, jobCount, random);
    return {
      name: jobName(index + 1),
      status,
      objects,
      doneObjects: Math.floor(objects * doneShare(status, random)),
      createdMinutesAgo: (jobCount - index) * 7,
    };
  });
}

function statusOf(index: number, jobCount: number, random: () => number): JobStatus {
  const fromTheEnd = jobCount - 1 - index;
  if (fromTheEnd < queuedJobCount) return "queued";
  if (fromTheEnd < queuedJobCount + activeJobCount) return "running";
  const chance = random();
  if (chance < 0.04) return "failed";
  return chance < 0.06 ? "cancelled" : "completed";
}

function doneShare(status: JobStatus, random: () => number): number {
  if (status === "completed") return 1;
  return status === "queued" ? 0 : random() * 0.8;
}

/** Whole numbers of at least 1 in proportion to the weights, with exactly this sum. */
function shareOut(total: number, weights: number[]): number[] {
  const free = total - weights.length;
  const weightSum = weights.reduce((sum, weight) => sum + weight, 0);
  const shares = weights.map((weight) => 1 + Math.floor((free * weight) / weightSum));
  const rest = total - shares.reduce((sum, share) => sum + share, 0);
  return shares.map((share, index) => (index < rest ? share + 1 : share));
}
