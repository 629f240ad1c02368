import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type Server } from "node:net";
import path from "node:path";
import type { LocalPostgres } from "../../local/postgres/postgres";
import { isRunning } from "../../local/postgres/serverFolder";
import { ServerGuard } from "../../local/postgres/serverGuard";
import { ask, useServerFolders } from "./serverFolder";

describe("the guard of a local server", () => {
  const folders = useServerFolders();
  let server: LocalPostgres;
  let stop: AbortController;
  /** Emits `said` for everything that the user is told. */
  let user: EventEmitter;
  let guard: ServerGuard;

  before(async () => {
    server = await folders.start(path.join(await folders.make(), "server"));
  });
  beforeEach(() => {
    stop = new AbortController();
    user = new EventEmitter();
    guard = new ServerGuard(server, (text) => user.emit("said", text));
  });
  afterEach(() => stop.abort());

  const said = async (): Promise<string> => String((await once(user, "said"))[0]);

  it("starts a server again that died", async () => {
    const running = guard.run(stop.signal);
    const died = said();
    process.kill(server.pid, "SIGKILL");
    assert.match(await died, /PostgreSQL died \(process \d+\); starting it again/);
    assert.match(await said(), /PostgreSQL is back/);
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
    stop.abort();
    await running;
  });

  it("leaves a server down for the time of an outage", async () => {
    const running = guard.run(stop.signal);
    const { pid } = server;
    const outage = guard.holdOutage(
      { afterSeconds: 0, lastsSeconds: 0.5 },
      Date.now(),
      () => undefined,
      stop.signal,
    );
    assert.match(await said(), /Outage: PostgreSQL is stopped for 0\.5 s/);
    assert.equal(await said(), "Outage over: PostgreSQL is back", "and no word of a death");
    await outage;
    assert.equal(await isRunning(pid), false);
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
    stop.abort();
    await running;
  });

  it("keeps trying while another program has the port", async () => {
    await server.stop();
    const taker = await listenOn(server.port);
    const started = guard.startAgain(stop.signal);
    assert.match(await said(), /PostgreSQL did not start: .*port \d+ is taken/);
    taker.close();
    assert.equal(await started, true);
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
  });

  it("gives up when the run ends", async () => {
    await server.stop();
    const taker = await listenOn(server.port);
    const started = guard.startAgain(stop.signal);
    await said();
    stop.abort();
    assert.equal(await started, false);
    taker.close();
  });
});

async function listenOn(port: number): Promise<Server> {
  const listener = createServer().listen(port, "127.0.0.1");
  await once(listener, "listening");
  return listener;
}
