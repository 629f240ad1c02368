import assert from "node:assert/strict";
import type { Client } from "pg";
import { maintainedNames } from "../../handler/maintained";
import { fingerprintFunction, watchedTable } from "../../incremental/fingerprint";
import { readQuery } from "../../incremental/readSource";
import { useDatabase } from "../database";
import { rolledBack } from "./query";

interface Fingerprint {
  shape: string;
  content: string;
  broken: string | null;
}

const EVENTS = ["insert", "update", "delete", "truncate"];
const triggerOf = (event: string): string => `matview_refresh_1a2b3c4d_${event}`;

const TABLES = `
  CREATE TYPE shop.state AS ENUM ('open', 'paid');
  CREATE TABLE shop.customers (id integer PRIMARY KEY, dropped text, name text NOT NULL, state shop.state, unrelated text,
    twice integer GENERATED ALWAYS AS (id * 2) STORED, other integer, "Odd.name" integer, CONSTRAINT both_key UNIQUE (name, id));
  ALTER TABLE shop.customers DROP COLUMN dropped;
  CREATE TABLE shop.orders (id integer, customer integer, placed_on date) PARTITION BY RANGE (id);
  CREATE TABLE shop.orders_1 PARTITION OF shop.orders FOR VALUES FROM (0) TO (100);
  CREATE TABLE shop.orders_more PARTITION OF shop.orders FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id);
  CREATE TABLE shop.orders_2 PARTITION OF shop.orders_more FOR VALUES FROM (100) TO (200);
  CREATE FUNCTION shop.vat(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
  CREATE VIEW shop.recent AS SELECT customer, placed_on FROM shop.orders WHERE placed_on > '2020-01-02';`;

