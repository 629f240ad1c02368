/** What cannot be proven right is refused: with its place, the reason and what would help, and with nothing changed. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import { compile } from "../../incremental/compile";
import type { Finding } from "../../incremental/maintenance";
import { readQuery } from "../../incremental/readSource";
import { useDatabase } from "../database";
import { leftovers } from "./catalog";
import { createView, judgeView } from "./maintained";
import { rolledBack } from "./query";

const SCENERY = `
  CREATE SCHEMA shop;
  SET search_path = shop, public;
  CREATE COLLATION shop.ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  CREATE TABLE orders (id int PRIMARY KEY, customer text NOT NULL, amount numeric(10, 2), rate numeric, weight float8, said text,
    created timestamptz NOT NULL, doc jsonb, label text COLLATE shop.ignoring_case, took interval, code char(4));
  CREATE TABLE customers (code text PRIMARY KEY, name text);
  CREATE TABLE hidden (id int PRIMARY KEY, v int); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
  CREATE TABLE parent (id int PRIMARY KEY, v int); CREATE TABLE child () INHERITS (parent);
  CREATE TABLE events (id int, at date, v int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
  CREATE TABLE events_1 PARTITION OF events DEFAULT;
  CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY, v int);
  CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;
  CREATE FOREIGN TABLE remote (id int, v int) SERVER far;
  CREATE MATERIALIZED VIEW below AS SELECT id, v FROM fleeting; CREATE UNIQUE INDEX ON below (id);
  CREATE FUNCTION looks_up(text) RETURNS text STABLE LANGUAGE sql AS $$ SELECT name FROM shop.customers WHERE code = $1 $$;
  CREATE FUNCTION anything(int) RETURNS int LANGUAGE sql AS $$ SELECT $1 $$;
  CREATE AGGREGATE own_sum (int) (SFUNC = int4pl, STYPE = int);
  CREATE TYPE mood AS (a int, b int);
  RESET search_path;`;

interface Refusal {
  query: string;
  key?: string;
  capability: RegExp;
  place: RegExp;
  reason: RegExp;
  remedy?: RegExp;
}

const refused = (
  query: string,
  capability: RegExp,
  place: RegExp,
  reason: RegExp,
  remedy?: RegExp,
  key = "id",
): Refusal => ({
  query,
  key,
  capability,
  place,
  reason,
  ...(remedy === undefined ? {} : { remedy }),
});

const REFUSALS: Record<string, Refusal> = {
  "now()": refused(
    "SELECT id FROM shop.orders WHERE created > now() - interval '1 day'",
    /time/,
    /now/,
    /time goes by/,
    /plain view on top|CREATE VIEW/,
  ),
  CURRENT_DATE: refused(
    "SELECT id FROM shop.orders WHERE created > CURRENT_DATE",
    /time/,
    /CURRENT_DATE/,
    /time goes by/,
    /CREATE VIEW/,
  ),
  "age up to today": refused(
    "SELECT id, age(created) AS age FROM shop.orders",
    /time/,
    /age\(/,
    /time goes by/,
    /CREATE VIEW/,
  ),
  current_user: refused(
    "SELECT id, current_user AS who FROM shop.orders",
    /session/,
    /CURRENT_USER/i,
    /who asks/,
    /CREATE VIEW/,
  ),
  "random()": refused(
    "SELECT id, random() AS r FROM shop.orders",
    /volatile/,
    /random/,
    /call to call/,
    /CREATE VIEW/,
  ),
  "a text that may say tomorrow": refused(
    "SELECT id, said::timestamptz AS at FROM shop.orders",
    /cast of text/,
    /timestamptz_in/,
    /tomorrow/,
    /to_timestamp/,
  ),
  "a function of the user's own that may read tables": refused(
    "SELECT id, shop.looks_up(customer) AS name FROM shop.orders",
    /stable function/,
    /looks_up/,
    /may read tables/,
    /IMMUTABLE/,
  ),
  "a function that says nothing of itself": refused(
    "SELECT id, shop.anything(id) AS x FROM shop.orders",
    /volatile function/,
    /anything/,
    /VOLATILE/,
    /IMMUTABLE/,
  ),
  "an aggregate of the user's own": refused(
    "SELECT customer, shop.own_sum(id) AS s FROM shop.orders GROUP BY customer",
    /user-defined aggregate/,
    /own_sum/,
    /order of rows/,
    /PostgreSQL's own/,
    "customer",
  ),
  "a sum of floats": refused(
    "SELECT customer, sum(weight) AS s FROM shop.orders GROUP BY customer",
    /float aggregate/,
    /sum/,
    /order in which they are added/,
    /::numeric/,
    "customer",
  ),
  "an average of floats": refused(
    "SELECT customer, avg(weight) AS s FROM shop.orders GROUP BY customer",
    /float aggregate/,
    /avg/,
    /order in which they are added/,
    /::numeric/,
    "customer",
  ),
  "unordered string_agg": refused(
    "SELECT customer, string_agg(said, ',') AS list FROM shop.orders GROUP BY customer",
    /ordered aggregate/,
    /string_agg/,
    /order in which rows are read/,
    /ORDER BY/,
    "customer",
  ),
  "string_agg with ties": refused(
    "SELECT customer, string_agg(said, ',' ORDER BY created) AS list FROM shop.orders GROUP BY customer",
    /ordered aggregate/,
    /string_agg/,
    /order in which rows are read/,
    /ORDER BY/,
    "customer",
  ),
  "unordered array_agg": refused(
    "SELECT customer, array_agg(id) AS list FROM shop.orders GROUP BY customer",
    /ordered aggregate/,
    /array_agg/,
    /order in which rows are read/,
    /ORDER BY/,
    "customer",
  ),
  "ARRAY of a subquery": refused(
    "SELECT c.code, ARRAY(SELECT o.said FROM shop.orders o WHERE o.customer = c.code ORDER BY o.id) AS list FROM shop.customers c",
    /ordered aggregate/,
    /ARRAY/,
    /order in which rows are read/,
    /array_agg/,
    "code",
  ),
  "FOR UPDATE": refused(
    "SELECT id FROM shop.orders FOR UPDATE",
    /FOR UPDATE/,
    /./,
    /wait for writers/,
    /take it out/,
  ),
  "row_number with ties": refused(
    "SELECT id, row_number() OVER (PARTITION BY customer ORDER BY created) AS n FROM shop.orders",
    /window order/,
    /row_number/,
    /which of several rows comes first/,
    /unique key/,
  ),
  "row_number without ORDER BY": refused(
    "SELECT id, row_number() OVER (PARTITION BY customer) AS n FROM shop.orders",
    /window order/,
    /row_number/,
    /which of several rows comes first/,
    /unique key/,
  ),
  "lag with ties": refused(
    "SELECT id, lag(id) OVER (PARTITION BY customer ORDER BY created) AS n FROM shop.orders",
    /window order/,
    /lag/,
    /which of several/,
    /unique key/,
  ),
  "a frame of single rows with ties": refused(
    "SELECT id, sum(id) OVER (PARTITION BY customer ORDER BY created ROWS UNBOUNDED PRECEDING) AS n FROM shop.orders",
    /window order/,
    /sum/,
    /which of several/,
    /unique key/,
  ),
  "a window over all rows": refused(
    "SELECT id, row_number() OVER (ORDER BY id) AS n FROM shop.orders",
    /restriction key/,
    /./,
    /every change could matter to every row/,
    /./,
  ),
  "DISTINCT ON with ties": refused(
    "SELECT DISTINCT ON (customer) customer, said FROM shop.orders ORDER BY customer, created",
    /DISTINCT ON/,
    /customer/,
    /which of several rows comes first/,
    /unique key/,
    "customer",
  ),
  LIMIT: refused(
    "SELECT id FROM shop.orders ORDER BY id LIMIT 10",
    /LIMIT/,
    /SELECT/,
    /depends on all others/,
    /read the view/,
  ),
  OFFSET: refused(
    "SELECT id FROM shop.orders ORDER BY id OFFSET 10",
    /LIMIT/,
    /SELECT/,
    /depends on all others/,
    /read the view/,
  ),
  "LIMIT in a subquery": refused(
    "SELECT o.id, x.id AS other FROM shop.orders o CROSS JOIN LATERAL (SELECT p.id FROM shop.orders p WHERE p.customer = o.customer ORDER BY p.id LIMIT 1) x",
    /LIMIT/,
    /./,
    /depends on all others/,
  ),
  recursion: refused(
    "WITH RECURSIVE t AS (SELECT id FROM shop.orders WHERE id = 1 UNION SELECT o.id FROM shop.orders o JOIN t ON o.id = t.id + 1) SELECT id FROM t",
    /RECURSIVE/,
    /./,
    /recursion/,
  ),
  "a foreign table": refused(
    "SELECT id, v FROM shop.remote",
    /foreign table/,
    /shop\.remote/,
    /another server/,
  ),
  "row security": refused(
    "SELECT id, v FROM shop.hidden",
    /row security/,
    /shop\.hidden/,
    /may not see/,
    /DISABLE ROW LEVEL SECURITY/,
  ),
  inheritance: refused(
    "SELECT id, v FROM shop.parent",
    /inheritance/,
    /shop\.parent/,
    /not seen by its triggers/,
    /partitions/,
  ),
  "a partition by itself": refused(
    "SELECT id, at, v FROM shop.events_1",
    /partition/,
    /shop\.events_1/,
    /through that table/,
    /Read shop\.events/,
    "id, at",
  ),
  ONLY: refused("SELECT id, at, v FROM ONLY shop.events", /ONLY/, /events/, /left out/, undefined, "id, at"),
  TABLESAMPLE: refused("SELECT id FROM shop.orders TABLESAMPLE bernoulli (10) REPEATABLE (1)", /./, /./, /./),
  "a materialized view below": refused(
    "SELECT id, v FROM shop.below",
    /materialized view/,
    /shop\.below/,
    /do not fire/,
    /apply --view shop\.below/,
  ),
  "the system catalog": refused(
    "SELECT oid AS id, relname FROM pg_class",
    /system catalog/,
    /pg_class/,
    /No trigger/,
  ),
  "a numeric key without a scale": refused(
    "SELECT rate, count(*) AS n FROM shop.orders GROUP BY rate",
    /key of identical values/,
    /rate/,
    /equal and not the same/,
    /numeric\(p, s\)|::text/,
    "rate",
  ),
  "a float key": refused(
    "SELECT weight, count(*) AS n FROM shop.orders GROUP BY weight",
    /key of identical values/,
    /weight/,
    /equal and not the same/,
    /cast/,
    "weight",
  ),
  "an interval key": refused(
    "SELECT took, count(*) AS n FROM shop.orders GROUP BY took",
    /key of identical values/,
    /took/,
    /equal and not the same/,
    /cast/,
    "took",
  ),
  "a jsonb key": refused(
    "SELECT DISTINCT doc FROM shop.orders",
    /key of identical values/,
    /doc/,
    /equal and not the same/,
    /cast/,
    "doc",
  ),
  "a nondeterministic collation": refused(
    "SELECT label, count(*) AS n FROM shop.orders GROUP BY label",
    /collation/,
    /ignoring_case/,
    /equal that are not the same/,
    /COLLATE "C"/,
    "label",
  ),
  "a set operation over loose values": refused(
    "SELECT rate FROM shop.orders UNION SELECT 1",
    /set operation/,
    /rate/,
    /equal values/,
    /cast|UNION ALL/,
    "rate",
  ),
  "GROUPING SETS": refused(
    "SELECT customer, count(*) AS n FROM shop.orders GROUP BY ROLLUP (customer)",
    /GROUPING SETS/,
    /./,
    /several groups/,
    /each set/,
    "customer",
  ),
  CUBE: refused(
    "SELECT customer, said, count(*) AS n FROM shop.orders GROUP BY CUBE (customer, said)",
    /GROUPING SETS/,
    /./,
    /several groups/,
    /each set/,
    "customer, said",
  ),
  "a row as one value": refused(
    "SELECT o.id, to_jsonb(o) AS doc FROM shop.orders o",
    /whole row/,
    /orders|o/,
    /./,
    /[Nn]ame the columns/,
  ),
  "no key at all": refused(
    "SELECT count(*) AS n, sum(amount) AS total FROM shop.orders",
    /restriction key/,
    /./,
    /every change could matter/,
    /./,
    "n",
  ),
  "a key from a side that may be NULL": refused(
    "SELECT c.name, count(*) AS n FROM shop.orders o LEFT JOIN shop.customers c ON c.code = o.customer GROUP BY c.name",
    /restriction key/,
    /./,
    /every change could matter/,
    /./,
    "name",
  ),
};

for (const majorVersion of [18, 15] as const) {
  describe(`views that are refused, PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion, template: "empty" });
    const view = { schema: "shop", name: "looked_at" };
    let client: Client;
    let objects: unknown;

    const counted = async (): Promise<unknown> =>
      (
        await client.query(
          "SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_trigger)",
        )
      ).rows;

    before(async () => {
      client = await database.connect();
      await client.query(SCENERY);
      objects = await counted();
    });
    const judge = async (
      query: string,
      key: string,
    ): Promise<{ findings: Finding[]; isMaintainable: boolean }> => {
      const source = await rolledBack(client, (read) => readQuery(read, query, view));
      const { findings, maintenance } = await compile({ ...source, uniqueKeys: [key.split(", ")] });
      return { findings, isMaintainable: maintenance !== undefined };
    };

    for (const [what, { query, key = "id", capability, place, reason, remedy }] of Object.entries(REFUSALS)) {
      it(what, async () => {
        const { findings, isMaintainable } = await judge(query, key);
        const no = findings.filter(({ possible }) => possible === "no");
        assert.equal(isMaintainable, false, "it is maintained");
        const found = no.find(
          (each) => capability.test(each.capability) && place.test(each.place) && reason.test(each.reason),
        );
        assert.ok(found, JSON.stringify(no, null, 1));
        if (remedy !== undefined) assert.match(found.remedy ?? "", remedy);
      });
    }

    it("a temporary table", async () => {
      await client.query("CREATE TEMPORARY TABLE passing (id int PRIMARY KEY, v int)");
      try {
        const { findings, isMaintainable } = await judge("SELECT id, v FROM passing", "id");
        assert.equal(isMaintainable, false);
        assert.ok(
          findings.some(
            ({ capability, reason }) => capability === "temporary table" && /session/.test(reason),
          ),
        );
      } finally {
        await client.query("DROP TABLE passing");
      }
    });

    it("no unique index, or one that is none: partial, or over an expression", async () => {
      await createView(client, view, "SELECT id, customer FROM shop.orders");
      try {
        for (const index of [
          "",
          "CREATE UNIQUE INDEX ON shop.looked_at (id) WHERE id > 0",
          "CREATE UNIQUE INDEX ON shop.looked_at ((id + 0))",
        ]) {
          await client.query(index);
          const { findings, maintenance } = await judgeView(client, view);
          assert.equal(maintenance, undefined);
          const found = findings.find(({ capability }) => capability === "unique index");
          assert.match(found?.remedy ?? "", /CREATE UNIQUE INDEX ON shop\.looked_at/);
        }
        await client.query("CREATE UNIQUE INDEX ON shop.looked_at (id)");
        assert.ok((await judgeView(client, view)).maintenance);
      } finally {
        await client.query("DROP MATERIALIZED VIEW shop.looked_at");
      }
    });

    if (majorVersion === 18)
      it("a virtual generated column, which triggers see as NULL", async () => {
        await client.query(
          "CREATE TABLE computed (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL)",
        );
        try {
          const { findings, isMaintainable } = await judge("SELECT id, b FROM computed", "id");
          assert.equal(isMaintainable, false);
          assert.match(findings.find(({ possible }) => possible === "no")?.remedy ?? "", /STORED/);
          assert.equal((await judge("SELECT id, a FROM computed", "id")).isMaintainable, true);
        } finally {
          await client.query("DROP TABLE computed");
        }
      });

    it("NOT IN is maintained, with a note that its table means full runs", async () => {
      const { findings, isMaintainable } = await judge(
        "SELECT id, customer FROM shop.orders WHERE customer NOT IN (SELECT code FROM shop.customers)",
        "id",
      );
      assert.equal(isMaintainable, true);
      const note = findings.find(
        ({ possible, place }) => possible === "note" && /shop\.customers/.test(place),
      );
      assert.match(note?.reason ?? "", /full run/);
      assert.match(note?.remedy ?? "", /NOT EXISTS/);
    });

    it("what looks like a refused query and is none", async () => {
      for (const [query, key] of [
        ["SELECT rate::numeric(12, 4) AS rate, count(*) AS n FROM shop.orders GROUP BY 1", "rate"],
        ["SELECT customer, sum(weight::numeric(12, 4)) AS s FROM shop.orders GROUP BY customer", "customer"],
        [
          "SELECT customer, string_agg(said, ',' ORDER BY id) AS list FROM shop.orders GROUP BY customer",
          "customer",
        ],
        [
          "SELECT customer, string_agg(said, ',' ORDER BY said) AS list FROM shop.orders GROUP BY customer",
          "customer",
        ],
        [
          "SELECT id, customer, row_number() OVER (PARTITION BY customer ORDER BY created, id) AS n FROM shop.orders",
          "id",
        ],
        [
          "SELECT id, customer, rank() OVER (PARTITION BY customer ORDER BY created) AS n FROM shop.orders",
          "id",
        ],
        ["SELECT id, date_trunc('day', created) AS day, rate, doc, took FROM shop.orders", "id"],
        ["SELECT id, code FROM shop.orders WHERE said IN (SELECT code FROM shop.customers)", "id"],
      ] as const) {
        const { findings, isMaintainable } = await judge(query, key);
        assert.ok(
          isMaintainable,
          `${query}\n${JSON.stringify(findings.filter(({ possible }) => possible === "no"))}`,
        );
      }
    });

    it("judging changes nothing", async () => {
      assert.deepEqual([await counted(), await leftovers(client)], [objects, []]);
    });
  });
}
