import assert from "node:assert/strict";
import type { Client } from "pg";
import type { Session } from "../../handler/connect";
import { apply } from "../../incremental/apply";
import { revert } from "../../incremental/revert";
import { verify } from "../../incremental/verify";
import { useDatabase } from "../database";
import { catalogOf, leftovers } from "./catalog";
import { handmade, scenery, sessionOf, shortPatience } from "./handmade";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

for (const majorVersion of [18, 15] as const) {
  describe(`a view made incremental and back, PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;
    let session: Session;

    before(async () => {
      client = await database.connect();
      session = await sessionOf(database);
      await client.query(scenery(view, orders));
      await client.query(`
        CREATE ROLE reader_${database.name}; CREATE ROLE other_${database.name};
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO other_${database.name};
        ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO other_${database.name};
        GRANT SELECT ON totals TO reader_${database.name} WITH GRANT OPTION;
        GRANT INSERT, DELETE ON totals TO other_${database.name};
        GRANT SELECT (orders) ON totals TO other_${database.name}; GRANT SELECT (customer) ON totals TO PUBLIC;
        ALTER MATERIALIZED VIEW totals SET (autovacuum_vacuum_scale_factor = 0.1, toast.autovacuum_enabled = false);
        ALTER MATERIALIZED VIEW totals ALTER COLUMN customer SET STATISTICS 500, ALTER COLUMN customer SET STORAGE EXTERNAL;
        ALTER MATERIALIZED VIEW totals ALTER COLUMN amount SET (n_distinct = 7);
        CREATE INDEX "odd ON public.totals USING name" ON totals (lower(customer), amount DESC) INCLUDE (orders) WHERE amount > 3;
        ALTER INDEX "odd ON public.totals USING name" ALTER COLUMN 1 SET STATISTICS 77;
        ALTER MATERIALIZED VIEW totals CLUSTER ON totals_customer;
        CREATE STATISTICS totals_both (ndistinct) ON orders, amount FROM totals;
        ALTER STATISTICS totals_both SET STATISTICS 55;
        COMMENT ON STATISTICS totals_both IS 'both';
        COMMENT ON MATERIALIZED VIEW totals IS 'what everybody''s orders come to';
        COMMENT ON COLUMN totals.amount IS 'in all'; COMMENT ON INDEX totals_customer IS 'the key';
        CREATE VIEW big WITH (security_barrier) AS SELECT * FROM totals WHERE amount > 500;
        CREATE VIEW "bigger one" AS SELECT b.customer, t.amount FROM big b JOIN totals t USING (customer);
        CREATE FUNCTION grand_total() RETURNS numeric BEGIN ATOMIC SELECT sum(amount) FROM totals; END;`);
    });
    after(() => session.close());

    const rowsDiffering = async (): Promise<number> => {
      const { rows } = await client.query(
        "SELECT * FROM matview_refresh.public__totals__query EXCEPT SELECT * FROM totals",
      );
      return rows.length;
    };

    it("keeps what belongs to it, and revert brings it back exactly", async () => {
      const before = (await catalogOf(client, "public.totals")) as Record<string, unknown>;
      assert.equal(await apply(session, handmade(view, orders), shortPatience()), "made");

      const table = (await catalogOf(client, "public.totals")) as Record<string, unknown>;
      for (const same of ["owner", "comment", "columns", "indexes", "statistics", "views", "functions"]) {
        assert.deepEqual(table[same], before[same], same);
      }
      assert.equal(table.relkind, "r");
      assert.equal(table.relreplident, "f");
      assert.deepEqual(
        (table.acl as string[]).filter((grant) => !grant.startsWith("postgres")),
        [`reader_${database.name} SELECT t`],
        "SELECT goes on, all else does not",
      );
      assert.equal(await rowsDiffering(), 0);
      const { rows: open } = await client.query(
        `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'matview_refresh'::regnamespace
            AND has_table_privilege('other_${database.name}', c.oid, 'SELECT')
          UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'matview_refresh'::regnamespace
            AND has_function_privilege('other_${database.name}', oid, 'EXECUTE')`,
      );
      assert.deepEqual(open, []);

      await client.query("DELETE FROM orders WHERE id < 20; UPDATE orders SET customer = 'c1' WHERE id = 22");
      assert.equal(await revert(session, view, shortPatience()), "reverted");
      assert.deepEqual(await catalogOf(client, "public.totals"), before);
      assert.deepEqual(await leftovers(client), []);
      const { rows } = await client.query("SELECT sum(orders)::int AS orders FROM totals");
      assert.deepEqual(rows, [{ orders: 81 }]);
      assert.equal(await revert(session, view, shortPatience()), "untouched");
    });

    it("takes any name, and the column grants and options of a view whose names need quotes", async () => {
      const odd = { schema: `odd "s'`, name: `t%' "x" __ ${"n".repeat(40)}` };
      const table = { schema: `odd "s'`, name: `ord%s "ers'` };
      await client.query(`CREATE SCHEMA "odd ""s'"`);
      await client.query(scenery(odd, table));
      const name = `"odd ""s'"."t%' ""x"" __ ${"n".repeat(40)}"`;
      const before = await catalogOf(client, name);
      const notice = await apply(session, handmade(odd, table), shortPatience());
      assert.equal(notice, "made");
      const { rows } = await client.query(
        `SELECT obj_description(p.oid) = 'matview-refresh: folds ' || c.oid::regclass AS "isTold"
           FROM pg_proc p, pg_class c WHERE p.proname LIKE '%\\_\\_fold' AND c.oid = $1::regclass`,
        [name],
      );
      assert.deepEqual(rows, [{ isTold: true }]);
      assert.equal((await verify(session, odd, { mostExamples: 1, lockTimeoutMs: 200 })).rows, 10);
      await revert(session, odd, shortPatience());
      assert.deepEqual(await catalogOf(client, name), before);
      assert.deepEqual(await leftovers(client), []);
    });

    it("goes on ageing under its new oids", async () => {
      await apply(session, handmade(view, orders), shortPatience());
      const { rows } = await client.query(
        `SELECT h.refresh_type, h.reason, h.view_oid = 'totals'::regclass AS "isThis" FROM matview_refresh_history h
          WHERE view_name = 'totals' ORDER BY id`,
      );
      assert.deepEqual(rows, [
        { refresh_type: "full", reason: "made incremental", isThis: false },
        { refresh_type: "regular", reason: "no longer incremental", isThis: false },
        { refresh_type: "full", reason: "made incremental", isThis: true },
      ]);
      await revert(session, view, shortPatience());
    });
  });
}
