import assert from "node:assert/strict";
import fc from "fast-check";
import { mostTimeoutSeconds } from "../../../components/plan/functionPlan";
import { makePlan, type AlarmPlan } from "../../../components/plan/plan";
import { parseSettings, type Settings } from "../../../components/settings/settings";
import { evaluationSeconds } from "../../../components/time/alarmRule";
import {
  failingWindow,
  keepableStalenessSeconds,
  toldWithinSeconds,
} from "../../../components/time/alarmTiming";
import {
  datapointsOf,
  replayAlarm,
  type Course,
  type Tick,
  type Transition,
} from "../../../components/time/replay";
import { parseRefreshRate, sampleTicks } from "../../../components/time/schedule";
import { acceptedRates } from "./rates";

/** A deployed schedule, and what is left to chance in it. */
interface Stack {
  settings: Settings;
  alarms: AlarmPlan[];
  /** When the rule's ticks begin within a minute; AWS counts a rate from the rule's creation. */
  phaseSeconds: number;
  /** When CloudWatch evaluates within its minute. */
  evaluationPhaseSeconds: number;
  /** Numbers from 0 to 1, used over and over: how late metrics are, and how long runs take. */
  chances: number[];
}

const stacks = (rates: fc.Arbitrary<string>): fc.Arbitrary<Stack> =>
  rates
    .chain((refreshRate) => {
      const schedule = parseRefreshRate(refreshRate);
      return fc.record({
        refreshRate: fc.constant(refreshRate),
        timeoutSeconds: fc.integer({ min: 3, max: mostTimeoutSeconds(schedule) }),
        failedTicks: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
        furtherSeconds: fc.option(fc.integer({ min: 0, max: 600 }), { nil: undefined }),
        phaseSeconds: fc.integer({ min: 0, max: schedule.ticks.kind === "rate" ? 59 : 0 }),
        evaluationPhaseSeconds: fc.integer({ min: 0, max: 59 }),
        chances: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 7, maxLength: 7 }),
      });
    })
    .filter(({ refreshRate, timeoutSeconds, failedTicks }) => {
      const timing = { schedule: parseRefreshRate(refreshRate), timeoutSeconds };
      return Number.isFinite(keepableStalenessSeconds(timing, failedTicks ?? 1));
    })
    .map(({ refreshRate, timeoutSeconds, failedTicks, furtherSeconds, ...chance }) => {
      const timing = { schedule: parseRefreshRate(refreshRate), timeoutSeconds };
      const least = keepableStalenessSeconds(timing, failedTicks ?? 1);
      const values = {
        refreshRate,
        timeoutSeconds,
        ...(furtherSeconds === undefined
          ? {}
          : { maxStalenessSeconds: Math.min(604_800, least + furtherSeconds) }),
        alarms: { ...(failedTicks === undefined ? {} : { failedTicks }) },
      };
      const settings = parseSettings(values, "local");
      return { settings, alarms: makePlan(settings, { region: "us-east-1" }).alarms, ...chance };
    });

function alarmOf({ alarms }: Stack, kind: AlarmPlan["kind"]): AlarmPlan {
  const alarm = alarms.find((candidate) => candidate.kind === kind);
  assert.ok(alarm);
  return alarm;
}

/** What each alarm went through. `course` tells what becomes of a tick, counted from the one where trouble begins. */
function replay(
  stack: Stack,
  course: (index: number, chance: number) => LateCourse,
): {
  transitions: Record<"failing" | "stale" | "slow" | "throttled", Transition[]>;
  lastSuccessSeconds: number;
  lastAsOfSeconds: number;
  toSeconds: number;
} {
  const { settings, phaseSeconds, evaluationPhaseSeconds, chances } = stack;
  const { schedule, timeoutSeconds } = settings;
  const windowSeconds = alarmOf(stack, "stale").periodSeconds;
  const all = sampleTicks(schedule, 11_000).map((tick) => tick + phaseSeconds);
  const fromSeconds = (all[0] ?? 0) - phaseSeconds + evaluationPhaseSeconds;
  // Healthy until every window is full, then what the test is about, for longer than any alarm takes.
  const troubleSeconds = fromSeconds + windowSeconds + 2 * schedule.intervalSeconds + timeoutSeconds;
  const toSeconds = troubleSeconds + 2 * windowSeconds + 8 * schedule.intervalSeconds + 3_600;
  const due = all.filter((tick) => tick <= toSeconds);
  const first = due.findIndex((tick) => tick >= troubleSeconds);
  const chanceAt = (index: number): number => chances[index % chances.length] ?? 0;
  const ticks = due.map((atSeconds, index): Tick => {
    const count = index - first;
    const become: LateCourse =
      count < 0
        ? { kind: "refreshed", seconds: Math.min(1, timeoutSeconds) }
        : course(count, chanceAt(index));
    return { atSeconds: atSeconds + (become.afterSeconds ?? 0), course: become };
  });
  let asked = 0;
  const lateSeconds = (): number => 60 * chanceAt(asked++);
  const points = datapointsOf(ticks, { timeoutSeconds, lateSeconds });
  const span = { fromSeconds, toSeconds };
  const transitions = Object.fromEntries(
    (["failing", "stale", "slow", "throttled"] as const).map((kind) => [
      kind,
      replayAlarm(alarmOf(stack, kind), points, span).filter(
        ({ state }, index) => !(index === 0 && state === "OK"),
      ),
    ]),
  ) as Record<"failing" | "stale" | "slow" | "throttled", Transition[]>;
  const successes = points.filter(({ series }) => series === "success");
  const runs = points.filter(({ series }) => series === "runSeconds");
  const lastSuccessSeconds = successes.at(-1)?.stampSeconds ?? 0;
  return {
    transitions,
    lastSuccessSeconds,
    lastAsOfSeconds: lastSuccessSeconds - (runs.at(-1)?.value ?? 0),
    toSeconds,
  };
}

