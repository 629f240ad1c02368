/** Settings that are accepted, for property tests: values as Pulumi gives them, over the whole of their ranges. */
import fc from "fast-check";
import { leastStalenessSeconds, failingWindow } from "../../../components/plan/alarmWindows";
import { mostEventAgeSeconds, mostTimeoutSeconds } from "../../../components/plan/functionPlan";
import { parseRefreshRate } from "../../../components/plan/schedule";
import { parseSettings, type Settings } from "../../../components/settings/settings";
import { acceptedRates } from "../plan/rates";

const viewNames = fc.constantFrom(
  "public.job_progress",
  "reporting.daily_totals",
  '"My Schema"."My View"',
  'public."größe"',
  "a.b",
);

/** Rate, timeout, promise and whatever else bears on ticks and alarms; always accepted. */
export const acceptedSettings: fc.Arbitrary<Settings> = acceptedRates.chain((refreshRate) => {
  const schedule = parseRefreshRate(refreshRate);
  return fc.integer({ min: 3, max: mostTimeoutSeconds(schedule) }).chain((timeoutSeconds) => {
    const least = leastStalenessSeconds(schedule.intervalSeconds, timeoutSeconds);
    const staleness = fc.oneof(
      fc.constant(least),
      fc.integer({ min: least, max: Math.min(604_800, least + 600) }),
      fc.integer({ min: least, max: 604_800 }),
    );
    const failedTicks = fc.integer({ min: 1, max: 100 });
    return fc
      .record({
        maxStalenessSeconds: fc.option(staleness, { nil: undefined }),
        failedTicks: fc.option(
          failedTicks.filter((ticks) => failingWindow(schedule, ticks) !== undefined),
          { nil: undefined },
        ),
        slowPercent: fc.integer({ min: 1, max: 99 }),
        views: fc.uniqueArray(viewNames, { minLength: 1, maxLength: 5 }),
        memoryMb: fc.integer({ min: 128, max: 10_240 }),
        architecture: fc.constantFrom("arm64", "x86_64"),
        eventAgeSeconds: fc.integer({ min: 60, max: mostEventAgeSeconds(schedule) }),
        refreshEnabled: fc.boolean(),
      })
      .map(({ failedTicks: ticks, slowPercent, views, ...values }) =>
        parseSettings(
          {
            ...values,
            refreshRate,
            timeoutSeconds: String(timeoutSeconds),
            groupName: "watched",
            views: JSON.stringify(views),
            alarms: JSON.stringify({ failedTicks: ticks, slowPercent }),
          },
          "local",
        ),
      );
  });
});
