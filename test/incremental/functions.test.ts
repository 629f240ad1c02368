import assert from "node:assert/strict";
import type { Client } from "pg";
import { unsafeFunctions } from "../../incremental/functions";
import type { Finding } from "../../incremental/maintenance";
import { readQuery } from "../../incremental/readSource";
import { useDatabase } from "../database";
import { rolledBack } from "./query";

for (const majorVersion of [18, 15] as const) {
  describe(`what a maintained query may call and read, on PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;

    before(async () => {
      client = await database.connect();
      await client.query(`
        CREATE TYPE mood AS ENUM ('low', 'high');
        CREATE TABLE t (id integer PRIMARY KEY, name text, small real, big float8, amount numeric, price numeric(10, 2),
          at timestamptz, local timestamp, day date, span interval, mood mood, data jsonb, tags text[], cash money,
          relation regclass, raw bytea);
        CREATE FUNCTION pure(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1';
        CREATE FUNCTION reads(integer) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM t';
        CREATE FUNCTION "Says nothing"(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1';
        CREATE AGGREGATE own_sum (integer) (SFUNC = int4pl, STYPE = integer);
        CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`);
    });

    async function judge(select: string, from = "t"): Promise<Finding[]> {
      return unsafeFunctions(
        await rolledBack(client, (query) => readQuery(query, `SELECT ${select} AS a FROM ${from}`)),
      );
    }
    const refusals = (findings: Finding[]): string[][] =>
      findings
        .filter(({ possible }) => possible === "no")
        .map(({ capability, place }) => [capability, place]);

    const safe = {
      aggregates:
        "count(*); sum(id); avg(price); sum(amount); bool_and(id > 1); bit_or(id); every(id > 1); stddev(id); variance(price)",
      extremes: "min(id); max(name); max(at); max(mood); min(day) FILTER (WHERE id > 2)",
      "ordered sets":
        "mode() WITHIN GROUP (ORDER BY id); percentile_disc(0.5) WITHIN GROUP (ORDER BY name); percentile_cont(0.5) WITHIN GROUP (ORDER BY id)",
      "ordered aggregates":
        "array_agg(id ORDER BY id); string_agg(name, ',' ORDER BY id); jsonb_agg(data ORDER BY id)",
      windows: "row_number() OVER (ORDER BY id); lag(id) OVER (ORDER BY id); sum(id) OVER (ORDER BY id)",
      "times with zone":
        "date_trunc('day', at); at::date; at AT TIME ZONE 'Europe/Paris'; extract(hour FROM at); date_part('day', at); local::timestamptz; at + interval '1 day' > day; at - span; age(at, at); date_trunc('day', at, 'Europe/Paris')",
      "text of values":
        "at::text; day::text; span::text; id::text; mood::text; to_char(at, 'YYYY'); concat(id, at, mood); format('%s', name); array_to_string(tags, ','); encode(raw, 'hex')",
      "values of text":
        "to_date(name, 'YYYY'); to_timestamp(name, 'YYYY'); name::int; name::mood; name::interval",
      JSON: "to_json(at); jsonb_build_object('a', id); row_to_json(ROW(id, at)); data->>'a'",
      "pure functions": "pure(id); big * 2; name ~ 'a'; to_tsvector('english', name)",
    };
    for (const [what, expressions] of Object.entries(safe))
      it(`takes ${what}`, async () => {
        for (const expression of expressions.split("; "))
          assert.deepEqual(await judge(expression), [], expression);
      });

    const refused: Record<string, string[]> = {
      "random() > 0.5": ["volatile function", "random()"],
      "gen_random_uuid()": ["volatile function", "gen_random_uuid()"],
      "now() - at": ["time-dependent function", "now()"],
      "clock_timestamp()": ["time-dependent function", "clock_timestamp()"],
      "age(at)": ["time-dependent function", "age(timestamp with time zone)"],
      "at::time::timetz": ["time-dependent function", "timetz(time without time zone)"],
      current_date: ["time-dependent function", "CURRENT_DATE"],
      localtimestamp: ["time-dependent function", "LOCALTIMESTAMP"],
      current_user: ["session-dependent function", "CURRENT_USER"],
      "name::date": ["cast of text to a time", "date_in(cstring)"],
      "(data->>'at')::timestamptz": ["cast of text to a time", "timestamptz_in(cstring, oid, integer)"],
      "reads(id)": ["stable function", "public.reads(integer)"],
      '"Says nothing"(id)': ["volatile function", "public.Says nothing(integer)"],
      "own_sum(id)": ["user-defined aggregate", "public.own_sum(integer)"],
      "sum(small)": ["float aggregate", "sum(real)"],
      "avg(big)": ["float aggregate", "avg(double precision)"],
      "sum(big) OVER (ORDER BY id)": ["float aggregate", "sum(double precision)"],
      "corr(id, id)": ["float aggregate", "corr(double precision, double precision)"],
      "mode() WITHIN GROUP (ORDER BY amount)": ["aggregate", "mode(numeric)"],
      "rank(1) WITHIN GROUP (ORDER BY id)": ["aggregate", "rank(integer, integer)"],
      "to_tsvector(name)": ["stable function", "to_tsvector(text)"],
      "relation::text": ["stable function", "regclassout(regclass)"],
      "concat(relation)": ["stable function", "regclassout(regclass)"],
      "cash::numeric": ["stable function", "numeric(money)"],
      "current_setting('work_mem')": ["stable function", "current_setting(text)"],
      "enum_range(mood)": ["stable function", "enum_range(anyenum)"],
      "pg_column_size(name)": ["stable function", 'pg_column_size("any")'],
      "name COLLATE loose = 'a'": ["collation", "public.loose"],
    };
    for (const [select, expected] of Object.entries(refused))
      it(`refuses ${select}, and says what and where`, async () => {
        const findings = await judge(select);
        assert.deepEqual(refusals(findings), [expected]);
        assert.ok(findings.every(({ reason, remedy }) => reason.endsWith(".") && remedy !== undefined));
      });

    it("helps with now(): a plain view on top; with an own function: the statement that declares it", async () => {
      const [time] = await judge("now()");
      assert.match(
        time?.remedy ?? "",
        /plain view on top .* CREATE VIEW query_now AS SELECT … FROM "public"\."query"/,
      );
      const [own] = await judge('"Says nothing"(id)');
      const remedy = /ALTER FUNCTION .* IMMUTABLE/.exec(own?.remedy ?? "")?.[0] ?? assert.fail();
      await client.query(`BEGIN; ${remedy}`);
      try {
        const again = await client.query<{ provolatile: string }>(
          "SELECT provolatile FROM pg_proc WHERE proname = 'Says nothing'",
        );
        assert.equal(again.rows[0]?.provolatile, "i");
      } finally {
        await client.query("ROLLBACK");
      }
    });

    it("refuses relations whose changes no trigger sees, each with its reason", async () => {
      await client.query(`
        CREATE TABLE guarded (id integer); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
        CREATE TABLE parent (id integer); CREATE TABLE child () INHERITS (parent);
        CREATE TABLE parts (id integer) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parts DEFAULT;
        CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
        CREATE FOREIGN TABLE far (id integer) SERVER nowhere;
        CREATE TABLE mixed (id integer) PARTITION BY LIST (id);
        CREATE FOREIGN TABLE far_part PARTITION OF mixed DEFAULT SERVER nowhere;
        CREATE MATERIALIZED VIEW stored AS SELECT 1 AS id;
        CREATE UNLOGGED TABLE quick (id integer);
        CREATE TEMP TABLE brief (id integer);`);
      const capabilities: Record<string, string[]> = {
        t: [],
        guarded: ["no row security"],
        parent: ["no inheritance"],
        child: ["no partition"],
        parts: [],
        part: ["no partition"],
        far: ["no foreign table"],
        mixed: ["no foreign table"],
        stored: ["no materialized view"],
        quick: ["note unlogged table"],
        brief: ["no temporary table"],
        pg_class: ["no system catalog"],
      };
      for (const [table, expected] of Object.entries(capabilities)) {
        const column = table === "pg_class" ? "relname" : "id";
        const findings = await judge(column, table);
        assert.deepEqual(
          findings.map(({ possible, capability }) => `${possible} ${capability}`),
          expected,
          table,
        );
      }
      const whole = await judge("to_json(t)");
      assert.deepEqual(
        whole.filter(({ capability }) => capability === "whole row").map(({ place }) => place),
        ["public.t"],
      );
    });

    it("refuses tables on which the role may make no triggers, with the GRANT that lets it", async () => {
      await client.query(`
        CREATE ROLE "Reader ${majorVersion}"; GRANT SELECT ON t TO "Reader ${majorVersion}";
        GRANT "Reader ${majorVersion}" TO CURRENT_USER;`);
      const asReader = async (): Promise<Finding[]> =>
        rolledBack(client, async (query) => {
          await query(`SET LOCAL ROLE "Reader ${majorVersion}"`);
          return unsafeFunctions(await readQuery(query, "SELECT id FROM t"));
        });
      const [finding] = await asReader();
      assert.equal(
        finding?.remedy,
        `GRANT TRIGGER ON "public"."t" TO "Reader ${majorVersion}";  -- for the time of apply`,
      );
      await client.query(finding?.remedy ?? "");
      assert.deepEqual(await asReader(), []);
      await client.query(`DROP OWNED BY "Reader ${majorVersion}"; DROP ROLE "Reader ${majorVersion}"`);
    });

    if (majorVersion === 18)
      it("refuses a virtual generated column that is read, and takes one that is not", async () => {
        await client.query(
          "CREATE TABLE computed (id integer, twice integer GENERATED ALWAYS AS (id * 2) VIRTUAL)",
        );
        assert.deepEqual(refusals(await judge("twice", "computed")), [
          ["virtual generated column", "public.computed.twice"],
        ]);
        assert.deepEqual(await judge("id", "computed"), []);
      });
  });
}
