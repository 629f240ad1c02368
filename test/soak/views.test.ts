import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import type { Mode } from "../../soak/bed/bed";
import { Bookkeeping, type Draw } from "../../soak/books/bookkeeping";
import { BALANCE, BOOKS, VIEW_SQL } from "../../soak/books/books";
import { Claims } from "../../soak/books/claims";
import { prepareBooks } from "../../soak/books/prepare";
import { BookWriters } from "../../soak/books/writers";
import { Dice } from "../../soak/dice";
import type { Operation, WriterModel } from "../../soak/books/model";
import { ViewJudge } from "../../soak/judge/views";
import { useDatabase, type TestDatabase } from "../database";
import { runViews } from "../handler/harness";
import { maintainedNames } from "../../handler/maintained";

const views = BOOKS.views.map((view) => ({ ...view, allowBlocking: view.name === "summary" }));
const NOTHING = { reached: true, violations: [], unread: [] };

/** The function's own refresh of both views. */
async function refresh(database: TestDatabase, forceFull = false): Promise<void> {
  const { outcomes, lines } = await runViews(database, views, { forceFull });
  assert.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    ["refreshed", "refreshed"],
    lines.join("\n"),
  );
}

for (const mode of ["full", "incremental"] satisfies Mode[]) {
  describe(`soak: the judge of views acquits (${mode})`, () => {
    const database = useDatabase({ template: "empty" });
    const claims = new Claims();
    let writers: BookWriters;
    let judge: ViewJudge;

    before(async function () {
      this.timeout(60_000);
      await prepareBooks(database.options(), mode);
      writers = new BookWriters({
        connection: () => database.options(),
        dice: new Dice(3),
        claims,
        pauseMs: [2, 10],
      });
      judge = new ViewJudge(() => database.options(), claims);
    });
    after(async () => {
      await writers.stop();
      await judge.close();
    });

    it("honest refreshes with writers at work", async function () {
      this.timeout(60_000);
      writers.start();
      for (let tick = 0; tick < 25; tick += 1) {
        if (tick === 8) await writers.transact("day");
        if (tick === 12) await writers.transact("truncate");
        if (tick === 16) await writers.transact("reload");
        const sinceMs = Date.now();
        await refresh(database, tick === 20);
        assert.deepEqual(await judge.look(), NOTHING);
        assert.ok(judge.isFresh(sinceMs - 1));
      }
      await writers.stop();
      assert.deepEqual(writers.surprises, []);
      const seen = claims.after(1, 0).length;
      assert.ok(seen > 0 && !judge.isFresh(Date.now()), "writers had gone on meanwhile");
      await refresh(database);
      assert.deepEqual(await judge.look(), NOTHING);
      assert.ok(judge.isFresh(Date.now()));
    });

    it("two refreshes at once while it looks", async function () {
      this.timeout(60_000);
      writers.start();
      for (let tick = 0; tick < 5; tick += 1) {
        const runs = [0, 1].map(() => runViews(database, views, { manual: true }));
        let isOver = false;
        const over = Promise.all(runs).then(() => (isOver = true));
        while (!isOver) assert.deepEqual(await judge.look(), NOTHING);
        await over;
      }
      await writers.stop();
    });
  });
}

