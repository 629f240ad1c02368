/** The policy pack: the rules in rules/, over the reading of resources, triggers and alarms beside this file. */
import { PolicyPack } from "@pulumi/policy";
import { alarmSubscribers } from "./rules/alarmSubscribers";
import { connectionSecurity } from "./rules/connectionSecurity";
import { databaseExposure } from "./rules/databaseExposure";
import { errorsAlarm } from "./rules/errorsAlarm";
import { leastPrivilege } from "./rules/leastPrivilege";
import { logRetention } from "./rules/logRetention";
import { monthlyBudget } from "./rules/monthlyBudget";
import { refreshSchedule } from "./rules/refreshSchedule";
import { refreshTimeout } from "./rules/refreshTimeout";
import { retries } from "./rules/retries";
import { staleAlarm } from "./rules/staleAlarm";
import { supportedRuntime } from "./rules/supportedRuntime";

new PolicyPack("matview-refresh", {
  description: "Refuses stacks whose materialized view refresh could fail silently.",
  policies: [
    refreshSchedule,
    refreshTimeout,
    errorsAlarm,
    staleAlarm,
    retries,
    logRetention,
    alarmSubscribers,
    leastPrivilege,
    connectionSecurity,
    databaseExposure,
    monthlyBudget,
    supportedRuntime,
  ],
});
