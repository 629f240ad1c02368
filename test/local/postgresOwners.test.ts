import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, watch } from "node:fs/promises";
import path from "node:path";
import { isRunning } from "../../local/postgres/serverFolder";
import { startOwner, type OwnerProcess } from "./ownerProcess";
import { ask, useServerFolders } from "./serverFolder";

describe("a local server and the processes that want it", () => {
  const folders = useServerFolders();
  const owners: OwnerProcess[] = [];
  let directory: string;

  beforeEach(async () => {
    directory = path.join(await folders.make(), "server");
  });

  afterEach(() => {
    for (const owner of owners.splice(0)) owner.kill("SIGKILL");
  });

  const start = (): OwnerProcess => {
    const owner = startOwner(directory);
    owners.push(owner);
    return owner;
  };

  it("is refused to a second start while its owner lives, and goes on running", async () => {
    const { pid, port } = await start().answer;
    await assert.rejects(
      folders.start(directory),
      new RegExp(`already running on .*process ${pid}, port ${port}.*Stop that run first`),
    );
    const passwordFile = path.join(directory, "password");
    assert.deepEqual(await ask({ port: port ?? 0, passwordFile }, "SELECT 1 AS one"), [{ one: 1 }]);
  });

  it("has one winner when several start at once on a new folder", async () => {
    const answers = await Promise.all([start().answer, start().answer, start().answer]);
    const winners = answers.filter((answer) => answer.pid !== undefined);
    const losers = answers.filter((answer) => answer.pid === undefined);
    assert.equal(winners.length, 1, JSON.stringify(answers));
    for (const { message } of losers) {
      assert.ok(message?.includes(`process ${winners[0]?.pid}, port ${winners[0]?.port}`), message);
    }
  });

  it("is stopped when its owner was killed, and the folder is free for the next start", async () => {
    const owner = start();
    const { pid = 0 } = await owner.answer;
    owner.kill("SIGKILL");
    await owner.ended;
    const server = await folders.start(directory);
    assert.equal(await isRunning(pid), false);
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
    await server.stop();
  });

  it("is stopped by the next start when whoever could stop it was killed too", async () => {
    const owner = start();
    const { pid = 0 } = await owner.answer;
    const hostPid = Number(ps("ppid", pid));
    process.kill(hostPid, "SIGSTOP");
    owner.kill("SIGKILL");
    await owner.ended;
    process.kill(hostPid, "SIGKILL");
    const said: string[] = [];
    const server = await folders.start(directory, { onProgress: (message) => said.push(message) });
    assert.deepEqual(said, [
      `Stopping the PostgreSQL server that an earlier run left behind (process ${pid})`,
    ]);
    assert.equal(await isRunning(pid), false);
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
  });

  it("is gone when its owner was told to end", async () => {
    const owner = start();
    const { pid = 0 } = await owner.answer;
    owner.kill("SIGTERM");
    assert.equal(await owner.ended, 0);
    assert.equal(await isRunning(pid), false);
  });

  it("is in no process group that Ctrl-C in its owner's terminal reaches", async () => {
    const owner = start();
    const { pid = 0 } = await owner.answer;
    const groups = [pid, Number(ps("ppid", pid))].map((one) => ps("pgid", one));
    assert.ok(!groups.includes(ps("pgid", owner.pid)));
  });

  it("starts after a start that was killed in the middle of initdb", async () => {
    await mkdir(directory);
    const stopWatching = new AbortController();
    const changes = watch(directory, { signal: stopWatching.signal });
    const owner = start();
    let hostPid: number | undefined;
    for await (const { filename } of changes) {
      hostPid = Number(/^cluster\.part-(\d+)$/.exec(filename ?? "")?.[1]) || undefined;
      if (hostPid !== undefined) break;
    }
    process.kill(hostPid ?? 0, "SIGKILL");
    stopWatching.abort();
    assert.equal((await owner.answer).error, "PostgresStartError");
    const server = await folders.start(directory);
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
  });
});

/** One fact of a process, as ps tells it. */
function ps(what: "ppid" | "pgid", pid: number): string {
  return execFileSync("ps", ["-o", `${what}=`, "-p", String(pid)], { encoding: "utf8" }).trim();
}
