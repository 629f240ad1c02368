/** What a server runs out of: room for temporary files, memory, and volumes. */
import { execFile } from "node:child_process";
import { access, readFile, stat } from "node:fs/promises";
import { promisify } from "node:util";
import { escapeIdentifier } from "pg";
import type { QualifiedName } from "../../handler/settings";
import type { Bed } from "../bed/bed";
import { faultsOf, type FaultDraft, type Planted } from "../fault";
import { backendsOf } from "./backends";
import { strikeAt } from "./moment";
import { SERVER_GONE } from "./sessions";
import { SmallTablespace } from "./tablespace";
import { whyNoVolume } from "./volume";
import { WalVolume } from "./walVolume";

/** Settings of the function's login alone: its next session has them. */
async function forTheFunction(
  { cluster, fn }: Bed,
  settings: Record<string, string | undefined>,
): Promise<void> {
  const role = escapeIdentifier(fn.user);
  for (const [name, value] of Object.entries(settings))
    await cluster.execute(
      value === undefined
        ? `ALTER ROLE ${role} RESET ${name}`
        : `ALTER ROLE ${role} SET ${name} = '${value}'`,
    );
}

/** So many changes at once that neither refresh nor fold can sort them in the memory that is left to it. */
const NO_MEMORY_TO_SORT = { work_mem: "64kB" };

const ofNone = (settings: Record<string, string>): Record<string, undefined> =>
  Object.fromEntries(Object.keys(settings).map((name) => [name, undefined]));

const temporaryFileLimit: FaultDraft = {
  name: "temp_file_limit too small",
  touches: ["disk", "source"],
  ticks: [1, 2],
  // The writers tidy up, and then sorting needs no file.
  refresh: "may pass",
  codes: ["53400"],
  says: /a limit of the server was reached: .*temp_file_limit/,
  async plant(bed) {
    const settings = { ...NO_MEMORY_TO_SORT, temp_file_limit: "0" };
    await forTheFunction(bed, settings);
    const lift = (): Promise<void> => forTheFunction(bed, ofNone(settings));
    return withADay(bed, { what: "temp_file_limit 0, and much to sort", lift });
  },
};

/** Undoes what was planted so far, and throws what kept the rest from being planted. */
function undoing(lift: () => Promise<void>): (error: unknown) => Promise<never> {
  return async (error) => {
    await lift();
    throw error;
  };
}

/** Gives the next run much to do. */
async function withADay(bed: Bed, planted: Planted): Promise<Planted> {
  await bed.writers.transact("day").catch(undoing(() => planted.lift()));
  return planted;
}

/** Moves something onto a small volume and fills that. */
async function onFullVolume(
  bed: Bed,
  what: string,
  move: (tablespace: string) => Promise<void>,
  moveBack: () => Promise<void>,
): Promise<Planted> {
  const tablespace = await SmallTablespace.create(bed);
  let isThere = true;
  const lift = async (): Promise<void> => {
    if (!isThere) return;
    await tablespace.remove(moveBack);
    isThere = false;
  };
  const begin = async (): Promise<void> => {
    await move(tablespace.name);
    await tablespace.fill();
  };
  await begin().catch(undoing(lift));
  return { what, lift };
}

/** Of a volume that a refresh writes to. */
const VOLUME_FULL: Pick<FaultDraft, "ticks" | "refresh" | "codes" | "says" | "missing"> = {
  ticks: [1, 2],
  refresh: "may pass",
  codes: ["53100"],
  says: /the server's disk is full/,
  missing: whyNoVolume,
};

const temporaryVolumeFull: FaultDraft = {
  name: "volume of temporary files full",
  // A failover would leave the volume behind.
  touches: ["disk", "source", "server"],
  ...VOLUME_FULL,
  async plant(bed) {
    const settings = (temp_tablespaces: string): Record<string, string> => ({
      ...NO_MEMORY_TO_SORT,
      temp_tablespaces,
    });
    const planted = await onFullVolume(
      bed,
      "volume of the function's temporary files and tables full",
      (name) => forTheFunction(bed, settings(name)),
      () => forTheFunction(bed, ofNone(settings(""))),
    );
    return withADay(bed, planted);
  },
};

