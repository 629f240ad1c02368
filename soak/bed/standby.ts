/** A streaming standby of a local server: a base backup by SQL and by copying files, since no pg_basebackup is installed. */
import { chmod, chown, copyFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { escapeLiteral, type ClientConfig } from "pg";
import { withClient } from "../../local/postgres/database";
import { startPostgres, type LocalPostgres, type StartOptions } from "../../local/postgres/postgres";
import { markName } from "../../local/postgres/serverFolder";

/** As which the standby asks for WAL, and as which `synchronous_standby_names` knows it. */
export const STANDBY_NAME = "soak_standby";

/** Of the primary's files, what is the running server's own. The folders have to be there, empty. */
const EMPTIED = new Set(["pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots"]);
const LEFT_OUT =
  /^(postmaster\.(pid|opts)|postgresql\.auto\.conf|backup_label.*|tablespace_map.*|pgsql_tmp.*)$/;

/**
 * Copies the primary while it runs and starts the copy as its standby, on a port of its own.
 * @param connection to the primary, as the superuser
 * @param folder does not exist yet
 */
export async function startStandby(
  connection: ClientConfig & { password: string },
  primaryFolder: string,
  options: StartOptions,
): Promise<LocalPostgres> {
  const folder = options.dataDirectory;
  const copy = new FolderCopy(await ownerOf(primaryFolder));
  const cluster = path.join(folder, "cluster");
  await copy.folder(folder);
  await copy.write(path.join(folder, markName), "The standby of a soak.\n");
  await copy.write(path.join(folder, "password"), `${connection.password}\n`);
  const label = await withClient(connection, async (client) => {
    // The slot keeps what the standby has not had, however long that is lost.
    const { rowCount } = await client.query("SELECT FROM pg_replication_slots WHERE slot_name = $1", [
      STANDBY_NAME,
    ]);
    if (rowCount === 1) await client.query("SELECT pg_drop_replication_slot($1)", [STANDBY_NAME]);
    await client.query("SELECT pg_create_physical_replication_slot($1, true)", [STANDBY_NAME]);
    await client.query("SELECT pg_backup_start($1, true)", [STANDBY_NAME]);
    await copy.contents(path.join(primaryFolder, "cluster"), cluster);
    const { rows } = await client.query<{ labelfile: string }>("SELECT labelfile FROM pg_backup_stop(false)");
    return rows[0]?.labelfile ?? "";
  });
  await copy.write(path.join(cluster, "backup_label"), label);
  await copy.write(path.join(cluster, "standby.signal"), "");
  await copy.write(path.join(cluster, "postgresql.auto.conf"), settingsOf(connection));
  return startPostgres(options);
}

function settingsOf({ host, port, user, password }: ClientConfig & { password: string }): string {
  const way = { host, port, user, password, application_name: STANDBY_NAME };
  const text = Object.entries(way)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");
  return `primary_conninfo = ${escapeLiteral(text)}\nprimary_slot_name = '${STANDBY_NAME}'\n`;
}

/** Root's for root alone; the server's user is the one whose files they are. */
async function ownerOf(folder: string): Promise<{ uid: number; gid: number } | undefined> {
  return process.getuid?.() === 0 ? stat(folder) : undefined;
}

/** Writes what belongs to the server's user. */
class FolderCopy {
  constructor(private readonly owner: { uid: number; gid: number } | undefined) {}

  async folder(folder: string): Promise<void> {
    await mkdir(folder, { mode: 0o700 });
    await this.giveAway(folder);
  }

  async write(file: string, text: string): Promise<void> {
    await writeFile(file, text, { mode: 0o600 });
    await this.giveAway(file);
  }

  async contents(from: string, to: string): Promise<void> {
    await this.folder(to);
    const entries = await readdir(from, { withFileTypes: true });
    await Promise.all(
      entries
        .filter(({ name }) => !LEFT_OUT.test(name))
        .map(async (entry) => {
          const target = path.join(to, entry.name);
          if (EMPTIED.has(entry.name)) return this.folder(target);
          const source = path.join(from, entry.name);
          return entry.isDirectory() ? this.contents(source, target) : this.file(source, target);
        }),
    );
  }

  private async file(from: string, to: string): Promise<void> {
    try {
      await copyFile(from, to);
    } catch (error) {
      // A relation that was dropped meanwhile: WAL has that too.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    await chmod(to, 0o600);
    await this.giveAway(to);
  }

  private async giveAway(file: string): Promise<void> {
    if (this.owner !== undefined) await chown(file, this.owner.uid, this.owner.gid);
  }
}
