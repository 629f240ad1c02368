import assert from "node:assert/strict";
import type { Client } from "pg";
import { RefreshFailure } from "../../handler/failure";
import type { Report } from "../../handler/report";
import type { Run } from "../../soak/bed/bed";
import { HistoryJudge } from "../../soak/judge/history";
import { useDatabase } from "../database";
import { BALANCE, MAKE_VIEWS, plantedRun, realRun, SUMMARY } from "./runs";

const QUIET = { clockMoved: false };

const failure = (code: string, view: string | undefined = "soak.balance"): RefreshFailure =>
  new RefreshFailure({ kind: "transient", code, problem: "it went wrong", remedy: "npm run refresh", view });

/** A refresh whose connection is lost, tried again with what comes of it. */
const lostAndAgain = (report: Report): void => {
  report.connecting();
  report.refreshing(BALANCE);
  report.retrying(failure("ECONNRESET"), 1);
  report.connecting();
  report.refreshing(BALANCE);
};

const succeed = (report: Report): void =>
  report.finished({
    ...{ view: BALANCE, outcome: "refreshed", refreshType: "concurrent", durationSeconds: 0.1 },
    ...{ asOf: undefined, stalenessSeconds: undefined, statistics: {} },
  });

const fail = (report: Report, code: string): void =>
  report.finished({ view: BALANCE, outcome: "failed", failure: failure(code), stalenessSeconds: undefined });

/** A run whose one refresh comes to this. */
const refreshedRun = (more: Partial<Run["invocation"]> = {}): Run =>
  plantedRun({ outcome: "succeeded", ...more }, (report) => {
    report.connecting();
    report.refreshing(BALANCE);
    succeed(report);
  });

const failedRun = (code: string): Run =>
  plantedRun({ outcome: "failed" }, (report) => {
    report.connecting();
    report.refreshing(BALANCE);
    fail(report, code);
  });

