import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type Server } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pc from "picocolors";
import { holdOutage } from "../../local/outage";
import type { LocalPostgres } from "../../local/postgres";
import { ServerGuard } from "../../local/serverGuard";
import type { Terminal } from "../../local/terminal";
import { ask, useServerFolders } from "./serverFolder";

describe("a planned outage whose end finds the port taken", () => {
  const folders = useServerFolders();
  let server: LocalPostgres;
  let taker: Server;
  let over: AbortController;
  let said: EventEmitter;
  let running: Promise<unknown>;

  before(async () => {
    server = await folders.start(path.join(await folders.make(), "server"));
  });

  /** Holds an outage, takes the port in the middle of it, and waits for the failing start to be reported. */
  beforeEach(async () => {
    over = new AbortController();
    said = new EventEmitter();
    const events: string[] = [];
    const say = (text: string): void => {
      events.push(text);
      for (const word of ["did not start", "is back"]) if (text.includes(word)) said.emit(word);
    };
    const terminal: Terminal = { interactive: false, colors: pc, line: say, event: say };
    const guard = new ServerGuard(server, say);
    const outage = { afterSeconds: 0, lastsSeconds: 1.5 };
    const began = new Promise<void>((resolve) => {
      const ticks = { beginOutage: resolve };
      const held = holdOutage(outage, Date.now(), server, guard, ticks, terminal, over.signal);
      running = Promise.all([held, guard.run(over.signal)]);
    });
    const failing = once(said, "did not start");
    await began;
    taker = await takePort(server.port);
    await Promise.race([failing, running]);
    assert.match(events.join("\n"), /PostgreSQL did not start: .*port \d+ .*taken/i);
  });
  afterEach(() => {
    over.abort();
    taker.close();
  });

  it("keeps trying, and is over when the port is free", async () => {
    const back = once(said, "is back");
    taker.close();
    await Promise.race([back, running]);
    over.abort();
    await running;
    assert.deepEqual(await ask(server, "SELECT 1 AS one"), [{ one: 1 }]);
  });

  it("lets a run end that has no more time", async () => {
    over.abort();
    await running;
    await assert.rejects(ask(server, "SELECT 1"));
  });
});

/** Listens on a port as soon as its server has left it. */
async function takePort(port: number): Promise<Server> {
  for (;;) {
    const listener = createServer((socket) => socket.destroy()).listen(port, "127.0.0.1");
    const taken = await once(listener, "listening").then(
      () => true,
      () => false,
    );
    if (taken) return listener;
    await delay(10);
  }
}
