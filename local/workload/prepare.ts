/** The start of a run on its database: migrations, and a first fill. */
import { join } from "node:path";
import { SingleBar } from "cli-progress";
import type { ClientConfig } from "pg";
import { migrate } from "../../migrations/runner";
import { withClient } from "../postgres/database";
import { count, done, type Terminal } from "../terminal";
import { fill, isFilled, markAsOurs, sampleJobCount, tableState } from "./workload";

/** Whether the scanner's tables may be filled and worked on. */
export type Workload = "ours" | "foreign";

/**
 * Applies the migrations and sees whose tables the scanner's are: those of an embedded server are ours, others
 * only if they came into being here or in an earlier run.
 */
export async function prepareSchema(
  connection: ClientConfig,
  isEmbedded: boolean,
  terminal: Terminal,
): Promise<Workload> {
  const before = await withClient(connection, tableState);
  const { applied, alreadyApplied } = await migrate(connection, {
    directory: join(__dirname, "..", "..", "migrations"),
    makeAgain: isEmbedded,
    onEvent: (event) => {
      if (event.type === "notice" && !/already exists, skipping/.test(event.message)) {
        terminal.line(`  ${terminal.colors.yellow("!")} ${event.message.replaceAll("\n", "\n    ")}`);
      }
      if (event.type === "waiting")
        terminal.line("  Waiting for another run that is migrating this database");
    },
  });
  const names = applied.map(({ name }) => name).join(", ");
  done(
    terminal,
    applied.length === 0
      ? `Migrations: all ${alreadyApplied.length} were applied before`
      : `Migrations applied: ${names}`,
  );
  if (before === "foreign" && !isEmbedded) return "foreign";
  await withClient(connection, markAsOurs);
  return "ours";
}

/** Fills empty tables; leaves what an earlier run filled. */
export async function prepareWorkload(
  connection: ClientConfig,
  isEmbedded: boolean,
  objects: number,
  terminal: Terminal,
  stop: AbortSignal,
): Promise<void> {
  await withClient(connection, async (client) => {
    if (await isFilled(client)) {
      const { rows } = await client.query<{ jobs: string; objects: string }>(
        `SELECT (SELECT count(*) FROM public.jobs) AS jobs, (SELECT count(*) FROM public.job_objects) AS objects`,
      );
      const { jobs, objects: kept } = rows[0] as { jobs: string; objects: string };
      const remedy = isEmbedded ? " (--fresh fills anew)" : "";
      done(terminal, `Workload of an earlier run: ${count(jobs)} jobs, ${count(kept)} objects${remedy}`);
      return;
    }
    const started = performance.now();
    const progress = showProgress(terminal, objects);
    await fill(client, objects, progress.update, stop).finally(progress.stop);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    done(terminal, `Filled: ${sampleJobCount} jobs, ${count(objects)} objects (${seconds} s)`);
  });
}

/** A bar that a person watches move; a pipe gets one line. */
function showProgress(
  terminal: Terminal,
  total: number,
): { update: (value: number) => void; stop: () => void } {
  if (!terminal.interactive) {
    terminal.line(`  Filling the scanner's tables with ${count(total)} objects`);
    return { update: () => undefined, stop: () => undefined };
  }
  const bar = new SingleBar({
    format: "  Filling  {bar} {percentage} %  {value} of {total} objects",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    hideCursor: true,
    clearOnComplete: true,
    stream: process.stdout,
  });
  bar.start(total, 0);
  return { update: (value) => bar.update(value), stop: () => bar.stop() };
}
