import assert from "node:assert/strict";
import fc from "fast-check";
import {
  mostTicksPerPeriod,
  nextTick,
  parseRefreshRate,
  ScheduleError,
  sampleTicks,
  SUB_MINUTE_SECONDS,
  ticksPerMonth,
  type Schedule,
} from "../../../components/time/schedule";
import { acceptedRates, rareCrons } from "./rates";

const moments = fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2036, 0, 1) });

function refusal(text: string): ScheduleError {
  try {
    parseRefreshRate(text);
  } catch (error) {
    if (error instanceof ScheduleError) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: `${text} was accepted` });
}

function tickAfter(schedule: Schedule, moment: number): number {
  const tick = nextTick(schedule, moment);
  assert.ok(tick !== undefined, `${schedule.refreshRate} has no tick after ${moment}`);
  return tick;
}

describe("refresh rates", () => {
  it("makes sub-minute rates of a rule a minute and offsets", () => {
    const { ruleExpression, offsetsSeconds, intervalSeconds } = parseRefreshRate("rate(15 seconds)");
    assert.deepEqual(
      { ruleExpression, offsetsSeconds, intervalSeconds },
      { ruleExpression: "rate(1 minute)", offsetsSeconds: [0, 15, 30, 45], intervalSeconds: 15 },
    );
  });

  it("hands AWS's own syntax on", () => {
    assert.equal(parseRefreshRate(" rate( 5  minutes ) ").ruleExpression, "rate(5 minutes)");
    assert.equal(parseRefreshRate("cron(0/5  * ? * mon-fri *)").ruleExpression, "cron(0/5 * ? * MON-FRI *)");
  });

  for (const [text, suggestion, problem] of [
    ["rate(1 minutes)", "rate(1 minute)", /singular/],
    ["rate(5 minute)", "rate(5 minutes)", /plural/],
    ["rate(1 hours)", "rate(1 hour)", /singular/],
    ["rate(0 minutes)", "rate(1 minute)", /at least 1/],
    ["rate(-5 minutes)", "rate(1 minute)", /at least 1/],
    ["rate(1.5 minutes)", "rate(1 minute)", /whole number/],
    ["rate(5 weeks)", "rate(5 minutes)", /not a unit/],
    ["rate(45 seconds)", "rate(1 minute)", /do not divide/],
    ["rate(10 seconds)", "rate(12 seconds)", /at most 5/],
    ["rate(25 seconds)", "rate(20 seconds)", /do not divide/],
    ["rate(60 seconds)", "rate(1 minute)", /whole minutes/],
    ["rate(120 seconds)", "rate(2 minutes)", /whole minutes/],
    ["rate(30 second)", "rate(30 seconds)", /unit is "seconds"/],
    ["Rate(5 minutes)", "rate(1 minute)", /not of the form/],
    ["", "rate(1 minute)", /not of the form/],
    ["*/5 * * * *", "cron(*/5 * * * ? *)", /not of the form/],
    ["cron(*/5 * * * *)", "cron(*/5 * * * ? *)", /six fields.*found 5/],
    ["cron(0 9 * * 1-5)", "cron(0 9 ? * MON-FRI *)", /five are Unix cron/],
    ["cron(0 9 1 * 1)", "cron(0/5 * * * ? *)", /found 5/],
    ["cron()", "cron(0/5 * * * ? *)", /found none/],
    ["cron(0 9 * * * *)", "cron(0/5 * * * ? *)", /exactly one of/],
    ["cron(0 9 ? * ? *)", "cron(0/5 * * * ? *)", /exactly one of/],
    ["cron(60 9 * * ? *)", "cron(0/5 * * * ? *)", /minutes "60" is not one of 0 to 59/],
    ["cron(0 24 * * ? *)", "cron(0/5 * * * ? *)", /hours "24"/],
    ["cron(0 0 0 * ? *)", "cron(0/5 * * * ? *)", /day of month "0"/],
    ["cron(0 0 1 13 ? *)", "cron(0/5 * * * ? *)", /month "13".*JAN to DEC/],
    ["cron(0 0 ? * 0 *)", "cron(0/5 * * * ? *)", /day of week "0"/],
    ["cron(0 0 ? * 3#6 *)", "cron(0/5 * * * ? *)", /1 to 5/],
    ["cron(0 0 ? * 2/2 *)", "cron(0/5 * * * ? *)", /steps are not allowed/],
    ["cron(0 0 ? * FRI-MON *)", "cron(0/5 * * * ? *)", /backwards/],
    ["cron(0/0 0 * * ? *)", "cron(0/5 * * * ? *)", /step of at least 1/],
    ["cron(0 0 * * ? 1969)", "cron(0/5 * * * ? *)", /year "1969"/],
    ["cron(0 0 * * ? 2020-2025)", "cron(0/5 * * * ? *)", /never fires after 2026-01-01/],
    ["cron(0 0 31 FEB ? *)", "cron(0/5 * * * ? *)", /never fires/],
    ["cron(0 0 1 1 ? 2027)", "cron(0/5 * * * ? *)", /only once/],
  ] as const) {
    it(`refuses "${text}" and names a rate that works`, () => {
      const error = refusal(text);
      assert.match(error.problems.join("; "), problem);
      assert.equal(error.suggestion, suggestion);
      assert.ok(parseRefreshRate(error.suggestion));
    });
  }

  it("tells every fault of a cron expression at once", () => {
    assert.equal(refusal("cron(60 24 * * * 1969)").problems.length, 4);
  });

  it("refuses every step in seconds but those that fill a minute with at most 5 ticks", () => {
    for (let seconds = 0; seconds <= 600; seconds += 1) {
      const isAllowed = (SUB_MINUTE_SECONDS as readonly number[]).includes(seconds);
      const text = `rate(${seconds} seconds)`;
      if (isAllowed) assert.equal(parseRefreshRate(text).intervalSeconds, seconds);
      else assert.ok(parseRefreshRate(refusal(text).suggestion));
    }
  });
});

