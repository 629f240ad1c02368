import assert from "node:assert/strict";
import { mkdir, readdir, watch } from "node:fs/promises";
import path from "node:path";
import { AlreadyRunningError } from "../../local/postgres";
import { isRunning, startOwner, type OwnerProcess } from "./ownerProcess";
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
    await assert.rejects(folders.start(directory), (error: Error) => {
      assert.ok(error instanceof AlreadyRunningError);
      assert.deepEqual([error.pid, error.port], [pid, port]);
      assert.match(error.message, new RegExp(`process ${pid}, port ${port}`));
      return true;
    });
    const passwordFile = path.join(directory, "password");
    assert.deepEqual(await ask({ port: port ?? 0, passwordFile }, "SELECT 1 AS one"), [{ one: 1 }]);
  });

  it("has one winner when several start at once on a new folder", async () => {
    const answers = await Promise.all([start().answer, start().answer, start().answer]);
    const winners = answers.filter((answer) => answer.pid !== undefined);
    const losers = answers.filter((answer) => answer.pid === undefined);
    assert.equal(winners.length, 1, JSON.stringify(answers));
    for (const { error, message } of losers) {
      assert.equal(error, "AlreadyRunningError");
      assert.ok(message?.includes(`process ${winners[0]?.pid}, port ${winners[0]?.port}`), message);
    }
  });

  it("is taken over when its owner was killed", async () => {
    const owner = start();
    const { pid, port } = await owner.answer;
    owner.kill("SIGKILL");
    await owner.ended;
    assert.ok(pid !== undefined && isRunning(pid), "the server outlives its owner");
    const said: string[] = [];
    const server = await folders.start(directory, { onProgress: (message) => said.push(message) });
    assert.deepEqual([server.pid, server.port], [pid, port]);
    assert.deepEqual(said, [`Took over the PostgreSQL server of an earlier run (process ${pid})`]);
    await server.restart();
    assert.equal(server.port, port);
    assert.notEqual(server.pid, pid);
    await server.stop();
    assert.equal(isRunning(server.pid), false);
  });

  it("is gone when its owner was told to end", async () => {
    const owner = start();
    const { pid } = await owner.answer;
    owner.kill("SIGTERM");
    assert.equal(await owner.ended, 0);
    assert.equal(isRunning(pid ?? 0), false);
  });

  it("does not hear what is typed in its owner's terminal", async () => {
    const owner = start();
    const { pid } = await owner.answer;
    // Ctrl-C reaches the whole process group; this is the strongest form of it.
    owner.killGroup();
    await owner.ended;
    assert.ok(isRunning(pid ?? 0));
  });

  it("starts after a start that was killed in the middle of initdb", async () => {
    await mkdir(directory);
    const stopWatching = new AbortController();
    const changes = watch(directory, { signal: stopWatching.signal });
    const owner = start();
    for await (const { filename } of changes) if (filename?.startsWith("cluster.part-")) break;
    owner.killGroup();
    stopWatching.abort();
    await owner.ended;
    assert.ok((await readdir(directory)).some((name) => name.startsWith("cluster.part-")));
    const server = await folders.start(directory);
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
    assert.deepEqual((await readdir(directory)).sort(), ["cluster", "password", "server.log"]);
  });
});
