import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import type { Client } from "pg";
import { Claims } from "../../soak/books/claims";
import { prepareBooks } from "../../soak/books/prepare";
import { BookWriters } from "../../soak/books/writers";
import { Dice } from "../../soak/dice";
import { ViewJudge } from "../../soak/judge/views";
import { useDatabase } from "../database";
import { until } from "../handler/harness";

describe("soak: writers", () => {
  const database = useDatabase({ template: "empty" });
  let client: Client;
  let claims: Claims;
  let writers: BookWriters;

  before(async () => {
    await prepareBooks(database.options(), "full");
    client = await database.connect();
    await client.query(`ALTER DATABASE ${database.name} SET synchronous_commit = on`);
  });
  beforeEach(() => {
    claims = new Claims();
    writers = new BookWriters({
      connection: () => database.options(),
      dice: new Dice(7),
      claims,
      pauseMs: [1, 5],
      patienceMs: 300,
    });
  });
  afterEach(() => writers.stop());

  const written = async (): Promise<number> => {
    const { rows } = await client.query<{ sum: string }>("SELECT sum(number) FROM soak.watermark");
    return Number(rows[0]?.sum);
  };
  const more = async (transactions: number): Promise<void> =>
    until(client, "SELECT sum(number) >= $1 FROM soak.watermark", [(await written()) + transactions]);

  /** Numbers without gaps, nothing lost that had returned, and tables that are what the ledger says: the judge looks at it. */
  async function assertKept(): Promise<void> {
    assert.deepEqual(writers.surprises, []);
    await client.query("REFRESH MATERIALIZED VIEW soak.balance; REFRESH MATERIALIZED VIEW soak.summary");
    // Nobody writes history here, and nothing of it is asked for: a judge of its own, at its first look.
    const judge = new ViewJudge(() => database.options(), claims);
    assert.deepEqual(await judge.look(), { reached: true, violations: [], unread: [] });
    await judge.close();
  }

  it("keep their books when their connections are terminated at random", async () => {
    writers.start();
    for (let terminated = 0; terminated < 40; terminated += 1) {
      await more(4);
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'soak writer' AND datname = current_database() ORDER BY random() LIMIT 1`,
      );
    }
    await more(10);
    await writers.stop();
    await assertKept();
  });

  it("truncate, change a day's rows and load anew, each in one transaction of its writers", async () => {
    writers.start();
    await more(10);
    const kinds = ["day", "truncate", "reload"] as const;
    for (const kind of kinds) {
      await writers.transact(kind);
      await more(5);
    }
    await writers.transact("reload", "SET LOCAL session_replication_role = replica");
    await writers.stop();
    await assertKept();
    const { rows } = await client.query<{ kind: string; writers: number; rows: number }>(
      `SELECT kind, array_length(array_agg(DISTINCT writer), 1) AS writers, sum(rows)::int AS rows FROM (
         SELECT writer, xid, operation #>> '{0,kind}' AS kind, (operation #>> '{0,count}')::int AS rows FROM soak.ledger
          WHERE xid IN (SELECT xid FROM soak.ledger WHERE number > 1 GROUP BY xid HAVING count(*) = 3)) spanning
        GROUP BY xid, kind ORDER BY kind`,
    );
    assert.deepEqual(
      rows.map(({ kind, writers }) => [kind, writers]),
      [
        ["fill", 3],
        ["truncate", 3],
      ],
    );
    assert.ok((rows[0]?.rows ?? 0) >= 20_000);
  });

  it("stop though COMMIT hangs, and go on after what it came to", async () => {
    writers.start();
    await more(5);
    await client.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    await client.query("SELECT pg_reload_conf()");
    try {
      await until(
        client,
        `SELECT count(*) = 3 AND bool_and(wait_event = 'SyncRep' OR wait_event_type = 'Lock') FROM pg_stat_activity
          WHERE application_name = 'soak writer' AND datname = current_database()`,
      );
      await writers.stop();
      const unknown = [1, 2, 3].flatMap((writer) =>
        claims.after(writer, 0).filter(([, { returnedMs }]) => returnedMs === undefined),
      );
      assert.ok(unknown.length > 0);
    } finally {
      await client.query("ALTER SYSTEM RESET synchronous_standby_names");
      await client.query("SELECT pg_reload_conf()");
    }
    writers.start();
    await more(5);
    await writers.stop();
    await assertKept();
  });

  it("wait for a server that is away, and reach it where it is next", async () => {
    const away = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(away, "listening");
    const { port } = away.address() as AddressInfo;
    let tries = 0;
    const patient = new BookWriters({
      connection: () => (++tries > 6 ? database.options() : { ...database.options(), port }),
      dice: new Dice(8),
      claims,
    });
    patient.start();
    await more(5);
    await patient.stop();
    away.close();
    assert.deepEqual(patient.surprises, []);
    await assertKept();
  });

  it("tell of an error that no outage explains", async () => {
    await client.query(`CREATE FUNCTION soak.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON soak.ledger FOR EACH STATEMENT EXECUTE FUNCTION soak.refuse()`);
    writers.start();
    await until(client, "SELECT true FROM pg_stat_activity WHERE application_name = 'soak writer' LIMIT 1");
    const seen = async (): Promise<void> => {
      while (writers.surprises.length === 0) await client.query("SELECT");
    };
    await seen();
    await writers.stop();
    await client.query("DROP TRIGGER refuse ON soak.ledger");
    assert.match(writers.surprises[0] ?? "", /^writer \d: no \(P0001\)$/);
  });
});
