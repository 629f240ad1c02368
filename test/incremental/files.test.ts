import assert from "node:assert/strict";
import type { Client } from "pg";
import { applyFiles, revertFiles, type SqlFile } from "../../incremental/files";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { catalogOf, leftovers } from "./catalog";
import { handmade, scenery, sessionOf } from "./handmade";

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
});
