/** The alarms of a maintained view, replayed: drift that a full run finds, and full runs that are too many. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { makePlan, type AlarmPlan } from "../../../components/plan/plan";
import { parseSettings } from "../../../components/settings/parseSettings";
import { keepableStalenessSeconds } from "../../../components/time/alarmTiming";
import { mostTimeoutSeconds } from "../../../components/time/limits";
import { datapointsOf, replayAlarm, type Course, type Transition } from "../../../components/time/replay";
import { parseRefreshRate, sampleTicks } from "../../../components/time/schedule";
import { acceptedRates } from "./rates";

/** A deployed schedule with a maintained view, and what is left to chance in it. */
interface Stack {
  refreshRate: string;
  timeoutSeconds: number;
  fullEvery: string;
  phaseSeconds: number;
  /** Numbers from 0 to 1, used over and over: how late metrics are, how long runs take, and which of them fail. */
  chances: number[];
}

const stacksOf = (fullEvery: fc.Arbitrary<string>): fc.Arbitrary<Stack> =>
  acceptedRates
    .chain((refreshRate) =>
      fc.record({
        refreshRate: fc.constant(refreshRate),
        timeoutSeconds: fc.integer({ min: 3, max: mostTimeoutSeconds(parseRefreshRate(refreshRate)) }),
        fullEvery,
        phaseSeconds: fc.integer({ min: 0, max: 59 }),
        chances: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 7, maxLength: 13 }),
      }),
    )
    .filter(({ refreshRate, timeoutSeconds }) =>
      Number.isFinite(
        keepableStalenessSeconds({ schedule: parseRefreshRate(refreshRate), timeoutSeconds }, 1),
      ),
    );

const daily = stacksOf(fc.constant("rate(1 day)"));
const anyFullEvery = stacksOf(
  fc.oneof(
    fc.integer({ min: 2, max: 120 }).map((minutes) => `rate(${minutes} minutes)`),
    fc.integer({ min: 2, max: 100 }).map((hours) => `rate(${hours} hours)`),
    fc.integer({ min: 2, max: 30 }).map((days) => `rate(${days} days)`),
  ),
);

function alarmOf(stack: Stack, kind: AlarmPlan["kind"]): AlarmPlan | undefined {
  const { refreshRate, timeoutSeconds, fullEvery } = stack;
  const views = [{ name: "public.job_progress", incremental: { fullEvery } }];
  const { alarms } = makePlan(parseSettings({ views, refreshRate, timeoutSeconds }, "local"));
  return alarms.find((alarm) => alarm.kind === kind);
}

/** What an alarm goes through while ticks come to what `course` says, beginning with all that was in order before. */
function replay(
  stack: Stack,
  alarm: AlarmPlan,
  course: (atSeconds: number, chance: number, index: number) => Course,
): Transition[] {
  const { refreshRate, timeoutSeconds, phaseSeconds, chances } = stack;
  const all = sampleTicks(parseRefreshRate(refreshRate), 9_000).map((tick) => tick + phaseSeconds);
  const fromSeconds = all[0] ?? 0;
  const toSeconds = Math.min(all.at(-1) ?? 0, fromSeconds + Math.max(3 * alarm.periodSeconds, 4 * 86_400));
  const chanceAt = (index: number): number => chances[index % chances.length] ?? 0;
  const ticks = all
    .filter((tick) => tick <= toSeconds)
    .map((atSeconds, index) => ({ atSeconds, course: course(atSeconds, chanceAt(index), index) }));
  let asked = 0;
  const points = datapointsOf(ticks, { timeoutSeconds, lateSeconds: () => 60 * chanceAt(asked++) });
  const transitions = replayAlarm(alarm, points, { fromSeconds, toSeconds });
  return transitions.filter(({ state }, index) => !(index === 0 && state === "OK"));
}

/** Full when `fullEvery` is over since the last full run, as the fold decides it; some runs fail. */
function byTheCalendar({ fullEvery, timeoutSeconds }: Stack): (at: number, chance: number) => Course {
  const everySeconds = parseRefreshRate(fullEvery).intervalSeconds;
  let lastFull = -Infinity;
  let heldUntil = -Infinity;
  return (at, chance) => {
    const seconds = chance * timeoutSeconds;
    if (at < heldUntil) return { kind: "refreshed", seconds, isFull: false };
    heldUntil = at + seconds;
    if (chance > 0.9) return { kind: "failed", seconds };
    const isFull = at - lastFull >= everySeconds;
    if (isFull) lastFull = at;
    return { kind: "refreshed", seconds, isFull };
  };
}

const states = (transitions: Transition[]): string[] => transitions.map(({ state }) => state);

