import assert from "node:assert/strict";
import type { Client } from "pg";
import type { Session } from "../../handler/connect";
import { apply } from "../../incremental/apply";
import type { Patience } from "../../incremental/install/runner";
import { readState } from "../../incremental/install/state";
import { revert } from "../../incremental/revert";
import { useDatabase } from "../database";
import { catalogOf, leftovers } from "./catalog";
import { handmade, scenery, sessionOf, shortPatience } from "./handmade";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

/** Breaks off, as a killed command would, when a step of that title begins. */
function until(title: RegExp): Patience {
  return {
    ...shortPatience(),
    report: (line) => {
      if (title.test(line)) throw new Error(`broken off at: ${line}`);
    },
  };
}

describe("incremental maintenance broken off", () => {
  const database = useDatabase();
  let client: Client;
  let session: Session;
  let original: unknown;

  before(async () => {
    client = await database.connect();
    session = await sessionOf(database);
    await client.query(scenery(view, orders));
    await client.query("CREATE VIEW big AS SELECT * FROM totals WHERE amount > 500");
    original = await catalogOf(client, "public.totals");
  });
  after(() => session.close());

  const equalsQuery = async (): Promise<void> => {
    const { rows } = await client.query(
      `SELECT (SELECT json_agg(t ORDER BY customer)::text FROM totals t)
              = (SELECT json_agg(t ORDER BY customer)::text FROM (
                  SELECT customer, count(*) AS orders, sum(amount) AS amount FROM orders GROUP BY customer) t) AS "isEqual"`,
    );
    assert.deepEqual(rows, [{ isEqual: true }]);
  };

  const broken = (title: RegExp): Promise<void> =>
    assert.rejects(apply(session, handmade(view, orders), until(title)), /broken off/);

  for (const title of [/^making what logs/, /^making the triggers/, /^filling/, /^folding/, /^putting/]) {
    it(`goes on with apply, and undoes it, from ${title.source}`, async () => {
      await broken(title);
      await client.query("UPDATE orders SET amount = amount + 1 WHERE id = 5");
      await revert(session, view, shortPatience());
      assert.deepEqual(await catalogOf(client, "public.totals"), original);
      assert.deepEqual(await leftovers(client), []);

      await broken(title);
      await client.query("UPDATE orders SET amount = amount + 1 WHERE id = 6");
      await apply(session, handmade(view, orders), shortPatience());
      await equalsQuery();
      await revert(session, view, shortPatience());
      assert.deepEqual(await catalogOf(client, "public.totals"), original);
    });
  }

  it("begins anew where something else would be generated now, or an index was added since the fill", async () => {
    await broken(/^putting/);
    await client.query("CREATE INDEX totals_amount ON totals (amount)");
    const patience = shortPatience();
    await apply(session, handmade(view, orders), patience);
    assert.equal(patience.lines.filter((line) => line.startsWith("filling")).length, 1);
    assert.match(JSON.stringify(await catalogOf(client, "public.totals")), /totals_amount/);
    await revert(session, view, shortPatience());
    await client.query("DROP INDEX totals_amount");

    await broken(/^putting/);
    await apply(session, handmade(view, orders, 2), shortPatience());
    assert.equal((await readState(session, view)).status?.generatorVersion, 2);
    await revert(session, view, shortPatience());
  });

  it("runs in full before the swap where a TRUNCATE came after the fill", async () => {
    await broken(/^folding/);
    await client.query("TRUNCATE orders; INSERT INTO orders SELECT n, 'd', n FROM generate_series(1, 7) n");
    await apply(session, handmade(view, orders), shortPatience());
    await equalsQuery();
    await revert(session, view, shortPatience());
  });

  for (const title of [/^building/, /^putting/, /^dropping the triggers/, /^dropping what/]) {
    it(`goes on with revert, and takes it back, from ${title.source}`, async () => {
      for (const then of ["revert", "apply"]) {
        await apply(session, handmade(view, orders), shortPatience());
        await assert.rejects(revert(session, view, until(title)), /broken off/);
        await client.query("UPDATE orders SET amount = amount + 1 WHERE id = 5");
        if (then === "apply") {
          await apply(session, handmade(view, orders), shortPatience());
          await equalsQuery();
          assert.equal((await readState(session, view)).status?.paused, false);
        }
        await revert(session, view, shortPatience());
        assert.deepEqual(await catalogOf(client, "public.totals"), original);
        assert.deepEqual(await leftovers(client), []);
      }
    });
  }

  it("takes over what a new version generates, with one full run and no fill", async () => {
    await apply(session, handmade(view, orders), shortPatience());
    const { rows: old } = await client.query("SELECT 'totals'::regclass::oid AS oid");
    await client.query("UPDATE orders SET amount = amount + 1 WHERE id = 5");
    await client.query("UPDATE matview_refresh.public__totals__status SET drift = 3");
    const patience = shortPatience();
    assert.equal(await apply(session, handmade(view, orders, 2), patience), "upgraded");
    assert.ok(!patience.lines.some((line) => line.startsWith("filling")));
    const { rows: now } = await client.query("SELECT 'totals'::regclass::oid AS oid");
    assert.deepEqual(now, old);
    await equalsQuery();
    const { status } = await readState(session, view);
    assert.deepEqual([status?.generatorVersion, status?.drift, status?.phase], [2, 3, "maintained"]);
    await client.query(
      "UPDATE orders SET amount = amount + 1 WHERE id = 5; DROP TRIGGER " +
        "matview_refresh_0000000e_insert ON orders",
    );
    assert.equal(await apply(session, handmade(view, orders, 2), shortPatience()), "upgraded");
    await equalsQuery();
    await revert(session, view, shortPatience());
  });

  it("takes a materialized view that somebody made in the table's place for a new one", async () => {
    await apply(session, handmade(view, orders), shortPatience());
    await client.query("DROP TABLE totals CASCADE");
    await client.query(
      "CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) AS orders, sum(amount) AS amount FROM orders GROUP BY customer; CREATE UNIQUE INDEX ON totals (customer)",
    );
    await apply(session, handmade(view, orders), shortPatience());
    await equalsQuery();
    await client.query("DROP TABLE totals; CREATE TABLE totals (own int)");
    await assert.rejects(revert(session, view, shortPatience()), /not the one that was maintained/);
    await client.query("ALTER TABLE totals RENAME TO own");
    await revert(session, view, shortPatience());
    assert.deepEqual(await leftovers(client), []);
    await client.query("ALTER TABLE own RENAME TO totals");
    await assert.rejects(apply(session, handmade(view, orders), shortPatience()), /is a table, and not one/);
  });
});
