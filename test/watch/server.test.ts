import assert from "node:assert/strict";
import { request } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "pg";
import { connectorFor } from "../../handler/connect";
import { startPostgres, type LocalPostgres } from "../../local/postgres/postgres";
import { migrate } from "../../migrations/runner";
import { ALL_MIGRATIONS } from "../../migrations/sets";
import { TOKEN_HEADER, type Control, type Snapshot, type StreamEvent } from "../../watch/contract";
import { ControlRefused, type Controls } from "../../watch/controls";
import { servePage, type PageServer } from "../../watch/server";
import { useDatabase } from "../database";
import { until } from "../handler/harness";
import { every, optionsFor, plant } from "./harness";

const files = { html: '<div id="page"></div>', js: "// the page", css: "/* its style */" };

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** A request with headers that a browser, or somebody worse, would send. */
function ask(
  server: PageServer,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = "GET", headers = {}, body } = options;
    const sent = request({ host: "127.0.0.1", port: server.port, path, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** The server's events, one at a time, as an EventSource takes them. */
class Events {
  private readonly waiting: ((event: StreamEvent) => void)[] = [];
  private readonly come: StreamEvent[] = [];
  readonly #request: ReturnType<typeof request>;

  constructor(server: PageServer, range: string) {
    let text = "";
    this.#request = request(
      { host: "127.0.0.1", port: server.port, path: `/events?range=${range}` },
      (response) => {
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
          for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
            this.take(JSON.parse(text.slice("data: ".length, end)) as StreamEvent);
            text = text.slice(end + 2);
          }
        });
        response.on("error", () => undefined);
      },
    );
    this.#request.on("error", () => undefined);
    this.#request.end();
  }

  private take(event: StreamEvent): void {
    const next = this.waiting.shift();
    if (next === undefined) this.come.push(event);
    else next(event);
  }

  next(): Promise<StreamEvent> {
    const event = this.come.shift();
    return event === undefined
      ? new Promise((resolve) => this.waiting.push(resolve))
      : Promise.resolve(event);
  }

  /** The next event that is as wanted. */
  async until(isWanted: (event: StreamEvent) => boolean): Promise<StreamEvent> {
    for (;;) {
      const event = await this.next();
      if (isWanted(event)) return event;
    }
  }

  close(): void {
    this.#request.destroy();
  }
}

class Switch implements Controls {
  readonly done: string[] = [];
  isPaused = false;
  state() {
    const available: Control[] = ["refresh", this.isPaused ? "resume" : "pause", "load"];
    return { paused: this.isPaused, load: "off", loads: ["off", "light"], available };
  }
  run(control: Control, { level }: { level?: string }): Promise<string> {
    if (control === "outage") return Promise.reject(new ControlRefused("not this server"));
    if (control === "pause") this.isPaused = true;
    this.done.push(level === undefined ? control : `${control} ${level}`);
    return Promise.resolve(`did ${control}`);
  }
}

