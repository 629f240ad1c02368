import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { Client } from "pg";
import type { LocalPostgres } from "../../local/postgres/postgres";
import { isRunning, PostgresStartError } from "../../local/postgres/serverFolder";
import { ask, useServerFolders } from "./serverFolder";

describe("a local PostgreSQL server", () => {
  const folders = useServerFolders();
  let directory: string;
  let server: LocalPostgres;

  before(async () => {
    directory = path.join(await folders.make(), "server");
    server = await folders.start(directory);
    await ask(server, "CREATE TABLE kept AS SELECT 42 AS answer");
  });

  const kept = async (): Promise<unknown> => (await ask(server, "SELECT answer FROM kept"))[0]?.answer;

  it("listens on 127.0.0.1 alone, with UTF8 and the C locale", async () => {
    const [settings] = await ask(
      server,
      `SELECT current_setting('listen_addresses') AS addresses, current_setting('unix_socket_directories') AS sockets,
              current_setting('server_encoding') AS encoding, current_setting('timezone') AS timezone,
              datcollate AS locale, current_setting('server_version_num')::int / 10000 AS major
         FROM pg_database WHERE datname = 'postgres'`,
    );
    assert.deepEqual(settings, {
      addresses: "127.0.0.1",
      sockets: "",
      encoding: "UTF8",
      timezone: "UTC",
      locale: "C",
      major: 18,
    });
  });

  it("lets nobody in without the password, which only its user can read", async () => {
    assert.equal((await stat(server.passwordFile)).mode & 0o777, 0o600);
    assert.equal((await stat(path.join(directory, "cluster"))).mode & 0o777, 0o700);
    assert.equal((await readFile(server.passwordFile, "utf8")).trim(), server.password);
    assert.ok(server.password.length >= 32);
    const intruder = new Client({
      host: server.host,
      port: server.port,
      user: server.user,
      password: "postgres",
    });
    await assert.rejects(intruder.connect(), { code: "28P01" });
  });

  it("keeps data and password between runs, and leaves no process when it is stopped", async () => {
    const { pid, password } = server;
    await server.stop();
    await server.stop();
    assert.equal(await isRunning(pid), false);
    server = await folders.start(directory);
    assert.equal(server.password, password);
    assert.equal(await kept(), 42);
  });

  it("restarts on the same port, also after a crash", async () => {
    for (const end of [() => Promise.resolve(), () => server.kill()]) {
      const { pid, port } = server;
      await end();
      await server.restart();
      assert.equal(await isRunning(pid), false);
      assert.equal(server.port, port);
      assert.notEqual(server.pid, pid);
      assert.equal(await kept(), 42);
    }
  });

  it("recovers after its process was killed outright, in the middle of a statement", async () => {
    const busy = ask(server, "SELECT pg_sleep(600)");
    busy.catch(() => undefined);
    await ask(server, "INSERT INTO kept SELECT 43");
    process.kill(server.pid, "SIGKILL");
    await assert.rejects(busy);
    await server.ended;
    server = await folders.start(directory);
    assert.equal((await ask(server, "SELECT count(*)::int AS rows FROM kept"))[0]?.rows, 2);
  });

  it("starts although a crash left a process id that now belongs to another program", async () => {
    await server.stop();
    const { uid, gid } = await stat(path.join(directory, "cluster"));
    const asOwner = process.getuid?.() === 0 ? { uid, gid } : {};
    const other = spawn("sleep", ["600"], { ...asOwner, cwd: "/" });
    try {
      await once(other, "spawn");
      const pidFile = path.join(directory, "cluster", "postmaster.pid");
      await writeFile(
        pidFile,
        `${other.pid}\n${directory}/cluster\n1700000000\n${server.port}\n\n127.0.0.1\n`,
      );
      server = await folders.start(directory);
      assert.equal(await kept(), 42);
    } finally {
      other.kill("SIGKILL");
    }
  });

  it("says why it did not start, with the end of its log", async () => {
    await server.stop();
    const serverSettings = { shared_preload_libraries: "no_such_library" };
    await assert.rejects(folders.start(directory, { serverSettings }), (error: Error) => {
      assert.ok(error instanceof PostgresStartError);
      assert.match(error.message, /server\.log:\n.*could not access file "no_such_library"/s);
      return true;
    });
  });

  it("refuses the data of another major version with the command that removes it", async () => {
    await assert.rejects(folders.start(directory, { majorVersion: 15 }), (error: Error) => {
      assert.ok(error instanceof PostgresStartError);
      assert.match(error.message, /written by PostgreSQL 18; this is PostgreSQL 15/);
      assert.ok(error.message.endsWith(`rm -rf '${directory}'`));
      return true;
    });
  });

  it("asks for a new start when the password is lost", async () => {
    await rm(path.join(directory, "password"));
    await assert.rejects(folders.start(directory), /password of the database .* is gone.*rm -rf/);
  });

  it("leaves a folder alone that holds anything else", async () => {
    const home = path.join(await folders.make(), "home");
    await mkdir(home);
    await writeFile(path.join(home, "letter"), "");
    await chmod(home, 0o755);
    const before = await stat(home);
    await assert.rejects(folders.start(home), /home holds files .*such as letter.*nothing was changed/);
    const after = await stat(home);
    assert.deepEqual([after.mode, after.uid, after.ctimeMs], [before.mode, before.uid, before.ctimeMs]);
    assert.deepEqual(await readdir(home), ["letter"]);
    await assert.rejects(folders.start(path.join(home, "letter")), /is not a folder/);
  });

  for (const [name, content] of [
    ["password", "theirs"],
    ["server.log", "theirs"],
    ["cluster", "theirs"],
  ] as const) {
    it(`leaves a folder alone that holds somebody else's ${name}`, async () => {
      const home = path.join(await folders.make(), "home");
      await mkdir(home);
      await writeFile(path.join(home, name), content);
      const before = await stat(home);
      await assert.rejects(folders.start(home), new RegExp(`such as ${name}.*nothing was changed`));
      const after = await stat(home);
      assert.deepEqual([after.uid, after.ctimeMs, await readdir(home)], [before.uid, before.ctimeMs, [name]]);
      assert.equal(await readFile(path.join(home, name), "utf8"), content);
    });
  }

  it("takes a folder that a version without the mark has filled", async () => {
    const older = path.join(await folders.make(), "server");
    await (await folders.start(older)).stop();
    await rm(path.join(older, "made-by-matview-refresh"));
    assert.deepEqual(await ask(await folders.start(older), "SELECT 1 AS one"), [{ one: 1 }]);
  });
});
