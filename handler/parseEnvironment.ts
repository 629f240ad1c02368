/** The environment of the function, read back into the settings that `toEnvironment` wrote. */
import * as z from "zod/mini";
import { shownWord } from "./names";
import { isLoopback, readViewList, type HandlerSettings, type ViewSettings } from "./settings";

/** The environment does not hold usable settings. `faults` has every one of them, `message` all together. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  constructor(readonly faults: string[]) {
    super(`the environment of the refresh function has ${faults.length} fault(s):\n  ${faults.join("\n  ")}`);
  }
}

const LONGEST_IDENTIFIER_BYTES = 63;
// A control character in a name would let it write lines of its own into the log; half a character is not UTF-8.
const UNFIT_CHARACTER = /[\p{Cc}\p{Cs}]/u;

// PostgreSQL's intervals go further, and nobody waits for 68 years.
const LONGEST_FULL_EVERY_SECONDS = 2 ** 31 - 1;

const identifier = z.string({ error: "must be text" }).check(
  z.refine((text) => text.length > 0 && Buffer.byteLength(text) <= LONGEST_IDENTIFIER_BYTES, {
    error: `must be 1 to ${LONGEST_IDENTIFIER_BYTES} bytes long, as PostgreSQL's names are`,
  }),
  z.refine((text) => !UNFIT_CHARACTER.test(text), {
    error: "must not hold control characters or half a character",
  }),
);

/** A name, an address with its zone, or the folder of a socket. */
const HOST = /^(?:[\p{L}\p{N}_.:%-]+|\/[^\s\p{Cc}]*)$/u;

/** An object with these keys alone; says which they are. */
function only<Shape extends z.core.$ZodShape>(shape: Shape) {
  return z.strictObject(shape, { error: `must be an object of ${Object.keys(shape).join(", ")} alone` });
}

const qualifiedName = only({ schema: identifier, name: identifier });
const viewList = z
  .array(
    only({
      schema: identifier,
      name: identifier,
      statistics: z.optional(qualifiedName),
      allowBlocking: z.boolean({ error: "must be true or false" }),
      fullEverySeconds: z.optional(
        z
          .int({ error: "must be whole seconds" })
          .check(
            z.positive({ error: "must be more than 0" }),
            z.maximum(LONGEST_FULL_EVERY_SECONDS, { error: `must be at most ${LONGEST_FULL_EVERY_SECONDS}` }),
          ),
      ),
      allowFullRuns: z.optional(z.boolean({ error: "must be true or false" })),
    }),
    { error: "must be a list of views" },
  )
  .check(
    z.minLength(1, { error: "must name at least one view" }),
    z.refine(
      (views) => new Set(views.map((view) => JSON.stringify([view.schema, view.name]))).size === views.length,
      {
        error: "must not name a view twice",
      },
    ),
  );

/**
 * Reads what {@link toEnvironment} wrote.
 * @throws SettingsError with every fault at once, each naming its variable and what it must be.
 */
export function parseEnvironment(environment: Record<string, string | undefined>): HandlerSettings {
  const faults: string[] = [];
  const read = environmentReader(environment, faults);
  const auth = read.choice("MATVIEW_DATABASE_AUTH", ["iam", "secret", "password"]);
  const tls = read.choice("MATVIEW_DATABASE_TLS", ["verify-full", "disable"]);
  const host = read.host("MATVIEW_DATABASE_HOST");
  const settings: HandlerSettings = {
    group: read.required("MATVIEW_GROUP"),
    views: read.views("MATVIEW_VIEWS"),
    database: {
      host,
      port: read.integer("MATVIEW_DATABASE_PORT", 1, 65_535),
      name: read.identifier("MATVIEW_DATABASE_NAME", read.required("MATVIEW_DATABASE_NAME")),
      auth,
      tls,
      ...read.present("user", "MATVIEW_DATABASE_USER", auth !== "secret", auth),
      ...read.present("secretArn", "MATVIEW_DATABASE_SECRET_ARN", auth === "secret", auth),
      ...read.present("passwordFile", "MATVIEW_DATABASE_PASSWORD_FILE", auth === "password", auth),
      ...(environment.MATVIEW_DATABASE_CA_FILE ? { caFile: environment.MATVIEW_DATABASE_CA_FILE } : {}),
    },
    logFormat: read.choice("MATVIEW_LOG_FORMAT", ["text", "json"]),
    historyRetentionDays: Number(read.integer("MATVIEW_HISTORY_RETENTION_DAYS", 1, 3_650)),
  };
  if (tls === "disable" && host !== "" && !isLoopback(host)) {
    faults.push(
      `MATVIEW_DATABASE_TLS is "disable", which is for a server on this machine alone, and the host is "${host}"; use "verify-full"`,
    );
  }
  read.identifier("MATVIEW_DATABASE_USER", environment.MATVIEW_DATABASE_USER ?? "");
  if (faults.length > 0) throw new SettingsError(faults);
  return settings;
}

/** Readers that return a usable placeholder and note the fault, so that one bad variable does not hide the next. */
function environmentReader(environment: Record<string, string | undefined>, faults: string[]) {
  const required = (variable: string): string => {
    const value = environment[variable] ?? "";
    if (value === "") faults.push(`${variable} is not set`);
    return value;
  };
  return {
    required,
    /** Not shown where it is none: it may be a connection string, with the password in it. */
    host(variable: string): string {
      const value = required(variable);
      if (value === "" || HOST.test(value)) return value;
      faults.push(`${variable} must be a host name, an address or the folder of a socket alone`);
      return "";
    },
    /** Text, which PostgreSQL would cut off where it is too long for a name. */
    identifier(variable: string, text: string): string {
      const error = text === "" ? undefined : identifier.safeParse(text).error;
      for (const issue of error?.issues ?? []) faults.push(`${variable} ${issue.message}`);
      return text;
    },
    choice<Choice extends string>(variable: string, choices: readonly [Choice, ...Choice[]]): Choice {
      const value = environment[variable] ?? "";
      const chosen = choices.find((choice) => choice === value);
      if (chosen === undefined)
        faults.push(`${variable} is ${shownWord(value)}; it must be one of ${choices.join(", ")}`);
      return chosen ?? choices[0];
    },
    integer(variable: string, least: number, most: number): string {
      const value = environment[variable] ?? "";
      const fits = /^\d+$/.test(value) && Number(value) >= least && Number(value) <= most;
      if (!fits)
        faults.push(`${variable} is ${shownWord(value)}; it must be a whole number from ${least} to ${most}`);
      return value;
    },
    /** A variable that one way of authenticating needs; kept only where it is set. */
    present<Key extends string>(
      key: Key,
      variable: string,
      needed: boolean,
      auth: string,
    ): { [K in Key]?: string } {
      const value = environment[variable] ?? "";
      if (needed && value === "")
        faults.push(`${variable} is not set, and authentication with "${auth}" needs it`);
      return (value === "" ? {} : { [key]: value }) as { [K in Key]?: string };
    },
    views(variable: string): ViewSettings[] {
      const text = required(variable);
      if (text === "") return [];
      let value: unknown;
      try {
        value = readViewList(text);
      } catch {
        faults.push(`${variable} is neither JSON nor "brotli:" and JSON that was compressed, as base64`);
        return [];
      }
      const parsed = viewList.safeParse(value);
      if (parsed.success) return parsed.data;
      for (const issue of parsed.error.issues) {
        faults.push(`${[variable, ...issue.path].join(".")}: ${issue.message}`);
      }
      return [];
    },
  };
}
