import assert from "node:assert/strict";
import { escapeIdentifier } from "pg";
import { useDatabase } from "../database";
import { onlyFailure, onlyRefreshed, runViews, viewNamed } from "./harness";
import { useRole } from "./roles";

for (const majorVersion of [18, 15] as const) {
  describe(`privileges on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const owner = useRole(database);
    const refresher = useRole(database);
    const view = viewNamed("owned");

    before(async () => {
      const client = await database.connect();
      await client.query(`
        GRANT CREATE, USAGE ON SCHEMA public TO ${owner.name};
        CREATE TABLE base (id integer PRIMARY KEY); INSERT INTO base VALUES (1);
        GRANT SELECT ON base TO ${owner.name};
        CREATE MATERIALIZED VIEW owned AS SELECT id FROM base;
        CREATE UNIQUE INDEX owned_id_idx ON owned (id);
        ALTER MATERIALIZED VIEW owned OWNER TO ${owner.name};
        REVOKE TEMPORARY ON DATABASE ${database.name} FROM PUBLIC`);
      await client.query(`GRANT TEMPORARY ON DATABASE ${database.name} TO ${owner.name}`);
    });

    it("42501: who may not refresh is told the grant that lets him, and with it he can", async () => {
      const client = await database.connect();
      const failure = onlyFailure(await runViews(database, [view], { database: refresher.settings() }));
      assert.deepEqual([failure.code, failure.kind], ["42501", "permanent"]);
      assert.equal(
        failure.remedy,
        majorVersion === 18
          ? `GRANT MAINTAIN ON public.owned TO "${refresher.name}";`
          : `GRANT "${owner.name}" TO "${refresher.name}";`,
      );
      const asRefresher = await database.connect({ user: refresher.name, password: refresher.password });
      await assert.rejects(asRefresher.query("REFRESH MATERIALIZED VIEW owned"), { code: "42501" });

      await client.query(failure.remedy);
      const run = await runViews(database, [view], { database: refresher.settings() });
      assert.equal(onlyRefreshed(run).refreshType, "concurrent");
      assert.ok(run.lines.some((line) => line.includes("freshness of owned is untracked")));
    });

    it("the group role of the migrations makes a login that refreshes and records", async () => {
      const client = await database.connect();
      await client.query(`GRANT matview_refresher TO ${refresher.name}`);
      await client.query(`GRANT TEMPORARY ON DATABASE ${database.name} TO matview_refresher`);
      const run = await runViews(
        database,
        [viewNamed("job_progress", { statistics: { schema: "public", name: "job_progress_statistics" } })],
        { database: refresher.settings(), historyRetentionDays: 1 },
      );
      const outcome = onlyRefreshed(run);
      assert.equal(outcome.refreshType, "concurrent");
      assert.equal(outcome.statistics.total_jobs, 0);
      const { rows } = await client.query(
        "SELECT outcome FROM matview_refresh_history WHERE view_name = 'job_progress'",
      );
      assert.deepEqual(rows, [{ outcome: "refreshed" }]);
      await client.query(`REVOKE TEMPORARY ON DATABASE ${database.name} FROM matview_refresher`);
    });

    it("a refresher needs no TEMP of his own; without the owner's, it falls back or says what to grant", async () => {
      const client = await database.connect();
      await client.query(`REVOKE TEMPORARY ON DATABASE ${database.name} FROM ${owner.name}`);
      // Even a superuser's concurrent refresh makes its temporary table as the owner.
      await assert.rejects(client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY owned"), { code: "42501" });
      const run = await runViews(database, [view], { database: refresher.settings() });
      assert.equal(onlyRefreshed(run).refreshType, "regular");
      assert.ok(run.lines.some((line) => line.includes("may not create temporary tables")));

      const strict = { ...view, allowBlocking: false };
      const failure = onlyFailure(await runViews(database, [strict], { database: refresher.settings() }));
      assert.equal(failure.code, "42501");
      assert.equal(failure.remedy, `GRANT TEMPORARY ON DATABASE "${database.name}" TO "${owner.name}";`);
      await client.query(failure.remedy);
      const repaired = await runViews(database, [strict], { database: refresher.settings() });
      assert.equal(onlyRefreshed(repaired).refreshType, "concurrent");
    });

    it("42501 in mid-refresh: the owner lacks SELECT on what the view reads, and the remedy grants it", async () => {
      const client = await database.connect();
      await client.query(`REVOKE SELECT ON base FROM ${owner.name}`);
      const failure = onlyFailure(await runViews(database, [view], { database: refresher.settings() }));
      assert.deepEqual([failure.code, failure.kind], ["42501", "permanent"]);
      assert.equal(failure.remedy, `GRANT SELECT ON public.base TO ${escapeIdentifier(owner.name)};`);
      await client.query(failure.remedy);
      onlyRefreshed(await runViews(database, [view], { database: refresher.settings() }));
    });

    it("55P03: what the role may not see of the session that holds the lock is left out", async () => {
      const holder = await database.connect();
      await holder.query("BEGIN; LOCK TABLE base");
      const run = await runViews(database, [view], { database: refresher.settings(), timeoutMs: 1_500 });
      await holder.query("ROLLBACK");
      const { problem } = onlyFailure(run);
      assert.match(problem, /^waited \d\.\ds for a lock on public\.base, held by pid \d+ \(\w+\)$/);
    });

    it("42501: a schema that may not be used is granted in the remedy", async () => {
      const client = await database.connect();
      await client.query(
        `CREATE SCHEMA "closed.one"; CREATE MATERIALIZED VIEW "closed.one".inside AS SELECT 1 AS id`,
      );
      const inside = { ...viewNamed("inside"), schema: "closed.one" };
      const failure = onlyFailure(await runViews(database, [inside], { database: refresher.settings() }));
      assert.equal(failure.remedy, `GRANT USAGE ON SCHEMA "closed.one" TO "${refresher.name}";`);
      await client.query(failure.remedy);
      const next = onlyFailure(await runViews(database, [inside], { database: refresher.settings() }));
      assert.match(next.problem, /^role role_\w+ may not refresh it/);
    });
  });
}
