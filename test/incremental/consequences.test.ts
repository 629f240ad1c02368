import assert from "node:assert/strict";
import type { Client } from "pg";
import type { Session } from "../../handler/connect";
import { consequences } from "../../incremental/install/consequences";
import { readState } from "../../incremental/install/state";
import type { Finding } from "../../incremental/maintenance";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { handmade, scenery, sessionOf } from "./handmade";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

describe("what maintaining a view will meet", () => {
  const database = useDatabase();
  const loader = useRole(database);
  let client: Client;
  let session: Session;

  before(async () => {
    client = await database.connect();
    session = await sessionOf(database);
    await client.query(scenery(view, orders));
  });
  after(() => session.close());

  const found = async (capability: string): Promise<Finding[]> => {
    const all = await consequences(session, await readState(session, view), handmade(view, orders).logs);
    return all.filter((finding) => finding.capability === capability);
  };

  it("are roles whose writes no trigger sees, with the remedy and its price", async () => {
    assert.deepEqual(await found("logged writes"), []);
    await client.query(
      `ALTER ROLE ${loader.name} IN DATABASE ${database.name} SET session_replication_role = replica`,
    );
    const [finding, ...more] = await found("logged writes");
    assert.deepEqual([more.length, finding?.place, finding?.possible], [0, `role ${loader.name}`, "note"]);
    const statement = /ALTER TABLE .* ENABLE ALWAYS TRIGGER "\w+";/.exec(finding?.remedy ?? "")?.[0] ?? "";
    assert.match(statement, /"public"\."orders" ENABLE ALWAYS TRIGGER "matview_refresh_\w+_insert";/);
    assert.match(finding?.remedy ?? "", /fullEvery.*replicated writes/);
  });

  it("is how long a full run takes, where that is over a second or not known", async () => {
    assert.match((await found("full run"))[0]?.reason ?? "", /not known/);
    const ran = (seconds: number): Promise<unknown> =>
      client.query(
        `INSERT INTO matview_refresh_history (view_schema, view_name, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, run_id, handler_version)
         VALUES ('public', 'totals', 'refreshed', 'concurrent', now(), now(), now(), $1, 'manual', '0.2.0')`,
        [seconds],
      );
    await ran(0.9);
    assert.deepEqual(await found("full run"), []);
    await ran(20);
    const [finding] = await found("full run");
    assert.match(finding?.reason ?? "", /took 20\.0 s, and a full run takes 1 to 4 times as long/);
    assert.match(finding?.remedy ?? "", /timeoutSeconds of 90 or more/);
  });
});
