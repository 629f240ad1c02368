import assert from "node:assert/strict";
import { escapeIdentifier, escapeLiteral } from "pg";
import type { Delivery, Phase, Run } from "../../soak/bed/bed";
import { tickOf } from "../../local/tally";
import { useDatabase } from "../database";
import { ITEMS, maintain, TOTALS } from "../handler/maintainedView";
import { startSmallBed, type SmallBed } from "./wireBed";

const outcomes = (runs: Run[]): string[] =>
  runs.map(({ kind, invocation }) => `${kind}: ${tickOf(invocation, false).outcome}`);

describe("the phases of a run of the bundle", () => {
  const database = useDatabase();
  const LOGIN = ["connect", "tls", "authenticate"];

  /** Phases of a run of these views but for its other queries, in order. */
  async function phasesOf(names: string[]): Promise<Phase[]> {
    const bed = await startSmallBed(database, 3, names);
    try {
      await bed.tick();
      const seen: Phase[] = [];
      const all: Phase[] = ["connect", "tls", "authenticate", "begin", "refresh", "history", "commit"];
      for (const phase of all)
        bed.wire.ambush({ phase, moment: "before", times: 100, act: () => void seen.push(phase) });
      assert.deepEqual(outcomes(await bed.tick()), ["tick: refreshed"]);
      return seen;
    } finally {
      await bed.stop();
    }
  }

  it("are those of each view in turn", async () => {
    const view = ["begin", "refresh", "history", "commit"];
    assert.deepEqual(await phasesOf(["soak.balance", "soak.summary"]), [...LOGIN, ...view, ...view]);
  });

  it("are those of a fold, which begins twice", async () => {
    const client = await database.connect();
    await client.query(ITEMS);
    await maintain(client, TOTALS);
    const fold = ["begin", "begin", "refresh", "history", "commit"];
    assert.deepEqual(await phasesOf(["public.totals"]), [...LOGIN, ...fold]);
  });
});

describe("the function on the bed", () => {
  const database = useDatabase();
  let bed: SmallBed;
  before(async function () {
    this.timeout(60_000);
    bed = await startSmallBed(database, 3);
  });
  after(() => bed.stop());
  afterEach(async () => {
    // What a test has paused or held back would come in the next one.
    bed.fn.resume();
    bed.wire.thaw();
    await bed.fn.settle();
  });

  it("refreshes by the wire, and tells its log from its metrics", async () => {
    const [run, ...others] = await bed.tick();
    assert.deepEqual(others, []);
    assert.equal(run?.invocation.outcome, "succeeded", run?.invocation.error?.errorMessage);
    assert.match(run.lines.join("\n"), /Refreshing soak\.balance/);
    assert.doesNotMatch(run.lines.join("\n"), /_aws/);
    const named = run.metrics.filter(({ name }) => name === "RefreshSucceeded");
    assert.equal(named.length, 2, JSON.stringify(run.metrics));
    assert.ok(run.endedEpochMs >= run.invocation.startedEpochMs);
  });

  it("keeps the lines of two runs at one time apart", async () => {
    bed.fn.delivery = "twice";
    const runs = await bed.tick();
    const refreshed = runs.find(({ kind }) => kind === "tick");
    assert.equal(runs.length, 2);
    const ids = new Set(runs.map(({ invocation }) => invocation.requestId));
    assert.equal(ids.size, 2);
    assert.ok(refreshed !== undefined);
    for (const { lines } of runs) assert.equal(lines.filter((line) => /Connecting/.test(line)).length, 1);
  });

  for (const [delivery, now, next] of [
    ["once", ["tick"], ["tick"]],
    ["twice", ["again", "tick"], ["tick"]],
    ["by hand too", ["by hand", "tick"], ["tick"]],
    ["late", [], ["late", "tick"]],
    ["out of order", [], ["tick", "late"]],
    ["never", [], ["tick"]],
    ["throttled", [], ["tick"]],
  ] as [Delivery, Run["kind"][], Run["kind"][]][])
    it(`delivers a tick ${delivery}, and the next one once`, async () => {
      const throttledBefore = bed.fn.throttledTicks.length;
      bed.fn.delivery = delivery;
      const kinds = (await bed.tick()).map(({ kind }) => kind).sort();
      assert.deepEqual(kinds, now);
      const later = await bed.tick();
      assert.deepEqual(
        later.map(({ kind }) => kind),
        next,
      );
      assert.ok(later.every(({ invocation }) => invocation.outcome === "succeeded"));
      assert.equal(bed.fn.throttledTicks.length - throttledBefore, delivery === "throttled" ? 1 : 0);
    });

  it("kills the run under way, and the next has a process of its own", async () => {
    bed.wire.ambush({ phase: "refresh", moment: "after", act: () => bed.fn.kill() });
    const [killed] = await bed.tick();
    assert.equal(killed?.invocation.outcome, "crashed");
    assert.match(killed.invocation.error?.errorMessage ?? "", /signal: killed/);
    const [next] = await bed.tick();
    assert.equal(next?.invocation.outcome, "succeeded");
    assert.notEqual(next.invocation.pid, killed.invocation.pid);
  });

  it("stops a run until its timeout ends it", async () => {
    bed.wire.ambush({ phase: "begin", moment: "after", act: () => bed.fn.hang() });
    const [hung] = await bed.tick();
    assert.equal(hung?.invocation.outcome, "timedOut");
    assert.ok(hung.invocation.durationMs >= 2_990);
  });

  it("resumes a run that hangs before its timeout", async () => {
    bed.wire.ambush({
      phase: "refresh",
      moment: "before",
      act() {
        bed.fn.hang();
        setTimeout(() => bed.fn.resume(), 100);
      },
    });
    assert.deepEqual(outcomes(await bed.tick()), ["tick: refreshed"]);
  });

  it("leaves a paused run behind, which ends in a later tick", async () => {
    bed.wire.ambush({ phase: "refresh", moment: "after", act: () => bed.fn.pause() });
    assert.deepEqual(await bed.tick(), []);
    assert.deepEqual(await bed.sessions(), ["idle in transaction"]);
    const others = await bed.tick();
    assert.deepEqual(outcomes(others), ["tick: skipped"], "its lock is held by the one that sleeps");
    bed.fn.resume();
    const [woken, ...none] = await bed.fn.settle();
    assert.deepEqual(none, []);
    assert.deepEqual(outcomes(woken === undefined ? [] : [woken]), ["tick: refreshed"]);
    assert.equal(woken?.tick, (others[0]?.tick ?? 0) - 1);
  });

  it("logs in with the password that it is given", async () => {
    const alter = (password: string): Promise<unknown> =>
      bed.client.query(`ALTER ROLE ${escapeIdentifier(bed.fn.user)} PASSWORD ${escapeLiteral(password)}`);
    await alter("another");
    const [refused] = await bed.tick();
    assert.match(refused?.invocation.error?.errorMessage ?? "", /28P01/);
    await bed.fn.password("another");
    assert.deepEqual(outcomes(await bed.tick()), ["tick: refreshed"]);
  });
});
