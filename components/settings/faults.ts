/**
 * How a wrong setting is told: every fault at once, each with the key, the value, what is wrong with it, the
 * limit, and the command that puts it right.
 */
/**
 * Who the values are for: a Pulumi stack, the run on this machine, or a program that uses the component, whose
 * database and network are there already or made by the program.
 */
export type Purpose = "deploy" | "local" | "component";

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
  /** The command or edit that puts it right. */
  remedy: string;
}

/** A fault before it is written out; without an `example` the key should go. */
export interface RuleFault {
  key: string;
  value: unknown;
  problem: string;
  limit: string;
  example: unknown;
  /** In place of what follows from `example`, where that would take away what is right. */
  remedy?: string;
}

/** Thrown by `parseSettings`; the message is the full list. */
export class SettingsFaults extends Error {
  override readonly name = "SettingsFaults";

  constructor(readonly faults: Fault[]) {
    super(describeFaults(faults));
  }
}

function describeFaults(faults: Fault[]): string {
  const count = faults.length === 1 ? "1 setting is wrong" : `${faults.length} settings are wrong`;
  const paragraphs = faults.map(
    (fault) =>
      `  ${fault.key} = ${fault.value}\n` +
      `    problem: ${fault.problem}\n` +
      `    allowed: ${fault.limit}\n` +
      `    fix:     ${fault.remedy}`,
  );
  return [`${count}:`, ...paragraphs].join("\n");
}

/** Keys under which somebody may have put a secret; their values are never shown. Three of ours hold none. */
export const SECRET_KEY = /pass|secret(?!(?:Arn|KmsKeyArn|sEndpoint)\b)|token|credential/i;

/** What a fault says in place of a secret. */
const NOT_SHOWN = "(not shown)";

/** The value of a key as a fault quotes it: JSON without secrets, shortened where it is long. */
export function quoteValue(key: string, value: unknown): string {
  if (value === undefined) return "absent";
  // Variables of a function may hold anything.
  if (SECRET_KEY.test(key) || /^environment\b/.test(key)) return NOT_SHOWN;
  return cutText(jsonOf(value, withoutSecrets), 120);
}

/** A text of at most so many signs, with dots where it was longer; no sign of two halves is cut apart. */
export function cutText(text: string, most: number): string {
  return text.length <= most ? text : `${wholeSigns(text.slice(0, most - 3))}...`;
}

/** A text that was cut, without half a character at its end. */
export function wholeSigns(text: string): string {
  return text.replace(/[\ud800-\udbff]$/, "");
}

/** Whether a key's value would be shown with something left out. */
export function holdsSecret(key: string, value: unknown): boolean {
  return SECRET_KEY.test(key) || jsonOf(value, withoutSecrets) !== jsonOf(value);
}

/** JSON; of what has none, or is too deep for it, the kind of value. */
function jsonOf(value: unknown, replacer?: (key: string, inside: unknown) => unknown): string {
  try {
    return JSON.stringify(value, replacer) ?? typeof value;
  } catch {
    return typeof value;
  }
}

/** The password of a URL, and what follows the name of a secret in a text that may be JSON or a connection string. */
const SECRET_IN_URL = /(:\/\/[^\s:/@]*:).*@/gs;
const SECRET_IN_TEXT = new RegExp(
  String.raw`((?:${SECRET_KEY.source})[\w-]*(?:\\*["']\s*[:=]|\s*=|:\s)).*`,
  "is",
);

function withoutSecrets(key: string, inside: unknown): unknown {
  if (SECRET_KEY.test(key)) return NOT_SHOWN;
  if (typeof inside !== "string") return inside;
  return inside.replace(SECRET_IN_URL, `$1${NOT_SHOWN}@`).replace(SECRET_IN_TEXT, `$1${NOT_SHOWN}`);
}

/** The project's name, which is the namespace of its config keys; a project made from it as a template has another. */
export const CONFIG_NAMESPACE = "matview-refresh";

/**
 * The command that gives a key a value. A key inside an object takes `--path`, and a list or object is set part
 * by part, since the CLI would store JSON as one text.
 */
