/** `apply` again, `revert` and `list` after tables, columns and views were changed or dropped. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import type { Session } from "../../handler/connect";
import type { QualifiedName } from "../../handler/settings";
import { apply } from "../../incremental/apply";
import { IncrementalFailure } from "../../incremental/failure";
import { revertFiles } from "../../incremental/files";
import { judge } from "../../incremental/install/hindrances";
import { listViews } from "../../incremental/list";
import type { Maintenance } from "../../incremental/maintenance";
import { revert } from "../../incremental/revert";
import { verify } from "../../incremental/verify";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { leftovers } from "./catalog";
import { handmade, scenery, sessionOf, shortPatience } from "./handmade";
import { createView, foldAndCompare, judgeView } from "./maintained";

const totals = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

for (const majorVersion of [18, 15] as const) {
  describe(`a maintained view whose tables were changed, PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const stranger = useRole(database);
    const app = useRole(database);
    let client: Client;
    let session: Session;

    before(async () => {
      client = await database.connect();
      session = await sessionOf(database);
    });
    after(() => session.close());
    afterEach(async () => {
      await client.query(`DROP SCHEMA IF EXISTS matview_refresh CASCADE; DROP PUBLICATION IF EXISTS rds_x;
        DO $$ DECLARE each record; BEGIN
          FOR each IN SELECT c.relname, CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS kind FROM pg_class c
                       WHERE c.relname IN ('totals', 'upper', 'named', 'orders', 'customers', 'regions', 'parts', 'parts_2')
                         AND c.relkind IN ('r', 'm', 'p') ORDER BY c.oid DESC
          LOOP EXECUTE format('DROP %s IF EXISTS %I CASCADE', each.kind, each.relname); END LOOP; END $$`);
    });

    const triggersOn = async (table: string): Promise<number> => {
      const { rowCount } = await client.query(
        "SELECT FROM pg_trigger WHERE tgrelid = $1::regclass AND tgname LIKE 'matview_refresh%'",
        [table],
      );
      return rowCount ?? 0;
    };
    const applyCompiled = async (view: QualifiedName, by = session): Promise<Maintenance> => {
      const { maintenance, findings } = await judgeView(client, view);
      assert.ok(maintenance, JSON.stringify(findings));
      await apply(by, maintenance, shortPatience());
      return maintenance;
    };
    const refused = async (work: Promise<unknown>): Promise<string> => {
      const error: unknown = await work.catch((thrown: unknown) => thrown);
      assert.ok(error instanceof IncrementalFailure, String(error));
      return error.message;
    };

    for (const owner of ["the view's owner", "somebody else"])
      it(`loses the triggers of a partition that was detached, of ${owner}, when apply is run again`, async () => {
        await client.query(`DROP SCHEMA IF EXISTS matview_refresh; GRANT CREATE ON DATABASE ${database.name} TO ${app.name};
          GRANT CREATE ON SCHEMA public TO ${app.name}; SET ROLE ${app.name}`);
        await client.query(`CREATE TABLE parts (id int, customer int NOT NULL) PARTITION BY RANGE (id);
          CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
          CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20)`);
        await createView(client, totals, "SELECT customer, count(*) AS n FROM parts GROUP BY 1", "customer");
        await client.query("RESET ROLE");
        const by = await sessionOf(database, { user: app.name, password: app.password });
        await applyCompiled(totals, by);
        await client.query("ALTER TABLE parts DETACH PARTITION parts_2");
        assert.equal(await triggersOn("parts_2"), 4);
        if (owner === "somebody else") await client.query(`ALTER TABLE parts_2 OWNER TO ${stranger.name}`);
        const maintenance = await applyCompiled(totals, by);
        await by.close();
        assert.equal(await triggersOn("parts_2"), 0);
        assert.equal(await triggersOn("parts_1"), 4);
        await client.query("INSERT INTO parts_2 VALUES (12, 1); INSERT INTO parts_1 VALUES (3, 1)");
        const { folded, differences } = await foldAndCompare(client, maintenance);
        assert.deepEqual([folded.kind, folded.changes, differences], ["incremental", "1", []]);
      });

    it("loses triggers and log of a table that left its query, and logs of others change places", async () => {
      await client.query(`CREATE TABLE customers (id int PRIMARY KEY, name text); CREATE TABLE regions (id int PRIMARY KEY, label text);
        CREATE TABLE orders (id int PRIMARY KEY, customer int); INSERT INTO customers VALUES (1, 'a'); INSERT INTO regions VALUES (1, 'r');
        INSERT INTO orders VALUES (1, 1);
        CREATE VIEW clients AS SELECT c.id, c.name || r.label AS name FROM regions r JOIN customers c ON c.id = r.id`);
      await createView(
        client,
        { schema: "public", name: "named" },
        "SELECT o.id, c.name FROM clients c JOIN orders o ON o.customer = c.id",
        "id",
      );
      const named = { schema: "public", name: "named" };
      const before = await applyCompiled(named);
      await client.query("CREATE OR REPLACE VIEW clients AS SELECT c.id, c.name FROM customers c");
      const after = await applyCompiled(named);
      assert.notDeepEqual(
        before.logs.map(({ table }) => table.name),
        after.logs.map(({ table }) => table.name),
      );
      assert.equal(await triggersOn("regions"), 0);
      assert.ok(!(await leftovers(client)).some((name) => name.includes(`log_${before.logs.length}`)));
      await client.query(
        "UPDATE regions SET label = 'x'; UPDATE customers SET name = 'b'; INSERT INTO orders VALUES (2, 1)",
      );
      const { folded, differences } = await foldAndCompare(client, after);
      assert.deepEqual([folded.kind, differences], ["incremental", []], folded.reason ?? "");
      await revert(session, named, shortPatience());
      assert.deepEqual(await leftovers(client), []);
    });

    for (const how of ["ALTER TABLE orders DROP COLUMN amount CASCADE", "DROP TABLE orders CASCADE"])
      it(`says that its query is gone, and leaves an ordinary table, after ${how}`, async () => {
        await client.query(scenery(totals, orders));
        await apply(session, handmade(totals, orders), shortPatience());
        await client.query(how);
        const gone = /its query is gone: a column or table that it read was dropped with CASCADE/;
        assert.match((await listViews(session))[0]?.trouble?.reason ?? "", gone);
        assert.match(await refused(apply(session, handmade(totals, orders), shortPatience())), gone);
        assert.match(
          await refused(verify(session, totals, { mostExamples: 1, lockTimeoutMs: 200 })),
          /its query is gone[^]*incremental -- revert --view public\.totals/,
        );
        const files = await revertFiles(session, totals, 200);
        assert.ok(files.every(({ text }) => !text.includes("MATERIALIZED")));
        assert.equal(await revert(session, totals, shortPatience()), "kept");
        assert.deepEqual(await leftovers(client), []);
        const { rows } = await client.query(
          "SELECT count(*)::int AS n, 'totals'::regclass::text AS name FROM totals",
        );
        assert.deepEqual(rows, [{ n: 10, name: "totals" }]);
        assert.equal(await revert(session, totals, shortPatience()), "untouched");
      });

    it("goes on from a half-made apply whose query went with CASCADE, once the view is there again", async () => {
      await client.query(scenery(totals, orders));
      const stop = { ...shortPatience(), report: (line: string) => assert.ok(!line.startsWith("filling")) };
      await assert.rejects(apply(session, handmade(totals, orders), stop));
      await client.query("DROP TABLE orders CASCADE");
      assert.match(
        await refused(apply(session, handmade(totals, orders), shortPatience())),
        /table is gone[^]*revert/,
      );
      await client.query(scenery(totals, orders));
      assert.equal(await apply(session, handmade(totals, orders), shortPatience()), "made");
    });

    it("takes away the rest where the published table was dropped, and says that the view was gone", async () => {
      await client.query(scenery(totals, orders));
      await apply(session, handmade(totals, orders), shortPatience());
      await client.query("DROP TABLE totals");
      assert.equal((await listViews(session))[0]?.trouble?.reason, "its table is gone");
      assert.equal(await revert(session, totals, shortPatience()), "gone");
      assert.deepEqual(await leftovers(client), []);
    });

    it("is not reverted within a blue/green switch", async () => {
      await client.query(scenery(totals, orders));
      await apply(session, handmade(totals, orders), shortPatience());
      await client.query("CREATE PUBLICATION rds_x");
      const said = await refused(revert(session, totals, shortPatience()));
      assert.match(said, /publication rds_x[^]*switch over or delete it first/);
      assert.equal(await refused(revertFiles(session, totals, 200)), said);
      assert.equal(await triggersOn("orders"), 4);
      await client.query("DROP PUBLICATION rds_x");
      assert.equal(await revert(session, totals, shortPatience()), "reverted");
    });

    it("is not reverted below another maintained view", async () => {
      await client.query(scenery(totals, orders));
      await applyCompiled(totals);
      const upper = { schema: "public", name: "upper" };
      await createView(client, upper, "SELECT orders, count(*) AS n FROM totals GROUP BY orders", "orders");
      await applyCompiled(upper);
      const said = await refused(revert(session, totals, shortPatience()));
      assert.match(said, /revert public\.upper first[^]*revert --view public\.upper/);
      assert.equal(await refused(revertFiles(session, totals, 200)), said);
      await revert(session, upper, shortPatience());
      await client.query("DROP MATERIALIZED VIEW upper");
      assert.equal(await revert(session, totals, shortPatience()), "reverted");
    });

    it("gets the index of another restriction key when apply is run again", async () => {
      await client.query(scenery(totals, orders));
      await apply(session, handmade(totals, orders), shortPatience());
      const indexes = async (): Promise<string[]> => {
        const { rows } = await client.query<{ sql: string }>(
          "SELECT substr(pg_get_indexdef(indexrelid), strpos(pg_get_indexdef(indexrelid), 'USING')) AS sql FROM pg_index WHERE indrelid = 'totals'::regclass ORDER BY 1",
        );
        return rows.map(({ sql }) => sql);
      };
      for (const key of ["orders", "amount"]) {
        await apply(session, { ...handmade(totals, orders), restrictionKey: [key] }, shortPatience());
        assert.deepEqual(await indexes(), [`USING btree (${key})`, "USING btree (customer)"].sort());
      }
      await revert(session, totals, shortPatience());
      assert.deepEqual(await indexes(), ["USING btree (customer)"]);
    });

    it("of a superuser is for the superuser to maintain: nobody is told to be granted that", async () => {
      await client.query(scenery(totals, orders));
      const by = await sessionOf(database, { user: stranger.name, password: stranger.password });
      const { findings } = await judge(by, totals);
      const { remedy } = findings.find(({ capability }) => capability === "ownership") ?? assert.fail();
      assert.equal(remedy, "run this command as postgres, which is a superuser");
      await apply(session, handmade(totals, orders), shortPatience());
      assert.match(await refused(revert(by, totals, shortPatience())), /run this command as postgres/);
      await by.close();
    });
  });
}