for (const majorVersion of [18, 15] as const) {
  describe(`the fingerprint of what a fold stands on, on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const names = maintainedNames({ schema: "shop", name: "report" });
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query(`
        CREATE SCHEMA shop; CREATE SCHEMA IF NOT EXISTS matview_refresh;
        CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        ${TABLES}`);
      for (const table of ["customers", "orders", "orders_1", "orders_more", "orders_2"])
        await makeTriggers(table);
      const source = await rolledBack(client, (query) =>
        readQuery(query, "SELECT c.id, r.placed_on FROM shop.customers c, shop.recent r"),
      );
      const table = (name: string, columns: string[], keys: string[][]) => {
        const relation = source.relations.find((one) => one.name === name) ?? assert.fail(name);
        return watchedTable(relation, new Set(columns), keys);
      };
      await client.query(
        fingerprintFunction({
          names,
          tables: [
            table(
              "customers",
              ["id", "name", "state", "twice", "other", "Odd.name"],
              [["id"], ["id", "name"]],
            ),
            table("orders", ["customer", "placed_on"], []),
          ],
          triggers: EVENTS.map(triggerOf),
          views: [{ schema: "shop", name: "recent" }],
          functions: ["shop.vat(integer)"],
        }),
      );
    });

    async function makeTriggers(table: string): Promise<void> {
      for (const event of EVENTS)
        await client.query(
          `CREATE TRIGGER ${triggerOf(event)} AFTER ${event} ON shop.${table} FOR EACH STATEMENT EXECUTE FUNCTION shop.note()`,
        );
    }

    async function fingerprint(): Promise<Fingerprint> {
      const { rows } = await client.query<Fingerprint>(
        `SELECT * FROM matview_refresh."${names.fingerprint}"()`,
      );
      return rows[0] ?? assert.fail("no fingerprint");
    }

    /** Both fingerprints, of now and of what it would be after the statements. */
    async function around(statements: string): Promise<[Fingerprint, Fingerprint]> {
      const before = await fingerprint();
      await client.query("BEGIN");
      try {
        await client.query(statements);
        return [before, await fingerprint()];
      } finally {
        await client.query("ROLLBACK");
      }
    }

    it("is whole, and the same under other settings of the session", async () => {
      const before = await fingerprint();
      assert.equal(before.broken, null);
      const other = await around(
        "SET LOCAL DateStyle = 'SQL, DMY'; SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL search_path = shop; SET LOCAL quote_all_identifiers = on",
      );
      assert.deepEqual(other[1], before);
    });

    const unrelated: Record<string, string> = {
      "a new column": "ALTER TABLE shop.customers ADD COLUMN fresh text DEFAULT 'x'",
      "an unused column renamed": "ALTER TABLE shop.customers RENAME COLUMN unrelated TO still_unrelated",
      "an unused column dropped": "ALTER TABLE shop.customers DROP COLUMN unrelated",
      "a new index": "CREATE UNIQUE INDEX ON shop.customers (unrelated)",
      "a grant": "GRANT SELECT, INSERT ON shop.customers TO PUBLIC",
      "a comment": "COMMENT ON COLUMN shop.customers.name IS 'who'; COMMENT ON VIEW shop.recent IS 'new'",
      statistics: "ANALYZE shop.customers",
      "a stricter column": "ALTER TABLE shop.customers ALTER other SET NOT NULL",
      "a trigger of the user's":
        "CREATE TRIGGER own AFTER INSERT ON shop.customers EXECUTE FUNCTION shop.note()",
      "a rule that came and went":
        "CREATE RULE r AS ON INSERT TO shop.customers DO ALSO NOTHING; DROP RULE r ON shop.customers",
      "always firing": `ALTER TABLE shop.customers ENABLE ALWAYS TRIGGER ${triggerOf("insert")}`,
    };
    for (const [what, statements] of Object.entries(unrelated))
      it(`stays the same with ${what}`, async () => {
        const [before, after] = await around(statements);
        assert.deepEqual(after, before);
      });

    it("stays the same after VACUUM, also VACUUM FULL", async () => {
      const before = await fingerprint();
      await client.query("VACUUM (FULL, ANALYZE) shop.customers");
      assert.deepEqual(await fingerprint(), before);
    });

    const shaping: Record<string, string> = {
      "a used column renamed": "ALTER TABLE shop.customers RENAME COLUMN name TO title",
      "two columns that swap their names":
        'ALTER TABLE shop.customers RENAME COLUMN other TO x; ALTER TABLE shop.customers RENAME COLUMN "Odd.name" TO other; ALTER TABLE shop.customers RENAME COLUMN x TO "Odd.name"',
      "another type": "ALTER TABLE shop.customers ALTER other TYPE bigint",
      "another modifier": "ALTER TABLE shop.customers ALTER name TYPE varchar(20)",
      "another collation": 'ALTER TABLE shop.customers ALTER name TYPE text COLLATE "C"',
      "a column that may be NULL": "ALTER TABLE shop.customers ALTER name DROP NOT NULL",
      "a key dropped": "ALTER TABLE shop.customers DROP CONSTRAINT both_key",
      "a key that is only wider":
        "ALTER TABLE shop.customers DROP CONSTRAINT customers_pkey; CREATE UNIQUE INDEX ON shop.customers (id, unrelated)",
      "a key of some rows":
        "ALTER TABLE shop.customers DROP CONSTRAINT customers_pkey; CREATE UNIQUE INDEX ON shop.customers (id) WHERE id > 0",
      "an expression dropped": "ALTER TABLE shop.customers ALTER twice DROP EXPRESSION",
      "another expression":
        "ALTER TABLE shop.customers DROP COLUMN twice; ALTER TABLE shop.customers ADD COLUMN twice integer GENERATED ALWAYS AS (id * 3) STORED",
      "row security": "ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY",
      "a rule": "CREATE RULE r AS ON INSERT TO shop.customers DO INSTEAD NOTHING",
      "another query of a view below":
        "CREATE OR REPLACE VIEW shop.recent AS SELECT customer, placed_on FROM shop.orders WHERE placed_on > '2021-01-02'",
      "a renamed view below": "ALTER VIEW shop.recent RENAME TO latest",
      "a parent": "CREATE TABLE shop.parent (unrelated text); ALTER TABLE shop.customers INHERIT shop.parent",
      "being a partition":
        "CREATE TABLE shop.all_customers (LIKE shop.customers INCLUDING GENERATED) PARTITION BY LIST (id); ALTER TABLE shop.all_customers ATTACH PARTITION shop.customers DEFAULT",
    };
    for (const [what, statements] of Object.entries(shaping))
      it(`has another shape with ${what}`, async () => {
        const [before, after] = await around(statements);
        assert.notEqual(after.shape, before.shape);
        assert.equal(after.broken, null);
      });

    if (majorVersion === 18)
      it("has another shape with SET EXPRESSION, which fires no trigger", async () => {
        const [before, after] = await around(
          "ALTER TABLE shop.customers ALTER twice SET EXPRESSION AS (id * 4)",
        );
        assert.notEqual(after.shape, before.shape);
      });

    const filling: Record<string, string> = {
      "a partition detached": "ALTER TABLE shop.orders DETACH PARTITION shop.orders_1",
      "a partition of a partition dropped": "DROP TABLE shop.orders_2",
      "another body of a function":
        "CREATE OR REPLACE FUNCTION shop.vat(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 3'",
      "a label renamed": "ALTER TYPE shop.state RENAME VALUE 'open' TO 'new'",
    };
    for (const [what, statements] of Object.entries(filling))
      it(`has other content, in the same shape, with ${what}`, async () => {
        const [before, after] = await around(statements);
        assert.equal(after.shape, before.shape);
        assert.notEqual(after.content, before.content);
        assert.equal(after.broken, null);
      });

    it("tells of a new partition, which brings no triggers, until it has them", async () => {
      const before = await fingerprint();
      await client.query(
        "CREATE TABLE shop.orders_3 PARTITION OF shop.orders_more FOR VALUES FROM (200) TO (300)",
      );
      const after = await fingerprint();
      assert.equal(after.shape, before.shape);
      assert.notEqual(after.content, before.content);
      assert.equal(
        after.broken,
        "trigger matview_refresh_1a2b3c4d_delete of shop.orders_3 is missing; trigger matview_refresh_1a2b3c4d_insert of shop.orders_3 is missing; trigger matview_refresh_1a2b3c4d_truncate of shop.orders_3 is missing; 1 more",
      );
      await makeTriggers("orders_3");
      assert.equal((await fingerprint()).broken, null);
      await client.query("DROP TABLE shop.orders_3");
      assert.deepEqual(await fingerprint(), before);
    });

    const broken: Record<string, [statements: string, said: string]> = {
      "a trigger disabled": [
        `ALTER TABLE shop.customers DISABLE TRIGGER ${triggerOf("insert")}`,
        "trigger matview_refresh_1a2b3c4d_insert of shop.customers is disabled",
      ],
      "a trigger that fires on replicas alone": [
        `ALTER TABLE shop.customers ENABLE REPLICA TRIGGER ${triggerOf("update")}`,
        "trigger matview_refresh_1a2b3c4d_update of shop.customers is disabled",
      ],
      "a trigger dropped": [
        `DROP TRIGGER ${triggerOf("truncate")} ON shop.orders`,
        "trigger matview_refresh_1a2b3c4d_truncate of shop.orders is missing",
      ],
      "a trigger of a partition disabled": [
        `ALTER TABLE shop.orders_2 DISABLE TRIGGER ${triggerOf("delete")}`,
        "trigger matview_refresh_1a2b3c4d_delete of shop.orders_2 is disabled",
      ],
      "all triggers of a table disabled": [
        "ALTER TABLE shop.orders_1 DISABLE TRIGGER ALL",
        "trigger matview_refresh_1a2b3c4d_delete of shop.orders_1 is disabled; trigger matview_refresh_1a2b3c4d_insert of shop.orders_1 is disabled; trigger matview_refresh_1a2b3c4d_truncate of shop.orders_1 is disabled; 1 more",
      ],
      "a table renamed": ["ALTER TABLE shop.customers RENAME TO clients", "table shop.customers is gone"],
      "both tables gone": [
        "DROP TABLE shop.customers, shop.orders CASCADE",
        "table shop.customers is gone; table shop.orders is gone",
      ],
      "a child that brings no triggers": [
        "CREATE TABLE shop.child () INHERITS (shop.customers); ALTER TABLE shop.child DISABLE TRIGGER ALL; CREATE TRIGGER matview_refresh_1a2b3c4d_insert AFTER INSERT ON shop.child EXECUTE FUNCTION shop.note(); CREATE TRIGGER matview_refresh_1a2b3c4d_update AFTER UPDATE ON shop.child EXECUTE FUNCTION shop.note(); CREATE TRIGGER matview_refresh_1a2b3c4d_delete AFTER DELETE ON shop.child EXECUTE FUNCTION shop.note()",
        "trigger matview_refresh_1a2b3c4d_truncate of shop.child is missing",
      ],
    };
    for (const [what, [statements, said]] of Object.entries(broken))
      it(`says what is wrong with ${what}`, async () => {
        assert.equal((await around(statements))[1].broken, said);
      });

    it("keeps its shape where all is made anew, as pg_dump does, without the columns that were dropped", async () => {
      const before = await fingerprint();
      await client.query("BEGIN");
      try {
        await client.query(`
          DROP VIEW shop.recent; DROP TABLE shop.orders, shop.customers; DROP TYPE shop.state; DROP FUNCTION shop.vat(integer);
          ${TABLES.replace(" dropped text,", "").replace("ALTER TABLE shop.customers DROP COLUMN dropped;", "")}`);
        const bare = await fingerprint();
        assert.match(bare.broken ?? "", /is missing/);
        for (const table of ["customers", "orders", "orders_1", "orders_more", "orders_2"])
          await makeTriggers(table);
        const after = await fingerprint();
        assert.equal(after.shape, before.shape);
        assert.notEqual(after.content, before.content);
        assert.equal(after.broken, null);
      } finally {
        await client.query("ROLLBACK");
      }
    });

    it("is the same whoever asks", async () => {
      const before = await fingerprint();
      await client.query(`CREATE ROLE asker_${majorVersion};
        GRANT USAGE ON SCHEMA shop, matview_refresh TO asker_${majorVersion}`);
      const [, after] = await around(`SET LOCAL ROLE asker_${majorVersion}`);
      assert.deepEqual(after, before);
      await client.query(`DROP OWNED BY asker_${majorVersion}; DROP ROLE asker_${majorVersion}`);
    });
  });
}
