import assert from "node:assert/strict";
import type { Client } from "pg";
import { judgeGrowth, SizeWatch, type SizeSample } from "../../soak/judge/growth";
import { LeftoversJudge, type LeftoverCircumstances } from "../../soak/judge/leftovers";
import { until } from "../handler/harness";
import { useDatabase } from "../database";
import { BALANCE, MAKE_VIEWS, realRun, SUMMARY } from "./runs";

/** Long ago, so that the judge waits for nothing. */
const LONG_AGO: LeftoverCircumstances = { lastEndedEpochMs: 0, isWireSilent: false, isStandbyLost: false };
const TAKE_LOCK =
  "SELECT pg_advisory_xact_lock((0x6d767266::bigint << 32) | 'soak.balance'::regclass::bigint)";

describe("the judge of what is left", () => {
  const database = useDatabase();
  let client: Client;
  const judge = new LeftoversJudge(() => database.options(), [BALANCE, SUMMARY]);

  before(async () => {
    client = await database.connect();
    await client.query(MAKE_VIEWS);
  });

  const sessionOf = (name: string): Promise<Client> => database.connect({ application_name: name });

  const onlyFault = (faults: string[], expected: RegExp): void => {
    assert.equal(faults.length, 1, faults.join("\n"));
    assert.match(faults[0] ?? "", expected);
  };

  it("finds nothing after a run, nor in what others do", async () => {
    await realRun(database, [BALANCE, SUMMARY]);
    const reader = await sessionOf("psql");
    await reader.query("BEGIN; SELECT count(*) FROM soak.balance");
    const now = { ...LONG_AGO, lastEndedEpochMs: Date.now() };
    assert.deepEqual(await judge.check(now), []);
    await reader.end();
  });

  it("convicts a session that stays, with what it holds", async () => {
    const left = await sessionOf("matview-refresh");
    await left.query("BEGIN; REFRESH MATERIALIZED VIEW CONCURRENTLY soak.balance");
    await left.query(TAKE_LOCK);
    onlyFault(
      await judge.check(LONG_AGO),
      /session \d+ .* idle in transaction.* holds advisory ExclusiveLock on soak\.balance,.* relation ExclusiveLock on soak\.balance.*: SELECT pg_advisory/,
    );
    await left.end();
  });

  it("waits for one that ends by itself, as long as it may", async () => {
    const left = await sessionOf("matview-refresh");
    const checking = judge.check({ ...LONG_AGO, lastEndedEpochMs: Date.now() });
    await until(
      client,
      `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'soak judge' AND datname = current_database()
                       AND query LIKE '%pg_ls_tmpdir%')`,
    );
    await left.end();
    assert.deepEqual(await checking, []);
  });

  it("allows a session while the network is silent, but none that holds a view", async () => {
    const patient = new LeftoversJudge(() => database.options(), [BALANCE], 0);
    const left = await sessionOf("matview-refresh");
    const silent = { ...LONG_AGO, isWireSilent: true };
    await left.query("BEGIN; SELECT count(*) FROM soak.entry");
    assert.deepEqual(await patient.check(silent), []);
    await left.query("SELECT count(*) FROM soak.balance");
    onlyFault(await patient.check(silent), /AccessShareLock on soak\.balance/);
    await left.end();
  });

  it("convicts the lock of a view's folds that is still held", async () => {
    await client.query("CREATE TABLE matview_refresh.soak__balance__lock ()");
    const left = await sessionOf("matview-refresh");
    await left.query("BEGIN; LOCK TABLE matview_refresh.soak__balance__lock IN EXCLUSIVE MODE");
    const silent = { ...LONG_AGO, isWireSilent: true };
    onlyFault(await judge.check(silent), /relation ExclusiveLock on matview_refresh\.soak__balance__lock/);
    await left.end();
    await client.query("DROP TABLE matview_refresh.soak__balance__lock");
  });

  it("convicts an advisory lock in other hands", async () => {
    const other = await sessionOf("psql");
    await other.query("BEGIN");
    await other.query(TAKE_LOCK);
    onlyFault(await judge.check(LONG_AGO), /advisory lock of soak\.balance is held .* by pid \d+/);
    await other.end();
  });

  it("convicts temporary tables", async () => {
    const other = await sessionOf("psql");
    await other.query("CREATE TEMPORARY TABLE pg_temp_1_2 AS SELECT 1 AS one");
    onlyFault(await judge.check(LONG_AGO), /temporary table .*pg_temp_1_2/);
    await other.end();
    await until(client, "SELECT NOT EXISTS (SELECT FROM pg_class WHERE relname = 'pg_temp_1_2')");
  });
});

describe("the watch on sizes", () => {
  const database = useDatabase();

  it("measures views, history, what maintains them and what they read", async () => {
    const client = await database.connect();
    await client.query(MAKE_VIEWS);
    await client.query("CREATE TABLE matview_refresh.soak__balance__log_1 AS SELECT 1 AS one");
    const watch = new SizeWatch(() => database.options(), [BALANCE, SUMMARY], ["soak.entry"]);
    await watch.sample(1);
    const [sample] = watch.samples;
    assert.deepEqual(Object.keys(sample?.bytes ?? {}).sort(), [
      "matview_refresh.soak__balance__log_1",
      "public.matview_refresh_history",
      "soak.balance",
      "soak.summary",
    ]);
    assert.ok((sample?.sourceBytes ?? 0) >= 8_192);
  });

  it("goes on where a view is locked", async () => {
    const locker = await database.connect();
    await locker.query("BEGIN; REFRESH MATERIALIZED VIEW soak.balance");
    const watch = new SizeWatch(() => database.options(), [BALANCE], []);
    await watch.sample(1);
    assert.deepEqual(watch.samples, []);
    await locker.query("ROLLBACK");
  });

  const MB = 1_048_576;
  const samples = (
    bytesAt: (tick: number) => number,
    sourceAt = (_: number): number => 10 * MB,
    bytesOfHistoryRow = 300,
  ): SizeSample[] =>
    Array.from({ length: 200 }, (_, tick) => ({
      tick,
      bytes: {
        "matview_refresh.soak__balance__log_1": bytesAt(tick),
        "public.matview_refresh_history": tick * bytesOfHistoryRow,
      },
      sourceBytes: sourceAt(tick),
      historyRows: tick,
      rowsLogged: 0,
    }));

  it("convicts what grows with every tick, and not what comes and goes", () => {
    const [fault, ...others] = judgeGrowth(samples((tick) => tick * 100_000));
    assert.match(fault ?? "", /log_1 grows/);
    assert.deepEqual(others, []);
    assert.deepEqual(judgeGrowth(samples((tick) => (tick % 10 === 0 ? 50 * MB : 8_192))), []);
    const [ofHistory] = judgeGrowth(samples(() => MB, undefined, 20_000));
    assert.match(ofHistory ?? "", /matview_refresh_history has \d+ bytes for [\d.]+ rows/);
  });

  it("allows for what the tables have grown by", () => {
    const grows = (tick: number): number => tick * 100_000 + MB;
    assert.deepEqual(judgeGrowth(samples(grows, (tick) => (tick + 1) * MB)), []);
  });
});