const failedAt = (seconds: number): Course => ({ kind: "failed", seconds });

/** Kinds of trouble in which runs fail, given the timeout. */
const failures: Record<string, (timeoutSeconds: number) => (index: number, chance: number) => Course> = {
  "failing at once": () => () => failedAt(0.2),
  "no server answers": () => () => ({ kind: "unreachable" }),
  "timing out": (timeoutSeconds) => () => failedAt(timeoutSeconds),
  "killed at any time": (timeoutSeconds) => (_, chance) => failedAt(chance * timeoutSeconds),
  "all of these": (timeoutSeconds) => (index, chance) =>
    index % 3 === 0
      ? failedAt(0.2)
      : index % 3 === 1
        ? failedAt(timeoutSeconds)
        : failedAt(chance * timeoutSeconds),
};

const silences: Record<string, () => Course> = {
  "a dead schedule": () => ({ kind: "lost" }),
  throttling: () => ({ kind: "throttled" }),
};

/** A course, and how much after its time the tick comes. */
type LateCourse = Course & { afterSeconds?: number };

const healthy: Record<string, (stack: Stack) => (index: number, chance: number) => LateCourse> = {
  "one tick that comes a minute late": () => (index) => ({
    kind: "refreshed",
    seconds: 0.3,
    afterSeconds: index === 3 ? 60 : 0,
  }),
  "quick runs": () => () => ({ kind: "refreshed", seconds: 0.3 }),
  "runs of any length that is not slow": ({ settings }) => {
    const most = (settings.timeoutSeconds * settings.alarms.slowPercent) / 100;
    return (_, chance) => ({ kind: "refreshed", seconds: chance * most });
  },
  "one slow run":
    ({ settings }) =>
    (index) => ({
      kind: "refreshed",
      seconds: index === 3 ? settings.timeoutSeconds : 0.3,
    }),
  "fewer failures than failedTicks, and then a slow success": ({ settings }) => {
    const most = settings.alarms.failedTicks - 1;
    return (index) =>
      index < most
        ? failedAt(0.2)
        : { kind: "refreshed", seconds: index === most ? settings.timeoutSeconds : 0.3 };
  },
};

const isEven = ({ settings: { schedule } }: Stack): boolean =>
  schedule.ticks.kind === "rate" || schedule.refreshRate === "cron(0/5 * * * ? *)";

