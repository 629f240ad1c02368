import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * Memory a process holds right now (its resident set), in megabytes of 1024 x 1024 bytes. Linux answers from
 * /proc; elsewhere `ps` is asked. Undefined when the process is gone or nobody can say.
 */
export async function residentMemoryMb(pid: number): Promise<number | undefined> {
  try {
    if (process.platform === "linux") {
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
      return kilobytes === undefined ? undefined : Number(kilobytes) / 1024;
    }
    const { stdout } = await run("ps", ["-o", "rss=", "-p", String(pid)]);
    const kilobytes = Number(stdout.trim());
    return kilobytes > 0 ? kilobytes / 1024 : undefined;
  } catch {
    return undefined;
  }
}