describe("the page's server", () => {
  const database = useDatabase();
  const controls = new Switch();
  let server: PageServer;
  let client: Client;

  before(async () => {
    client = await database.connect();
    await plant(client, every(60, 5));
    server = await servePage({ ...optionsFor(database, { controls }), files });
  });
  after(() => server.close());

  it("serves page, script and style, which may load nothing from elsewhere and are not kept", async () => {
    const types = {
      "/": "text/html",
      "/page.js": "text/javascript",
      "/page.css": "text/css",
    };
    for (const [path, type] of Object.entries(types)) {
      const { status, headers } = await ask(server, path);
      assert.equal(status, 200, path);
      assert.ok(String(headers["content-type"]).startsWith(type), path);
      assert.equal(headers["cache-control"], "no-store");
      assert.match(
        String(headers["content-security-policy"]),
        /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';/,
      );
      assert.equal(headers["x-content-type-options"], "nosniff");
    }
    assert.match((await ask(server, "/")).text, /<div id="page"><\/div>/);
    assert.equal((await ask(server, "/page.js")).text, files.js);
    assert.equal((await ask(server, "/../package.json")).status, 404);
  });

  it("listens on this machine alone, and answers to its own names alone", async () => {
    assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    for (const path of ["/", "/snapshot", "/events", "/page.js"]) {
      for (const host of [
        "evil.example",
        `evil.example:${server.port}`,
        `127.0.0.1:${server.port + 1}`,
        "127.0.0.1",
      ]) {
        assert.equal((await ask(server, path, { headers: { host } })).status, 403, `${host}${path}`);
      }
    }
    const { status } = await ask(server, "/snapshot", { headers: { host: `localhost:${server.port}` } });
    assert.equal(status, 200);
  });

  it("gives its data to no page of another site, which may link to it", async () => {
    const cross = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors" };
    for (const path of ["/snapshot", "/events", "/page.js"]) {
      assert.equal((await ask(server, path, { headers: cross })).status, 403);
    }
    const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
    assert.equal((await ask(server, "/", { headers: link })).status, 200);
    assert.equal((await ask(server, "/snapshot", { headers: link })).status, 403);
    const { headers } = await ask(server, "/snapshot", { headers: { "sec-fetch-site": "same-origin" } });
    assert.equal(headers["access-control-allow-origin"], undefined);
  });

  it("does what its own page posts, and nothing else", async () => {
    const { controls: told } = JSON.parse((await ask(server, "/snapshot")).text) as Snapshot;
    assert.ok(told !== null);
    const origin = `http://127.0.0.1:${server.port}`;
    const right = { origin, [TOKEN_HEADER]: told.token, "content-type": "application/json" };
    const post = (name: string, headers: Record<string, string>, body = "{}"): Promise<Answer> =>
      ask(server, `/control/${name}`, { method: "POST", headers, body });
    const { origin: _, ...withoutOrigin } = right;
    const { [TOKEN_HEADER]: __, ...withoutToken } = right;
    for (const headers of [
      withoutOrigin,
      withoutToken,
      { ...right, origin: "http://evil.example" },
      { ...right, origin: "null" },
      { ...right, [TOKEN_HEADER]: "x".repeat(told.token.length) },
      { ...right, host: "evil.example" },
    ]) {
      assert.equal((await post("refresh", headers)).status, 403, JSON.stringify(headers));
    }
    assert.deepEqual(controls.done, []);
    assert.equal((await ask(server, "/control/refresh", { headers: right })).status, 404);
    assert.equal((await post("drop", right)).status, 404);
    assert.equal((await post("load", right, "nonsense")).status, 400);
    assert.equal((await post("load", right, JSON.stringify({ level: "x".repeat(2_000) }))).status, 413);
    const refused = await post("outage", right);
    assert.deepEqual([refused.status, refused.text], [409, '{"error":"not this server"}']);
    const done = await post("load", right, '{"level":"light"}');
    assert.deepEqual([done.status, done.text], [200, '{"done":"did load"}']);
    assert.deepEqual(controls.done, ["load light"]);
  });

  it("refuses a range that there is not", async () => {
    for (const range of ["2h", "toString", ""]) {
      assert.equal((await ask(server, `/snapshot?range=${range}`)).status, 400);
      assert.equal((await ask(server, `/events?range=${range}`)).status, 400);
    }
  });

  it("tells every page of a range when something changed, of what was done too", async () => {
    const pages = [new Events(server, "1h"), new Events(server, "1h"), new Events(server, "5m")];
    const refreshed = async (page: Events | undefined, count: number): Promise<unknown> =>
      page?.until(
        (event) => event.type === "snapshot" && event.snapshot.details[0]?.counts.refreshed === count,
      );
    await Promise.all(pages.map((page) => refreshed(page, 5)));
    await plant(client, [{ startedAgo: 1 }]);
    await Promise.all(pages.map((page) => refreshed(page, 6)));
    controls.isPaused = true;
    await pages[0]?.until((event) => event.type === "snapshot" && event.snapshot.controls?.paused === true);
    controls.isPaused = false;
    for (const page of pages) page.close();
  });

  it("holds one session with the database, however many look", async () => {
    const pages = ["1h", "1h", "5m", "6h"].map((range) => new Events(server, range));
    await Promise.all(pages.map((page) => page.next()));
    const { rows } = await client.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'matview-refresh watch' AND datname = current_database()",
    );
    assert.equal(rows[0]?.n, 1);
    for (const page of pages) page.close();
  });

  it("opens another session where its own was ended", async () => {
    const page = new Events(server, "1h");
    await page.next();
    await client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'matview-refresh watch' AND datname = current_database()",
    );
    await until(
      client,
      "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'matview-refresh watch' AND datname = current_database()",
    );
    assert.equal((await ask(server, "/snapshot")).status, 200);
    page.close();
  });

  it("never has the password in anything it sends", async () => {
    const { password } = database.server;
    for (const path of ["/", "/page.js", "/snapshot?range=30d"]) {
      assert.ok(!(await ask(server, path)).text.includes(password));
    }
  });

  it("says where another has the port", async () => {
    await assert.rejects(servePage({ ...optionsFor(database), files, port: server.port }), /EADDRINUSE/);
  });
});

describe("the page's stream over a stop of the database", function () {
  this.timeout(60_000);
  let folder: string;
  let postgres: LocalPostgres;
  let server: PageServer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-watch-"));
    postgres = await startPostgres({
      dataDirectory: folder,
      majorVersion: 18,
      serverSettings: { fsync: "off" },
    });
    const { host, port, user, password, passwordFile } = postgres;
    await migrate(
      { host, port, user, password, database: "postgres", ssl: false },
      { directories: ALL_MIGRATIONS },
    );
    const connector = connectorFor({
      ...{ host, user, passwordFile },
      port: String(port),
      name: "postgres",
      auth: "password",
      tls: "disable",
    });
    server = await servePage({ connector, plan: undefined, maxAgeSeconds: 60, pollMs: 20, files });
  });
  after(async () => {
    await server.close();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it("says so, and goes on by itself when it is back", async () => {
    const page = new Events(server, "1h");
    assert.equal((await page.next()).type, "snapshot");
    await postgres.stop();
    const gone = await page.until(({ type }) => type === "disconnected");
    assert.ok(gone.type === "disconnected" && gone.sinceMs <= Date.now());
    assert.match(gone.reason, /^(the connection to|could not connect to|the server ended the connection)/);
    const late = new Events(server, "5m");
    assert.equal((await late.next()).type, "disconnected");
    assert.equal((await ask(server, "/snapshot")).status, 503);
    await postgres.restart();
    for (const each of [page, late]) await each.until(({ type }) => type === "snapshot");
    assert.equal((await ask(server, "/snapshot")).status, 200);
    page.close();
    late.close();
  });
});