describe("alarms of a maintained view, replayed", function () {
  this.timeout(120_000);

  for (const [often, stacks] of [
    ["once a day", daily],
    ["as often as is set", anyFullEvery],
  ] as const) {
    it(`full runs ${often}, by the calendar: no alarm, at any schedule, whatever fails`, () => {
      fc.assert(
        fc.property(stacks, (stack) => {
          const alarm = alarmOf(stack, "fullRuns");
          if (alarm !== undefined) assert.deepEqual(replay(stack, alarm, byTheCalendar(stack)), []);
        }),
        { numRuns: 60 },
      );
    });
  }

  it("a full run at every tick: told within two windows and until it is over, where it was not due", () => {
    fc.assert(
      fc.property(daily, fc.boolean(), (stack, isSlow) => {
        const alarm = alarmOf(stack, "fullRuns");
        const { ticks, intervalSeconds } = parseRefreshRate(stack.refreshRate);
        if (alarm === undefined) {
          assert.ok(intervalSeconds > 12 * 3_600, `no alarm at ${stack.refreshRate}`);
          return;
        }
        const transitions = replay(stack, alarm, (_, chance) => {
          return { kind: "refreshed", seconds: isSlow ? stack.timeoutSeconds * chance : 0.3, isFull: true };
        });
        assert.equal(transitions[0]?.state, "ALARM", stack.refreshRate);
        if (ticks.kind === "cron") return;
        assert.deepEqual(states(transitions), ["ALARM"]);
        const start = sampleTicks(parseRefreshRate(stack.refreshRate), 1)[0] ?? 0;
        assert.ok(transitions[0].atSeconds - start <= 2 * alarm.periodSeconds + 3_600);
      }),
      { numRuns: 60 },
    );
  });

  it("a third of the runs full: no alarm where runs are dense", () => {
    const stack = { refreshRate: "rate(1 minute)", timeoutSeconds: 60, fullEvery: "rate(1 day)" };
    const sure = { ...stack, phaseSeconds: 7, chances: [0.5] };
    const alarm = alarmOf(sure, "fullRuns");
    assert.equal(alarm?.periodSeconds, 3_600, "an hour");
    const every = (n: number) =>
      replay(sure, alarm, (_, _chance, index) => ({
        kind: "refreshed",
        seconds: 0.3,
        isFull: index % n === 0,
      }));
    assert.deepEqual(states(every(3)), []);
    assert.deepEqual(states(every(1)), ["ALARM"]);
  });

  it("has no alarm on full runs where each is due to be one, and always one on drift", () => {
    for (const [refreshRate, fullEvery, isWatched] of [
      ["rate(1 minute)", "rate(1 day)", true],
      ["rate(12 hours)", "rate(1 day)", true],
      ["rate(1 day)", "rate(1 day)", false],
      ["rate(1 day)", "rate(30 days)", true],
      ["rate(1 minute)", "rate(1 minute)", false],
      ["rate(12 seconds)", "rate(2 minutes)", true],
    ] as const) {
      const stack = { refreshRate, fullEvery, timeoutSeconds: 10, phaseSeconds: 0, chances: [0] };
      assert.equal(alarmOf(stack, "fullRuns") !== undefined, isWatched, `${refreshRate}, ${fullEvery}`);
      assert.ok(alarmOf(stack, "drift"));
    }
  });

  it("drift: told when one row of one full run differs, and over after an hour; full runs without: never", () => {
    fc.assert(
      fc.property(daily, fc.nat({ max: 20 }), (stack, driftAt) => {
        const alarm = alarmOf(stack, "drift")!;
        const found = (driftRows: number) =>
          replay(stack, alarm, (_at, _chance, index) => ({
            kind: "refreshed",
            seconds: 0.3,
            isFull: index === driftAt,
            ...(index === driftAt ? { driftRows } : index % 3 === 0 ? { driftRows: 0 } : {}),
          }));
        assert.deepEqual(found(0), []);
        const drifted = found(1);
        const { intervalSeconds } = parseRefreshRate(stack.refreshRate);
        if (drifted.length === 0) {
          assert.ok((driftAt + 1) * intervalSeconds > 3 * 86_400, "the replay ends before");
          return;
        }
        assert.equal(drifted[0]?.state, "ALARM");
        if (drifted[1] === undefined) return;
        assert.equal(drifted[1].state, "OK");
        const toldSeconds = drifted[1].atSeconds - drifted[0].atSeconds;
        assert.ok(toldSeconds > 3_480 && toldSeconds <= 3_600, `${toldSeconds} s`);
        assert.equal(drifted.length, 2);
      }),
      { numRuns: 60 },
    );
  });
});
