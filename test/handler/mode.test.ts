import assert from "node:assert/strict";
import { useDatabase } from "../database";
import { onlyFailure, onlyRefreshed, runViews, until, viewNamed, type Recorded } from "./harness";

for (const majorVersion of [18, 15] as const) {
  describe(`concurrent or plain, on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });

    /** Makes a view over three rows, with whatever indexes are given, and returns its name. */
    async function makeView(name: string, indexes: string): Promise<string> {
      const client = await database.connect();
      await client.query(
        `CREATE MATERIALIZED VIEW ${name} AS SELECT g AS id, 'n' || g AS label FROM generate_series(1, 3) g; ${indexes}`,
      );
      return name;
    }

    const unusable = {
      "no index": "",
      "an index that is not unique": "CREATE INDEX plain_idx ON % (id)",
      "a partial unique index": "CREATE UNIQUE INDEX partial_idx ON % (id) WHERE id > 0",
      "a unique index on an expression": "CREATE UNIQUE INDEX expression_idx ON % ((id + 1))",
    };
    for (const [index, [what, sql]] of Object.entries(unusable).entries()) {
      it(`with ${what}, falls back and says why, or refuses with the index that is missing`, async () => {
        const name = await makeView(`unusable_${index}`, sql.replace("%", `unusable_${index}`));
        const run = await runViews(database, [viewNamed(name)]);
        assert.equal(onlyRefreshed(run).refreshType, "regular");
        assert.ok(
          run.lines.some((line) =>
            line.endsWith(
              "falling back to regular refresh: it has no unique index on plain columns without a WHERE clause",
            ),
          ),
        );

        const failure = onlyFailure(await runViews(database, [viewNamed(name, { allowBlocking: false })]));
        assert.deepEqual([failure.code, failure.kind], ["55000", "permanent"]);
        const client = await database.connect();
        await assert.rejects(client.query(`REFRESH MATERIALIZED VIEW CONCURRENTLY ${name}`), {
          code: "55000",
        });

        assert.match(
          failure.remedy,
          new RegExp(`^CREATE UNIQUE INDEX CONCURRENTLY ${name}_id_idx ON public.${name} \\(id\\);`),
        );
        await client.query(failure.remedy.split("  --")[0] ?? "");
        const repaired = await runViews(database, [viewNamed(name, { allowBlocking: false })]);
        assert.equal(onlyRefreshed(repaired).refreshType, "concurrent");
      });
    }

    it("is decided anew where the unique index is dropped while a refresh waits for its lock", async () => {
      const client = await database.connect();
      const holder = await database.connect();
      /** A run that has found the index and waits behind the session that drops it. */
      async function dropDuringRefresh(name: string, allowBlocking: boolean): Promise<Recorded> {
        await makeView(name, `CREATE UNIQUE INDEX ${name}_idx ON ${name} (id)`);
        await holder.query(`BEGIN; DROP INDEX ${name}_idx`);
        const running = runViews(database, [viewNamed(name, { allowBlocking })]);
        await until(
          client,
          "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = $1::regclass AND NOT granted)",
          [name],
        );
        await holder.query("COMMIT");
        return running;
      }
      const blocking = await dropDuringRefresh("dropped_under", true);
      assert.equal(onlyRefreshed(blocking).refreshType, "regular");
      const retry = blocking.lines.find((line) => line.includes("trying again")) ?? "";
      assert.match(retry, /the view's unique index was dropped while its refresh began \(SQLSTATE 55000\)/);
      const failure = onlyFailure(await dropDuringRefresh("dropped_strictly", false));
      assert.match(failure.problem, /^a concurrent refresh is impossible/);
      assert.match(failure.remedy, /^CREATE UNIQUE INDEX CONCURRENTLY dropped_strictly_id_idx /);
    });

    it("40001: a view that is replaced while a refresh waits for its lock is refreshed, and recorded as itself", async () => {
      const client = await database.connect();
      const holder = await database.connect();
      await makeView("replaced", "CREATE UNIQUE INDEX replaced_idx ON replaced (id)");
      const { rows } = await client.query<{ query: string }>(
        "SELECT pg_get_viewdef('replaced'::regclass) AS query",
      );
      await holder.query(`
        BEGIN; DROP MATERIALIZED VIEW replaced;
        CREATE MATERIALIZED VIEW replaced AS ${rows[0]?.query}; CREATE UNIQUE INDEX replaced_idx ON replaced (id)`);
      const running = runViews(database, [viewNamed("replaced")]);
      await until(
        client,
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'replaced'::regclass AND NOT granted)",
      );
      await holder.query("COMMIT");
      const run = await running;
      onlyRefreshed(run);
      const retry = run.lines.find((line) => line.includes("trying again")) ?? "";
      assert.match(retry, /the view was replaced while its refresh began \(SQLSTATE 40001\)/);
      const recorded = await client.query(`
        SELECT view_oid = 'replaced'::regclass AS "isItself" FROM matview_refresh_history
         WHERE view_name = 'replaced' AND outcome = 'refreshed'`);
      assert.deepEqual(recorded.rows, [{ isItself: true }]);
    });

    it("suggests the columns of the unique index that cannot be used", async () => {
      await makeView("hinted", "CREATE UNIQUE INDEX hinted_label_idx ON hinted (label) WHERE id > 0");
      const failure = onlyFailure(await runViews(database, [viewNamed("hinted", { allowBlocking: false })]));
      // hinted_label_idx is taken, so the server is left to find a name.
      assert.match(failure.remedy, /^CREATE UNIQUE INDEX CONCURRENTLY ON public\.hinted \(label\);/);
    });

    it("populates a view that was never populated, even where blocking is forbidden", async () => {
      const client = await database.connect();
      await client.query(
        "CREATE MATERIALIZED VIEW empty AS SELECT 1 AS id WITH NO DATA; CREATE UNIQUE INDEX ON empty (id)",
      );
      await assert.rejects(client.query("REFRESH MATERIALIZED VIEW CONCURRENTLY empty"), { code: "0A000" });
      await assert.rejects(client.query("SELECT FROM empty"), { code: "55000" });
      const strict = viewNamed("empty", { allowBlocking: false });
      const first = await runViews(database, [strict]);
      assert.equal(onlyRefreshed(first).refreshType, "regular");
      assert.ok(
        first.lines.some((line) => line.includes("falling back to regular refresh: the view has never")),
      );
      assert.equal(onlyRefreshed(await runViews(database, [strict])).refreshType, "concurrent");
    });

    it("goes concurrently with NULLs in the unique key", async () => {
      const client = await database.connect();
      await client.query(`
        CREATE TABLE sparse (id integer); INSERT INTO sparse VALUES (1), (NULL), (NULL);
        CREATE MATERIALIZED VIEW nulls AS SELECT id FROM sparse; CREATE UNIQUE INDEX ON nulls (id);
        INSERT INTO sparse VALUES (NULL), (2)`);
      assert.equal(onlyRefreshed(await runViews(database, [viewNamed("nulls")])).refreshType, "concurrent");
      const { rows } = await client.query("SELECT id FROM nulls ORDER BY id");
      assert.deepEqual(
        rows.map((row: { id: number | null }) => row.id),
        [1, 2, null, null, null],
      );
    });
  });
}
