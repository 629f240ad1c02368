import assert from "node:assert/strict";
import type { Client } from "pg";
import { apply } from "../../incremental/apply";
import { IncrementalFailure } from "../../incremental/failure";
import { revert } from "../../incremental/revert";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { catalogOf, leftovers } from "./catalog";
import { handmade, scenery, sessionOf, shortPatience } from "./handmade";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

for (const majorVersion of [18, 15] as const) {
  describe(`incremental maintenance without superuser, PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const owner = useRole(database);
    const tableOwner = useRole(database);
    const writer = useRole(database);
    const refresher = useRole(database);
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query("DROP SCHEMA IF EXISTS matview_refresh");
      await client.query(`GRANT CREATE, USAGE ON SCHEMA public TO ${owner.name}, ${tableOwner.name};
        GRANT matview_refresher TO ${refresher.name}`);
    });
    const as = ({ name, password }: { name: string; password: string }) => ({ user: name, password });
    const session = async (role: { name: string; password: string }) => {
      const opened = await sessionOf(database, as(role));
      sessions.push(opened);
      return opened;
    };
    const sessions: Awaited<ReturnType<typeof sessionOf>>[] = [];
    after(() => Promise.all(sessions.map((each) => each.close())));

    const FOLD = `BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE matview_refresh.public__totals__lock IN EXCLUSIVE MODE NOWAIT;
      LOCK TABLE matview_refresh.public__totals__query IN ACCESS SHARE MODE;
      SELECT matview_refresh.public__totals__fold(false, '1 day', true); COMMIT`;

    it("is the owner's, who needs one grant on the database, and TRIGGER on the tables of others", async () => {
      const by = await session(owner);
      await client.query(`SET ROLE ${tableOwner.name}`);
      await client.query(scenery(view, orders));
      await client.query(`RESET ROLE; ALTER MATERIALIZED VIEW totals OWNER TO ${owner.name};
        GRANT SELECT ON orders TO ${owner.name}; GRANT INSERT ON orders TO ${writer.name};
        GRANT SELECT ON totals TO matview_refresher`);
      const before = await catalogOf(client, "public.totals");

      const refused = async (): Promise<string> => {
        const error: unknown = await apply(by, handmade(view, orders), shortPatience()).catch(
          (e: unknown) => e,
        );
        assert.ok(error instanceof IncrementalFailure, String(error));
        return error.remedy ?? error.message;
      };
      assert.match(
        await refused(),
        new RegExp(`GRANT CREATE ON DATABASE "${database.name}" TO "${owner.name}"`),
      );
      await client.query(`GRANT CREATE ON DATABASE ${database.name} TO ${owner.name}`);
      assert.match(await refused(), new RegExp(`GRANT TRIGGER ON "public"."orders" TO "${owner.name}"`));
      assert.deepEqual(await leftovers(client), [], "refused with nothing changed");
      await client.query(`GRANT TRIGGER ON orders TO ${owner.name}`);
      await apply(by, handmade(view, orders), shortPatience());
      await client.query(`REVOKE TRIGGER ON orders FROM ${owner.name}`);

      const writes = await database.connect(as(writer));
      await writes.query("INSERT INTO orders VALUES (1000, 'least', 1)");
      const folds = await database.connect(as(refresher));
      await folds.query(FOLD);
      const { rows } = await folds.query("SELECT orders::int FROM totals WHERE customer = 'least'");
      assert.deepEqual(rows, [{ orders: 1 }]);
      for (const forbidden of [
        "DELETE FROM totals",
        "DELETE FROM matview_refresh.public__totals__log_1",
        "UPDATE matview_refresh.public__totals__status SET paused = true",
        "SELECT matview_refresh.public__totals__log_1_write()",
      ]) {
        await assert.rejects(folds.query(forbidden), /permission denied/, forbidden);
      }

      await revert(by, view, shortPatience());
      assert.deepEqual(await catalogOf(client, "public.totals"), before);
      assert.deepEqual(await leftovers(client), []);
      await client.query("DROP TABLE orders CASCADE");
    });

    it("gives the view of the refresher's group role to who applies, and back", async () => {
      await client.query(scenery(view, orders));
      await client.query(`
        ALTER TABLE orders OWNER TO ${owner.name}; GRANT SELECT ON orders TO matview_refresher;
        GRANT matview_refresher TO ${owner.name}; GRANT CREATE ON SCHEMA public TO ${owner.name} WITH GRANT OPTION;
        GRANT CREATE ON SCHEMA public TO matview_refresher; ALTER MATERIALIZED VIEW totals OWNER TO matview_refresher;
        REVOKE CREATE ON SCHEMA public FROM matview_refresher; GRANT SELECT ON totals TO ${owner.name};
        GRANT CREATE ON DATABASE ${database.name} TO ${owner.name}`);
      const before = await catalogOf(client, "public.totals");
      const by = await session(owner);
      await apply(by, handmade(view, orders), shortPatience());

      const { rows } = await client.query(
        "SELECT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = 'totals'::regclass",
      );
      assert.deepEqual(rows, [{ owner: owner.name }]);
      const folds = await database.connect(as(refresher));
      await client.query("UPDATE orders SET amount = amount + 1 WHERE id = 1");
      await folds.query(FOLD);
      assert.equal((await folds.query("SELECT FROM totals")).rowCount, 10);
      await assert.rejects(folds.query("DELETE FROM totals"), /permission denied/);

      await revert(by, view, shortPatience());
      assert.deepEqual(await catalogOf(client, "public.totals"), before);
      assert.deepEqual(await leftovers(client), []);
      const { rows: rights } = await client.query(
        "SELECT has_schema_privilege('matview_refresher', 'public', 'CREATE') AS may",
      );
      assert.deepEqual(rights, [{ may: false }]);
    });
  });
}
