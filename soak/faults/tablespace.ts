/** A tablespace on a small volume of its own. */
import { chown, mkdir, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { withClient } from "../../local/postgres/database";
import type { Bed } from "../bed/bed";
import { Volume } from "./volume";

const NAME = "soak_volume";
const MEGABYTES = 8;

export class SmallTablespace {
  readonly name = NAME;

  private constructor(
    private readonly bed: Bed,
    private readonly volume: Volume,
  ) {}

  /**
   * In the place that the server has for it, since a standby on the same machine makes one of the same path. The volume
   * is the primary's alone.
   */
  static async create(bed: Bed): Promise<SmallTablespace> {
    await bed.cluster.execute(`CREATE TABLESPACE ${NAME} LOCATION ''`);
    try {
      const folder = await folderOf(bed);
      const owner = await stat(folder);
      const [versionFolder = ""] = await readdir(folder);
      const volume = await Volume.mount(folder, MEGABYTES);
      await mkdir(path.join(folder, versionFolder), { mode: 0o700 });
      await chown(path.join(folder, versionFolder), owner.uid, owner.gid);
      await bed.cluster.execute(`GRANT CREATE ON TABLESPACE ${NAME} TO PUBLIC`);
      return new SmallTablespace(bed, volume);
    } catch (error) {
      await bed.cluster.execute(`DROP TABLESPACE ${NAME}`);
      throw error;
    }
  }

  /** Leaves no room for one page more. */
  async fill(): Promise<void> {
    await this.volume.fill();
  }

  /** @param empty moves away all that is in it, when there is room again */
  async remove(empty: () => Promise<void>): Promise<void> {
    await this.volume.relieve();
    await empty();
    // Files of what has moved away are there until then.
    await this.bed.cluster.execute("CHECKPOINT");
    await this.volume.unmount();
    await this.bed.cluster.execute(`DROP TABLESPACE ${NAME}`);
  }
}

async function folderOf({ cluster }: Bed): Promise<string> {
  const { rows } = await withClient(cluster.connection(), (client) =>
    client.query<{ folder: string }>(
      "SELECT current_setting('data_directory') || '/pg_tblspc/' || oid AS folder FROM pg_tablespace WHERE spcname = $1",
      [NAME],
    ),
  );
  if (rows[0] === undefined) throw new Error(`there is no tablespace ${NAME}`);
  return rows[0].folder;
}
