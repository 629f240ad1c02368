/** Writers, readers and folds at the same time: a reader never sees half a transaction, and nobody fails or waits. */
import assert from "node:assert/strict";
import type { Client } from "pg";
import type { Session } from "../../handler/connect";
import { apply } from "../../incremental/apply";
import type { Maintenance } from "../../incremental/maintenance";
import { useDatabase } from "../database";
import { waitsForLock } from "./locks";
import { sessionOf, shortPatience } from "./handmade";
import { createView, foldAndCompare, foldCall, foldLocks, judgeView } from "./maintained";

const ACCOUNTS = 12;
/** What all accounts have together, whoever moves what. */
const TOTAL = ACCOUNTS * 100;

const VIEWS = [
  {
    view: { schema: "public", name: "balances" },
    query:
      "SELECT account, sum(amount) AS balance, count(*) AS entries, max(amount) AS most FROM entries GROUP BY account",
    key: "account",
  },
  {
    view: { schema: "public", name: "named_balances" },
    query: `SELECT a.id, a.name, sum(e.amount) AS balance, count(DISTINCT e.amount) AS amounts FROM accounts a
      JOIN entries e ON e.account = a.id GROUP BY a.id, a.name`,
    key: "id",
  },
];

for (const majorVersion of [18, 15] as const) {
  describe(`maintained views while others write, PostgreSQL ${majorVersion}`, () => {
    const database = useDatabase({ majorVersion });
    let client: Client;
    let session: Session;
    const maintained: Maintenance[] = [];

    before(async function () {
      this.timeout(60_000);
      client = await database.connect();
      session = await sessionOf(database);
      await client.query(`
        CREATE TABLE accounts (id int PRIMARY KEY, name text NOT NULL);
        CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL, amount int NOT NULL);
        INSERT INTO accounts SELECT i, 'account ' || i FROM generate_series(1, ${ACCOUNTS}) i;
        INSERT INTO entries (account, amount) SELECT i, 100 FROM generate_series(1, ${ACCOUNTS}) i`);
      for (const { view, query, key } of VIEWS) {
        await createView(client, view, query, key);
        const { maintenance } = await judgeView(client, view);
        assert.ok(maintenance);
        await apply(session, maintenance, shortPatience());
        maintained.push(maintenance);
      }
    });
    after(() => session.close());

    const fold = (by: Client, made: Maintenance): Promise<unknown> =>
      by.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; ${foldLocks(made)}; ${foldCall(made)}; COMMIT`);
    const equalNow = async (): Promise<void> => {
      for (const made of maintained) assert.deepEqual((await foldAndCompare(client, made)).differences, []);
    };
    const only = (number: number): Maintenance => maintained[number] ?? assert.fail();

    it("move amounts between keys: the sum over all keys is the same for every reader", async function () {
      this.timeout(120_000);
      const writers = await Promise.all([1, 2, 3].map(() => database.connect()));
      const [reader, folder] = [await database.connect(), await database.connect()];
      const ROUNDS = 90;
      let isWriting = true;
      const write = async (writer: Client, number: number): Promise<void> => {
        for (let round = 0; round < ROUNDS; round += 1) {
          const [from, to] = [(round * 5 + number) % ACCOUNTS, (round * 7 + number * 3 + 1) % ACCOUNTS].map(
            (each) => each + 1,
          );
          // Each kind of move alone: an entry of both sides would tell the fold of both.
          const moves = [
            [
              `INSERT INTO entries (account, amount) VALUES (${from}, ${-round})`,
              `INSERT INTO entries (account, amount) VALUES (${to}, ${round})`,
            ],
            [
              `UPDATE entries SET account = ${to} WHERE id = (SELECT max(id) FROM entries WHERE account = ${from})`,
            ],
            [
              `WITH gone AS (DELETE FROM entries WHERE account = ${to} AND amount <> 100 RETURNING amount)
                 INSERT INTO entries (account, amount) SELECT ${from}, sum(amount) FROM gone HAVING count(*) > 0`,
            ],
          ];
          const move = moves[round % moves.length] ?? [];
          await writer.query("BEGIN");
          try {
            for (const statement of move) await writer.query(statement);
            await writer.query(round % 10 === 9 ? "ROLLBACK" : "COMMIT");
          } catch (error) {
            // Two that move entries crosswise: that is between them.
            assert.equal((error as { code?: string }).code, "40P01");
            await writer.query("ROLLBACK");
          }
        }
      };
      const read = async (): Promise<number> => {
        let reads = 0;
        for (; isWriting; reads += 1) {
          const { rows } = await reader.query(
            "SELECT (SELECT sum(balance)::int FROM balances) AS one, (SELECT sum(balance)::int FROM named_balances) AS other",
          );
          assert.deepEqual(rows, [{ one: TOTAL, other: TOTAL }], "a reader saw half a transaction");
        }
        return reads;
      };
      let folds = 0;
      let changes = 0;
      const foldAll = async (): Promise<void> => {
        while (isWriting) {
          for (const made of maintained) {
            const { folded, differences } = await foldAndCompare(folder, made);
            assert.deepEqual(differences, []);
            assert.equal(folded.kind, "incremental", folded.reason ?? "");
            folds += 1;
            changes += Number(folded.changes);
          }
        }
      };
      const others = [read(), foldAll()];
      await Promise.all(writers.map(write)).finally(() => (isWriting = false));
      const [reads = 0] = await Promise.all(others);
      await equalNow();
      assert.ok(
        changes > 100 && folds > 4 && Number(reads) > 4,
        `${folds} folds of ${changes} changes, ${reads} reads`,
      );
    });

    it("two folds at once: the second is told at once, and the next is right", async () => {
      const other = await database.connect();
      await client.query("INSERT INTO entries (account, amount) VALUES (1, 5), (2, -5)");
      await other.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; ${foldLocks(only(0))}; ${foldCall(only(0))}`);
      await assert.rejects(fold(client, only(0)), { code: "55P03" });
      await client.query("ROLLBACK");
      // The other view has a lock of its own.
      await fold(client, only(1));
      await other.query("COMMIT");
      await equalNow();
    });

    it("a fold that is killed leaves everything to the next", async () => {
      const killed = await database.connect();
      await client.query("INSERT INTO entries (account, amount) VALUES (3, 7), (4, -7)");
      await killed.query(
        `BEGIN ISOLATION LEVEL REPEATABLE READ; ${foldLocks(only(0))}; ${foldCall(only(0))}`,
      );
      const { rows: then } = await client.query("SELECT balance::int FROM balances WHERE account = 3");
      const gone = new Promise((resolve) => killed.once("end", resolve));
      const { processID } = killed as unknown as { processID: number };
      await client.query("SELECT pg_terminate_backend($1)", [processID]);
      await gone;
      assert.deepEqual(
        (await client.query("SELECT balance::int FROM balances WHERE account = 3")).rows,
        then,
      );
      const { folded, differences } = await foldAndCompare(client, only(0));
      assert.deepEqual([differences, folded.kind, folded.changes], [[], "incremental", "2"]);
      await equalNow();
    });

    for (const isolation of ["REPEATABLE READ", "SERIALIZABLE"]) {
      it(`a ${isolation} writer with an old snapshot does not fail because of folds`, async () => {
        const old = await database.connect();
        await old.query(
          `BEGIN ISOLATION LEVEL ${isolation}; SELECT sum(amount) FROM entries WHERE account = 5`,
        );
        await client.query("INSERT INTO entries (account, amount) VALUES (6, 1), (7, -1)");
        for (const made of maintained) await fold(client, made);
        await old.query("INSERT INTO entries (account, amount) VALUES (5, 3), (6, -3)");
        await client.query("INSERT INTO entries (account, amount) VALUES (8, 2), (9, -2)");
        for (const made of maintained) await fold(client, made);
        await old.query("UPDATE entries SET amount = amount WHERE account = 5; COMMIT");
        await equalNow();
      });
    }

    it("two serializable writers of different keys do not conflict through the logs", async () => {
      const pair = await Promise.all([1, 2].map(() => database.connect()));
      for (const each of pair)
        await each.query("BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL enable_seqscan = off");
      for (const [index, each] of pair.entries())
        await each.query(`UPDATE accounts SET name = name || '!' WHERE id = ${index + 10}`);
      for (const each of pair) await each.query("COMMIT");
      await equalNow();
    });

    it("a transaction that stays open over several folds is seen whole by the one after its end", async () => {
      const slow = await database.connect();
      await slow.query("BEGIN; INSERT INTO entries (account, amount) VALUES (1, 11)");
      for (let round = 0; round < 3; round += 1) {
        await client.query(`INSERT INTO entries (account, amount) VALUES (2, ${round}), (3, ${-round})`);
        for (const made of maintained) {
          const { folded, differences } = await foldAndCompare(client, made);
          assert.deepEqual([differences, folded.kind], [[], "incremental"]);
        }
      }
      await slow.query("INSERT INTO entries (account, amount) VALUES (2, -11); COMMIT");
      const { folded } = await foldAndCompare(client, only(0));
      assert.equal(folded.changes, "2");
      await equalNow();
      const { rows } = await client.query("SELECT sum(balance)::int AS total FROM balances");
      assert.deepEqual(rows, [{ total: TOTAL }]);
    });

    it("a writer waits for no fold, and no fold for a writer; a TRUNCATE waits for the fold's end", async () => {
      const [folder, writer] = [await database.connect(), await database.connect()];
      await folder.query(
        `BEGIN ISOLATION LEVEL REPEATABLE READ; ${foldLocks(only(1))}; ${foldCall(only(1))}`,
      );
      await writer.query("SET lock_timeout = 1");
      await writer.query(
        "INSERT INTO entries (account, amount) VALUES (1, 1), (2, -1); UPDATE entries SET amount = amount",
      );
      await writer.query("SET lock_timeout = 0");
      const truncating = writer.query("TRUNCATE entries");
      await waitsForLock(client, writer);
      await folder.query("COMMIT");
      await truncating;
      for (const made of maintained) {
        const { folded, differences } = await foldAndCompare(client, made);
        assert.deepEqual(
          [differences, folded.kind, folded.reason],
          [[], "full", "public.entries was truncated"],
        );
      }
    });
  });
}
