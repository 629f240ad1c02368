/** What happens to tables, triggers, roles and settings after `apply`: writers go on, and the view is right or says why not. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import { inSchema } from "../../handler/maintained";
import type { Session } from "../../handler/connect";
import { apply } from "../../incremental/apply";
import type { Maintenance } from "../../incremental/maintenance";

import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { sessionOf, shortPatience } from "./handmade";
import { createView, foldAndCompare, judgeView, type Folded } from "./maintained";

const totals = { schema: "public", name: "totals" };
const days = { schema: "public", name: "days" };
const named = { schema: "public", name: "named" };
const QUERIES = [
  {
    view: totals,
    query: "SELECT customer, sum(amount) AS amount, max(note) AS note FROM orders GROUP BY customer",
    key: "customer",
  },
  { view: days, query: "SELECT created::date AS day, count(*) AS orders FROM orders GROUP BY 1", key: "day" },
  {
    view: named,
    query: `SELECT o.id, o.status, c.name, shop_label(c.name) AS label, p.n FROM orders o JOIN clients c ON c.id = o.customer
      LEFT JOIN (SELECT order_id, count(DISTINCT kind) AS n FROM parts GROUP BY order_id) p ON p.order_id = o.id`,
    key: "id",
  },
];
const SCENERY = `
  CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
  CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, amount numeric(10, 2), status text, note text,
    created timestamptz NOT NULL DEFAULT '2026-01-01 12:00+00', unused text);
  CREATE TABLE parts (order_id int NOT NULL, at date NOT NULL, kind text) PARTITION BY RANGE (at);
  CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
  CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
  CREATE VIEW clients AS SELECT id, name FROM customers;
  CREATE FUNCTION shop_label(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'label of ' || $1 $$;
  INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(1, 5) i;
  INSERT INTO orders (id, customer, amount, status, note) SELECT i, i % 5 + 1, i, 'new', 'note ' || i FROM generate_series(1, 30) i;
  INSERT INTO parts SELECT i, date '2026-01-15' + i, 'kind ' || i % 3 FROM generate_series(1, 30) i;`;

for (const majorVersion of [18, 15] as const) {
  describe(`maintained views and what is done to their tables, PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const writer = useRole(database);
    const attacker = useRole(database);
    let client: Client;
    let session: Session;
    let made: Map<string, Maintenance>;

    before(async () => {
      client = await database.connect();
      session = await sessionOf(database);
    });
    after(() => session.close());

    beforeEach(async function () {
      this.timeout(60_000);
      await client.query(`RESET ALL; DROP SCHEMA IF EXISTS matview_refresh CASCADE;
        DROP TABLE IF EXISTS totals, days, named, shares, orders, customers, parts, detached, other_orders, orders_old CASCADE;
        DROP VIEW IF EXISTS clients; DROP FUNCTION IF EXISTS shop_label; DELETE FROM matview_refresh_history`);
      await client.query(SCENERY);
      made = new Map();
      for (const { view, query, key } of QUERIES) {
        await createView(client, view, query, key);
        const { maintenance, findings } = await judgeView(client, view);
        assert.ok(maintenance, JSON.stringify(findings));
        await apply(session, maintenance, shortPatience());
        made.set(view.name, maintenance);
      }
    });

    /** Folds, and holds that the view is right afterwards. */
    const fold = async (
      view: { name: string } = totals,
      options: { full?: boolean; allowFull?: boolean } = {},
    ): Promise<Folded> => {
      const { folded, differences } = await foldAndCompare(
        client,
        made.get(view.name) ?? assert.fail(),
        options,
      );
      assert.deepEqual(differences, [], JSON.stringify(folded));
      return folded;
    };
    const isFolded = async (view: { name: string } = totals): Promise<void> => {
      const { kind, reason } = await fold(view);
      assert.equal(kind, "incremental", `${view.name}: ${reason}`);
    };
    const isFull = async (view: { name: string }, why: RegExp): Promise<Folded> => {
      const folded = await fold(view);
      assert.equal(folded.kind, "full", view.name);
      assert.match(folded.reason ?? "", why);
      return folded;
    };
    /** Without the right to run in full, a fold does nothing and says why. */
    const refuses = async (view: { name: string }, why: RegExp): Promise<void> => {
      const { folded } = await foldAndCompare(client, made.get(view.name) ?? assert.fail(), {
        allowFull: false,
      });
      assert.equal(folded.kind, "refused");
      assert.match(folded.reason ?? "", why);
    };

    describe("writers", () => {
      it("write with INSERT on the table alone, and see nothing of what is kept", async () => {
        await client.query(`GRANT INSERT ON orders, parts, parts_1 TO ${writer.name}`);
        const by = await database.connect({ user: writer.name, password: writer.password });
        await by.query("INSERT INTO orders (id, customer, amount) VALUES (100, 1, 5)");
        await by.query("INSERT INTO parts VALUES (100, '2026-01-05', 'a')");
        await by.query("INSERT INTO parts_1 VALUES (100, '2026-01-06', 'b')");
        for (const view of [totals, days, named]) await isFolded(view);
        for (const forbidden of [
          "SELECT FROM matview_refresh.public__totals__log_1",
          "INSERT INTO totals VALUES (1)",
          "SELECT * FROM matview_refresh.public__totals__fold(true, '1 day', true)",
          "SELECT matview_refresh.public__totals__log_1_write()",
        ]) {
          await assert.rejects(by.query(forbidden), { code: "42501" }, forbidden);
        }
      });

      it("cannot forge changes with the trigger function on a table of their own", async () => {
        await client.query(
          `GRANT CREATE ON SCHEMA public TO ${attacker.name}; GRANT USAGE ON SCHEMA matview_refresh TO ${attacker.name}`,
        );
        const by = await database.connect({ user: attacker.name, password: attacker.password });
        await by.query("CREATE TABLE own_orders (customer int, amount numeric(10, 2), note text)");
        try {
          await assert.rejects(
            by.query(`CREATE TRIGGER forged AFTER INSERT ON own_orders REFERENCING NEW TABLE AS new_rows
                        FOR EACH STATEMENT EXECUTE FUNCTION matview_refresh.public__totals__log_1_write()`),
            { code: "42501" },
          );
        } finally {
          await by.query("DROP TABLE own_orders");
          await client.query(
            `REVOKE CREATE ON SCHEMA public FROM ${attacker.name}; REVOKE USAGE ON SCHEMA matview_refresh FROM ${attacker.name}`,
          );
        }
      });

      it("cannot have the trigger or the fold run code of theirs by search_path, operators or temporary tables", async () => {
        await client.query(`GRANT INSERT, UPDATE, DELETE, SELECT ON orders TO ${attacker.name};
          CREATE SCHEMA evil AUTHORIZATION ${attacker.name};
          CREATE TABLE caught (who text); GRANT INSERT ON caught TO PUBLIC`);
        try {
          const by = await database.connect({ user: attacker.name, password: attacker.password });
          await by.query(`
            CREATE FUNCTION evil.trap(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN true; END $$;
            CREATE FUNCTION evil.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN true; END $$;
            CREATE FUNCTION evil.sum(numeric) RETURNS numeric LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN 0; END $$;
            CREATE FUNCTION evil.count() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN 0; END $$;
            CREATE FUNCTION evil.format_type(oid, int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN ''; END $$;
            CREATE OPERATOR evil.= (FUNCTION = evil.trap, LEFTARG = int, RIGHTARG = int);
            CREATE OPERATOR evil.= (FUNCTION = evil.trap, LEFTARG = text, RIGHTARG = text);
            CREATE OPERATOR evil.> (FUNCTION = evil.trap, LEFTARG = int, RIGHTARG = int);
            SET search_path = evil, pg_temp, pg_catalog, public;
            CREATE TEMPORARY TABLE new_rows (LIKE public.orders);
            CREATE TEMPORARY TABLE old_rows (LIKE public.orders);
            CREATE TEMPORARY TABLE pg_attribute (attrelid oid, attname name, atttypid oid, atttypmod int);
            CREATE TEMPORARY TABLE public__totals__log_1 (x int)`);
          await by.query(`INSERT INTO public.orders (id, customer, amount) VALUES (100, 1, 5); UPDATE public.orders SET amount = 6
            WHERE id OPERATOR(pg_catalog.=) 100; DELETE FROM public.orders WHERE id OPERATOR(pg_catalog.=) 7`);
          // A folder with such a search_path is no better off.
          await client.query("SET search_path = evil, public");
          for (const view of [totals, days, named]) await isFolded(view);
          await client.query("RESET search_path");
          assert.deepEqual(
            (await client.query("SELECT DISTINCT who FROM public.caught WHERE who <> $1", [attacker.name]))
              .rows,
            [],
          );
        } finally {
          await client.query("RESET search_path; DROP TABLE caught; DROP SCHEMA evil CASCADE");
        }
      });

      it("of another TimeZone write the same days", async () => {
        const by = await database.connect();
        await by.query(
          "SET TimeZone = 'Pacific/Kiritimati'; INSERT INTO orders (id, customer, created) VALUES (100, 1, '2026-03-01 20:00+00')",
        );
        await by.query(
          "SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'; UPDATE orders SET created = created + interval '1 day' WHERE id < 10",
        );
        await isFolded(days);
      });
    });

    describe("changed tables", () => {
      it("a used column is renamed: writers go on, and each fold recomputes all until apply", async () => {
        await client.query("ALTER TABLE orders RENAME COLUMN amount TO value");
        await client.query(
          "INSERT INTO orders (id, customer, value) VALUES (100, 1, 5); UPDATE orders SET value = 7 WHERE id < 9; DELETE FROM orders WHERE id = 20",
        );
        await refuses(totals, /changed|apply/);
        await isFull(totals, /apply/);
        await client.query("UPDATE orders SET value = 8 WHERE id < 9");
        await isFull(totals, /apply/);
        // The day knows nothing of amounts.
        await isFolded(days);
        const { maintenance } = await judgeView(client, totals);
        assert.ok(maintenance);
        assert.equal(await apply(session, maintenance, shortPatience()), "upgraded");
        made.set(totals.name, maintenance);
        await client.query("UPDATE orders SET value = 9 WHERE id < 9");
        await isFolded(totals);
      });

      it("columns are added, and dropped where nobody uses them; tables are renamed: all go on", async () => {
        await client.query(
          "ALTER TABLE orders ADD COLUMN more int DEFAULT 7, DROP COLUMN unused; UPDATE orders SET amount = 3 WHERE id < 9",
        );
        for (const view of [totals, days, named]) await isFolded(view);
        await client.query("UPDATE orders SET more = 8");
        assert.equal((await fold(days)).changes, "0", "a change of a column that is not used is none");
        await client.query(
          "ALTER TABLE orders RENAME TO other_orders; UPDATE other_orders SET amount = 4 WHERE id < 9; INSERT INTO other_orders (id, customer, amount) VALUES (100, 1, 1)",
        );
        await fold(totals);
        await client.query("UPDATE other_orders SET amount = 5 WHERE id < 9");
        await fold(totals);
      });

      it("a used column can be neither dropped nor given another type", async () => {
        await assert.rejects(client.query("ALTER TABLE orders DROP COLUMN amount"), { code: "2BP01" });
        await assert.rejects(client.query("ALTER TABLE orders ALTER COLUMN amount TYPE text"), {
          code: "0A000",
        });
        await assert.rejects(client.query("DROP TABLE orders"), { code: "2BP01" });
        await isFolded();
      });

      it("a view under the query is replaced: full runs until apply; a function: one", async () => {
        await client.query(
          "CREATE OR REPLACE FUNCTION shop_label(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT 'another label of ' || $1 $$",
        );
        await isFull(named, /function/);
        await client.query("UPDATE orders SET status = 'x' WHERE id = 1");
        await isFolded(named);
        await client.query("CREATE OR REPLACE VIEW clients AS SELECT id, upper(name) AS name FROM customers");
        await isFull(named, /apply/);
        await isFull(named, /apply/);
        await isFolded(totals);
      });

      it("a table is altered and altered back without apply: one more full run, since states are older than the logs", async () => {
        const write = (customer: number): Promise<unknown> =>
          client.query("INSERT INTO orders (id, customer, amount) SELECT max(id) + 1, $1, 5 FROM orders", [
            customer,
          ]);
        await client.query("ALTER TABLE orders ALTER COLUMN customer DROP NOT NULL");
        for (const customer of [1, 2]) {
          await write(customer);
          await isFull(totals, /^a table or a view under the query was changed/);
        }
        await client.query("ALTER TABLE orders ALTER COLUMN customer SET NOT NULL");
        await refuses(totals, /^a table or a view under the query had been changed$/);
        await write(1);
        const { drift } = await isFull(totals, /^a table or a view under the query had been changed$/);
        assert.equal(drift, null);
        await write(2);
        await isFolded();
      });

      it("row security that is switched on is a changed shape", async () => {
        await client.query("ALTER TABLE orders ENABLE ROW LEVEL SECURITY");
        await isFull(totals, /apply/);
      });

      it("a table is truncated, alone and by CASCADE", async () => {
        await client.query("TRUNCATE orders");
        await refuses(totals, /public\.orders was truncated/);
        await isFull(totals, /public\.orders was truncated/);
        await client.query("INSERT INTO orders (id, customer, amount) VALUES (1, 1, 1)");
        await isFolded(totals);
      });
    });

    describe("triggers", () => {
      it("that are disabled are named, and the drift is counted, also after they are back", async () => {
        await client.query("UPDATE orders SET amount = 99 WHERE id = 1");
        await client.query(
          "ALTER TABLE orders DISABLE TRIGGER USER; UPDATE orders SET amount = 50 WHERE id = 2",
        );
        await refuses(totals, /trigger matview_refresh_\w+ of (public\.)?orders is disabled/);
        const { drift } = await isFull(totals, /is disabled/);
        assert.equal(drift, "1");
        await client.query(
          "UPDATE orders SET amount = 51 WHERE id = 3; ALTER TABLE orders ENABLE TRIGGER USER",
        );
        assert.equal((await fold(totals, { full: true })).drift, "1");
        await isFolded(totals);
        const { rows } = await client.query("SELECT drift::int FROM matview_refresh.public__totals__status");
        assert.deepEqual(rows, [{ drift: 2 }]);
      });

      it("that are dropped are named", async () => {
        const { rows } = await client.query<{ name: string }>(
          "SELECT tgname AS name FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND tgname ~ '_update$' AND tgfoid::regproc::text ~ 'totals'",
        );
        await client.query(
          `DROP TRIGGER ${rows[0]?.name} ON orders; UPDATE orders SET amount = 50 WHERE id = 2`,
        );
        const { drift } = await isFull(totals, /is missing/);
        assert.equal(drift, "1");
      });

      it("do not see a load of a replica, which a full run finds as drift", async () => {
        await client.query(
          "BEGIN; SET LOCAL session_replication_role = replica; UPDATE orders SET amount = 77 WHERE id IN (1, 2); COMMIT",
        );
        const { folded, differences } = await foldAndCompare(client, made.get("totals") ?? assert.fail());
        assert.deepEqual([folded.kind, folded.changes, differences.length], ["incremental", "0", 4]);
        const full = await fold(totals, { full: true });
        assert.deepEqual([full.kind, full.reason, full.drift], ["full", "asked for", "2"]);
        await isFolded();
      });
    });

    describe("partitions", () => {
      it("that are made later and written directly are seen, from the first fold on by triggers of their own", async () => {
        await client.query(
          "CREATE TABLE parts_3 PARTITION OF parts FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')",
        );
        await client.query(
          "INSERT INTO parts_3 VALUES (1, '2026-03-05', 'direct'); INSERT INTO parts VALUES (2, '2026-03-06', 'by the parent')",
        );
        await isFull(named, /partition|trigger/);
        await client.query(
          "INSERT INTO parts_3 VALUES (3, '2026-03-07', 'direct'); UPDATE parts_3 SET kind = 'z'; TRUNCATE parts_1",
        );
        await isFull(named, /truncated|partition|trigger/);
        await client.query(
          "DELETE FROM parts_3 WHERE order_id = 3; INSERT INTO parts VALUES (4, '2026-03-09', 'w')",
        );
        await isFolded(named);
      });

      it("that are attached and detached change what is shown", async () => {
        await client.query(
          "CREATE TABLE detached (LIKE parts); INSERT INTO detached SELECT i, '2026-05-01', 'attached' FROM generate_series(1, 9) i",
        );
        await client.query(
          "ALTER TABLE parts ATTACH PARTITION detached FOR VALUES FROM ('2026-05-01') TO ('2026-06-01')",
        );
        await isFull(named, /partition|trigger/);
        await client.query("INSERT INTO detached VALUES (10, '2026-05-02', 'x')");
        await fold(named);
        await client.query(
          "ALTER TABLE parts DETACH PARTITION detached; DELETE FROM detached WHERE order_id < 3",
        );
        await isFull(named, /partition/);
        await client.query(
          "INSERT INTO detached VALUES (11, '2026-05-03', 'x'); INSERT INTO parts VALUES (11, '2026-02-03', 'x')",
        );
        await isFolded(named);
        await client.query("DROP TABLE parts_2");
        await isFull(named, /partition/);
      });
    });

    describe("logs and publications", () => {
      it("a log that holds more than a share of its table is not read", async () => {
        await client.query(
          "INSERT INTO orders (id, customer, status) SELECT i, i % 5 + 1, 'new' FROM generate_series(1001, 13000) i; ANALYZE orders",
        );
        const { changes } = await isFull(named, /so many rows of public\.orders changed/);
        assert.equal(changes, "12000");
        await client.query("UPDATE orders SET status = 'x' WHERE id = 1");
        await isFolded(named);
        const { rows } = await client.query("SELECT FROM matview_refresh.public__named__log_1");
        assert.equal(rows.length, 0);
      });

      it("a changed row that came and went and has no result is no end of folding", async () => {
        const shares = { schema: "public", name: "shares" };
        await client.query("DROP TABLE IF EXISTS shares");
        await createView(
          client,
          shares,
          "SELECT 100 / customer AS share, count(*) AS n FROM orders GROUP BY 1",
          "share",
        );
        const { maintenance } = await judgeView(client, shares);
        assert.ok(maintenance);
        await apply(session, maintenance, shortPatience());
        made.set(shares.name, maintenance);
        await client.query(`BEGIN; INSERT INTO orders (id, customer) VALUES (200, 0), (201, 50);
          DELETE FROM orders WHERE id = 200; COMMIT`);
        await refuses(shares, /a changed row has no result \(22012\)/);
        await isFull(shares, /a changed row has no result \(22012\)/);
        await client.query("INSERT INTO orders (id, customer) VALUES (202, 50)");
        await isFolded(shares);
      });

      it("a publication FOR ALL TABLES lets no fold fail", async () => {
        await client.query("CREATE PUBLICATION everything FOR ALL TABLES");
        try {
          await client.query("ALTER TABLE orders REPLICA IDENTITY FULL");
          await client.query(
            "UPDATE orders SET amount = 1, status = 'y' WHERE id < 9; DELETE FROM orders WHERE id = 9",
          );
          for (const view of [totals, days, named]) {
            await isFolded(view);
            await fold(view, { full: true });
          }
        } finally {
          await client.query("DROP PUBLICATION everything");
        }
      });

      it("a paused view is left alone, and catches up afterwards", async () => {
        const { names } = made.get("totals") ?? assert.fail();
        await client.query(
          `UPDATE ${inSchema(names.status)} SET paused = true; UPDATE orders SET amount = 1 WHERE id = 1`,
        );
        const { folded } = await foldAndCompare(client, made.get("totals") ?? assert.fail());
        assert.equal(folded.kind, "paused");
        await client.query(`UPDATE ${inSchema(names.status)} SET paused = false`);
        await isFolded();
      });

      it("a full run is due once its time has come, and finds nothing", async () => {
        const { names } = made.get("totals") ?? assert.fail();
        await client.query(
          `UPDATE ${inSchema(names.status)} SET last_full_at = now() - interval '101 years'; UPDATE orders SET amount = 1 WHERE id = 1`,
        );
        const { drift } = await isFull(totals, /scheduled/);
        assert.equal(drift, "0");
        await isFolded();
      });
    });
  });
}
