/** The start of a run on its database: migrations, and a first fill. */
import { SingleBar } from "cli-progress";
import type { ClientConfig } from "pg";
import type { QualifiedName } from "../../handler/settings";
import { migrate } from "../../migrations/runner";
import { ALL_MIGRATIONS, migrationsFor, SCANNER_MIGRATIONS } from "../../migrations/sets";
import { withClient } from "../postgres/database";
import { count, done, type Terminal } from "../terminal";
import { fill, isFilled, markAsOurs, sampleJobCount, tableState } from "./workload";

/** Whether the scanner's tables may be filled and worked on; `absent` where no view of the scanner is refreshed. */
export type Workload = "ours" | "foreign" | "absent";

/** Folders of the migrations of a run: somebody else's server gets no more than the views need. */
export function migrationsOfRun(views: QualifiedName[], isEmbedded: boolean): string[] {
  return isEmbedded ? ALL_MIGRATIONS : migrationsFor(views);
}

/**
 * Applies the migrations and sees whose tables the scanner's are: those of an embedded server are ours, others
 * only if they came into being here or in an earlier run.
 */
export async function prepareSchema(
  connection: ClientConfig,
  views: QualifiedName[],
  isEmbedded: boolean,
  terminal: Terminal,
): Promise<Workload> {
  const directories = migrationsOfRun(views, isEmbedded);
  const before = await withClient(connection, tableState);
  const { applied, alreadyApplied } = await migrate(connection, {
    directories,
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
  if (!directories.includes(SCANNER_MIGRATIONS)) return "absent";
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
