/** A small volume that can be full: a tmpfs of its own, mounted over a folder of the server's. */
import { execFile } from "node:child_process";
import { mkdtemp, open, rm, rmdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** @returns why no volume can be mounted on this machine; undefined where one can */
export async function whyNoVolume(): Promise<string | undefined> {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "only root of Linux may mount a tmpfs";
  const folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-volume-"));
  try {
    await (await Volume.mount(folder, 1)).unmount();
    return undefined;
  } catch (error) {
    return `no tmpfs can be mounted: ${(error as Error).message.trim()}`;
  } finally {
    await rmdir(folder);
  }
}

export class Volume {
  private constructor(readonly folder: string) {}

  /** Mounts it over a folder, whose owner owns it too. */
  static async mount(folder: string, megabytes: number): Promise<Volume> {
    const { uid, gid } = await stat(folder);
    const options = `size=${megabytes}m,mode=700,uid=${uid},gid=${gid}`;
    await run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder]);
    return new Volume(folder);
  }

  /** Leaves not one block free. */
  async fill(): Promise<void> {
    const file = await open(this.ballast, "a", 0o600);
    try {
      const chunk = Buffer.alloc(65_536);
      for (;;) await file.appendFile(chunk);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    } finally {
      await file.close();
    }
  }

  /** Makes room again. */
  async relieve(): Promise<void> {
    await rm(this.ballast, { force: true });
  }

  /** Also while processes have files of it open. */
  async unmount(): Promise<void> {
    await run("umount", ["--lazy", this.folder]);
  }

  private get ballast(): string {
    return path.join(this.folder, "ballast");
  }
}
