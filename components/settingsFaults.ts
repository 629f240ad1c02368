/**
 * How a wrong setting is told: every fault at once, each with the key, the value, what is wrong with it, the
 * limit, and the command that mends it.
 */

/** Who the values are for: a Pulumi stack, or the run on this machine. */
export type Purpose = "deploy" | "local";

/** One thing wrong with the settings. */
export interface Fault {
  /** The key, with its path inside an object or list: `views[0].name`. */
  key: string;
  /** The value as it was given, as JSON; "absent" when there is none. */
  value: string;
  /** What is wrong with it. */
  problem: string;
  /** What would be accepted. */
  limit: string;
  /** The command or edit that mends it. */
  remedy: string;
}

/** Thrown by `parseSettings`; the message is the full list. */
export class SettingsFaults extends Error {
  readonly faults: Fault[];

  constructor(faults: Fault[]) {
    super(describeFaults(faults));
    this.name = "SettingsFaults";
    this.faults = faults;
  }
}

/** The list of faults as it is printed, a paragraph each. */
export function describeFaults(faults: Fault[]): string {
  const count = faults.length === 1 ? "1 setting needs" : `${faults.length} settings need`;
  const paragraphs = faults.map(
    (fault) =>
      `  ${fault.key} = ${fault.value}\n` +
      `    problem: ${fault.problem}\n` +
      `    allowed: ${fault.limit}\n` +
      `    mend:    ${fault.remedy}`,
  );
  return [`${count} mending:`, ...paragraphs].join("\n");
}

/** The value as a fault quotes it: JSON, shortened where it is long. */
export function quoteValue(value: unknown): string {
  if (value === undefined) return "absent";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** The project's name, which is the namespace of its config keys. */
export const CONFIG_NAMESPACE = "matview-refresh";

/**
 * The command that gives a key a value. A key inside an object takes `--path`; `example` undefined removes the
 * key.
 */
export function setCommand(purpose: Purpose, key: string, example: unknown): string {
  if (purpose === "local") {
    return example === undefined
      ? `edit Pulumi.local.yaml: remove ${CONFIG_NAMESPACE}:${key}`
      : `edit Pulumi.local.yaml: ${CONFIG_NAMESPACE}:${key}: ${inlineText(example)}`;
  }
  const path = /[.[]/.test(key) ? "--path " : "";
  const name = shellQuote(`${CONFIG_NAMESPACE}:${key}`);
  if (example === undefined) return `pulumi config rm ${path}${name}`;
  return `pulumi config set ${path}${name} ${shellQuote(inlineText(example))}`;
}

function inlineText(example: unknown): string {
  return typeof example === "string" ? example : JSON.stringify(example);
}

/** Double quotes where they are enough, as people write them; single quotes where the shell would expand. */
function shellQuote(text: string): string {
  if (/^[A-Za-z0-9_.:/@%+=,-]+$/.test(text)) return text;
  if (!/["$`\\!]/.test(text)) return `"${text}"`;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