describe("ticks", () => {
  it("puts every tick of a sub-minute schedule inside its minute, evenly", () => {
    fc.assert(
      fc.property(fc.constantFrom(...SUB_MINUTE_SECONDS), moments, (seconds, moment) => {
        const schedule = parseRefreshRate(`rate(${seconds} seconds)`);
        assert.ok(schedule.offsetsSeconds.length <= 5);
        schedule.offsetsSeconds.forEach((offset, index) => {
          assert.equal(offset, index * seconds);
          assert.ok(offset < 60);
        });
        assert.equal(schedule.offsetsSeconds.length * seconds, 60);
        const tick = tickAfter(schedule, moment);
        assert.ok(schedule.offsetsSeconds.includes((tick / 1_000) % 60));
      }),
    );
  });

  it("goes strictly forward, skips nothing and never exceeds the interval", () => {
    fc.assert(
      fc.property(fc.oneof(acceptedRates, rareCrons), moments, fc.nat(), (rate, moment, share) => {
        const schedule = parseRefreshRate(rate);
        if (rate.includes("2026-2030")) moment = Math.min(moment, Date.UTC(2030, 0, 1));
        const first = tickAfter(schedule, moment);
        const second = tickAfter(schedule, first);
        assert.ok(first > moment && second > first);
        assert.ok(second - first <= schedule.intervalSeconds * 1_000, "gap above the interval");
        const between = first + (share % (second - first));
        assert.equal(tickAfter(schedule, between), second, "a tick was skipped");
      }),
      { numRuns: 300 },
    );
  });

  it("finds the ticks that trying every minute finds", () => {
    const days = { SUN: 0, MON: 1, TUE: 2 };
    const schedule = parseRefreshRate("cron(5,35 4 ? MAR,MAY SUN-TUE *)");
    const found: number[] = [];
    for (let tick = nextTick(schedule, Date.UTC(2026, 11, 31)); found.length < 40;) {
      assert.ok(tick !== undefined);
      found.push(tick);
      tick = nextTick(schedule, tick);
    }
    const tried: number[] = [];
    for (let moment = Date.UTC(2027, 0, 1); tried.length < 40; moment += 60_000) {
      const date = new Date(moment);
      const isDay = Object.values(days).includes(date.getUTCDay()) && [2, 4].includes(date.getUTCMonth());
      if (isDay && date.getUTCHours() === 4 && [5, 35].includes(date.getUTCMinutes())) tried.push(moment);
    }
    assert.deepEqual(found, tried);
  });

  for (const [cron, after, expected] of [
    ["cron(0 0 L * ? *)", "2028-02-01", "2028-02-29T00:00:00.000Z"],
    ["cron(0 0 15W * ? *)", "2026-08-01", "2026-08-14T00:00:00.000Z"], // the 15th is a Saturday
    ["cron(0 0 1W * ? *)", "2026-08-01", "2026-08-03T00:00:00.000Z"], // Saturday the 1st stays in August
    ["cron(0 0 31W * ? *)", "2026-05-01", "2026-05-29T00:00:00.000Z"], // Sunday the 31st stays in May
    ["cron(0 0 ? * 3#2 *)", "2026-09-01", "2026-09-08T00:00:00.000Z"], // second Tuesday
    ["cron(0 0 ? * 6L *)", "2026-10-01", "2026-10-30T00:00:00.000Z"], // last Friday
    ["cron(0 0 ? * L *)", "2026-10-01", "2026-10-03T00:00:00.000Z"], // the week's last day
    ["cron(0 0 ? * SUN *)", "2026-10-01", "2026-10-04T00:00:00.000Z"],
    ["cron(0 0 29 2 ? *)", "2096-03-01", "2104-02-29T00:00:00.000Z"], // 2100 is no leap year
  ] as const) {
    it(`${cron} after ${after} is ${expected}`, () => {
      const tick = tickAfter(parseRefreshRate(cron), Date.parse(after) - 1);
      assert.equal(new Date(tick).toISOString(), expected);
    });
  }

  it("ends with the years of a cron expression", () => {
    const schedule = parseRefreshRate("cron(0 0 * * ? 2026-2027)");
    assert.equal(nextTick(schedule, Date.UTC(2027, 11, 31)), undefined);
  });

  it("knows the longest gap of a cron schedule over nights, weekends and leap years", () => {
    const hours = (rate: string) => parseRefreshRate(rate).intervalSeconds / 3_600;
    assert.equal(hours("cron(0 9-17 ? * MON-FRI *)"), 64);
    assert.equal(hours("cron(0 0,6 * * ? *)"), 18);
    assert.equal(hours("cron(0 0 29 2 ? *)"), 4 * 24 * 365.25);
  });

  it("counts a month of 30 days", () => {
    const perMonth = (rate: string) => ticksPerMonth(parseRefreshRate(rate));
    assert.equal(perMonth("rate(1 minute)"), 43_200);
    assert.equal(perMonth("rate(30 seconds)"), 86_400);
    assert.equal(perMonth("cron(0/5 * * * ? *)"), 8_640);
    assert.ok(Math.abs(perMonth("cron(0 0 ? * MON-FRI *)") - (30 * 5) / 7) < 0.1);
  });

  it("never counts fewer ticks to a period than fall into one", () => {
    const periods = fc.integer({ min: 1, max: 300 }).map((minutes) => minutes * 60);
    fc.assert(
      fc.property(acceptedRates, periods, (rate, periodSeconds) => {
        const schedule = parseRefreshRate(rate);
        const counted = new Map<number, number>();
        for (const tick of sampleTicks(schedule, 3_000)) {
          const period = Math.floor(tick / periodSeconds);
          counted.set(period, (counted.get(period) ?? 0) + 1);
        }
        assert.ok(Math.max(...counted.values()) <= mostTicksPerPeriod(schedule, periodSeconds));
      }),
    );
  });
});
