import assert from "node:assert/strict";
import type { Client } from "pg";
import type { Session } from "../../handler/connect";
import { apply } from "../../incremental/apply";
import { IncrementalFailure } from "../../incremental/failure";
import { revert } from "../../incremental/revert";
import { useDatabase } from "../database";
import { catalogOf, leftovers } from "./catalog";
import { handmade, scenery, sessionOf, shortPatience } from "./handmade";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof IncrementalFailure, String(error));
  return error.message;
}

describe("incremental maintenance and others who use the database", () => {
  const database = useDatabase();
  let client: Client;
  let other: Client;
  let session: Session;
  let pid: number;

  before(async () => {
    client = await database.connect();
    other = await database.connect();
    session = await sessionOf(database);
    await client.query(scenery(view, orders));
    pid = (await other.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid ?? 0;
  });
  after(() => session.close());
  const applyNow = (totalMs?: number): Promise<unknown> =>
    apply(session, handmade(view, orders), shortPatience(totalMs));

  it("names who keeps a table from getting its triggers, and waits for them", async () => {
    await other.query("BEGIN; UPDATE orders SET amount = 1 WHERE id = 1");
    const said = await refusal(applyNow(400));
    assert.match(
      said,
      /making the triggers of public\.orders: gave up waiting for a lock on public\.orders, held by pid/,
    );
    assert.ok(said.includes(`pg_terminate_backend(${pid})`), said);
    const patience = shortPatience();
    const waited: string[] = [];
    const report = (line: string): void => {
      waited.push(line);
      if (/waiting/.test(line)) void other.query("COMMIT");
    };
    await apply(session, handmade(view, orders), { ...patience, report });
    assert.ok(waited.some((line) => line.includes(`held by pid ${pid}`)));
    await revert(session, view, shortPatience());
  });

  it("names a prepared transaction", async () => {
    await other.query("BEGIN; UPDATE orders SET amount = 1 WHERE id = 1; PREPARE TRANSACTION 'left behind'");
    assert.match(
      await refusal(applyNow(400)),
      /prepared transaction "left behind"[^]*ROLLBACK PREPARED 'left behind'/,
    );
    await other.query("ROLLBACK PREPARED 'left behind'");
    await revert(session, view, shortPatience());
  });

  it("names a reader who keeps the view, and the refresh that is under way", async () => {
    await other.query("BEGIN; SELECT FROM totals");
    const said = await refusal(applyNow(400));
    assert.match(
      said,
      /putting the table in the place of public\.totals: gave up waiting for a lock on public\.totals, held by/,
    );
    await other.query("COMMIT");
    await other.query(
      "SELECT pg_advisory_lock((1836479078::bigint << 32) | 'totals'::regclass::oid::bigint)",
    );
    assert.match(
      await refusal(applyNow(400)),
      /gave up waiting for another refresh of the view, held by pid/,
    );
    await other.query("SELECT pg_advisory_unlock_all()");
    await revert(session, view, shortPatience());
  });

  it("refuses, before anything is touched, what cannot be moved to the table", async () => {
    await client.query(`
      CREATE MATERIALIZED VIEW over_totals AS SELECT count(*) FROM totals;
      CREATE FUNCTION of_row(totals) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
      CREATE TABLE holds (t totals);
      CREATE TABLE guarded (customer text); CREATE POLICY p ON guarded USING (EXISTS (SELECT FROM totals));
      CREATE VIEW as_row AS SELECT t FROM totals t`);
    const before = await catalogOf(client, "public.totals");
    const said = await refusal(applyNow());
    for (const what of [
      "materialized view public.over_totals",
      "function public.of_row",
      "column t of table public.holds",
      "policy p on table public.guarded",
      "as_row",
    ]) {
      assert.ok(said.includes(what), `${what} in ${said}`);
    }
    assert.deepEqual(await catalogOf(client, "public.totals"), before);
    assert.deepEqual(await leftovers(client), []);
    await client.query(
      "DROP VIEW as_row; DROP TABLE guarded, holds; DROP FUNCTION of_row; DROP MATERIALIZED VIEW over_totals",
    );
  });

  it("refuses where functions run that cannot fold, and where the history cannot tell", async () => {
    const ran = (version: string | null, at = "now()"): Promise<unknown> =>
      client.query(
        `INSERT INTO matview_refresh_history (view_schema, view_name, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, run_id, handler_version)
         VALUES ('public', 'totals', 'refreshed', 'concurrent', ${at}, ${at}, ${at}, 1, 'request', $1)`,
        [version],
      );
    await ran(null, "now() - interval '8 days'");
    await applyNow();
    await revert(session, view, shortPatience());
    await ran(null);
    assert.match(await refusal(applyNow()), /cannot fold\n.*pulumi up/);
    await ran("0.1.9");
    assert.match(await refusal(applyNow()), /is 0\.1\.9 and cannot fold/);
    await ran("0.10.0");
    await applyNow();
    await revert(session, view, shortPatience());
    await client.query("ALTER TABLE matview_refresh_history DROP COLUMN handler_version");
    assert.match(await refusal(applyNow()), /npm run migrate/);
    await client.query(
      "ALTER TABLE matview_refresh_history ADD COLUMN handler_version text; DELETE FROM matview_refresh_history",
    );
    assert.deepEqual(await leftovers(client), []);
  });

  it("lets no reader go back in time, by the view or by one that depends on it", async () => {
    await client.query("CREATE VIEW summed AS SELECT sum(orders)::int AS n FROM totals");
    const writer = await database.connect();
    const reader = await database.connect();
    const viaView = await database.connect();
    let isOver = false;
    let next = 1_000;
    const writes = async (): Promise<void> => {
      while (!isOver) {
        // The view is right at the time of each commit: what the swap publishes may only be more.
        await writer.query("INSERT INTO orders VALUES ($1, 'w', 1)", [next++]);
      }
    };
    const reads = async (by: Client, from: string): Promise<void> => {
      let last = 0;
      while (!isOver) {
        const { rows } = await by.query<{ n: number }>(from);
        const n = rows[0]?.n ?? 0;
        assert.ok(n >= last, `${n} after ${last}`);
        last = n;
      }
    };
    // As the function does it: a refresh under its lock, or a fold, whichever the catalog asks for.
    const refreshes = async (): Promise<void> => {
      const by = await database.connect();
      while (!isOver) {
        const { rows } = await by.query<{ kind: string; locked: boolean }>(
          `SELECT relkind AS kind, pg_try_advisory_lock((1836479078::bigint << 32) | oid::bigint) AS locked
             FROM pg_class WHERE relname = 'totals'`,
        );
        const sql =
          rows[0]?.kind === "m"
            ? "REFRESH MATERIALIZED VIEW CONCURRENTLY totals"
            : `BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE matview_refresh.public__totals__lock IN EXCLUSIVE MODE NOWAIT;
               LOCK TABLE matview_refresh.public__totals__query IN ACCESS SHARE MODE;
               SELECT matview_refresh.public__totals__fold(false, '1 day', true)`;
        if (rows[0]?.locked === true) await by.query(sql).catch(() => undefined);
        await by.query("COMMIT; SELECT pg_advisory_unlock_all()");
      }
    };
    const all = [
      writes(),
      refreshes(),
      reads(reader, "SELECT sum(orders)::int AS n FROM totals"),
      reads(viaView, "SELECT n FROM summed"),
    ];
    const work = (async () => {
      for (let round = 0; round < 8; round++) {
        await apply(session, handmade(view, orders), shortPatience(20_000));
        await revert(session, view, shortPatience(20_000));
      }
    })().finally(() => (isOver = true));
    await Promise.all([work, ...all]);
    await client.query("DROP VIEW summed");
  }).timeout(60_000);

  it("works in a database that publishes all tables", async () => {
    await client.query("CREATE PUBLICATION everything FOR ALL TABLES");
    await applyNow();
    await client.query("UPDATE orders SET amount = amount + 1 WHERE id = 5");
    await client.query(
      "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT matview_refresh.public__totals__fold(true, '1 day', true); COMMIT",
    );
    await revert(session, view, shortPatience());
    await client.query("DROP PUBLICATION everything");
  });

  it("gives each partition its triggers, one transaction each, and takes them away", async () => {
    const parts = { schema: "public", name: "by_part" };
    await client.query(`CREATE TABLE parts (id int, customer text NOT NULL, amount numeric(12, 2)) PARTITION BY LIST (customer);
      CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a'); CREATE TABLE parts_b PARTITION OF parts DEFAULT;
      CREATE MATERIALIZED VIEW by_part AS SELECT customer, count(*) AS orders, sum(amount) AS amount FROM parts GROUP BY customer;
      CREATE UNIQUE INDEX ON by_part (customer)`);
    const partitions = ["parts_a", "parts_b"].map((name) => ({ schema: "public", name }));
    const patience = shortPatience();
    const maintenance = handmade(parts, { schema: "public", name: "parts", partitions });
    await apply(session, maintenance, patience);
    assert.equal(patience.lines.filter((line) => /^making the triggers/.test(line)).length, 3);
    await client.query(
      "INSERT INTO parts_a VALUES (1, 'a', 1); INSERT INTO parts VALUES (2, 'c', 1); TRUNCATE parts_b",
    );
    const { rows } = await client.query(
      "SELECT array_agg(customer ORDER BY customer) AS logged FROM matview_refresh.public__by_part__log_1",
    );
    assert.deepEqual(rows, [{ logged: ["a", "c", null] }]);
    await revert(session, parts, shortPatience());
    assert.deepEqual(await leftovers(client), []);
  });
});
