/** Many views: what a run takes of 200 in one group, in levels, in several groups, with a long history and long names. */
import { describeMachine, makeBed } from "./bed";
import { measureEnvironment } from "./load/environment";
import { measureGroup } from "./load/group";
import { measureGroups } from "./load/groups";
import { measureHistory } from "./load/history";
import { measureLevels } from "./load/levels";
import { measureMaintained } from "./load/maintained";
import { measureNames } from "./load/names";

/** What `load` is asked to measure. */
export interface LoadOptions {
  /** In all, also where they are in several groups or levels. */
  views: number;
  /** Of each view. */
  rows: number;
  levels: number;
  groups: number;
  /** Rows of the long history. */
  history: number;
  rounds: number;
}

/** Prints a table for each kind of load. */
export async function load(options: LoadOptions, print: (line: string) => void): Promise<void> {
  const { views, rows, levels, groups, history, rounds } = options;
  measureEnvironment(print);
  const bed = await makeBed();
  const stopped = (): void => void bed.stop().finally(() => process.exit(130));
  process.once("SIGINT", stopped);
  process.once("SIGTERM", stopped);
  try {
    print(`\nMachine: ${describeMachine(bed.serverVersion)}`);
    await measureGroup(bed, { views, rows, rounds }, print);
    for (const width of [1, Math.floor(views / levels)])
      if (width >= 1) await measureLevels(bed, { levels, width, rows, rounds }, print);
    await measureGroups(bed, { groups, views, rows }, print);
    await measureHistory(bed, { views, rows, historyRows: history, rounds }, print);
    await measureMaintained(bed, { views, rows, rounds }, print);
    await measureNames(bed, print);
  } finally {
    process.off("SIGINT", stopped);
    process.off("SIGTERM", stopped);
    await bed.stop();
  }
}