describe("the judge of history", () => {
  const database = useDatabase();
  let client: Client;
  let judge: HistoryJudge;

  before(async () => {
    client = await database.connect();
    await client.query(MAKE_VIEWS);
  });

  beforeEach(async () => {
    judge = new HistoryJudge(() => database.options(), [BALANCE, SUMMARY], {
      "soak.summary": ["soak.balance"],
    });
    await judge.begin();
  });

  /** Rows of a run, some seconds ago, of so many seconds before. */
  const plant = async (
    run: Run,
    outcome: string,
    more: { asOf?: string; sqlstate?: string } = {},
  ): Promise<void> => {
    await client.query(
      `INSERT INTO public.matview_refresh_history
         (view_schema, view_name, view_oid, outcome, as_of, started_at, finished_at, duration_seconds, run_id, sqlstate)
       VALUES ('soak', 'balance', 'soak.balance'::regclass, $2,
               CASE WHEN $2 = 'refreshed' THEN coalesce($3::timestamptz, clock_timestamp()) END,
               now(), clock_timestamp(), 0.1, $1, $4)`,
      [run.invocation.requestId, outcome, more.asOf, more.sqlstate],
    );
  };

  const onlyFault = (faults: string[], expected: RegExp): void => {
    assert.equal(faults.length, 1, faults.join("\n"));
    assert.match(faults[0] ?? "", expected);
  };

  it("finds nothing wrong with runs that refreshed, and hands on their rows", async () => {
    const run = await realRun(database, [BALANCE, SUMMARY]);
    assert.equal(run.invocation.outcome, "succeeded", run.lines.join("\n"));
    assert.deepEqual(await judge.check([run], QUIET), []);
    assert.deepEqual(
      judge.newRows.map(({ view, outcome }) => `${view} ${outcome}`),
      ["soak.balance refreshed", "soak.summary refreshed"],
    );
    const again = await realRun(database, [BALANCE, SUMMARY]);
    assert.deepEqual(await judge.check([again], QUIET), []);
    assert.equal(judge.newRows.length, 2);
  });

  it("convicts a lost row of a refresh", async () => {
    const run = await realRun(database, [BALANCE]);
    await client.query("DELETE FROM public.matview_refresh_history WHERE run_id = $1", [
      run.invocation.requestId,
    ]);
    onlyFault(await judge.check([run], QUIET), /soak\.balance was refreshed, which history does not have/);
  });

  it("takes a run at its word that it could not record", async () => {
    const run = await realRun(database, [BALANCE]);
    await client.query("DELETE FROM public.matview_refresh_history WHERE run_id = $1", [
      run.invocation.requestId,
    ]);
    run.lines.splice(
      -1,
      0,
      "[now] history: the refresh of soak.balance is done and not recorded: refused (55P03)",
    );
    assert.deepEqual(await judge.check([run], QUIET), []);
  });

  it("takes a view for as old as the one that its run refreshed and did not record", async () => {
    const judgeAgain = new HistoryJudge(() => database.options(), [BALANCE, SUMMARY], {
      "soak.summary": ["soak.balance"],
    });
    await judgeAgain.begin();
    const run = await realRun(database, [BALANCE, SUMMARY]);
    await client.query(
      "DELETE FROM public.matview_refresh_history WHERE run_id = $1 AND view_name = 'balance'",
      [run.invocation.requestId],
    );
    const lines = [...run.lines];
    assert.match((await judge.check([run], QUIET)).join("\n"), /its as_of is no time of its run/);
    lines.splice(
      -1,
      0,
      "[now] history: the refresh of soak.balance is done and not recorded: refused (55P03)",
    );
    assert.deepEqual(await judgeAgain.check([{ ...run, lines }], QUIET), []);
  });

  it("convicts rows that vanish later", async () => {
    const run = await realRun(database, [BALANCE]);
    assert.deepEqual(await judge.check([run], QUIET), []);
    await client.query("DELETE FROM public.matview_refresh_history WHERE run_id = $1", [
      run.invocation.requestId,
    ]);
    onlyFault(await judge.check([], QUIET), /1 rows of history are gone/);
  });

  it("convicts a second row of one refresh, unless the connection was lost in between", async () => {
    const connected = plantedRun({ outcome: "succeeded" }, (report) => {
      report.connecting();
      report.refreshing(BALANCE);
      report.retrying(failure("40001"), 1);
      report.refreshing(BALANCE);
      succeed(report);
    });
    await plant(connected, "refreshed");
    await plant(connected, "refreshed");
    onlyFault(await judge.check([connected], QUIET), /history says 2 times/);

    const lost = plantedRun({ outcome: "succeeded" }, (report) => {
      lostAndAgain(report);
      succeed(report);
    });
    await plant(lost, "refreshed");
    await plant(lost, "refreshed");
    assert.deepEqual(await judge.check([lost], QUIET), []);
    await plant(lost, "refreshed");
    onlyFault(await judge.check([], QUIET), /history says 3 times/);
  });

  it("lets a run that was killed have refreshed what it had begun, once, whenever that is seen", async () => {
    const killed = plantedRun({ outcome: "crashed" }, (report) => {
      report.connecting();
      report.refreshing(BALANCE);
    });
    assert.deepEqual(await judge.check([killed], QUIET), []);
    await plant(killed, "refreshed");
    assert.deepEqual(await judge.check([], QUIET), []);
    await plant(killed, "refreshed");
    onlyFault(await judge.check([], QUIET), /history says 2 times/);
  });

  it("convicts a refresh of a run that had only connected when it was killed", async () => {
    const killed = plantedRun({ outcome: "crashed" }, (report) => report.connecting());
    await plant(killed, "refreshed");
    onlyFault(await judge.check([killed], QUIET), /lost its connection 0 times/);
  });

  it("convicts a refresh that its run says has failed, unless the answer of COMMIT was lost", async () => {
    const told = failedRun("57014");
    await plant(told, "refreshed");
    await plant(told, "failed", { sqlstate: "57014" });
    onlyFault(await judge.check([told], QUIET), /the run says failed/);

    const lost = plantedRun({ outcome: "failed" }, (report) => {
      lostAndAgain(report);
      fail(report, "ECONNRESET");
    });
    await plant(lost, "refreshed");
    assert.deepEqual(await judge.check([lost], QUIET), []);
  });

  it("wants a row for a failure, with its code, where there was a connection", async () => {
    await client.query("DROP INDEX soak.balance_key");
    const run = await realRun(database, [BALANCE]);
    await client.query("CREATE UNIQUE INDEX balance_key ON soak.balance (account)");
    assert.equal(run.invocation.outcome, "failed", run.lines.join("\n"));
    assert.deepEqual(await judge.check([run], QUIET), []);
    assert.equal(judge.newRows[0]?.outcome, "failed");

    const silent = failedRun("57014");
    onlyFault(await judge.check([silent], QUIET), /failed \(57014\), which history does not have/);

    const other = failedRun("57014");
    await plant(other, "failed", { sqlstate: "55P03" });
    onlyFault(await judge.check([other], QUIET), /sqlstate is 55P03, the run failed with 57014/);
  });

  it("wants no row of a run that never reached the server, nor of what it then left out", async () => {
    const run = plantedRun({ outcome: "failed" }, (report) => {
      report.connecting();
      report.retrying(failure("ECONNREFUSED", undefined), 1);
      report.connecting();
      for (const view of [BALANCE, SUMMARY])
        report.finished({
          ...{ view, outcome: "failed", stalenessSeconds: undefined },
          failure: failure("ECONNREFUSED", `${view.schema}.${view.name}`),
        });
    });
    assert.deepEqual(await judge.check([run], QUIET), []);
  });

  it("wants a row for a skip, and none that says so of a view that was not skipped", async () => {
    const skip = (report: Report): void => {
      report.connecting();
      report.refreshing(SUMMARY);
      report.finished({ view: BALANCE, outcome: "skipped", reason: "another", stalenessSeconds: undefined });
    };
    onlyFault(
      await judge.check([plantedRun({ outcome: "succeeded" }, skip)], QUIET),
      /soak\.balance skipped/,
    );
    const refreshed = await realRun(database, [BALANCE]);
    await plant(refreshed, "skipped");
    onlyFault(await judge.check([refreshed], QUIET), /the run says that soak\.balance was refreshed/);
  });

  it("convicts a row of no run, but not those that commands write", async () => {
    const nobody = plantedRun({ outcome: "succeeded" });
    await plant(nobody, "refreshed");
    onlyFault(await judge.check([], QUIET), /that of no run/);
    await plant(plantedRun({ outcome: "succeeded", requestId: "manual" }), "refreshed");
    assert.deepEqual(await judge.check([], QUIET), []);
  });

  it("convicts data that goes back in time, unless the clock was moved", async () => {
    const first = await realRun(database, [BALANCE]);
    assert.deepEqual(await judge.check([first], QUIET), []);
    const back = refreshedRun();
    await plant(back, "refreshed", { asOf: "2020-01-01" });
    const [ofNoRun, goesBack] = await judge.check([back], QUIET);
    assert.match(ofNoRun ?? "", /as_of is no time of its run/);
    assert.match(goesBack ?? "", /as_of goes .* back/);
    const moved = refreshedRun();
    await plant(moved, "refreshed", { asOf: "2019-01-01" });
    assert.deepEqual(await judge.check([moved], { clockMoved: true }), []);
  });

  it("convicts a time of data in two rows, unless it is that of the view that is read", async () => {
    const run = await realRun(database, [BALANCE]);
    assert.deepEqual(await judge.check([run], QUIET), []);
    const again = `INSERT INTO public.matview_refresh_history
        (view_schema, view_name, view_oid, outcome, as_of, started_at, finished_at, duration_seconds, run_id)
      SELECT 'soak', $1, ('soak.' || $1)::regclass, outcome, as_of, clock_timestamp(), clock_timestamp(), 0, 'manual'
        FROM public.matview_refresh_history ORDER BY id DESC LIMIT 1`;
    for (const _ of [1, 2]) await client.query(again, ["summary"]);
    assert.deepEqual(await judge.check([], QUIET), []);
    await client.query(again, ["balance"]);
    const [twice] = await judge.check([], QUIET);
    assert.match(twice ?? "", /soak\.balance refreshed\): its as_of is that of row \d+ too/);
  });

  it("convicts a row that is of another time than its run", async () => {
    const run = refreshedRun({ startedEpochMs: Date.now() - 100_000 });
    await plant(run, "refreshed");
    onlyFault(await judge.check([{ ...run, endedEpochMs: Date.now() - 90_000 }], QUIET), /not of the time/);
  });
});
