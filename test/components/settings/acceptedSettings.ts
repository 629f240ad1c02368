/** Settings that are accepted, for property tests: values as Pulumi gives them, over the whole of their ranges. */
import fc from "fast-check";
import { mostEventAgeSeconds, mostTimeoutSeconds } from "../../../components/time/limits";
import { keepableStalenessSeconds } from "../../../components/time/alarmTiming";
import { parseRefreshRate } from "../../../components/time/schedule";
import { parseSettings } from "../../../components/settings/parseSettings";
import type { Settings } from "../../../components/settings/schema";
import { acceptedRates } from "../time/rates";

const viewNames = fc.constantFrom(
  "public.job_progress",
  "reporting.daily_totals",
  '"My Schema"."My View"',
  'public."größe"',
  "a.b",
);

const incremental = fc.option(
  fc.record(
    {
      fullEvery: fc.constantFrom("rate(1 minute)", "rate(5 minutes)", "rate(1 hour)", "rate(30 days)"),
      allowFullRuns: fc.boolean(),
    },
    { requiredKeys: [] },
  ),
  { nil: undefined },
);

/** Rate, timeout, promise and whatever else ticks and alarms depend on; always accepted. */
export const acceptedSettings: fc.Arbitrary<Settings> = acceptedRates.chain((refreshRate) => {
  const schedule = parseRefreshRate(refreshRate);
  return fc.integer({ min: 3, max: mostTimeoutSeconds(schedule) }).chain((timeoutSeconds) => {
    const timing = { schedule, timeoutSeconds };
    const isVisible = (ticks: number): boolean => Number.isFinite(keepableStalenessSeconds(timing, ticks));
    const failedTicks = fc.option(fc.integer({ min: 1, max: 20 }).filter(isVisible), { nil: undefined });
    return fc
      .record({
        failedTicks,
        furtherSeconds: fc.option(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100_000 })), {
          nil: undefined,
        }),
        slowPercent: fc.integer({ min: 1, max: 99 }),
        views: fc.uniqueArray(fc.record({ name: viewNames, incremental }), {
          minLength: 1,
          maxLength: 5,
          selector: ({ name }) => name,
        }),
        memoryMb: fc.integer({ min: 128, max: 10_240 }),
        architecture: fc.constantFrom("arm64", "x86_64"),
        eventAgeSeconds: fc.integer({ min: 60, max: mostEventAgeSeconds(schedule) }),
        refreshEnabled: fc.boolean(),
      })
      .map(({ failedTicks: ticks, furtherSeconds, slowPercent, views, ...values }) =>
        parseSettings(
          {
            ...values,
            ...(furtherSeconds === undefined
              ? {}
              : {
                  maxStalenessSeconds: Math.min(
                    604_800,
                    keepableStalenessSeconds(timing, ticks ?? 1) + furtherSeconds,
                  ),
                }),
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
