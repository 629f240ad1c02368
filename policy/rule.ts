/** What a rule is, and how it becomes a policy of the pack. */
import type { ResourceValidationPolicy, Severity, StackValidationPolicy } from "@pulumi/policy";
import { closest } from "fastest-levenshtein";
import type { Properties } from "./reading";
import {
  functionKind,
  refreshFunctionSchema,
  type ConfigKeySchema,
  type RefreshFunctionConfig,
} from "./refreshFunctions";
import { stackFacts, type RefreshFunction, type StackFacts } from "./relations";
import { TYPE } from "./resource";
import { verdictsFor, type Verdicts } from "./verdict";

/** A resource by itself, as it is about to be made: what the program wrote, before AWS adds to it. */
export interface SingleResource {
  type: string;
  name: string;
  urn: string;
  props: Properties;
}

/** A rule. What one resource shows is judged before that resource is made, relations when all are known. */
export interface Rule<Own extends object = object> {
  name: string;
  /** One sentence: what must be so. */
  description: string;
  /** How to mend a stack that is refused. */
  remedy: string;
  severity: Severity;
  /** The rule's own configuration, beside what every rule has. */
  schema?: { [Key in keyof Own]: ConfigKeySchema };
  /** Whether functions that apply migrations are judged as well. */
  isAboutMigrations?: boolean;
  /** Judges a function by its own properties. Called once for each function the rule is about. */
  judgeFunction?(fn: SingleResource, config: Own, verdicts: Verdicts): void;
  /** Judges any resource by itself. */
  judgeResource?(resource: SingleResource, config: Own, verdicts: Verdicts): void;
  /** Judges relations between resources. */
  judgeStack?(facts: StackFacts, config: Own, verdicts: Verdicts): void;
}

/** A policy of the pack that judges both single resources and the stack. */
export type RulePolicy = ResourceValidationPolicy & StackValidationPolicy;

/** The configuration that a rule is given is not usable. Stops the run: a rule must not guess. */
export class PolicyConfigError extends Error {
  override readonly name = "PolicyConfigError";
}

/** Makes a policy of a rule. Mandatory unless the pack's configuration says otherwise. */
export function defineRule<Own extends object>(rule: Rule<Own>): RulePolicy {
  const properties: Record<string, ConfigKeySchema> = { ...refreshFunctionSchema, ...rule.schema };
  const configOf = (given: object) => readConfig<Own & RefreshFunctionConfig>(rule.name, given, properties);
  return {
    name: rule.name,
    description: rule.description,
    remediationSteps: rule.remedy,
    severity: rule.severity,
    enforcementLevel: "mandatory",
    configSchema: { properties },
    validateResource: (args, reportViolation) => {
      const config = configOf(args.getConfig());
      const verdicts = verdictsFor(reportViolation, args.urn);
      rule.judgeResource?.(args, config, verdicts);
      if (args.type !== TYPE.function) return;
      const kind = functionKind(args.props, new RegExp(config.refreshNamePattern, "i"));
      if (isAbout(rule, kind)) rule.judgeFunction?.(args, config, verdicts);
    },
    validateStack: (args, reportViolation) => {
      const config = configOf(args.getConfig());
      const verdicts = verdictsFor(reportViolation);
      const facts = stackFacts(args.resources, new RegExp(config.refreshNamePattern, "i"));
      for (const fn of facts.functions) {
        // Those that say what they are were judged before they were made.
        if (fn.isKnownByTrigger) rule.judgeFunction?.(fn.resource, config, verdictsOf(fn, verdicts));
      }
      rule.judgeStack?.(facts, config, verdicts);
    },
  };
}

function isAbout(rule: Pick<Rule, "isAboutMigrations">, kind: string): boolean {
  return kind === "refresh" || (kind === "migration" && rule.isAboutMigrations === true);
}

function verdictsOf({ resource }: RefreshFunction, verdicts: Verdicts): Verdicts {
  return {
    refuse: (message) => verdicts.refuse(message, resource.urn),
    judgedAtUpdate: (what) => verdicts.judgedAtUpdate(what, resource.urn),
    remark: (message) => verdicts.remark(message, resource.urn),
  };
}

/** Defaults and what is given; the engine checks types and limits, and lets unknown keys pass. */
function readConfig<Config>(
  ruleName: string,
  given: object,
  schema: Record<string, ConfigKeySchema>,
): Config {
  const keys = Object.keys(schema);
  for (const key of Object.keys(given)) {
    if (keys.includes(key)) continue;
    throw new PolicyConfigError(
      `"${key}" is not a configuration key of ${ruleName}. Did you mean "${closest(key, keys)}"? Known: ${keys.join(", ")}.`,
    );
  }
  const defaults = Object.fromEntries(
    Object.entries(schema).flatMap(([key, property]) =>
      property.default === undefined ? [] : [[key, property.default]],
    ),
  );
  const config = { ...defaults, ...given };
  for (const [key, property] of Object.entries(schema)) {
    if (property.format !== "regex") continue;
    const pattern = (config as Properties)[key];
    try {
      new RegExp(String(pattern));
    } catch {
      throw new PolicyConfigError(`${key} of ${ruleName} is not a regular expression: ${String(pattern)}`);
    }
  }
  return config as Config;
}
