import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, chown, cp, mkdir, readFile, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { mendPrograms, prepareBinaries } from "../../local/postgresBinaries";
import { prepareCluster } from "../../local/postgresCluster";
import { chooseServerUser } from "../../local/postgresUser";
import { isRunning, startOwner } from "./ownerProcess";
import { ask, useServerFolders } from "./serverFolder";

const isRoot = process.getuid?.() === 0;
const project = path.join(__dirname, "..", "..");

/** The user that files of nobody belong to here. */
async function nobody(): Promise<{ uid: number; gid: number }> {
  const line = (await readFile("/etc/passwd", "utf8"))
    .split("\n")
    .find((entry) => entry.startsWith("nobody:"));
  const [, , uid, gid] = line?.split(":") ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

/** Real, effective, saved and file system user id of a process. */
async function userIds(pid: number): Promise<number[]> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return (/^Uid:\s+(.+)$/m.exec(status)?.[1] ?? "").split(/\s+/).map(Number);
}

describe("the user a local server runs as", () => {
  const folders = useServerFolders();

  before(function () {
    if (process.platform !== "linux") this.skip();
  });

  it("is nobody when root starts it in a folder of root's", async function () {
    if (!isRoot) return this.skip();
    const server = await folders.start(path.join(await folders.make(), "server"));
    const { uid } = await nobody();
    assert.deepEqual(await userIds(server.pid), [uid, uid, uid, uid]);
    assert.equal((await stat(server.passwordFile)).uid, uid);
  });

  it("is the clone's owner when root starts it in a user's clone", async function () {
    if (!isRoot) return this.skip();
    const daemon = { uid: 1, gid: 1 };
    const clone = await folders.make();
    await chown(clone, daemon.uid, daemon.gid);
    const server = await folders.start(path.join(clone, ".local", "server"));
    assert.deepEqual(await userIds(server.pid), [1, 1, 1, 1]);
    for (const made of [".local", ".local/server", ".local/server/server.log"]) {
      assert.equal((await stat(path.join(clone, made))).uid, daemon.uid, made);
    }
  });

  it("is nobody when the clone's owner is unknown on this machine", async function () {
    if (!isRoot) return this.skip();
    const clone = await folders.make();
    await chown(clone, 54_321, 54_321);
    const { initdb } = await prepareBinaries(18);
    const user = await chooseServerUser(path.join(clone, "server"), initdb);
    assert.equal(user?.uid, (await nobody()).uid);
  });

  for (const majorVersion of [18, 15] as const) {
    it(`reaches a clone in a folder that is closed to it, with PostgreSQL ${majorVersion}`, async function () {
      if (!isRoot) return this.skip();
      const closed = await folders.make();
      await chmod(closed, 0o700);
      const directory = path.join(closed, "server");
      const server = await folders.start(directory, { majorVersion });
      const { uid } = await nobody();
      assert.deepEqual(await userIds(server.pid), [uid, uid, uid, uid]);
      // CAP_DAC_OVERRIDE is bit 1, and nothing of root's is left beside it.
      const status = await readFile(`/proc/${server.pid}/status`, "utf8");
      assert.match(status, /^CapEff:\s+0000000000000002$/m);
      await ask(server, "CREATE TABLE kept AS SELECT 42 AS answer");
      await server.restart();
      assert.deepEqual(await ask(server, "SELECT answer FROM kept"), [{ answer: 42 }]);
      await server.stop();
      assert.equal(isRunning(server.pid), false);
    });
  }

  it("runs the programs of a clone that is closed to it", async function () {
    if (!isRoot) return this.skip();
    const closed = await folders.make();
    await chmod(closed, 0o700);
    const { initdb } = await prepareBinaries(18);
    const native = path.join(closed, "native");
    await cp(path.resolve(initdb, "..", ".."), native, { recursive: true, verbatimSymlinks: true });
    const programs = { majorVersion: 18 as const, ...(await mendPrograms(native)) };
    const directory = path.join(closed, "server");
    const user = await chooseServerUser(directory, programs.postgres);
    assert.equal(user?.crossesClosedFolders, true);
    const options = { sync: false, onProgress: () => undefined };
    const { dataDirectory } = await prepareCluster(directory, programs, user, options);
    assert.equal(await readFile(path.join(dataDirectory, "PG_VERSION"), "utf8"), "18\n");
  });

  it("says what is missing when a closed folder cannot be crossed", async function () {
    if (!isRoot) return this.skip();
    const closed = await folders.make();
    await chmod(closed, 0o700);
    const { initdb } = await prepareBinaries(18);
    const searchPath = process.env.PATH;
    process.env.PATH = closed;
    try {
      const choice = chooseServerUser(path.join(closed, "server"), initdb);
      await assert.rejects(choice, /setpriv, which would let it through, is not installed.*util-linux/);
    } finally {
      process.env.PATH = searchPath;
    }
  });

  it("is the ordinary user who starts it", async function () {
    if (!isRoot) {
      const server = await folders.start(path.join(await folders.make(), "server"));
      assert.equal((await userIds(server.pid))[0], process.getuid?.());
      return;
    }
    const user = await nobody();
    if (!(await everyoneMayEnter(project))) return this.skip();
    const home = await folders.make();
    await chown(home, user.uid, user.gid);
    const owner = startOwner(path.join(home, "server"), user);
    const answer = await owner.answer;
    assert.ok(answer.pid !== undefined, answer.message);
    assert.deepEqual(await userIds(answer.pid), [user.uid, user.uid, user.uid, user.uid]);
    owner.kill("SIGTERM");
    assert.equal(await owner.ended, 0);
    assert.equal(isRunning(answer.pid), false);
  });
});

describe("the installed PostgreSQL programs", () => {
  const folders = useServerFolders();

  it("run when the package's install script did not", async function () {
    const { initdb } = await prepareBinaries(18);
    const packageCopy = path.join(await folders.make(), "package");
    const native = path.join(packageCopy, "native");
    await mkdir(packageCopy);
    await cp(path.resolve(initdb, "..", ".."), native, { recursive: true, verbatimSymlinks: true });
    const listed = JSON.parse(await readFile(path.join(native, "pg-symlinks.json"), "utf8")) as {
      target: string;
    }[];
    await Promise.all(listed.map(({ target }) => rm(path.join(packageCopy, target))));
    for (const name of await readdir(path.join(native, "bin")))
      await chmod(path.join(native, "bin", name), 0o644);

    const programs = await mendPrograms(native);
    assert.deepEqual(programs.mended, [
      `${listed.length} library links`,
      "the executable bit of initdb",
      "the executable bit of postgres",
    ]);
    const version = execFileSync(programs.postgres, ["--version"], { encoding: "utf8" });
    assert.match(version, /^postgres \(PostgreSQL\) 18\./);
    assert.deepEqual((await mendPrograms(native)).mended, []);
  });
});

async function everyoneMayEnter(folder: string): Promise<boolean> {
  const { mode } = await stat(folder);
  if ((mode & 0o001) === 0) return false;
  const parent = path.dirname(folder);
  return parent === folder || everyoneMayEnter(parent);
}
