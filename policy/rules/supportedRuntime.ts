/** Rule: a runtime that still gets security updates. */
import { readText } from "../reading";
import { defineRule } from "../rule";
import table from "../runtimeDates.json";

/** A deprecated runtime gets no security updates, and after some months AWS refuses to update its functions. */
export const supportedRuntime = defineRule<{ judgedOn: string; furtherRuntimes: Record<string, string> }>({
  name: "supported-runtime",
  description: "The function's runtime is not deprecated at the date of the configuration.",
  remedy: "Set runtime to one that is supported, such as nodejs24.x.",
  severity: "medium",
  schema: {
    judgedOn: {
      type: "string",
      format: "date",
      default: table.readOn,
      description:
        "A runtime that is deprecated on this day (YYYY-MM-DD) is refused. The default is the day the table was " +
        "read, so that a stack that passed goes on passing.",
    },
    furtherRuntimes: {
      type: "object",
      additionalProperties: { type: "string", format: "date" },
      default: {},
      description:
        "Deprecation dates (YYYY-MM-DD) of runtimes that the table lacks, by runtime; they go before the table.",
    },
  },
  isAboutMigrations: true,
  judgeFunction({ resource, name }, { judgedOn, furtherRuntimes }, verdicts) {
    const runtime = readText(resource.props, "runtime");
    if (runtime.state === "unknown") return verdicts.judgedAtUpdate(`the runtime of ${name}`);
    // A container image brings its own.
    if (runtime.state === "absent") return;
    const recorded = table.runtimes.find((entry) => entry.runtime === runtime.value)?.deprecatedOn;
    const deprecatedOn = furtherRuntimes[runtime.value] ?? recorded;
    if (deprecatedOn === undefined) {
      verdicts.refuse(
        `The runtime of ${name}, ${runtime.value}, is not in the table read on ${table.readOn}. Look up its date at ` +
          `${table.source} and put it into furtherRuntimes.`,
      );
    } else if (deprecatedOn <= judgedOn) {
      verdicts.refuse(
        `The runtime of ${name}, ${runtime.value}, is deprecated since ${deprecatedOn} (judged on ${judgedOn}). ` +
          "Set a newer runtime.",
      );
    }
  },
});
