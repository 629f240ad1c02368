/** WAL on a small volume of its own, while the server is stopped there and back. */
import { execFile } from "node:child_process";
import { chown, mkdir, readdir, rename, rm, rmdir, stat } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { withClient } from "../../local/postgres/database";
import type { Cluster } from "../bed/bed";
import { Volume } from "./volume";

/** Beside the WAL that there is, before it is filled. */
const SPARE_MEGABYTES = 24;
const LONGEST_END_MS = 20_000;

export class WalVolume {
  private constructor(
    private readonly cluster: Cluster,
    private readonly folder: string,
    private readonly volume: Volume,
  ) {}

  /** Stops the server, moves its WAL there and starts it again. */
  static async create(cluster: Cluster): Promise<WalVolume> {
    const { rows } = await withClient(cluster.connection(), (client) =>
      client.query<{ folder: string }>("SELECT current_setting('data_directory') AS folder"),
    );
    const folder = path.join(rows[0]?.folder ?? "", "pg_wal");
    await cluster.stopPrimary("fast");
    try {
      const { uid, gid } = await stat(folder);
      const bytes = await sizeOf(folder);
      await rename(folder, aside(folder));
      await mkdir(folder, { mode: 0o700 });
      await chown(folder, uid, gid);
      const volume = await Volume.mount(folder, Math.ceil(bytes / 1_048_576) + SPARE_MEGABYTES);
      await copy(`${aside(folder)}/.`, folder);
      await rm(aside(folder), { recursive: true });
      return new WalVolume(cluster, folder, volume);
    } finally {
      await cluster.startPrimary();
    }
  }

  /** Fills it, and has the server write WAL until it is gone: it panics, and so does its recovery. */
  async fill(): Promise<void> {
    // Or a checkpoint would give old files to new WAL, again and again.
    await this.cluster.setting("wal_keep_size", "1GB");
    await this.volume.fill();
    for (const giveUpAtMs = performance.now() + LONGEST_END_MS; performance.now() < giveUpAtMs;) {
      try {
        await this.cluster.execute("SELECT pg_logical_emit_message(false, 'soak', ''), pg_switch_wal()");
      } catch (error) {
        if ((error as { code?: string }).code === "ECONNREFUSED") return;
        // It is panicking, or recovering.
        await sleep(20);
      }
    }
    throw new Error("the server goes on though there is no room for its WAL");
  }

  /** Starts the server again, with all its WAL, where that was before. */
  async remove(): Promise<void> {
    await this.cluster.stopPrimary("immediate");
    await this.volume.relieve();
    await copy(this.folder, aside(this.folder));
    await this.volume.unmount();
    await rmdir(this.folder);
    await rename(aside(this.folder), this.folder);
    await this.cluster.startPrimary();
    await this.cluster.setting("wal_keep_size", undefined);
  }
}

const aside = (folder: string): string => `${folder}.aside`;

/** With owners and modes. */
async function copy(from: string, to: string): Promise<void> {
  await promisify(execFile)("cp", ["--archive", "--", from, to]);
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(path.join(parentPath, name))).size),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
