import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Snapshot } from "../../watch/contract";
import { useDatabase } from "../database";
import { writeStack } from "../local/startRun";

const root = resolve(__dirname, "..", "..");

describe("the watch command", function () {
  this.timeout(30_000);
  const database = useDatabase();
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-watch-"));
    await writeStack(folder, "dev", {
      refreshRate: "rate(5 minutes)",
      database: { create: { instanceClass: "db.t4g.micro" } },
      network: { create: true },
    });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  function start(args: string[], env: Record<string, string> = {}) {
    const child: ChildProcess = spawn(
      process.execPath,
      ["-r", require.resolve("tsx/cjs"), join(root, "cli", "main.ts"), "watch", ...args],
      { cwd: folder, env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] },
    );
    let text = "";
    const ended = once(child, "close").then(([code]) => ({ code: code as number | null, text }));
    const printed = (pattern: RegExp): Promise<RegExpExecArray> =>
      new Promise((resolvePattern, reject) => {
        for (const stream of [child.stdout, child.stderr]) {
          stream?.setEncoding("utf8").on("data", (chunk: string) => {
            text += chunk;
            const found = pattern.exec(text);
            if (found !== null) resolvePattern(found);
          });
        }
        void ended.then(() => reject(new Error(`ended without printing ${String(pattern)}:\n${text}`)));
      });
    return { child, ended, printed };
  }

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`prints the address, serves the database of the environment, and ends on ${signal}`, async () => {
      const { child, ended, printed } = start(["--stack", "dev"], { DATABASE_URL: database.url });
      const [, url] = await printed(/^(http:\/\/127\.0\.0\.1:\d+\/)\nCtrl-C stops\.$/m);
      const snapshot = (await (await fetch(`${url}snapshot`)).json()) as Snapshot;
      assert.equal(snapshot.server.database, database.name);
      assert.equal(snapshot.schedule?.stack, "dev");
      assert.ok((snapshot.schedule?.monthlyUsd ?? 0) > 0);
      assert.equal(snapshot.controls, null);
      assert.match(await (await fetch(url ?? "")).text(), /<div id="page">/);
      // A page that is open does not hold it up.
      const open = await fetch(`${url}events`);
      child.kill(signal);
      const { code, text } = await ended;
      assert.equal(code, 0, text);
      assert.ok(!text.includes(database.server.password));
      await open.body?.cancel().catch(() => undefined);
    });
  }

  it("serves though the database does not answer yet", async () => {
    const { child, ended, printed } = start([], { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none" });
    const [, url] = await printed(/^(http:\/\/127\.0\.0\.1:\d+\/)$/m);
    const answer = await fetch(`${url}snapshot`);
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /could not connect to 127\.0\.0\.1:1\/none/);
    child.kill("SIGINT");
    assert.equal((await ended).code, 0);
  });

  it("ends with 2 where nothing says which database, which stack or which port", async () => {
    for (const [args, env, message] of [
      [[], {}, /nothing says which database/],
      [["--stack", "absent"], { DATABASE_URL: database.url }, /No stack "absent"/],
      [["--port", "0"], { DATABASE_URL: database.url }, /write a port from 1 to 65535/],
      [["--max-age", "soon"], { DATABASE_URL: database.url }, /is not a duration/],
    ] as const) {
      const { ended, printed } = start([...args], env);
      await printed(message);
      assert.equal((await ended).code, 2);
    }
  });
});
