/** Refresh rates for property tests. */
import fc from "fast-check";
import { SUB_MINUTE_SECONDS } from "../../../components/time/schedule";

/** Any rate that works. */
export const acceptedRates = fc.oneof(
  fc.constantFrom(...SUB_MINUTE_SECONDS.map((seconds) => `rate(${seconds} seconds)`)),
  fc.constantFrom("rate(1 minute)", "rate(1 hour)", "rate(1 day)"),
  fc.integer({ min: 2, max: 5_000 }).map((value) => `rate(${value} minutes)`),
  fc.integer({ min: 2, max: 100 }).map((value) => `rate(${value} hours)`),
  fc.constantFrom(
    "cron(0/5 * * * ? *)",
    "cron(* * * * ? *)",
    "cron(0,1 0 * * ? *)",
    "cron(59 23 ? * MON-FRI *)",
    "cron(0 9-17 ? * MON-FRI *)",
    "cron(7/13 0-6,20 * * ? *)",
    "cron(0 0 ? * 2,4,6 2026-2030)",
  ),
);

/** Further cron schedules, too rare to be watched by an alarm. */
export const rareCrons = fc.constantFrom(
  "cron(0 0 L * ? *)",
  "cron(15 3 1W * ? *)",
  "cron(0 12 ? * 3#2 *)",
  "cron(0 12 ? FEB,AUG 6L *)",
  "cron(0 0 29 2 ? *)",
);
