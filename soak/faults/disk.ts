/** What a server runs out of: room for temporary files, memory, and volumes. */
import { execFile } from "node:child_process";
import { access, mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { escapeIdentifier } from "pg";
import type { Bed } from "../bed/bed";
import type { Dice } from "../dice";
import type { Fault, Planted } from "../fault";
import { backendsOf } from "./backends";
import { strikeAt } from "./moment";
import { SERVER_GONE } from "./server";
import { moveContents, Volume, whyNoVolume } from "./volume";

function diskFault(
  fault: Pick<Fault, "name" | "ticks" | "refresh" | "codes" | "says" | "missing"> & {
    touches?: Fault["touches"];
    modes?: Fault["modes"];
    plant(bed: Bed, dice: Dice): Promise<Planted> | Planted;
  },
): Fault {
  return {
    ...{ touches: ["disk"], modes: ["full", "incremental"] },
    ...fault,
    group: "disk",
    plant: async (bed, dice) => fault.plant(bed, dice),
  };
}

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

/** What makes a small query spill: it has to sort, and has next to no memory for that. */
const SPILLING = {
  work_mem: "64kB",
  enable_hashagg: "off",
  enable_hashjoin: "off",
  enable_indexscan: "off",
  enable_bitmapscan: "off",
  temp_file_limit: "0",
};

const temporaryFileLimit = diskFault({
  name: "temp_file_limit too small",
  // What a fold sorts is little.
  modes: ["full"],
  ticks: [1, 2],
  // While there are few entries, sorting them needs no file.
  refresh: "may pass",
  codes: ["53400"],
  says: /a limit of the server was reached: .*temp_file_limit/,
  async plant(bed) {
    await forTheFunction(bed, SPILLING);
    const none = Object.fromEntries(Object.keys(SPILLING).map((name) => [name, undefined]));
    return {
      what: "temp_file_limit 0, and work_mem too small to do without",
      lift: () => forTheFunction(bed, none),
    };
  },
});

/** Of the process that serves the function: what prlimit(1) knows. */
async function limitBackends(bed: Bed, limitOf: (pid: number) => Promise<string>): Promise<boolean> {
  const pids = await backendsOf(bed).catch(() => []);
  for (const pid of pids) await promisify(execFile)("prlimit", ["--pid", String(pid), await limitOf(pid)]);
  return pids.length > 0;
}

async function whyNoLimits(): Promise<string | undefined> {
  if (process.platform !== "linux") return "only Linux can limit a process that runs";
  return access("/usr/bin/prlimit").then(
    () => undefined,
    () => "prlimit is not installed (package util-linux)",
  );
}

/** Limits what its own process may have, from the first refresh of a run on. */
function limited(what: string, bed: Bed, limitOf: (pid: number) => Promise<string>): Planted {
  return strikeAt(bed, what, { phase: "refresh", moment: "before", time: 1 }, async () => {
    await limitBackends(bed, limitOf).catch(() => undefined);
  });
}

const outOfMemory = diskFault({
  name: "no memory for the refresh",
  ticks: [1, 1],
  // What is free in what the process has already may do.
  refresh: "may pass",
  codes: ["53200", ...SERVER_GONE],
  missing: whyNoLimits,
  plant: (bed) =>
    limited("no more memory for its process", bed, async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      return `--as=${Number(/^VmSize:\s+(\d+) kB/m.exec(status)?.[1]) * 1_024}`;
    }),
});

export const DISK_FAULTS: Fault[] = [temporaryFileLimit, outOfMemory];
void [mkdir, rm, path, moveContents, Volume, whyNoVolume];