for (const [title, rates, numRuns] of [
  ["rates", acceptedRates.filter((rate) => rate.startsWith("rate")), 20],
  ["cron schedules", acceptedRates.filter((rate) => rate.startsWith("cron")), 4],
] as const) {
  describe(`alarms, replayed over ${title}`, function () {
    this.timeout(120_000);

    for (const [trouble, courseOf] of Object.entries(failures)) {
      it(`${trouble}: failing, then stale, in time and until it is over; slow never`, () => {
        fc.assert(
          fc.property(stacks(rates), (stack) => {
            const { settings } = stack;
            const outcome = replay(stack, courseOf(settings.timeoutSeconds));
            const { failing, stale, slow } = outcome.transitions;
            assert.deepEqual(
              stale.map(({ state }) => state),
              ["ALARM"],
              "stale",
            );
            const staleAt = stale[0]?.atSeconds ?? 0;
            const { periodSeconds } = alarmOf(stack, "stale");
            assert.ok(
              staleAt - outcome.lastSuccessSeconds <= toldWithinSeconds(periodSeconds),
              "stale is late",
            );
            assert.ok(
              staleAt - outcome.lastAsOfSeconds <= settings.maxStalenessSeconds,
              "data got older than promised",
            );
            assert.deepEqual(slow, [], "slow");
            if (!isEven(stack)) {
              assert.ok(failing.length > 0, "failing is never told where ticks are dense");
              return;
            }
            assert.deepEqual(
              failing.map(({ state }) => state),
              ["ALARM"],
              "failing",
            );
            const failingAt = failing[0]?.atSeconds ?? 0;
            const window = failingWindow(settings, settings.alarms.failedTicks).periodSeconds;
            assert.ok(failingAt - outcome.lastSuccessSeconds <= toldWithinSeconds(window), "failing is late");
            assert.ok(failingAt <= staleAt, "stale comes before the reason");
          }),
          { numRuns },
        );
      });
    }

    it("trouble of every kind that ends: each alarm ends with it, once", () => {
      const kinds = [...Object.values(failures), ...Object.values(silences).map((course) => () => course)];
      fc.assert(
        fc.property(stacks(rates), fc.constantFrom(...kinds), (stack, courseOf) => {
          const { timeoutSeconds, schedule } = stack.settings;
          if (!isEven(stack)) return;
          const told = toldWithinSeconds(alarmOf(stack, "stale").periodSeconds);
          const ticks = Math.ceil(told / schedule.intervalSeconds) + 1;
          const failed = courseOf(timeoutSeconds);
          const { transitions } = replay(stack, (index, chance) =>
            index < ticks ? failed(index, chance) : { kind: "refreshed", seconds: 0.3 },
          );
          const { failing, stale, slow } = transitions;
          const statesOf = (each: Transition[]): string => each.map(({ state }) => state).join();
          assert.equal(statesOf(stale), "ALARM,OK", "stale");
          // Of no ticks, or none that Lambda starts, failing has nothing to say.
          assert.ok(["", "ALARM,OK"].includes(statesOf(failing)), `failing: ${statesOf(failing)}`);
          assert.deepEqual(slow, []);
        }),
        { numRuns },
      );
    });

    for (const [trouble, courseOf] of Object.entries(silences)) {
      it(`${trouble}: stale in time, and nothing else that would mislead`, () => {
        fc.assert(
          fc.property(stacks(rates), (stack) => {
            const outcome = replay(stack, courseOf);
            const { failing, stale, slow, throttled } = outcome.transitions;
            assert.deepEqual([failing, slow], [[], []]);
            assert.deepEqual(
              stale.map(({ state }) => state),
              ["ALARM"],
            );
            const told = toldWithinSeconds(alarmOf(stack, "stale").periodSeconds);
            assert.ok((stale[0]?.atSeconds ?? Infinity) - outcome.lastSuccessSeconds <= told);
            if (!isEven(stack) || stack.settings.schedule.intervalSeconds > 80_000) return;
            assert.deepEqual(
              throttled.map(({ state }) => state),
              trouble === "throttling" ? ["ALARM"] : [],
            );
          }),
          { numRuns },
        );
      });
    }

    for (const [state, courseOf] of Object.entries(healthy)) {
      it(`${state}: no alarm`, () => {
        fc.assert(
          fc.property(stacks(rates), (stack) => {
            // Two runs more than half a week apart are never seen together.
            if (alarmOf(stack, "slow").datapointsToAlarm === 1) return;
            const { transitions } = replay(stack, courseOf(stack));
            const { failing, stale, slow, throttled } = transitions;
            assert.deepEqual(
              { failing, stale, slow, throttled },
              { failing: [], stale: [], slow: [], throttled: [] },
            );
          }),
          { numRuns },
        );
      });
    }

    it("slow runs: slow, and nothing else", () => {
      fc.assert(
        fc.property(stacks(rates), (stack) => {
          const { settings } = stack;
          const outcome = replay(stack, () => ({ kind: "refreshed", seconds: settings.timeoutSeconds }));
          const { failing, stale, slow } = outcome.transitions;
          assert.deepEqual([failing, stale], [[], []]);
          if (!isEven(stack)) return;
          assert.deepEqual(
            slow.map(({ state }) => state),
            ["ALARM"],
          );
        }),
        { numRuns },
      );
    });

    it("a first deployment pages nobody before its windows are full, and then for a dead schedule", () => {
      fc.assert(
        fc.property(stacks(rates), (stack) => {
          for (const kind of ["failing", "stale"] as const) {
            const alarm = alarmOf(stack, kind);
            const span = { fromSeconds: 0, toSeconds: 3 * alarm.periodSeconds + 7_200 };
            const [first] = replayAlarm(alarm, [], span);
            assert.equal(first?.state, kind === "stale" ? "ALARM" : "OK");
            assert.ok(first.atSeconds >= (alarm.warmUpSeconds ?? 0));
            assert.ok(first.atSeconds <= (alarm.warmUpSeconds ?? 0) + evaluationSeconds(alarm));
          }
        }),
        { numRuns: 20 },
      );
    });
  });
}
