import assert from "node:assert/strict";
import type { Client } from "pg";
import type { Session } from "../../handler/connect";
import { apply } from "../../incremental/apply";
import { listViews, setPaused } from "../../incremental/list";
import { verify } from "../../incremental/verify";
import { useDatabase } from "../database";
import { handmade, scenery, sessionOf, shortPatience } from "./handmade";

const view = { schema: "public", name: "totals" };
const orders = { schema: "public", name: "orders" };

for (const majorVersion of [18, 15] as const) {
  describe(`a maintained view looked at, PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const options = { mostExamples: 2, lockTimeoutMs: 200 };
    let client: Client;
    let session: Session;

    before(async () => {
      client = await database.connect();
      session = await sessionOf(database);
      await client.query(scenery(view, orders));
    });
    after(() => session.close());

    it("is listed with what is pending, and paused and resumed", async () => {
      assert.deepEqual(await listViews(session), []);
      await assert.rejects(verify(session, view, options), /public\.totals is not maintained/);
      await apply(session, handmade(view, orders), shortPatience());
      await client.query("UPDATE orders SET amount = 3 WHERE id <= 3");
      const [listed] = await listViews(session);
      assert.deepEqual([listed?.view, listed?.pending, listed?.status.phase], [view, 6, "maintained"]);
      assert.equal(listed?.status.lastFullReason, "made incremental");
      await setPaused(session, view, true, shortPatience());
      assert.equal((await verify(session, view, options)).fold.kind, "paused");
      await setPaused(session, view, false, shortPatience());
    });

    it("is folded and equal, or shows the rows that differ", async () => {
      const equal = await verify(session, view, options);
      assert.deepEqual(equal, {
        ...{ fold: { kind: "incremental", reason: null, changes: 6 }, rows: 10 },
        ...{ missing: 0, extra: 0, different: 0, examples: [] },
      });
      await client.query(`UPDATE totals SET amount = amount * 1.000 WHERE customer = 'c1';
        DELETE FROM totals WHERE customer IN ('c2', 'c3'); INSERT INTO totals VALUES ('x', 1, 1), (NULL, 2, 2)`);
      const found = await verify(session, view, options);
      assert.deepEqual([found.missing, found.extra, found.different, found.rows], [2, 2, 1, 10]);
      assert.equal(found.examples.length, 2);
      assert.match(found.examples[0]?.published ?? "", /"c1".*00000/);
      assert.match(found.examples[0]?.query ?? "", /"c1"/);
    });

    it("says why a full run is due instead of beginning it", async () => {
      await client.query("TRUNCATE orders");
      const { fold, extra } = await verify(session, view, options);
      assert.deepEqual([fold.kind, fold.reason, extra], ["refused", "truncated", 10]);
    });
  });
}
