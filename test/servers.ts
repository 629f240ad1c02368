import { mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startPostgres, type LocalPostgres, type MajorVersion } from "../local/postgres/postgres";
import { isRunning } from "../local/postgres/serverFolder";

/** Nothing here outlives the test run, so nothing waits for a disk. */
const serverSettings = {
  fsync: "off",
  synchronous_commit: "off",
  full_page_writes: "off",
  max_prepared_transactions: "4",
};

interface TestServer {
  directory: string;
  server: LocalPostgres;
}

const started = new Map<MajorVersion, Promise<TestServer>>();

/** The test run's one server of that major version; started by the first that asks. */
export async function testServer(majorVersion: MajorVersion): Promise<LocalPostgres> {
  let starting = started.get(majorVersion);
  if (!starting) {
    starting = start(majorVersion);
    started.set(majorVersion, starting);
  }
  return (await starting).server;
}

/** Stops every server of this test run and removes its folder. */
export async function stopTestServers(): Promise<void> {
  const servers = [...started.values()];
  started.clear();
  await Promise.all(
    servers.map(async (starting) => {
      const { directory, server } = await starting;
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    }),
  );
}

async function start(majorVersion: MajorVersion): Promise<TestServer> {
  await removeAbandonedServers();
  const directory = await mkdtemp(path.join(tmpdir(), `matview-refresh-test-${process.pid}-`));
  return {
    directory,
    server: await startPostgres({ dataDirectory: directory, majorVersion, serverSettings }),
  };
}

/** A test run that was killed outright has left its folders: the next one clears them away. */
async function removeAbandonedServers(): Promise<void> {
  const folder = await realpath(tmpdir());
  for (const name of await readdir(folder)) {
    const pid = /^matview-refresh-test-(\d+)-\w+$/.exec(name)?.[1];
    if (pid === undefined || (await isRunning(Number(pid)))) continue;
    await rm(path.join(folder, name), { recursive: true, force: true }).catch(
      (error: NodeJS.ErrnoException) => {
        // Another user's, or one whose server is just being stopped: a later run clears it away.
        if (!["EACCES", "EPERM", "ENOTEMPTY"].includes(error.code ?? "")) throw error;
      },
    );
  }
}
