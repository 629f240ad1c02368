/** Which stacks are production, and which are for development, by a tag or the stack's name. */
import { readText, type Properties } from "./reading";
import type { ConfigKeySchema } from "./refreshFunctions";
import { stackOf } from "./resource";

export interface StageConfig {
  productionPattern: string;
  developmentPattern: string;
  stageTag: string;
}

export const stageSchema: Record<keyof StageConfig, ConfigKeySchema> = {
  productionPattern: {
    type: "string",
    minLength: 1,
    format: "regex",
    default: "(^|[-_.])prod(uction)?($|[-_.0-9])",
    description:
      "Production: the stage tag or the stack's name matches this (regular expression, case ignored).",
  },
  developmentPattern: {
    type: "string",
    minLength: 1,
    format: "regex",
    default: "^(dev|development|sandbox|local)($|[-_.0-9])",
    description: "Development: not production, and the stage tag or the stack's name matches this.",
  },
  stageTag: {
    type: "string",
    minLength: 1,
    default: "environment",
    description:
      "Tag of the function that names its stage. Either name or tag makes it production; for development the tag counts first.",
  },
};

export type Stage = "production" | "development" | "other" | "unknown";

/** The stage of a resource. */
export function stageOf({ urn, props }: { urn: string; props: Properties }, config: StageConfig): Stage {
  const stack = stackOf(urn);
  const tag = readText(props, "tags", config.stageTag);
  const names = tag.state === "known" ? [tag.value, stack] : [stack];
  const isProduction = new RegExp(config.productionPattern, "i");
  if (names.some((name) => isProduction.test(name))) return "production";
  if (tag.state === "unknown") return "unknown";
  const isDevelopment = new RegExp(config.developmentPattern, "i");
  return isDevelopment.test(names[0] ?? "") ? "development" : "other";
}
