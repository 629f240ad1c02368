import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { escapeIdentifier, type Client } from "pg";
import { parse } from "yaml";
import { useDatabase } from "../database";
import { useRole } from "../handler/roles";
import { ROOT } from "./examined";

interface Dashboard {
  templating: { list: { name: string; type: string; query: string }[] };
  panels: { title: string; targets: { format: string; rawSql: string }[] }[];
}

const page = readFileSync(path.join(ROOT, "docs", "monitoring.md"), "utf8");
const dashboard = JSON.parse(
  readFileSync(path.join(ROOT, "docs", "grafana-dashboard.json"), "utf8"),
) as Dashboard;

const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp("^```" + language + "\n([^]*?)^```$", "gm"))].map(([, text = ""]) => text);

/** The macros of Grafana's PostgreSQL data source that the dashboard uses, and its variables, as it writes them out. */
const expanded = (sql: string): string =>
  sql
    .replaceAll(/\$__timeGroupAlias\((\w+), \$__interval\)/g, 'floor(extract(epoch from $1)/60)*60 AS "time"')
    .replaceAll(/\$__timeFilter\((\w+)\)/g, "$1 BETWEEN now() - interval '6 hours' AND now()")
    .replaceAll("$schema", "public")
    .replaceAll("$view", "job_progress");

for (const majorVersion of [18, 15] as const) {
  describe(`what docs/monitoring.md asks, on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    const monitor = useRole(database);
    let client: Client;

    before(async () => {
      const admin = await database.connect();
      const [, ...grants] = (blocks("sql")[0] ?? "").split("\n").filter((line) => line !== "");
      await admin.query(grants.join("\n").replaceAll("matview_monitor", escapeIdentifier(monitor.name)));
      await admin.query(`
        INSERT INTO matview_refresh_history (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, changes, drift)
        SELECT 'public', 'job_progress', 'job_progress'::regclass, CASE WHEN g % 10 = 5 THEN 'failed' ELSE 'refreshed' END,
               CASE WHEN g % 10 <> 5 THEN 'incremental' END, t, t, t + interval '1s', 1, 7, 0
          FROM generate_series(1, 60) g CROSS JOIN LATERAL (SELECT now() - interval '1 minute' * g AS t) x ORDER BY t`);
      client = await database.connect({ user: monitor.name, password: monitor.password });
    });

    it("every query of the page is one that the role of the page may run", async () => {
      const queries = blocks("sql").slice(1);
      const yaml = blocks("yaml").flatMap((text) => {
        const { jobs, matview } = parse(text) as {
          jobs?: { queries: { query: string }[] }[];
          matview?: { query: string };
        };
        return [
          ...(jobs ?? []).flatMap((job) => job.queries.map(({ query }) => query)),
          ...(matview ? [matview.query] : []),
        ];
      });
      assert.deepEqual([queries.length, yaml.length], [2, 3]);
      for (const query of [...queries, ...yaml]) {
        const { rows } = await client.query<Record<string, unknown>>(query);
        assert.equal(rows.find(({ view }) => view === "public.job_progress") === undefined, false, query);
      }
      const { rows } = await client.query<Record<string, unknown>>(queries[1] ?? "");
      const counts = rows.find(({ view }) => view === "public.job_progress");
      assert.deepEqual([counts?.failed, counts?.skipped, counts?.longest_seconds], ["6", "0", 1]);
    });

    it("every panel and variable of the dashboard has rows", async () => {
      const variables = dashboard.templating.list.filter(({ type }) => type === "query");
      assert.equal(variables.length, 2);
      for (const { query } of variables) assert.notEqual((await client.query(expanded(query))).rowCount, 0);
      for (const { title, targets } of dashboard.panels) {
        for (const { format, rawSql } of targets) {
          assert.ok(!expanded(rawSql).includes("$"), title);
          const { rows, fields } = await client.query<Record<string, unknown>>(expanded(rawSql));
          assert.notEqual(rows.length, 0, title);
          if (format === "time_series") assert.equal(fields[0]?.name, "time", title);
        }
      }
    });
  });
}
