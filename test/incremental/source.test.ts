import assert from "node:assert/strict";
import type { Client } from "pg";
import { maintainedNames } from "../../handler/maintained";
import { NAMELESS, readQuery, readSource, SourceError } from "../../incremental/readSource";
import type { Relation, ViewSource } from "../../incremental/source";
import { useDatabase } from "../database";
import { rolledBack } from "./query";

for (const majorVersion of [18, 15] as const) {
  describe(`what the catalog says of a view, on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query(`
        CREATE SCHEMA shop;
        CREATE TYPE shop.state AS ENUM ('open', 'paid');
        CREATE DOMAIN shop.code AS varchar(8);
        CREATE DOMAIN shop.short_code AS shop.code;
        CREATE COLLATION shop.ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE shop.customers (id integer PRIMARY KEY, dropped text, name text NOT NULL, code shop.short_code UNIQUE,
          email text COLLATE shop.ignoring_case);
        ALTER TABLE shop.customers DROP COLUMN dropped;
        CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY, customer integer, amount numeric(10, 2),
          rate numeric, weight float8, state shop.state, placed_at timestamptz, label char(3), odd bpchar,
          doubled numeric GENERATED ALWAYS AS (rate * 2) STORED) PARTITION BY RANGE (id);
        ALTER TABLE shop.orders ADD PRIMARY KEY (id);
        CREATE INDEX ON shop.orders (customer, (amount + 1), state);
        CREATE INDEX ON shop.orders (placed_at) WHERE amount > 0;
        CREATE TABLE shop.orders_low PARTITION OF shop.orders FOR VALUES FROM (0) TO (1000) PARTITION BY RANGE (id);
        CREATE TABLE shop.orders_1 PARTITION OF shop.orders_low FOR VALUES FROM (0) TO (100);
        CREATE TABLE shop.orders_2 PARTITION OF shop.orders FOR VALUES FROM (1000) TO (2000);
        INSERT INTO shop.customers SELECT g, 'n' || g FROM generate_series(1, 50) g;
        INSERT INTO shop.orders (customer, amount) SELECT 1, g FROM generate_series(1, 90) g;
        ANALYZE shop.customers, shop.orders;
        CREATE FUNCTION shop.vat(numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 1.2';
        CREATE VIEW shop.paid AS SELECT id, customer, shop.vat(amount) AS amount FROM shop.orders WHERE state = 'paid';
        CREATE MATERIALIZED VIEW shop.per_customer AS
          SELECT c.id, c.name, sum(p.amount) AS amount, sum(p.amount)::numeric(12, 2) AS rounded, c.name COLLATE "C" AS sorted
            FROM shop.customers c LEFT JOIN shop.paid p ON p.customer = c.id GROUP BY c.id, c.name;
        CREATE UNIQUE INDEX per_customer_name ON shop.per_customer (name, id);
        CREATE UNIQUE INDEX per_customer_id ON shop.per_customer (id) INCLUDE (name);
        CREATE UNIQUE INDEX ON shop.per_customer (amount) WHERE amount > 0;`);
    });

    const read = (name: string, schema = "shop"): Promise<ViewSource> =>
      rolledBack(client, (query) => readSource(query, { schema, name }));
    const judge = (sql: string): Promise<ViewSource> => rolledBack(client, (query) => readQuery(query, sql));
    const relation = (source: ViewSource, name: string): Relation =>
      source.relations.find((one) => one.name === name) ?? assert.fail(`no ${name} among what is read`);
    const called = (source: ViewSource): string[] =>
      source.functions.map((one) => `${one.schema}.${one.name}(${one.argumentTypes.join(", ")})`);

    it("has every relation below it, with full names and keys, the primary one first", async () => {
      const source = await read("per_customer");
      assert.match(source.definition, /JOIN shop\.paid p ON/);
      assert.deepEqual(
        source.relations.map(({ name, kind }) => [name, kind]),
        [
          ["customers", "r"],
          ["paid", "v"],
          ["orders", "p"],
        ],
      );
      assert.match(relation(source, "paid").definition ?? "", /FROM shop\.orders/);
      assert.match(relation(source, "paid").definition ?? "", /'paid'::shop\.state/);
      assert.deepEqual(relation(source, "customers").uniqueKeys, [["id"], ["code"]]);
      assert.deepEqual(source.uniqueKeys, [["id"], ["name", "id"]]);
      assert.deepEqual(
        source.columns.map(({ name, type }) => [name, type.name, type.isIdentity, type.family]),
        [
          ["id", "integer", true, "integer"],
          ["name", "text", true, "text"],
          ["amount", "numeric", false, "numeric"],
          ["rounded", "numeric(12,2)", true, "scaled numeric"],
          ["sorted", "text", true, "text"],
        ],
      );
      assert.equal(source.columns[4]?.type.collation, 'pg_catalog."C"');
      assert.equal(source.columns[1]?.type.collation, undefined);
      assert.ok(source.serverVersion >= majorVersion * 10_000);
      assert.equal(source.timeZone, "UTC");
    });

    it("knows which columns are read, tells types by whether equal values are the same, and keeps numbers", async () => {
      const source = await read("per_customer");
      const orders = relation(source, "orders");
      assert.deepEqual(
        orders.columns.filter(({ isUsed }) => isUsed).map(({ name }) => name),
        ["id", "customer", "amount", "state"],
      );
      assert.deepEqual(
        orders.columns.filter(({ type }) => !type.isIdentity).map(({ name }) => name),
        ["rate", "weight", "odd", "doubled"],
      );
      assert.equal(orders.columns.find(({ name }) => name === "doubled")?.generated, "s");
      assert.deepEqual(orders.columns.find(({ name }) => name === "state")?.type, {
        oid: orders.columns.find(({ name }) => name === "state")?.type.oid,
        name: "shop.state",
        isBuiltIn: false,
        isIdentity: true,
        family: "other",
      });
      const customers = relation(source, "customers");
      assert.deepEqual(
        customers.columns.map(({ name, number, isNotNull }) => [name, number, isNotNull]),
        [
          ["id", 1, true],
          ["name", 3, true],
          ["code", 4, false],
          ["email", 5, false],
        ],
      );
      const code = customers.columns.find(({ name }) => name === "code")?.type;
      assert.deepEqual(
        [code?.oid, code?.name, code?.isBuiltIn, code?.isIdentity],
        [1043, "shop.short_code", true, true],
      );
      const email = customers.columns.find(({ name }) => name === "email")?.type;
      assert.deepEqual([email?.isIdentity, email?.collation], [false, "shop.ignoring_case"]);
      assert.equal(orders.isReadWhole, false);
      assert.equal(relation(await judge("SELECT o FROM shop.orders o"), "orders").isReadWhole, true);
    });

    it("has partitions of every level, rows and bytes over all of them, and indexes up to an expression", async () => {
      const orders = relation(await read("per_customer"), "orders");
      assert.deepEqual(
        orders.partitions.map(({ schema, name, kind }) => `${schema}.${name} ${kind}`),
        ["shop.orders_2 r", "shop.orders_low p", "shop.orders_1 r"],
      );
      assert.equal(orders.estimatedRows, 90);
      assert.ok(orders.sizeBytes > 0);
      assert.deepEqual(orders.indexes, [["customer"], ["id"]]);
      const part = relation(await judge("SELECT id FROM shop.orders_1"), "orders_1");
      assert.deepEqual(part.parent, { schema: "shop", name: "orders_low" });
    });

    it("has the functions that operators, casts and functions of any type call, through plain views", async () => {
      const functions = called(await read("per_customer"));
      assert.ok(functions.includes("shop.vat(numeric)"));
      assert.ok(functions.includes("pg_catalog.sum(numeric)"));
      const judged = called(
        await judge(`
          SELECT name::date AS day, concat(c.id, c.dated) AS text, (id, name) < (1, 'a') AS pair, max(id) OVER () AS most,
                 array_to_string(ARRAY(SELECT state FROM shop.orders), ',') AS states, id::regclass::text AS odd
            FROM (SELECT *, placed_at AS dated FROM shop.customers JOIN shop.orders USING (id)) AS c
           WHERE placed_at > '2020-01-01' AND id = ANY (ARRAY[1, 2])`),
      );
      for (const expected of [
        "date_in(cstring)",
        'concat("any")',
        "timestamptz_out(timestamp with time zone)",
        "max(bigint)",
        "enum_out(anyenum)",
        "regclassout(regclass)",
        "timestamptz_gt(timestamp with time zone, timestamp with time zone)",
        "text_lt(text, text)",
      ])
        assert.ok(judged.includes(`pg_catalog.${expected}`), `${expected} in ${judged.join("; ")}`);
      const sampled = await judge("SELECT * FROM shop.customers TABLESAMPLE bernoulli (10)");
      assert.deepEqual(
        sampled.functions.map(({ name, volatility }) => [name, volatility]),
        [
          ["bernoulli", "volatile"],
          ["float4", "immutable"],
        ],
      );
    });

    it("names SQL's own words for time and user in the order of the server's enum", async () => {
      const words =
        "current_date current_time current_time(1) current_timestamp current_timestamp(1) localtime localtime(1) localtimestamp localtimestamp(1) current_role current_user user session_user current_catalog current_schema".split(
          " ",
        );
      for (const word of words) {
        const { usesSqlValueFunctions } = await judge(`SELECT ${word} AS word`);
        assert.deepEqual(usesSqlValueFunctions, [word.replace("(1)", "").toUpperCase()]);
      }
    });

    it("names nondeterministic collations, of columns and of expressions", async () => {
      const grouped = await judge("SELECT email, count(*) FROM shop.customers GROUP BY email");
      assert.deepEqual(grouped.nondeterministicCollations, ["shop.ignoring_case"]);
      const compared = await judge(
        "SELECT id FROM shop.customers WHERE name = 'A' COLLATE shop.ignoring_case",
      );
      assert.deepEqual(compared.nondeterministicCollations, ["shop.ignoring_case"]);
      assert.deepEqual((await judge("SELECT name FROM shop.customers")).nondeterministicCollations, []);
    });

    it("sees system catalogs, which no dependency tells of, and every kind of table", async () => {
      assert.equal(relation(await judge("SELECT relname FROM pg_class"), "pg_class").schema, "pg_catalog");
      await client.query(`
        CREATE UNLOGGED TABLE shop.unlogged (id integer);
        CREATE TABLE shop.guarded (id integer); ALTER TABLE shop.guarded ENABLE ROW LEVEL SECURITY;
        CREATE TABLE shop.parent (id integer); CREATE TABLE shop.child () INHERITS (shop.parent);`);
      const source = await judge(
        "SELECT 1 AS one FROM shop.unlogged, shop.guarded, shop.parent, shop.child, shop.per_customer",
      );
      const flags = (name: string): unknown[] => {
        const { isUnlogged, hasRowSecurity, hasChildren, parent } = relation(source, name);
        return [isUnlogged, hasRowSecurity, hasChildren, parent?.name];
      };
      assert.deepEqual(flags("unlogged"), [true, false, false, undefined]);
      assert.deepEqual(flags("guarded"), [false, true, false, undefined]);
      assert.deepEqual(flags("parent"), [false, false, true, undefined]);
      assert.deepEqual(flags("child"), [false, false, false, "parent"]);
      assert.equal(relation(source, "per_customer").kind, "m");
    });

    it("asks whether the view's owner may create triggers, on partitions too", async () => {
      await client.query(`
        CREATE ROLE keeper_${majorVersion};
        GRANT USAGE, CREATE ON SCHEMA shop TO keeper_${majorVersion};
        GRANT SELECT, TRIGGER ON shop.orders, shop.orders_low, shop.orders_1 TO keeper_${majorVersion};
        CREATE MATERIALIZED VIEW shop.kept AS SELECT id FROM shop.orders;
        ALTER MATERIALIZED VIEW shop.kept OWNER TO keeper_${majorVersion}`);
      const before = await read("kept");
      assert.equal(before.maintainer, `keeper_${majorVersion}`);
      assert.equal(relation(before, "orders").mayTrigger, false);
      await client.query(`GRANT TRIGGER ON shop.orders_2 TO keeper_${majorVersion}`);
      assert.equal(relation(await read("kept"), "orders").mayTrigger, true);
      await client.query(
        `DROP MATERIALIZED VIEW shop.kept; DROP OWNED BY keeper_${majorVersion}; DROP ROLE keeper_${majorVersion}`,
      );
    });

    it("reads a maintained view's query, its columns from the table, and knows it where another view reads it", async () => {
      const names = maintainedNames({ schema: "shop", name: "kept" });
      await client.query(`
        CREATE SCHEMA IF NOT EXISTS matview_refresh;
        CREATE VIEW matview_refresh."${names.query}" AS SELECT id, name FROM shop.customers;
        CREATE TABLE shop.kept (id integer PRIMARY KEY, name text);`);
      await assert.rejects(read("kept"), /shop\.kept is a table, not a materialized view/);
      await client.query(`
        CREATE FUNCTION matview_refresh."${names.fold}"() RETURNS void LANGUAGE sql AS '';
        COMMENT ON FUNCTION matview_refresh."${names.fold}"() IS 'matview-refresh: folds shop.kept';`);
      const source = await read("kept");
      assert.match(source.definition, /FROM shop\.customers/);
      assert.deepEqual(source.uniqueKeys, [["id"]]);
      assert.deepEqual(
        source.columns.map(({ name, isNotNull }) => [name, isNotNull]),
        [
          ["id", true],
          ["name", false],
        ],
      );
      assert.equal(relation(await judge("SELECT id FROM shop.kept"), "kept").isMaintained, true);
      await client.query(`DROP VIEW matview_refresh."${names.query}"`);
      await assert.rejects(
        read("kept"),
        /query of shop\.kept is gone: matview_refresh\.shop__kept__query is not there/,
      );
    });

    it("judges a query before it is a view, and leaves the session as it was", async () => {
      await rolledBack(client, async (query) => {
        await query("SET LOCAL search_path = shop, public");
        await query("SET LOCAL DateStyle = 'SQL, DMY'");
        const source = await readQuery(
          query,
          "-- orders\nSELECT id, DATE '2020-02-01' AS day FROM orders;\n-- that is all",
        );
        assert.deepEqual(source.view, NAMELESS);
        assert.match(source.definition, /'2020-02-01'::date AS day\s+FROM shop\.orders/);
        const [settings] = await query(
          `SELECT current_setting('search_path') AS path, current_setting('DateStyle') AS style,
                  to_regclass('pg_temp.matview_refresh_source') AS view`,
        );
        assert.deepEqual(settings, { path: "shop, public", style: "SQL, DMY", view: null });
      });
    });

    it("says in one message what is wrong with a query, and the transaction goes on", async () => {
      const wrong = {
        "SELECT id,\n  nothing FROM shop.orders": /^The query cannot be read: .*nothing.* \(line 2\)$/,
        "SELECT id FROM\nWHERE": /^The query cannot be read: syntax error at or near "WHERE" \(line 2\)$/,
        "SELECT 1 AS a; SELECT 2 AS b": /the text holds 2 statements/,
        "": /the text holds 0 statements/,
        "DELETE FROM shop.orders": /Only a SELECT/,
        "SELECT $1::int AS a": /^The query cannot be read: there is no parameter \$1 \(line 1\)$/,
      };
      await rolledBack(client, async (query) => {
        for (const [sql, message] of Object.entries(wrong))
          await assert.rejects(readQuery(query, sql), (error) => {
            assert.ok(error instanceof SourceError);
            assert.match(error.message, message);
            return true;
          });
        await assert.rejects(
          readSource(query, { schema: "shop", name: "absent" }),
          /There is no materialized view shop\.absent/,
        );
        assert.equal((await query("SELECT 1")).length, 1);
      });
    });
  });
}