export function setCommand(purpose: Purpose, key: string, example: unknown): string {
  if (purpose === "local")
    return `edit Pulumi.local.yaml: ${CONFIG_NAMESPACE}:${key}: ${inlineText(example)}`;
  if (purpose === "component") return `in the program: ${key}: ${JSON.stringify(example)}${inPython(key)}`;
  return scalars(key, example)
    .map(([path, value]) =>
      value === undefined
        ? unsetCommand(purpose, path)
        : `pulumi config set ${configName(path)} ${shellQuote(value)}`,
    )
    .join(" && ");
}

/** The command that takes a key away; one that the product does not know is written as it came. */
export function unsetCommand(purpose: Purpose, key: string, isKnown = true): string {
  if (purpose === "local") return `edit Pulumi.local.yaml: remove ${CONFIG_NAMESPACE}:${key}`;
  return purpose === "component"
    ? `in the program: remove ${key}${isKnown ? inPython(key) : ""}`
    : `pulumi config rm ${configName(key)}`;
}

/** The commands that take items of a list away, the last one first: each moves those behind it. */
export function unsetItems(purpose: Purpose, key: string, indices: number[]): string {
  return [...indices]
    .sort((a, b) => b - a)
    .map((index) => unsetCommand(purpose, `${key}[${index}]`))
    .join(purpose === "deploy" ? " && " : "; ");
}

/** The commands that put a list or object in the place of what is none: `--path` does not go into a wrong form. */
export function replaceCommand(purpose: Purpose, key: string, example: unknown): string {
  // Without its item a list would move up, and the next item be overwritten.
  if (/\[\d+\]$/.test(key)) return setCommand(purpose, key, "<value>");
  const set = setCommand(purpose, key, example);
  return purpose === "deploy" ? `${unsetCommand(purpose, key)} && ${set}` : set;
}

/** A longer value is not for a command line. */
const LONGEST_COMMAND_VALUE = 1_000;

/** The commands that give a mistyped key its right name. */
export function renameCommand(purpose: Purpose, from: string, to: string, value: unknown): string {
  if (purpose === "local") return `edit Pulumi.local.yaml: write ${to} for ${from}`;
  if (purpose === "component") return `in the program: write ${to} for ${from}${inPython(to)}`;
  const text = holdsSecret(from, value) ? "<value>" : inlineText(value);
  const newValue = text.length > LONGEST_COMMAND_VALUE ? "<value>" : text;
  return `${unsetCommand(purpose, from)} && ${setCommand(purpose, to, newValue)}`;
}

/** The component does not know which language called it; of those with a package, Python alone writes names another way. */
function inPython(key: string): string {
  // What stands inside these is the user's, and the same in every language.
  const [own = key] = /^(?:environment|tags|eventPayload)\b/.exec(key) ?? [];
  const name = own.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) + key.slice(own.length);
  return name === key ? "" : ` (${name} in Python)`;
}

/** One step of a path as Pulumi's `--path` reads it: `.name`, `[0]`, or `["a.b"]` for a name with signs in it; `<key>` stands for one. */
export function writeStep(part: PropertyKey): string {
  if (typeof part === "number") return `[${part}]`;
  const name = String(part);
  return /^(?:[A-Za-z_]\w*|<key>)$/.test(name) ? `.${name}` : `["${name}"]`;
}

/** The single values inside an example, with their paths; an empty list or object means taking the key away. */
export function scalars(key: string, example: unknown): [string, string | undefined][] {
  if (typeof example !== "object" || example === null) return [[key, inlineText(example)]];
  const parts = Array.isArray(example)
    ? example.map((value, index) => scalars(`${key}[${index}]`, value))
    : Object.entries(example).map(([name, value]) => scalars(key + writeStep(name), value));
  return parts.length === 0 ? [[key, undefined]] : parts.flat();
}

function configName(key: string): string {
  // Without a namespace the CLI takes the project's own.
  const path = /[.[]/.test(key) ? "--path " : "";
  return path + shellQuote(key);
}

function inlineText(example: unknown): string {
  return typeof example === "string" ? example : jsonOf(example);
}

/** Double quotes where they are enough, as people write them; single quotes where the shell would expand. */
function shellQuote(text: string): string {
  if (/^[A-Za-z0-9_.:/@%+=,-]+$/.test(text)) return text;
  if (!/["$`\\!]/.test(text)) return `"${text}"`;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
