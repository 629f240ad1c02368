import assert from "node:assert/strict";
import type { Client } from "pg";
import { compileView } from "../../cli/compiler";
import { applyFiles, revertFiles, type SqlFile } from "../../incremental/files";
import { verify } from "../../incremental/verify";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { catalogOf, leftovers } from "./catalog";
import { handmade, scenery, sessionOf } from "./handmade";
import { waitsForLock } from "./locks";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

describe("incremental maintenance as migration files", () => {
  const database = useDatabase();
  const owner = useRole(database);
  const tableOwner = useRole(database);
  let client: Client;

  before(async () => {
    client = await database.connect();
    await client.query("DROP SCHEMA IF EXISTS matview_refresh");
    await client.query(`GRANT CREATE, USAGE ON SCHEMA public TO ${owner.name}, ${tableOwner.name};
      GRANT CREATE ON DATABASE ${database.name} TO ${owner.name}; SET ROLE ${tableOwner.name}`);
    await client.query(scenery(view, orders));
    await client.query(
      `RESET ROLE; ALTER MATERIALIZED VIEW totals OWNER TO ${owner.name}; GRANT SELECT ON orders TO ${owner.name}`,
    );
  });

  afterEach(async () => {
    await client.query("DROP SCHEMA IF EXISTS matview_refresh CASCADE");
  });

  /** As a tool would that sends a file as one query, logged in as the role of the file. */
  const run = async (files: SqlFile[]): Promise<void> => {
    for (const { role, text } of files) {
      const { name, password } = [owner, tableOwner].find((each) => each.name === role) ?? owner;
      assert.equal(name, role);
      const by = await database.connect({ user: name, password });
      await by.query(text);
    }
  };

  it("does what apply and revert do, each file run by one role", async () => {
    const before = await catalogOf(client, "public.totals");
    const session = await sessionOf(database, { user: owner.name, password: owner.password });
    const files = await applyFiles(session, handmade(view, orders), 2_000);
    assert.deepEqual(
      files.map(({ name }) => name),
      ["001_%o_logging.sql", "002_%t_triggers.sql", "003_%o_fill.sql", "004_%o_swap.sql"].map((name) =>
        name.replace("%o", owner.name).replace("%t", tableOwner.name),
      ),
    );
    assert.deepEqual(await catalogOf(client, "public.totals"), before);
    await run(files.slice(0, 2));
    await client.query("UPDATE orders SET amount = 0 WHERE id = 1");
    await run(files.slice(2, 3));
    await client.query("UPDATE orders SET amount = 0 WHERE id = 2");
    await run(files.slice(3));
    const { rows } = await client.query("SELECT sum(amount)::int AS amount FROM totals");
    assert.deepEqual(rows, [{ amount: 5047 }]);
    const { rows: kept } = await client.query(
      `SELECT has_function_privilege('${tableOwner.name}', 'matview_refresh.public__totals__log_1_write()', 'EXECUTE') AS may`,
    );
    assert.deepEqual(kept, [{ may: false }]);

    await run(await revertFiles(session, view, 2_000));
    assert.deepEqual(await catalogOf(client, "public.totals"), before);
    assert.deepEqual(await leftovers(client), []);
    await session.close();
  });

  it("fits a database in which the view has another oid, and locks that against refreshes", async () => {
    const session = await sessionOf(database, { user: owner.name, password: owner.password });
    const files = await applyFiles(session, handmade(view, orders), 2_000);
    await session.close();
    await client.query(`CREATE MATERIALIZED VIEW other AS SELECT customer, count(*) AS orders, sum(amount) AS amount FROM orders GROUP BY customer; DROP MATERIALIZED VIEW totals;
      ALTER MATERIALIZED VIEW other RENAME TO totals; ALTER MATERIALIZED VIEW totals OWNER TO ${owner.name};
      CREATE UNIQUE INDEX totals_customer ON totals (customer)`);
    await run(files.slice(0, -1));
    const refresh = await database.connect();
    const KEY = "(1836479078::bigint << 32) | 'totals'::regclass::oid::bigint";
    await refresh.query(`SELECT pg_advisory_lock(${KEY})`);
    const swap = files.at(-1) ?? assert.fail();
    const by = await database.connect({ user: owner.name, password: owner.password });
    const swapped = by.query(swap.text);
    await waitsForLock(client, by);
    await refresh.query("SELECT pg_advisory_unlock_all()");
    await swapped;
    const { rows } = await client.query(
      "SELECT relkind, (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory') AS locks FROM pg_class WHERE oid = 'totals'::regclass",
    );
    assert.deepEqual(rows, [{ relkind: "r", locks: 0 }]);
    const reverting = await sessionOf(database, { user: owner.name, password: owner.password });
    await run(await revertFiles(reverting, view, 2_000));
    await reverting.close();
    assert.deepEqual(await leftovers(client), []);
  });

  it("needs TRIGGER on no table, where its owner makes the triggers", async () => {
    const session = await sessionOf(database, { user: owner.name, password: owner.password });
    const refused = await compileView(session, view);
    assert.equal(refused.maintenance, undefined);
    const { maintenance, findings } = await compileView(session, view, true);
    assert.ok(maintenance, JSON.stringify(findings));
    await run(await applyFiles(session, maintenance, 2_000));
    assert.equal((await verify(session, view, { mostExamples: 1, lockTimeoutMs: 500 })).rows, 10);
    await run(await revertFiles(session, view, 2_000));
    await session.close();
  });

  it("says who has to open a schema that is another's, and may be run again then", async () => {
    await client.query(
      `CREATE SCHEMA matview_refresh; GRANT USAGE, CREATE ON SCHEMA matview_refresh TO ${owner.name}`,
    );
    const session = await sessionOf(database, { user: owner.name, password: owner.password });
    const files = await applyFiles(session, handmade(view, orders), 2_000);
    const grant = `GRANT USAGE ON SCHEMA matview_refresh TO ${tableOwner.name}`;
    await assert.rejects(
      run(files.slice(0, 1)),
      new RegExp(
        `belongs to postgres, who has to run: ${grant.replace(tableOwner.name, `"${tableOwner.name}"`)}`,
      ),
    );
    await client.query("ROLLBACK");
    assert.deepEqual(await leftovers(client), []);
    await client.query(grant);
    await run(files);
    await run(await revertFiles(session, view, 2_000));
    await session.close();
  });

  it("has a file of its own for the schema, where the maintaining role may not make it", async () => {
    const session = await sessionOf(database);
    await client.query(`REVOKE CREATE ON DATABASE ${database.name} FROM ${owner.name}`);
    const [schema, ...files] = await applyFiles(session, handmade(view, orders), 2_000);
    assert.equal(schema?.name, "001_postgres_schema.sql");
    await client.query(schema?.text ?? "");
    await client.query(`GRANT USAGE ON SCHEMA matview_refresh TO ${tableOwner.name}`);
    await run(files);
    assert.equal((await verify(session, view, { mostExamples: 1, lockTimeoutMs: 500 })).rows, 10);
    await session.close();
  });
});