describe("soak: the judge of views", () => {
  const database = useDatabase({ template: "empty" });
  const query = `matview_refresh.${maintainedNames(BALANCE).query}`;
  let client: Client;
  let claims: Claims;
  let books: Bookkeeping;
  let judge: ViewJudge;

  before(async function () {
    this.timeout(60_000);
    // Maintained views are tables: all that is planted can be written by hand.
    await prepareBooks(database.options(), "incremental");
    client = await database.connect();
  });
  beforeEach(async () => {
    claims = new Claims();
    books = new Bookkeeping(claims);
    judge = judgeOf();
    // What was planted there.
    await client.query("TRUNCATE public.matview_refresh_history");
    await write(1, 2, 3);
    await refresh(database, true);
    assert.deepEqual(await judge.look(), NOTHING);
  });
  afterEach(() => judge.close());

  const judgeOf = (options = ""): ViewJudge =>
    new ViewJudge(() => ({ ...database.options(), options }), claims);

  /** An entry more for each of these writers: a transaction each, or one. */
  const put: Draw = (models) =>
    new Map(
      models.map((model: WriterModel): [number, Operation[]] => {
        const entry = { id: model.nextEntry, account: model.accountIds[0] ?? 0, cents: 105, note: "it's" };
        return [model.writer, [{ kind: "put", entries: [entry] }]];
      }),
    );
  const write = async (...writers: number[]): Promise<void> => {
    for (const writer of writers) await spanning(writer);
  };
  /** So much later that times can be told apart, however slowly the clocks are compared. */
  const later = (): Promise<void> => sleep(150);
  const spanning = async (...writers: number[]): Promise<void> => {
    await books.transact(client, writers, put);
    // Claims are of whole milliseconds.
    const endedMs = Date.now();
    while (Date.now() < endedMs + 2) await client.query("SELECT");
  };

  /** As a refresh that is recorded by another. */
  const record = (view: string, asOf = "now()", startedAt = "now()"): Promise<unknown> =>
    client.query(
      `INSERT INTO public.matview_refresh_history
         (view_schema, view_name, view_oid, outcome, refresh_type, as_of, started_at, finished_at, duration_seconds, run_id)
       VALUES ('soak', '${view}', 'soak.${view}'::regclass, 'refreshed', 'incremental', ${asOf}, ${startedAt},
               clock_timestamp(), 0, 'planted')`,
    );
  /** What the query gives of one writer now, in the place of what is shown. */
  const copy = (writer: number): Promise<unknown> =>
    client.query(`DELETE FROM soak.balance WHERE writer = ${writer};
      INSERT INTO soak.balance SELECT * FROM ${query} WHERE writer = ${writer}`);
  const convicts = async (expected: RegExp): Promise<string[]> => {
    const { violations } = await judge.look();
    assert.ok(
      violations.some((violation) => expected.test(violation)),
      `${expected} is not in:\n${violations.join("\n")}`,
    );
    return violations;
  };

  describe("convicts", () => {
    it("one changed byte", async () => {
      await client.query("UPDATE soak.balance SET label = label || ' ' WHERE id = 2000000001");
      const [violation] = await convicts(/^balance at 1:\d+ .* differs in label: /);
      assert.match(
        violation ?? "",
        /history row \d+ \(run test, as_of .*ledger of writer 2: \d+ \(\d+\) \[\{"kind":"put"/,
      );
      await refresh(database, true);
      assert.deepEqual(await judge.look(), NOTHING);
    });

    it("one changed byte of a view that reads another", async () => {
      await client.query("UPDATE soak.summary SET total = total + 0.01 WHERE writer = 3");
      await convicts(/^summary at .* differs in total: /);
    });

    it("a row that is missing, and one too many", async () => {
      await client.query("DELETE FROM soak.balance WHERE id = 3000000003");
      await convicts(/^balance at .* differs in .*: \["3000000003".* was expected and no row is shown/);
      await refresh(database, true);
      await client.query(
        "INSERT INTO soak.balance SELECT 3000000009, writer, label, watermark FROM soak.balance WHERE id = 3000000003",
      );
      await convicts(/no row was expected and \["3000000009"/);
    });

    it("rows of one writer of two moments", async () => {
      await write(1);
      await client.query(`DELETE FROM soak.balance WHERE id = 1000000000;
        INSERT INTO soak.balance SELECT * FROM ${query} WHERE id = 1000000000`);
      await convicts(/^balance rows of writer 1 are of different moments: /);
    });

    it("a writer who is missing", async () => {
      await client.query("DELETE FROM soak.balance WHERE writer = 2");
      await convicts(/^balance no row of writer 2 is shown/);
    });

    it("a transaction that spans writers and is cut in two", async () => {
      await copy(1);
      await spanning(1, 2);
      await copy(2);
      await record("balance");
      await convicts(
        /^balance .*: a transaction \(\d+\) was cut in two: transaction \d+ of writer 2 is shown, .* writer 1 is not/,
      );
    });

    it("two snapshots, though no transaction spans them", async () => {
      await copy(1);
      await write(1, 2);
      await copy(2);
      await record("balance");
      const violations = await convicts(
        /^balance .*: no moment is like this: transaction \d+ of writer 1 had returned \d+ ms before transaction \d+ of writer 2 began/,
      );
      assert.ok(violations.every((violation) => !violation.includes("cut in two")));
    });

    it("a refresh that history claims and the view does not show", async () => {
      await write(2);
      await record("balance");
      await convicts(
        /^balance .*: as_of claims too much: transaction \d+ of writer 2 had returned \d+ ms before it/,
      );
    });

    it("an as_of that is too new", async () => {
      const { rows } = await client.query<{ id: string }>(
        "SELECT max(id) AS id FROM public.matview_refresh_history WHERE view_name = 'summary'",
      );
      await write(3);
      await later();
      await client.query(
        `UPDATE public.matview_refresh_history SET as_of = clock_timestamp(), finished_at = clock_timestamp() WHERE id = $1`,
        [rows[0]?.id],
      );
      await convicts(/^summary .*: as_of claims too much: transaction \d+ of writer 3/);
    });

    it("a run that ended before what its view shows began", async () => {
      const { rows } = await client.query<{ now: string }>("SELECT clock_timestamp()::text AS now");
      await later();
      await write(1);
      await refresh(database);
      await client.query(
        `UPDATE public.matview_refresh_history SET started_at = $1, as_of = $1, finished_at = $1
          WHERE id = (SELECT max(id) FROM public.matview_refresh_history WHERE view_name = 'balance')`,
        [rows[0]?.now],
      );
      await convicts(
        /^balance .*: history is too old: transaction \d+ of writer 1 began \d+ ms after finished_at/,
      );
    });

    it("a step back", async () => {
      await client.query("CREATE TABLE soak.before AS SELECT * FROM soak.balance");
      await write(1);
      await refresh(database);
      assert.deepEqual(await judge.look(), NOTHING);
      await client.query(
        "DELETE FROM soak.balance; INSERT INTO soak.balance TABLE soak.before; DROP TABLE soak.before",
      );
      const violations = await convicts(/^balance .*: older than before, which was 1:\d+/);
      // The content of that moment it is, and what reads it is newer.
      assert.ok(violations.every((violation) => !violation.includes("differs")));
      assert.ok(
        violations.some((violation) =>
          /^summary shows transaction \d+ of writer 1, and balance/.test(violation),
        ),
      );
    });

    it("a refresh without a row of history, unless that was to be expected", async () => {
      await write(1);
      await copy(1);
      await convicts(/^balance .*: other than before \(.*\), without a row of history/);
      await judge.excuseUntilRecorded();
      await write(1);
      await copy(1);
      assert.deepEqual(await judge.look(), NOTHING);
      await write(1);
      await refresh(database);
      assert.deepEqual(await judge.look(), NOTHING);
      await write(1);
      await copy(1);
      await convicts(/without a row of history/);
    });

    it("what was never committed, and what is committed no more", async () => {
      await client.query("UPDATE soak.balance SET watermark = 1000000 WHERE writer = 1");
      await convicts(/^balance transaction 1000000 of writer 1 is shown and is not in the ledger/);
      claims.begin(2, 5_000, Date.now() - 2);
      claims.returned(2, 5_000, Date.now() - 1);
      await convicts(/^ledger: transaction 5000 of writer 2 had returned and is not in it/);
    });
  });

  it("excuses drift until the next full run, and what reads it until its refresh after that", async () => {
    const reload: Draw = (models) =>
      new Map(models.map(({ writer }) => [writer, [{ kind: "reload", cents: 1 }]]));
    const drift = (): Promise<void> =>
      books.transact(client, [2], reload, { setUp: "SET LOCAL session_replication_role = replica" });
    await judge.excuseUntilFullRun();
    await drift();
    await write(2);
    await refresh(database);
    assert.deepEqual(await judge.look(), NOTHING);
    assert.ok(!judge.isFresh(0));
    // First what reads the wrong view, out of that.
    for (const view of views.toReversed()) {
      await runViews(database, [view], { forceFull: true });
      assert.deepEqual(await judge.look(), NOTHING);
      assert.ok(!judge.isFresh(0));
    }
    await refresh(database);
    assert.deepEqual(await judge.look(), NOTHING);
    assert.ok(judge.isFresh(Date.now()));
    await drift();
    await write(2);
    await refresh(database);
    await convicts(/^balance .* differs in total/);
    await convicts(/^summary .* differs in total/);
  });

  it("says of a view that is absent or not filled that it was not read, and judges it when it is there again", async () => {
    const other = { schema: "soak", name: "away" };
    await client.query(`ALTER TABLE soak.summary RENAME TO ${other.name}`);
    const look = await judge.look();
    assert.deepEqual([look.violations, look.unread.length], [[], 1]);
    assert.match(look.unread[0] ?? "", /^soak\.summary: .* \(42P01\)$/);
    assert.ok(!judge.isFresh(0));
    await client.query(`${VIEW_SQL.summary.split(";")[0]} WITH NO DATA`);
    assert.match((await judge.look()).unread[0] ?? "", /^soak\.summary: .* \(55000\)$/);
    await client.query("REFRESH MATERIALIZED VIEW soak.summary");
    // Made anew, and without a row of history as yet.
    assert.deepEqual(await judge.look(), NOTHING);
    await client.query(
      `DROP MATERIALIZED VIEW soak.summary; ALTER TABLE soak.${other.name} RENAME TO summary`,
    );
  });

  it("reaches no server that is away, and one that is there again", async () => {
    const away = { ...database.options(), port: 1 };
    let isAway = true;
    const other = new ViewJudge(() => (isAway ? away : database.options()), claims);
    assert.deepEqual(await other.look(), { reached: false, violations: [], unread: [] });
    assert.ok(!other.isFresh(0));
    isAway = false;
    assert.deepEqual(await other.look(), NOTHING);
    await client.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = 'soak judge' AND datname = current_database()`,
    );
    // Whether the end of its connection has been heard of or not.
    await other.look();
    assert.deepEqual(await other.look(), NOTHING);
    await other.close();
  });

  describe("reckons with a server whose clock is another", () => {
    /** By what the judge asks of the server; history has its times by the same. */
    before(() =>
      client.query(`CREATE SCHEMA moved; CREATE TABLE moved.ahead AS SELECT interval '1 hour' AS by;
        CREATE FUNCTION moved.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
          'SELECT pg_catalog.clock_timestamp() + by FROM moved.ahead'`),
    );
    const ahead = (by: string): Promise<unknown> => client.query("UPDATE moved.ahead SET by = $1", [by]);
    /** Writes into history what a run writes whose server has that clock. */
    const move = (): Promise<unknown> =>
      client.query(
        `UPDATE public.matview_refresh_history h SET as_of = as_of + by, started_at = started_at + by, finished_at = finished_at + by
           FROM moved.ahead WHERE id IN (SELECT max(id) FROM public.matview_refresh_history GROUP BY view_name)`,
      );
    beforeEach(async () => {
      await judge.close();
      judge = judgeOf("-c search_path=moved,pg_catalog");
      await ahead("1 hour");
    });

    it("from the beginning", async () => {
      await move();
      assert.deepEqual(await judge.look(), NOTHING);
      await write(1);
      await later();
      await record("balance", "moved.clock_timestamp()", "moved.clock_timestamp()");
      await convicts(/^balance .*: as_of claims too much/);
    });

    it("that was moved since the last look", async () => {
      await move();
      assert.deepEqual(await judge.look(), NOTHING);
      await ahead("2 hours");
      await write(1);
      await later();
      // Before or after the clock was moved: nobody can tell.
      await record("balance", "moved.clock_timestamp()", "moved.clock_timestamp()");
      assert.deepEqual(await judge.look(), NOTHING);
      await record("balance", "moved.clock_timestamp()", "moved.clock_timestamp()");
      await convicts(/^balance .*: as_of claims too much/);
    });

    it("and was moved back, which it is told", async () => {
      await move();
      assert.deepEqual(await judge.look(), NOTHING);
      await write(1);
      await ahead("2 hours");
      await record("balance", "moved.clock_timestamp()", "moved.clock_timestamp()");
      await ahead("1 hour");
      judge.clockWasMoved();
      assert.deepEqual(await judge.look(), NOTHING);
    });
  });
});
