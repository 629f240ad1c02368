import { LONGEST_TIMEOUT_SECONDS, mostTimeoutSeconds } from "../../components/plan/functionPlan";
import { statementMarginMs } from "../../handler/timeouts";
import {
  readNames,
  readNumber,
  readText,
  withDefault,
  known,
  type Properties,
  type Reading,
} from "../reading";
import type { RefreshFunction } from "../relations";
import { defineRule } from "../rule";
import { statementTimeoutOf } from "../statementTimeout";
import { densestSchedule, describeTicks, ticksOf } from "../ticks";
import type { Verdicts } from "../verdict";

interface TimeoutConfig {
  leastSeconds: number;
  mostSeconds: number;
}

/** Lambda's own default. */
const DEFAULT_TIMEOUT_SECONDS = 3;

const seconds = { type: "integer", minimum: 1, maximum: LONGEST_TIMEOUT_SECONDS } as const;

/** Too short a timeout kills every refresh; too long a one lets a hung run hold the lock over many ticks. */
export const refreshTimeout = defineRule<TimeoutConfig>({
  name: "refresh-timeout",
  description:
    "A refresh function's timeout fits the refresh and its schedule, and ends after its statement.",
  remedy: "Set timeoutSeconds (the function's timeout) between the limits and below two intervals.",
  severity: "high",
  schema: {
    leastSeconds: {
      ...seconds,
      default: 10,
      description: "Shortest timeout of a refresh function, in seconds.",
    },
    mostSeconds: {
      ...seconds,
      default: 120,
      description: "Longest timeout of a refresh function, in seconds.",
    },
  },
  judgeFunction({ name, props }, { leastSeconds, mostSeconds }, verdicts) {
    const timeout = timeoutOf(props);
    if (timeout.state === "unknown") return verdicts.judgedAtUpdate(`the timeout of ${name}`);
    if (timeout.state === "absent") return;
    if (timeout.value < leastSeconds || timeout.value > mostSeconds) {
      const allowed = `${leastSeconds} to ${mostSeconds} s are allowed`;
      verdicts.refuse(`The timeout of ${name} is ${timeout.value} s; ${allowed}.`);
    }
    judgeStatement(name, props, timeout.value, verdicts);
  },
  judgeStack(facts, _config, verdicts) {
    for (const fn of facts.refreshes) judgeSchedule(fn, verdicts);
  },
});

function timeoutOf(props: Properties): Reading<number> {
  return withDefault(readNumber(props, "timeout"), DEFAULT_TIMEOUT_SECONDS);
}

/** The handler keeps its own margin; where a statement timeout is written down it must leave one too. */
function judgeStatement(name: string, props: Properties, timeoutSeconds: number, verdicts: Verdicts): void {
  const names = known(readNames(props, "environment", "variables")) ?? [];
  // Our handler derives the statement's time from what is left of the function's.
  if (names.includes("MATVIEW_VIEWS")) return;
  const marginMs = statementMarginMs(timeoutSeconds * 1_000);
  const mostMs = timeoutSeconds * 1_000 - marginMs;
  let isStated = false;
  for (const variable of names) {
    const value = readText(props, "environment", "variables", variable);
    const statement = statementTimeoutOf(variable, value);
    if (statement === undefined) continue;
    isStated = true;
    if (statement === "unknown") {
      verdicts.judgedAtUpdate(`the statement timeout in ${variable} of ${name}`);
    } else if (statement.ms === 0 || statement.ms > mostMs) {
      const given = statement.ms === 0 ? "no limit" : `${statement.ms} ms`;
      verdicts.refuse(
        `The statement timeout of ${name} (variable ${variable}) is ${given}; with a timeout of ` +
          `${timeoutSeconds} s it must end after ${mostMs} ms at the latest, so that the failure is reported ` +
          "and the statement does not outlive the function.",
      );
    }
  }
  if (!isStated) {
    verdicts.remark(
      `${name} names no statement_timeout in its environment, so this rule cannot see whether a statement ends ` +
        `before the function does (it should end ${marginMs} ms before).`,
    );
  }
}

function judgeSchedule(fn: RefreshFunction, verdicts: Verdicts): void {
  const timeout = timeoutOf(fn.resource.props);
  const ticks = ticksOf(fn);
  if (timeout.state === "unknown" || ticks.state === "unknown") {
    verdicts.judgedAtUpdate(`whether the timeout of ${fn.name} fits its schedule`, fn.resource.urn);
    return;
  }
  if (timeout.state === "absent" || ticks.state === "none") return;
  const mostSeconds = mostTimeoutSeconds(densestSchedule(ticks.triggers));
  if (timeout.value <= mostSeconds) return;
  verdicts.refuse(
    `The timeout of ${fn.name} is ${timeout.value} s; ${describeTicks(ticks.triggers)} bears ${mostSeconds} s ` +
      "at the most: a hung run would hold back more than one further tick.",
    fn.resource.urn,
  );
}
