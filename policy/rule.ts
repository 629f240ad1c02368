/** What a rule is, and how it becomes a policy of the pack. */
import type {
  PolicyConfigSchema,
  ResourceValidationPolicy,
  Severity,
  StackValidationPolicy,
} from "@pulumi/policy";
import { closest } from "fastest-levenshtein";
import { REFRESH_NAME_PATTERN, stackFacts, type RefreshFunction, type StackFacts } from "./refreshFunctions";
import type { SingleResource } from "./resource";
import { verdictsFor, type Verdicts } from "./verdict";

/** What one key of a rule's configuration may be. */
export type ConfigKeySchema = PolicyConfigSchema["properties"][string];

/** A rule. */
export interface Rule<Own extends object = object> {
  name: string;
  /** One sentence: what must be so. */
  description: string;
  /** What to do with a stack that is refused. */
  remedy: string;
  severity: Severity;
  /** The rule's own configuration, beside what every rule has. */
  schema?: { [Key in keyof Own]: ConfigKeySchema };
  /** Whether functions that apply migrations are judged as well. */
  isAboutMigrations?: boolean;
  /** Judges a resource by itself, before it is made. */
  judgeResource?(resource: SingleResource, config: Own, verdicts: Verdicts): void;
  /** Judges a function with everything that belongs to it, when all resources are known. */
  judgeFunction?(fn: RefreshFunction, config: Own, verdicts: Verdicts, facts: StackFacts): void;
  /** Judges the stack as a whole. */
  judgeStack?(facts: StackFacts, config: Own, verdicts: Verdicts): void;
}

/** A policy of the pack. */
export type RulePolicy = ResourceValidationPolicy & StackValidationPolicy;

/** What every rule takes. */
const COMMON_SCHEMA: Record<string, ConfigKeySchema> = {
  refreshNamePattern: {
    type: "string",
    minLength: 1,
    format: "regex",
    default: REFRESH_NAME_PATTERN,
    description:
      "Functions are judged whose name or description, or whose rule's, matches this (regular expression, case " +
      "ignored), beside those with this product's tags or variables.",
  },
};

/** Makes a policy of a rule. Mandatory unless the pack's configuration says otherwise. */
export function defineRule<Own extends object>(rule: Rule<Own>): RulePolicy {
  const { name, description, remedy, severity } = rule;
  const properties = { ...COMMON_SCHEMA, ...rule.schema };
  const configOf = (given: object) =>
    readConfig<Own & { refreshNamePattern: string }>(name, given, properties);
  return {
    name,
    description,
    remediationSteps: remedy,
    severity,
    enforcementLevel: "mandatory",
    configSchema: { properties },
    validateResource: (args, reportViolation) => {
      const config = configOf(args.getConfig());
      rule.judgeResource?.(args, config, verdictsFor(reportViolation, args.urn));
    },
    validateStack: (args, reportViolation) => {
      const config = configOf(args.getConfig());
      const facts = stackFacts(args.resources, new RegExp(config.refreshNamePattern, "i"));
      for (const fn of facts.functions) {
        if (fn.isMigration && !rule.isAboutMigrations) continue;
        rule.judgeFunction?.(fn, config, verdictsFor(reportViolation, fn.resource.urn), facts);
      }
      rule.judgeStack?.(facts, config, verdictsFor(reportViolation));
    },
  };
}

/** Defaults and what is given. The engine checks types and limits, but lets unknown keys pass: they stop the run. */
function readConfig<Config>(
  ruleName: string,
  given: object,
  schema: Record<string, ConfigKeySchema>,
): Config {
  const keys = Object.keys(schema);
  const unknown = Object.keys(given).find((key) => !keys.includes(key));
  if (unknown !== undefined) {
    throw new Error(
      `"${unknown}" is not a configuration key of ${ruleName}. Did you mean "${closest(unknown, keys)}"? ` +
        `Known: ${keys.join(", ")}.`,
    );
  }
  const defaults = Object.fromEntries(keys.map((key) => [key, schema[key]?.default as unknown]));
  return { ...defaults, ...given } as Config;
}