/** Moves a table or a view there. It is told to leave the pages that it has as they are: whatever is new needs another. */
function relationOnFullVolume(bed: Bed, { schema, name }: QualifiedName): Promise<Planted> {
  const alter = `ALTER TABLE ${escapeIdentifier(schema)}.${escapeIdentifier(name)}`;
  return onFullVolume(
    bed,
    `volume of ${schema}.${name} full`,
    (tablespace) => bed.cluster.execute(`${alter} SET TABLESPACE ${tablespace}, SET (fillfactor = 10)`),
    () => bed.cluster.execute(`${alter} SET TABLESPACE pg_default, RESET (fillfactor)`),
  );
}

const viewVolumeFull: FaultDraft = {
  name: "volume of a view full",
  touches: ["disk", "source", "view", "server"],
  // It may pass: a row that is changed, and not new, may still find room in its page.
  ...VOLUME_FULL,
  async plant(bed) {
    // The first: it has a row for each account, and the other fits into a page.
    const [view] = bed.books.views;
    if (view === undefined) throw new Error("there are no views");
    return withADay(bed, await relationOnFullVolume(bed, view));
  },
};

const historyVolumeFull: FaultDraft = {
  name: "volume of history full",
  touches: ["disk", "maintenance", "server"],
  ticks: [1, 2],
  // What cannot be recorded is done all the same.
  refresh: "passes",
  says: /is done and not recorded: .*53100/,
  missing: whyNoVolume,
  plant: (bed) => relationOnFullVolume(bed, { schema: "public", name: "matview_refresh_history" }),
};

const walVolumeFull: FaultDraft = {
  name: "volume of WAL full",
  finding: "connection",
  endsConnections: true,
  touches: ["disk", "server"],
  ticks: [1, 2],
  // The server panics, and does so again in its recovery, until there is room.
  refresh: "stops",
  codes: SERVER_GONE,
  says: /could not connect to |the connection to \S+ was lost|the database system is/,
  missing: whyNoVolume,
  async plant({ cluster }) {
    const volume = await WalVolume.create(cluster);
    let isThere = true;
    const lift = async (): Promise<void> => {
      if (!isThere) return;
      await volume.remove();
      isThere = false;
    };
    await volume.fill().catch(undoing(lift));
    return { what: "volume of WAL full", lift };
  },
};

/** The processes that serve the function get no more than they have. */
async function takeMemory(bed: Bed): Promise<void> {
  for (const pid of await backendsOf(bed)) {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const bytes = Number(/^VmSize:\s+(\d+) kB/m.exec(status)?.[1]) * 1_024;
    // As its own user: for root it would take a capability that containers lack.
    const { uid, gid } = await stat(`/proc/${pid}`);
    await promisify(execFile)("prlimit", ["--pid", String(pid), `--as=${bytes}`], { uid, gid });
  }
}

async function whyNoLimits(): Promise<string | undefined> {
  if (process.platform !== "linux") return "only Linux can limit a process that runs";
  return access("/usr/bin/prlimit").then(
    () => undefined,
    () => "prlimit is not installed (package util-linux)",
  );
}

const outOfMemory: FaultDraft = {
  name: "no memory for the refresh",
  endsConnections: true,
  touches: ["disk", "source"],
  // What is free in what the process has already may do.
  refresh: "may pass",
  // A library that has no place in memory is told as a file that cannot be loaded.
  codes: ["53200", "58P01", ...SERVER_GONE],
  says: /the server ran out of memory|could not load library/,
  missing: whyNoLimits,
  plant(bed, dice) {
    const phase = dice.oneOf(["begin", "refresh"] as const);
    const moment = { phase, moment: "before", time: 1 } as const;
    const take = (): Promise<void> => takeMemory(bed).catch(() => undefined);
    return withADay(bed, strikeAt(bed, "no more memory for its process", moment, take));
  },
};

/** Memory is that of one process: no machine is made to run out of it. */
export const DISK_FAULTS = faultsOf({ group: "disk" }, [
  temporaryFileLimit,
  temporaryVolumeFull,
  viewVolumeFull,
  historyVolumeFull,
  walVolumeFull,
  outOfMemory,
]);
