/** Each rule by which a fold is right, switched off: directed writes must then show a difference, and none with it. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import { quotedName } from "../../handler/names";
import { inSchema } from "../../handler/maintained";
import type { Maintenance } from "../../incremental/maintenance";

import { useDatabase } from "../database";
import {
  createView,
  differencesQuery,
  foldAndCompare,
  foldCall,
  foldLocks,
  judgeView,
  maintain,
} from "./maintained";
import { waitsForLock } from "./locks";
import { ROWS, SCHEMA, ZONE } from "./shop";
import { tamperedCompiler, type Tampering } from "./tampered";

interface Mutation {
  rule: string;
  /** What is done to the compiler, or to what it made. */
  change: Tampering | ((made: Maintenance) => Maintenance);
  view: string;
  /** Columns of its unique indexes. */
  keys: string[];
  /** Statements, each its own transaction; between two lists it is folded. */
  writes: string[][];
  /** With the rule, the view is refused, or recomputed in full: there is no other way to have it right. */
  without?: "refused" | "full run";
}

const order = (values: string): string =>
  `INSERT INTO orders (id, customer, status, amount, created, note) VALUES ${values}`;

const MUTATIONS: Mutation[] = [
  {
    rule: "a maximum that came and went is compared with what came, not with the stored one alone",
    change: {
      file: "leafFold.ts",
      from: 'return `d.${went(cell)} IS NOT NULL AND (d.${went(cell)} ${cell.kind === "max" ? "<" : ">"} ${best}) IS NOT TRUE`;',
      to: "return `d.${went(cell)} = s.${cell.name}`;",
    },
    view: "SELECT customer, max(amount) AS most, min(amount) AS least FROM shop.orders GROUP BY customer",
    keys: ["customer"],
    writes: [[order("(50, 'k1', 'new', 900, '2026-01-01', 'x')"), "DELETE FROM orders WHERE id = 50"]],
  },
  {
    rule: "a key that is NULL is among the changed ones",
    change: { file: "print.ts", from: "key[0]?.mayBeNull === true ?", to: "false ?" },
    view: "SELECT customer, count(DISTINCT status) AS kinds, count(*) AS n FROM shop.orders GROUP BY customer",
    keys: ["customer"],
    writes: [[order("(50, NULL, 'new', 1, '2026-01-01', 'x')")]],
  },
  {
    rule: "a key of two columns may have a NULL",
    change: {
      file: "print.ts",
      from: "if (!key.some(({ mayBeNull }) => mayBeNull)) return among;",
      to: "if (true) return among;",
    },
    view: "SELECT customer, note, count(DISTINCT status) AS kinds, count(*) AS n FROM shop.orders GROUP BY customer, note",
    keys: ["customer, note"],
    writes: [[order("(50, 'k1', 'new', 1, '2026-01-01', NULL)")]],
  },
  {
    rule: "TRUNCATE has a trigger of its own",
    change: { file: "log.ts", from: `"delete", "truncate"] as const`, to: `"delete"] as string[] as any` },
    view: "SELECT id, status FROM shop.orders",
    keys: ["id"],
    writes: [["TRUNCATE orders CASCADE"]],
    without: "full run",
  },
  {
    rule: "a change finds its way along strict conditions alone",
    change: { file: "trace.ts", from: " || !isStrict(expression)", to: "" },
    view: `SELECT c.id, count(*) AS n FROM shop.settings s CROSS JOIN shop.customers c LEFT JOIN shop.orders o ON o.note = s.k
      WHERE coalesce(o.customer, 'k1') = c.code GROUP BY c.id`,
    keys: ["id"],
    writes: [[order("(50, 'k2', 'new', 1, '2026-01-01', 'a')")]],
    without: "full run",
  },
  {
    rule: "IS NULL above an outer join is no way either",
    change: { file: "trace.ts", from: " || !isStrict(expression)", to: "" },
    view: `SELECT c.id, count(*) AS n FROM shop.settings s CROSS JOIN shop.customers c LEFT JOIN shop.orders o ON o.note = s.k
      WHERE (o.customer IS NULL) = (c.region IS NULL) GROUP BY c.id`,
    keys: ["id"],
    writes: [[order("(50, 'k2', 'new', 1, '2026-01-01', 'a')")]],
    without: "full run",
  },
  {
    rule: "|| of arrays takes NULL, and is no way",
    change: { file: "trace.ts", from: `[undefined, "||"]`, to: "[undefined]" },
    view: `SELECT c.id, count(*) AS n FROM shop.settings s CROSS JOIN (SELECT id, ARRAY[id] AS list FROM shop.customers) c
      LEFT JOIN (SELECT note, ARRAY[parent] AS list FROM shop.orders) o ON o.note = s.k
      WHERE (o.list || '{2}'::int[]) = c.list GROUP BY c.id`,
    keys: ["id"],
    writes: [["INSERT INTO orders VALUES (50, 'k2', 'new', 1, '2026-01-01', 'a', 7)"]],
    without: "full run",
  },
  {
    rule: "a column of a subquery that is not NULL beside no row is no way",
    change: {
      file: "trace.ts",
      from: "if (item.isNullable && !isStrict(expression)) return undefined;",
      to: "",
    },
    view: `SELECT c.id, count(*) AS n FROM (SELECT s.k, coalesce(o.customer, 'k1') AS code FROM shop.settings s
      LEFT JOIN shop.orders o ON o.note = s.k) d JOIN shop.customers c ON c.code = d.code GROUP BY c.id`,
    keys: ["id"],
    writes: [[order("(50, 'k2', 'new', 1, '2026-01-01', 'a')")]],
    without: "full run",
  },
  {
    rule: "the key comes from no side that an outer join makes NULL",
    change: { file: "trace.ts", from: "if (item.isNullable && !mayBeNull) return undefined;", to: "" },
    view: "SELECT c.name, count(*) AS n FROM shop.orders o LEFT JOIN shop.customers c ON c.code = o.customer GROUP BY c.name",
    keys: ["name"],
    writes: [["UPDATE customers SET name = NULL WHERE id = 1"]],
    without: "refused",
  },
  {
    rule: "the key is in every PARTITION BY",
    change: {
      file: "trace.ts",
      from: "if (!block.partitions.every((keys) => isMadeOf(expression, keys))) return undefined;",
      to: "",
    },
    view: "SELECT id, customer, row_number() OVER (PARTITION BY customer ORDER BY created, id) AS place FROM shop.orders",
    keys: ["id"],
    writes: [[order("(50, 'k1', 'new', 1, '2025-01-01', 'x')")]],
  },
  {
    rule: "each occurrence of a table has a key query of its own",
    change: {
      file: "keyed.ts",
      from: "scansOf(shape.query).flatMap((scan) => keyQueries(",
      to: "scansOf(shape.query).slice(0, 1).flatMap((scan) => keyQueries(",
    },
    view: "SELECT o.id, p.status FROM shop.orders o LEFT JOIN shop.orders p ON p.id = o.parent",
    keys: ["id"],
    writes: [["UPDATE orders SET status = 'other' WHERE id = 1"]],
  },
  {
    rule: "a table that is joined to a set operation matters by way of each branch",
    change: {
      file: "keyed.ts",
      from: "(shape.paths.get(at) ?? []).flatMap((step) =>",
      to: "(shape.paths.get(at) ?? []).slice(0, 1).flatMap((step) =>",
    },
    view: `SELECT u.kind, u.id, s.v FROM (SELECT 'o' AS kind, id, status AS k FROM shop.orders
      UNION ALL SELECT 'c', id, region FROM shop.customers) u LEFT JOIN shop.settings s ON s.k = u.k`,
    keys: ["kind, id"],
    writes: [["UPDATE settings SET v = 77 WHERE k = 'eu'"]],
  },
  {
    rule: "nullable sides that a change is not in are left out of its key query",
    change: (made) => ({
      ...made,
      createFold: replaced(
        made.createFold,
        /(FROM pg_catalog\.unnest\(\w+\) AS "?r"?, [^\n]+)\n(\s*WHERE [^\n]+)/,
        "$1, shop.customers AS c\n$2 AND c.code = o.customer",
      ),
    }),
    view: `SELECT o.id, c.name, r.stars FROM shop.orders o LEFT JOIN shop.customers c ON c.code = o.customer
      LEFT JOIN shop.reviews r ON r.id = o.parent`,
    keys: ["id"],
    writes: [["UPDATE reviews SET stars = 77"]],
  },
  {
    rule: "a layer above a leaf sees the old rows of its state",
    change: {
      file: "leafFold.ts",
      from: '[images(`${table} s WHERE EXISTS (SELECT FROM d WHERE ${isGroup("s", "d")})`), ...written.map(',
      to: "[...written.map(",
    },
    view: `SELECT t.n AS orders, count(*) AS customers FROM (SELECT customer, count(*) AS n FROM shop.orders GROUP BY customer) t GROUP BY t.n`,
    keys: ["orders"],
    writes: [[order("(50, 'k1', 'new', 1, '2026-01-01', 'x')")]],
  },
  {
    rule: "a layer over a table of the fold's own is told what went",
    change: {
      file: "leafFold.ts",
      from: "(${side(OPERATIONS.went, goneRows(layer))} UNION ALL ${side",
      to: "(${side",
    },
    view: `SELECT t.n AS lines, count(*) AS customers FROM (SELECT o.customer, count(l.sku) AS n FROM shop.orders o
      LEFT JOIN shop.lines l ON l.order_id = o.id GROUP BY o.customer) t GROUP BY t.n`,
    keys: ["lines"],
    writes: [["INSERT INTO lines VALUES (1, 50, 'a', 1, 1)"]],
  },
  {
    rule: "rows differ where their bytes do: 1.5 is not 1.50",
    change: {
      file: "print.ts",
      from: "::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(",
      to: "::pg_catalog.record IS DISTINCT FROM ROW(",
    },
    view: "SELECT id, rate FROM shop.customers",
    keys: ["id"],
    writes: [["UPDATE customers SET rate = 1.5 WHERE rate = 1.50"]],
  },
  {
    rule: "an UPDATE logs what its rows were, too",
    change: {
      file: "log.ts",
      from: '(${image(OPERATIONS.went, "o")} UNION ALL ${image(OPERATIONS.came, "n")})',
      to: '(${image(OPERATIONS.came, "n")})',
    },
    view: "SELECT customer, count(DISTINCT status) AS kinds, count(*) AS n FROM shop.orders GROUP BY customer",
    keys: ["customer"],
    writes: [["UPDATE orders SET customer = 'k2' WHERE customer = 'k1'"]],
  },
  {
    rule: "NaN is counted and not summed",
    change: { file: "leaf.ts", from: "const real = isNumeric", to: "const real = false" },
    view: "SELECT customer, sum(amount) AS total FROM shop.orders GROUP BY customer",
    keys: ["customer"],
    writes: [
      ["UPDATE orders SET amount = 'NaN' WHERE id = 5"],
      ["UPDATE orders SET amount = 1 WHERE id = 5"],
    ],
  },
  {
    rule: "a writer's TimeZone does not tell the day",
    change: { file: "log.ts", from: "leaf?.timeZone === undefined", to: "leaf !== null" },
    view: "SELECT created::date AS day, count(*) AS n FROM shop.orders GROUP BY 1",
    keys: ["day"],
    writes: [
      [
        "SET TimeZone = 'Asia/Tokyo'",
        order("(50, 'k1', 'new', 1, '2026-01-05 20:00+00', 'x')"),
        "RESET TimeZone",
      ],
    ],
  },
  {
    rule: "with a second unique index, all deletions come before the first insertion",
    change: {
      file: "compile.ts",
      from: "hasSeveralUniqueIndexes: source.uniqueKeys.length > 1",
      to: "hasSeveralUniqueIndexes: false",
    },
    view: "SELECT k, place FROM shop.settings",
    keys: ["k", "place"],
    writes: [
      [
        "UPDATE settings SET place = NULL WHERE k = 'a'",
        "UPDATE settings SET place = 1 WHERE k = 'eu'",
        "UPDATE settings SET place = 2 WHERE k = 'a'",
      ],
    ],
  },
];

