import { chmod, mkdtemp, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Client } from "pg";
import { startPostgres, type LocalPostgres, type StartOptions } from "../../local/postgres/postgres";

/** Folders for servers of the surrounding `describe`; what was started in them is stopped afterwards. */
export interface ServerFolders {
  /** A new folder that every user may enter. */
  make(): Promise<string>;
  /** Starts a server that is stopped after the describe. */
  start(dataDirectory: string, options?: Partial<StartOptions>): Promise<LocalPostgres>;
}

/** Registers the hooks that clear the folders away. Call it in the body of `describe`. */
export function useServerFolders(): ServerFolders {
  const folders: string[] = [];
  const servers: LocalPostgres[] = [];
  after(async function () {
    this.timeout(60_000);
    await Promise.all(servers.map((server) => server.stop()));
    // A server that a killed process has left is being stopped by its host meanwhile.
    const options = { recursive: true, force: true, maxRetries: 20 };
    await Promise.all(folders.map((folder) => rm(folder, options)));
  });
  return {
    async make() {
      const folder = await realpath(await mkdtemp(path.join(tmpdir(), "matview-refresh-local-")));
      folders.push(folder);
      await chmod(folder, 0o755);
      return folder;
    },
    async start(dataDirectory, options) {
      const server = await startPostgres({ dataDirectory, serverSettings: { fsync: "off" }, ...options });
      servers.push(server);
      return server;
    },
  };
}

/** Runs one statement as the superuser and returns its rows. */
export async function ask(
  server: { port: number; passwordFile: string },
  statement: string,
): Promise<Record<string, unknown>[]> {
  const password = (await readFile(server.passwordFile, "utf8")).trim();
  const client = new Client({
    host: "127.0.0.1",
    port: server.port,
    user: "postgres",
    password,
    database: "postgres",
  });
  // A server that is killed on purpose ends the connection; the statement that waits for it fails anyway.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}
