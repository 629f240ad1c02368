import assert from "node:assert/strict";
import type { Client } from "pg";
import type { CatalogView, HistoryState } from "../../watch/queries/catalog";
import { nowQuery } from "../../watch/queries/now";
import { failuresQuery } from "../../watch/queries/runs";
import { idBeforeQuery, segmentsQuery } from "../../watch/queries/segments";
import { useDatabase } from "../database";

const views = ["one", "two"].map((name, index): CatalogView => ({
  schema: "public",
  name,
  oid: 90_000 + index,
  sqlName: `public.${name}`,
  isPopulated: true,
  parts: null,
  reads: [],
}));
const history: HistoryState = { oid: 1, maySelect: true, knowsFolds: true, knowsRemedies: true };

for (const majorVersion of [18, 15] as const) {
  describe(`the page's queries on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query(`
        INSERT INTO matview_refresh_history
          (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds)
        SELECT 'public', name, 90000, 'refreshed', 'concurrent', at, at, at, 0
          FROM generate_series(now() - interval '30 days', now(), interval '2 minutes') at, unnest(ARRAY['one', 'two']) name
         ORDER BY at`);
      await client.query("VACUUM ANALYZE matview_refresh_history");
    });

    const planOf = async (query: string): Promise<string> => {
      const { rows } = await client.query<{ "QUERY PLAN": string }>(`EXPLAIN ${query}`);
      return rows.map((row) => row["QUERY PLAN"]).join("\n");
    };
    const lastId = async (): Promise<number> =>
      Number(
        (await client.query<{ id: string }>("SELECT max(id) AS id FROM matview_refresh_history")).rows[0]?.id,
      );

    it("never read the whole history", async () => {
      const id = await lastId();
      const measures = views.map(() => ({ promiseSeconds: 60, gapSeconds: 180 }));
      const stretch = { afterId: id - 500, throughId: id, fromSeconds: 0, sliceSeconds: 60 };
      const queries = {
        now: nowQuery(views, history),
        failures: failuresQuery(views, history, id - 500),
        segments: segmentsQuery(views, measures, stretch),
        idBefore: idBeforeQuery(Date.now() / 1_000 - 3_600),
      };
      for (const [name, query] of Object.entries(queries)) {
        const plan = await planOf(query);
        assert.match(plan, /Index (Only )?Scan/, name);
        assert.doesNotMatch(plan, /Seq Scan on matview_refresh_history/, `${name}:\n${plan}`);
      }
    });

    it("find the last row before a moment by halves", async () => {
      for (const agoSeconds of [-60, 30, 7_200, 2_000_000, 5_000_000]) {
        const seconds = Date.now() / 1_000 - agoSeconds;
        const { rows: found } = await client.query<{ id: number }>(idBeforeQuery(seconds));
        const { rows: right } = await client.query<{ id: number }>(
          "SELECT coalesce(max(id), 0)::float8 AS id FROM matview_refresh_history WHERE finished_at < to_timestamp($1)",
          [seconds],
        );
        assert.deepEqual(found, right);
      }
    });
  });
}
