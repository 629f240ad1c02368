import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Client } from "pg";
import {
  migrate,
  MigrationFailedError,
  MigrationRefusedError,
  status,
  UnknownMigrationError,
  type MigrateOptions,
  type MigrationEvent,
  type MigrationStatus,
} from "../../migrations/runner";
import { useDatabase } from "../database";

interface MigrationFile {
  name: string;
  sql: string;
}

const first: MigrationFile = {
  name: "001_first.sql",
  sql: "CREATE TABLE first (a int);\nCREATE VIEW v AS SELECT a FROM first;",
};
const second: MigrationFile = { name: "002_second.sql", sql: "INSERT INTO first VALUES (1);" };
const indexFile: MigrationFile = {
  name: "003_index.sql",
  sql: [
    "-- migrate: no-transaction",
    "DO $body$ BEGIN PERFORM 1; END; $body$;",
    "-- migrate: next statement",
    "CREATE INDEX CONCURRENTLY first_a_idx ON first (a);",
  ].join("\n"),
};
const all = [first, second, indexFile];

describe("the migration runner", () => {
  const database = useDatabase({ template: "empty" });
  let client: Client;

  before(async () => {
    client = await database.connect();
  });

  beforeEach(async () => {
    await client.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  });

  const folders: string[] = [];
  after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))));

  const folderOf = async (files: MigrationFile[]): Promise<string> => {
    const folder = await mkdtemp(path.join(tmpdir(), "matview-refresh-migrations-"));
    folders.push(folder);
    await Promise.all(files.map(({ name, sql }) => writeFile(path.join(folder, name), sql)));
    return folder;
  };
  const apply = async (
    files: MigrationFile[],
    only?: string,
    options: Partial<MigrateOptions> = {},
  ): ReturnType<typeof migrate> =>
    migrate(database.options(), {
      directories: [await folderOf(files)],
      ...(only === undefined ? {} : { only }),
      ...options,
    });
  const list = async (files: MigrationFile[]): Promise<MigrationStatus[]> =>
    status(database.options(), [await folderOf(files)]);
  const recorded = async (): Promise<string[]> => (await list([])).map(({ name }) => name);
  const count = async (table: string): Promise<unknown> =>
    (await client.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`)).rows[0]?.n;

  const exists = async (relation: string): Promise<unknown> =>
    (await client.query<{ found: boolean }>("SELECT to_regclass($1) IS NOT NULL AS found", [relation]))
      .rows[0]?.found;

  it("applies files in the order of their names, and then has nothing to do", async () => {
    const result = await apply([indexFile, second, first]);
    assert.deepEqual(
      result.applied.map(({ name }) => name),
      [first.name, second.name, indexFile.name],
    );
    assert.deepEqual(result.alreadyApplied, []);
    const again = await apply(all);
    assert.deepEqual(again, { applied: [], alreadyApplied: all.map(({ name }) => name) });
    assert.equal(await count("first"), 1);
  });

  it("says what is applied, pending, changed and unknown", async () => {
    assert.deepEqual(
      (await list(all)).map(({ state }) => state),
      ["pending", "pending", "pending"],
    );
    assert.equal(await exists("matview_refresh_migrations"), false);
    await apply([first, second]);
    const changed = { ...second, sql: "INSERT INTO first VALUES (2);" };
    const listed = await list([changed, indexFile]);
    assert.deepEqual(
      listed.map(({ name, state }) => [name, state]),
      [
        [first.name, "unknown"],
        [second.name, "changed"],
        [indexFile.name, "pending"],
      ],
    );
    assert.ok(listed[0]?.appliedAt instanceof Date && (listed[0].durationSeconds ?? -1) >= 0);
    assert.equal(listed[2]?.appliedAt, undefined);
  });

  it("lets two runs go at once: one applies, the other waits and finds nothing to do", async () => {
    const slow = { name: "000_slow.sql", sql: "SELECT pg_sleep(0.3)" };
    const events: MigrationEvent[] = [];
    const files = [slow, ...all];
    const onEvent = (event: MigrationEvent): void => void events.push(event);
    const results = await Promise.all([
      apply(files, undefined, { onEvent }),
      apply(files, undefined, { onEvent }),
    ]);
    assert.deepEqual(results.map(({ applied }) => applied.length).sort(), [0, files.length]);
    assert.deepEqual(
      events.filter(({ type }) => type === "waiting"),
      [{ type: "waiting" }],
    );
    assert.equal(await count("first"), 1);
  });

  it("gives up waiting for another run after the time it was given", async () => {
    let isApplying: () => void = () => undefined;
    const applying = new Promise<void>((resolve) => (isApplying = resolve));
    const slow = apply([{ name: "001_slow.sql", sql: "SELECT pg_sleep(1)" }], undefined, {
      onEvent: ({ type }) => type === "applying" && isApplying(),
    });
    await applying;
    const impatient = apply(all, undefined, { lockWaitSeconds: 0.3 });
    await assert.rejects(impatient, (error: Error) => {
      assert.ok(error instanceof MigrationRefusedError);
      assert.match(error.message, /Another run .* more than 0\.3 s/);
      return true;
    });
    await slow;
    assert.deepEqual(await recorded(), ["001_slow.sql"]);
  });

  it("refuses to go on when an applied file has changed", async () => {
    await apply([first]);
    const changed = { ...first, sql: first.sql + "\n-- an afterthought" };
    await assert.rejects(apply([changed, second]), (error: Error) => {
      assert.ok(error instanceof MigrationRefusedError);
      assert.match(error.message, /Changed since it was applied: 001_first\.sql \(applied 20.*Z\)/);
      return true;
    });
    assert.equal(await count("first"), 0);
  });

  it("takes other line ends for the same text", async () => {
    await apply([first]);
    const { applied } = await apply([{ ...first, sql: first.sql.replaceAll("\n", "\r\n") }]);
    assert.deepEqual(applied, []);
  });

  it("applies one file by name, once the earlier ones are applied", async () => {
    await assert.rejects(apply(all, second.name), (error: Error) => {
      assert.ok(error instanceof MigrationRefusedError);
      assert.match(error.message, /^002_second\.sql needs 001_first\.sql first/);
      return true;
    });
    assert.deepEqual(await recorded(), []);
    await apply(all, first.name);
    const { applied } = await apply(all, second.name);
    assert.deepEqual(
      applied.map(({ name }) => name),
      [second.name],
    );
    assert.deepEqual(await recorded(), [first.name, second.name]);
  });

  it("applies one folder after the other, and asks one file for what it stands on", async () => {
    const base = [
      { name: "002_base.sql", sql: "CREATE TABLE base (a int)" },
      { name: "004_base_more.sql", sql: "ALTER TABLE base ADD b int" },
    ];
    const upper = [
      { name: "001_upper.sql", sql: "CREATE TABLE upper (a int)" },
      { name: "003_upper_more.sql", sql: "CREATE VIEW joined AS SELECT FROM base, upper" },
    ];
    const directories = [await folderOf(base), await folderOf(upper)];
    const applyBoth = async (only?: string): Promise<string[]> => {
      const { applied } = await migrate(database.options(), { directories, ...(only && { only }) });
      return applied.map(({ name }) => name);
    };
    await assert.rejects(applyBoth("003_upper_more.sql"), /needs 002_base\.sql, 001_upper\.sql first/);
    assert.deepEqual(await applyBoth("001_upper.sql"), ["001_upper.sql"]);
    assert.deepEqual(await applyBoth(), ["002_base.sql", "004_base_more.sql", "003_upper_more.sql"]);
    await client.query("DROP TABLE upper CASCADE");
    assert.deepEqual(await applyBoth("001_upper.sql"), ["001_upper.sql", "003_upper_more.sql"]);
  });

  it("knows only the files there are", async () => {
    await assert.rejects(apply(all, "009_none.sql"), (error: Error) => {
      assert.ok(error instanceof UnknownMigrationError);
      assert.match(error.message, /001_first\.sql, 002_second\.sql, 003_index\.sql/);
      return true;
    });
    await assert.rejects(apply([{ name: "first.sql", sql: "" }]), /006_what_it_does\.sql/);
  });

  it("rolls a failing file back, does not record it, and names the line", async () => {
    const failing = {
      name: "002_failing.sql",
      sql: "INSERT INTO first VALUES (7);\nSELECT\n  no_such_column FROM first;",
    };
    await assert.rejects(apply([first, failing, indexFile]), (error: Error) => {
      assert.ok(error instanceof MigrationFailedError);
      assert.match(error.message, /SQLSTATE 42703/);
      assert.match(error.message, /^002_failing\.sql:3 failed: column "no_such_column" does not exist/);
      assert.match(error.message, /rolled back/);
      return true;
    });
    assert.deepEqual(await recorded(), [first.name]);
    assert.equal(await count("first"), 0);
  });

  it("takes a file back whose record cannot be written", async () => {
    const unrecordable = {
      name: "002_unrecordable.sql",
      sql: `CREATE TABLE orphan (a int);
            ALTER TABLE matview_refresh_migrations ADD CHECK (name <> '002_unrecordable.sql');`,
    };
    await assert.rejects(apply([first, unrecordable]), /23514/);
    assert.equal(await exists("orphan"), false);
    assert.deepEqual(await recorded(), [first.name]);
  });

  it("shows no value of a row when a file fails", async () => {
    await apply([first, second]);
    const failing = {
      name: "003_failing.sql",
      sql: "INSERT INTO first VALUES (911), (911);\nCREATE UNIQUE INDEX ON first (a);",
    };
    await assert.rejects(apply([first, second, failing]), (error: Error) => {
      assert.ok(error instanceof MigrationFailedError);
      assert.match(error.message, /SQLSTATE 23505/);
      assert.doesNotMatch(error.message, /911/);
      return true;
    });
  });

  it("keeps what a file without a transaction did before it failed, and runs it again next time", async () => {
    const failing = {
      name: "002_failing.sql",
      sql: [
        "-- Two steps.",
        "-- migrate: no-transaction",
        "INSERT INTO first VALUES (1);",
        "-- migrate: next statement",
        "CREATE UNIQUE INDEX CONCURRENTLY once ON first (a);",
      ].join("\n"),
    };
    await apply([first]);
    await client.query("INSERT INTO first VALUES (1)");
    await assert.rejects(apply([first, failing]), (error: Error) => {
      assert.ok(error instanceof MigrationFailedError);
      assert.match(error.message, /SQLSTATE 23505/);
      return true;
    });
    assert.equal(await count("first"), 2);
    assert.deepEqual(await recorded(), [first.name]);
    await client.query("TRUNCATE first; DROP INDEX once");
    assert.equal((await apply([first, failing])).applied.length, 1);
  });

  it("says how statements are divided when a file without a transaction does not divide them", async () => {
    const joined = { ...indexFile, sql: indexFile.sql.replace("-- migrate: next statement", "") };
    await assert.rejects(apply([first, joined]), (error: Error) => {
      assert.ok(error instanceof MigrationFailedError);
      assert.match(error.message, /SQLSTATE 25001/);
      assert.match(error.message, /divided by lines `-- migrate: next statement`/);
      return true;
    });
    assert.equal(await exists("first_a_idx"), false);
  });

  it("makes what was dropped again, with what came after it, by the file's name", async () => {
    const made = { name: "002_view.sql", sql: "CREATE OR REPLACE VIEW mine AS SELECT a FROM v;" };
    const granted = { name: "003_grant.sql", sql: "GRANT SELECT ON mine TO public" };
    const pending = { name: "004_pending.sql", sql: "CREATE TABLE fourth (a int)" };
    await apply([first, made, granted]);
    await client.query("DROP VIEW mine");
    const files = [first, made, granted, pending];
    const result = await apply(files, made.name);
    assert.deepEqual(
      result.applied.map(({ name }) => name),
      [made.name, granted.name],
    );
    assert.deepEqual(result.alreadyApplied, [first.name]);
    const { rows } = await client.query<{ granted: boolean }>(
      "SELECT relacl::text LIKE '%=r/%' AS granted FROM pg_class WHERE oid = 'mine'::regclass",
    );
    assert.deepEqual(rows, [{ granted: true }]);
    assert.deepEqual(await recorded(), [first.name, made.name, granted.name]);
  });

  it("runs the statements that a query before \\gexec returns", async () => {
    const written = {
      name: "002_written.sql",
      sql: [
        "-- migrate: no-transaction",
        "SELECT format('CREATE INDEX CONCURRENTLY %I ON first (a)', 'written_' || n), NULL",
        "  FROM generate_series(1, 2) n",
        "\\gexec",
      ].join("\n"),
    };
    await apply([first, written]);
    assert.deepEqual([await exists("written_1"), await exists("written_2")], [true, true]);
  });

  it("passes on what the server has to say", async () => {
    const events: MigrationEvent[] = [];
    const talking = { name: "001_talking.sql", sql: "DO $$ BEGIN RAISE NOTICE 'mind the gap'; END $$" };
    await apply([talking], undefined, { onEvent: (event) => events.push(event) });
    assert.deepEqual(
      events.map((event) => (event.type === "notice" ? event.message : event.type)),
      ["applying", "mind the gap", "applied"],
    );
  });
});
