import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, type ClientConfig } from "pg";
import type { Ambush, Phase, Wire, WireConnection } from "../../soak/bed/bed";
import { startWire } from "../../soak/bed/wire";
import { useDatabase } from "../database";

describe("the wire", () => {
  const database = useDatabase();
  let folder: string;
  let wire: Wire & { stop(): Promise<void> };
  let watcher: Client;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "matview-refresh-wire-"));
    watcher = await database.connect();
    await watcher.query("CREATE TABLE public.kept (n integer)");
  });
  beforeEach(async () => {
    await watcher.query("TRUNCATE public.kept");
    wire = await startWire({ folder, primaryPort: () => database.server.port });
  });
  afterEach(async () => {
    await wire.stop();
    await until(async () => (await sessions()).length === 0);
  });
  after(() => rm(folder, { recursive: true }));

  /** A client as the handler's: it verifies. */
  function client(options: ClientConfig = {}): Client {
    const ssl = { ca: readFileSync(wire.caFile, "utf8"), rejectUnauthorized: true };
    const one = new Client({
      ...database.options(),
      ...{ port: wire.port, ssl, application_name: "through the wire" },
      ...options,
    });
    one.on("error", () => undefined);
    return one;
  }
  async function connected(): Promise<Client> {
    const one = client();
    await one.connect();
    return one;
  }
  const sessions = async (): Promise<{ state: string; query: string }[]> =>
    (
      await watcher.query<{ state: string; query: string }>(
        "SELECT state, query FROM pg_stat_activity WHERE application_name = 'through the wire'",
      )
    ).rows;
  const kept = async (): Promise<number> =>
    Number((await watcher.query<{ n: string }>("SELECT count(*) AS n FROM public.kept")).rows[0]?.n);

  const BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = 5000";
  const HISTORY = `INSERT INTO public.matview_refresh_history
    (view_schema, view_name, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds)
    VALUES ($1, $2, 'refreshed', 'regular', now(), now(), now(), 0)`;
  /** What a run of the handler does, in few words. */
  async function run(one: Client): Promise<void> {
    await one.query(BEGIN);
    await one.query("INSERT INTO public.kept VALUES (1)");
    await one.query(
      "SET LOCAL lock_timeout = 900; REFRESH MATERIALIZED VIEW public.job_progress; SAVEPOINT history",
    );
    await one.query(HISTORY, ["public", "job_progress"]);
    await one.query("COMMIT");
  }
  const cut = (connection: WireConnection): void => connection.cut();
  const PHASES: Phase[] = ["connect", "tls", "authenticate", "begin", "refresh", "history", "commit"];

  it("carries what both sides say, of any size", async () => {
    const one = await connected();
    const text = "long ".repeat(200_000);
    const { rows } = await one.query<{ echo: string }>("SELECT $1::text AS echo", [text]);
    assert.equal(rows[0]?.echo, text);
    await assert.rejects(one.query("SELECT 1/0"), { code: "22012" });
    await run(one);
    assert.equal(await kept(), 1);
    await one.end();
  });

  for (const phase of PHASES)
    for (const moment of ["before", "after"] as const)
      it(`cuts ${moment} ${phase}, once`, async () => {
        const laid = wire.ambush({ phase, moment, act: cut });
        const one = client();
        await assert.rejects(
          one.connect().then(() => run(one)),
          /terminated|ECONNRESET|disconnected|ended/,
        );
        assert.equal(laid.sprung, 1);
        await until(async () => (await sessions()).length === 0);
        // The server has committed where the answer alone was lost, and nowhere else.
        assert.equal(await kept(), phase === "commit" && moment === "after" ? 1 : 0);
        await run(await connected());
        assert.equal(laid.sprung, 1);
      });

  it("holds a message while the ambush is under way, and hands it on then", async () => {
    let rowsBefore = -1;
    const laid = wire.ambush({
      phase: "commit",
      moment: "before",
      act: async () => {
        rowsBefore = await kept();
      },
    });
    const one = await connected();
    await run(one);
    assert.deepEqual([laid.sprung, rowsBefore, await kept()], [1, 0, 1]);
  });

  it("tells the function nothing of an answer that is held", async () => {
    const one = await connected();
    const heard: string[] = [];
    const { connection } = one as unknown as { connection: NodeJS.EventEmitter };
    connection.on("commandComplete", ({ text }: { text: string }) => heard.push(text));
    wire.ambush({
      phase: "commit",
      moment: "after",
      // By now the server has committed, and what it said could have arrived.
      act: async () => {
        assert.equal(await kept(), 1);
        heard.push("held");
      },
    });
    await run(one);
    assert.deepEqual(heard.slice(-2), ["held", "COMMIT"]);
  });

  it("is told of each phase in the order of a run, and springs as often as it was asked", async () => {
    const seen: string[] = [];
    for (const phase of [...PHASES, "other"] as Phase[])
      for (const moment of ["before", "after"] as Ambush["moment"][])
        wire.ambush({ phase, moment, times: 100, act: () => void seen.push(`${moment} ${phase}`) });
    await run(await connected());
    const expected = [...PHASES.slice(0, 4), "other", ...PHASES.slice(4)];
    assert.deepEqual(
      seen,
      expected.flatMap((phase) => [`before ${phase}`, `after ${phase}`]),
    );
  });

  it("does nothing more once it is disarmed", async () => {
    wire.ambush({ phase: "begin", moment: "before", act: cut }).disarm();
    await run(await connected());
  });

  it("abandons: the function's side ends, and the server keeps its transaction until the thaw", async () => {
    wire.ambush({ phase: "refresh", moment: "after", act: (connection) => connection.abandon() });
    await assert.rejects(run(await connected()), /terminated|ECONNRESET/);
    // Long enough for the server to have heard of an end.
    await watcher.query("SELECT pg_sleep(0.2)");
    const [session] = await sessions();
    assert.equal(session?.state, "idle in transaction");
    wire.thaw();
    await until(async () => (await sessions()).length === 0);
    assert.equal(await kept(), 0);
  });

  it("freezes: nothing comes, nothing ends, and the server is not told that the function has gone", async () => {
    const frozen = new Promise<void>((resolve) =>
      wire.ambush({
        phase: "commit",
        moment: "before",
        act: (connection) => resolve(connection.freeze()),
      }),
    );
    const one = await connected();
    const running = run(one);
    running.catch(() => undefined);
    await frozen;
    const { stream } = (one as unknown as { connection: { stream: { destroy(): void } } }).connection;
    stream.destroy();
    await assert.rejects(running);
    await watcher.query("SELECT pg_sleep(0.2)");
    assert.ok((await sessions()).some(({ state }) => state === "idle in transaction"));
    wire.cutAll();
    await until(async () => (await sessions()).length === 0);
    assert.equal(await kept(), 0, "the COMMIT never arrived");
  });

  it("is late with every message by what it is told, however many go at a time", async () => {
    const one = await connected();
    wire.slow(100);
    const started = performance.now();
    await one.query("SELECT $1::int", [1]);
    const tookMs = performance.now() - started;
    assert.ok(tookMs >= 200 && tookMs < 1_000, `${tookMs} ms for five messages there and the answer`);
    wire.slow(0);
    await run(one);
  });

  it("refuses, says nothing, and opens again", async () => {
    wire.accept("closed");
    await assert.rejects(connected(), { code: "ECONNREFUSED" });
    wire.accept("silent");
    await assert.rejects(client({ connectionTimeoutMillis: 300 }).connect(), /timeout/);
    const mute = client();
    const ended = assert.rejects(mute.connect(), /terminated|ECONNRESET|disconnected/);
    await assert.rejects(client({ connectionTimeoutMillis: 300 }).connect(), /timeout/);
    wire.accept("open");
    await run(await connected());
    wire.thaw();
    await ended;
  });

  it("refuses for a server that is not there", async () => {
    wire.leadTo(1);
    await assert.rejects(connected(), /ECONNRESET|terminated/);
    wire.leadTo(undefined);
    await run(await connected());
  });

  it("shows certificates that cannot be trusted", async () => {
    wire.certificate("expired");
    await assert.rejects(connected(), { code: "CERT_HAS_EXPIRED" });
    wire.certificate("of another host");
    await assert.rejects(connected(), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
    wire.certificate("good");
    await run(await connected());
  });

  it("refuses passwords as PostgreSQL does", async () => {
    wire.refusePasswords('PAM authentication failed for user "someone"');
    await assert.rejects(connected(), { code: "28000", message: /^PAM authentication failed/ });
    wire.refusePasswords('password authentication failed for user "someone"');
    await assert.rejects(connected(), { code: "28P01" });
    wire.refusePasswords(undefined);
    await run(await connected());
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}