function replaced(text: string, from: RegExp, to: string): string {
  assert.match(text, from);
  return text.replace(from, to);
}

describe("the rules of a fold, one switched off at a time", () => {
  const database = useDatabase({ template: "empty" });
  const view = { schema: "shop", name: "looked_at" };
  let client: Client;
  let writer: Client;

  before(async () => {
    client = await database.connect();
    writer = await database.connect();
    await client.query(
      `ALTER DATABASE ${database.name} SET "TimeZone" = '${ZONE}'; SET "TimeZone" = '${ZONE}'`,
    );
    await writer.query("SET search_path = shop");
  });

  const begin = async (query: string, keys: string[]): Promise<void> => {
    await client.query("DROP SCHEMA IF EXISTS matview_refresh CASCADE; DROP SCHEMA IF EXISTS shop CASCADE");
    await client.query(`${SCHEMA}; ${ROWS}; RESET search_path`);
    await createView(client, view, query, ...keys);
  };

  /** Folds after each list of writes, and says what the last of them left wrong. */
  const differ = async (
    made: Maintenance,
    lists: string[][],
  ): Promise<{ isWrong: boolean; kind?: string }> => {
    let last: Awaited<ReturnType<typeof foldAndCompare>> | undefined;
    for (const list of lists) {
      for (const write of list) await writer.query(write);
      try {
        last = await foldAndCompare(client, made);
      } catch (error) {
        // The fold itself fails where a unique index is broken.
        assert.match((error as { code: string }).code, /^23505$/);
        return { isWrong: true };
      }
    }
    assert.ok(last);
    return { isWrong: last.differences.length > 0, kind: last.folded.kind };
  };

  for (const { rule, change, view: query, keys, writes, without } of MUTATIONS) {
    it(rule, async () => {
      await begin(query, keys);
      if (without === "refused") assert.equal((await judgeView(client, view)).maintenance, undefined);
      else {
        const kind = without === "full run" ? "full" : "incremental";
        assert.deepEqual(await differ(await maintain(client, view), writes), { isWrong: false, kind });
        await begin(query, keys);
      }
      const made = await maintain(
        client,
        view,
        typeof change === "function" ? { edit: change } : { compiler: tamperedCompiler(change) },
      );
      const { isWrong } = await differ(made, writes);
      assert.ok(isWrong, "without the rule the view is right all the same: the writes do not need it");
    });
  }

  describe("in one snapshot", () => {
    const query = `SELECT c.id, c.name, coalesce(o.n, 0) AS orders FROM shop.customers c
      LEFT JOIN (SELECT customer, count(*) AS n FROM shop.orders GROUP BY customer) o ON o.customer = c.code`;
    const GATE = 4711;

    /** A fold that stops after it has taken the logs, for as long as somebody holds the gate. */
    const stopping = (made: Maintenance): Maintenance => ({
      ...made,
      createFold: replaced(
        made.createFold,
        /(\n +IF pg_catalog\.cardinality\(matview_log_\d+\) > 0 THEN)/,
        `\n    PERFORM pg_catalog.pg_advisory_xact_lock(${GATE});$1`,
      ),
    });
    const unguarded = (made: Maintenance): Maintenance => ({
      ...made,
      createFold: replaced(made.createFold, /NOT IN \('repeatable read', 'serializable'\)/, "IN ('nothing')"),
    });

    /** The published row of a customer, after a writer has changed two tables in the middle of a fold. */
    const publishedAfter = async (made: Maintenance, isolation: string): Promise<unknown> => {
      const folder = await database.connect();
      await writer.query(`UPDATE customers SET name = 'before' WHERE id = 1`);
      await client.query(`SELECT pg_advisory_lock(${GATE})`);
      const folding = folder.query(
        `BEGIN ISOLATION LEVEL ${isolation}; ${foldLocks(made)}; ${foldCall(made)}; COMMIT`,
      );
      await waitsForLock(client, folder);
      await writer.query(`BEGIN; UPDATE customers SET name = 'after' WHERE id = 1`);
      await writer.query(`${order("(50, 'k1', 'new', 1, '2026-01-01', 'x')")}; COMMIT`);
      await client.query(`SELECT pg_advisory_unlock(${GATE})`);
      await folding;
      return (await client.query(`SELECT name, orders::int FROM ${quotedName(view)} WHERE id = 1`)).rows[0];
    };

    it("a fold sees a transaction as a whole or not at all", async () => {
      await begin(query, ["id"]);
      const guarded = await publishedAfter(
        await maintain(client, view, { edit: stopping }),
        "REPEATABLE READ",
      );
      assert.deepEqual(guarded, { name: "before", orders: 3 });

      await begin(query, ["id"]);
      const made = await maintain(client, view, { edit: (each) => unguarded(stopping(each)) });
      assert.deepEqual(
        await publishedAfter(made, "READ COMMITTED"),
        { name: "after", orders: 3 },
        "half a transaction",
      );
    });

    it("a fold refuses to run in any other isolation", async () => {
      await begin(query, ["id"]);
      const made = await maintain(client, view);
      await assert.rejects(
        client.query(foldCall(made)),
        /a fold needs BEGIN ISOLATION LEVEL REPEATABLE READ/,
      );
    });
  });

  describe("with the tables locked before the snapshot", () => {
    const query = "SELECT customer, count(DISTINCT status) AS kinds FROM shop.orders GROUP BY customer";
    const published = async (): Promise<number> =>
      (await client.query(`SELECT FROM ${quotedName(view)}`)).rowCount ?? 0;

    it("a TRUNCATE waits, or is seen: never are published rows gone that are not", async () => {
      await begin(query, ["customer"]);
      const made = await maintain(client, view);
      await writer.query("UPDATE orders SET status = 'other' WHERE customer = 'k1'");
      const before = await published();
      const folder = await database.connect();
      await folder.query(
        `BEGIN ISOLATION LEVEL REPEATABLE READ; ${foldLocks(made)}; SELECT FROM pg_class LIMIT 1`,
      );
      const truncating = writer.query("TRUNCATE orders CASCADE");
      await waitsForLock(client, writer);
      const { rows } = await folder.query(foldCall(made));
      assert.equal((rows as { kind: string }[])[0]?.kind, "incremental");
      assert.deepEqual((await folder.query(differencesQuery(made))).rows, []);
      await folder.query("COMMIT");
      assert.equal(await published(), before);
      await truncating;
      assert.deepEqual((await foldAndCompare(client, made)).differences, []);
      assert.equal(await published(), 0);

      // Without the second lock of a fold, the snapshot is older than the rows that are read.
      await begin(query, ["customer"]);
      const unlocked = await maintain(client, view);
      await writer.query("UPDATE orders SET status = 'other' WHERE customer = 'k1'");
      await folder.query(
        `BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE ${inSchema(unlocked.names.lock)} IN EXCLUSIVE MODE NOWAIT`,
      );
      await folder.query("SELECT FROM pg_class LIMIT 1");
      await writer.query("TRUNCATE orders CASCADE");
      await folder.query(foldCall(unlocked));
      await folder.query("COMMIT");
      assert.equal(await published(), before - 1, "the customer's row is gone, and the others are not");
    });
  });
});
