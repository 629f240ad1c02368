/** A clock of the servers' own, which can be stepped while they run. */
import { execFile } from "node:child_process";
import { open } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

export class SteppedClock {
  private constructor(
    private readonly library: string,
    private readonly file: string,
  ) {}

  /**
   * @param folder gets the library and the file that says how far the clock is ahead
   * @returns undefined where no C compiler is installed to make the library, or the system is not Linux
   */
  static async create(folder: string): Promise<SteppedClock | undefined> {
    if (process.platform !== "linux") return undefined;
    const clock = new SteppedClock(path.join(folder, "steppedClock.so"), path.join(folder, "clock"));
    const source = path.join(__dirname, "steppedClock.c");
    try {
      await promisify(execFile)("cc", ["-shared", "-fPIC", "-O2", "-o", clock.library, source, "-ldl"]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
    await clock.step(0);
    return clock;
  }

  /** What makes a server go by this clock. */
  get environment(): Record<string, string> {
    return { LD_PRELOAD: this.library, STEPPED_CLOCK_FILE: this.file };
  }

  /** Ahead of this machine's clock, or behind it; at once, for all processes. */
  async step(aheadSeconds: number): Promise<void> {
    const microseconds = Buffer.alloc(8);
    microseconds.writeBigInt64LE(BigInt(Math.round(aheadSeconds * 1e6)));
    // The same file each time, since it is mapped.
    const file = await open(this.file, "a+", 0o644).then((made) =>
      made.close().then(() => open(this.file, "r+")),
    );
    await file.write(microseconds, 0, 8, 0);
    await file.close();
  }
}
