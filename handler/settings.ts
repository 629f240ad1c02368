/**
 * The environment contract of the refresh function: what it holds, and how the component and the local run write
 * it. `parseEnvironment` reads it back; it stands apart because it needs a library, which a program that only
 * deploys the function need not have.
 */
import { isIP } from "node:net";
import { brotliCompressSync, brotliDecompressSync } from "node:zlib";

/** A schema-qualified name as it stands in the catalog: not quoted, not folded. */
export interface QualifiedName {
  schema: string;
  name: string;
}

/** One materialized view of the group. */
export interface ViewSettings extends QualifiedName {
  /** A relation of one row, read after the refresh; without one the view's rows are counted. */
  statistics?: QualifiedName;
  /** Whether a plain refresh, which blocks readers, may be used where a concurrent one cannot. */
  allowBlocking: boolean;
  /** Of a maintained view: how often it is computed anew at the least; {@link FULL_EVERY_SECONDS} unless given. */
  fullEverySeconds?: number;
  /** Of a maintained view: whether a run may compute it anew where changes alone will not do; true unless given. */
  allowFullRuns?: boolean;
}

/** A day. */
export const FULL_EVERY_SECONDS = 86_400;

/** How the function proves who it is: an IAM token, a Secrets Manager secret, or a password file (local). */
type DatabaseAuth = "iam" | "secret" | "password";

/** `verify-full` checks certificate and host name; `disable` is for a server on this machine alone. */
type TlsMode = "verify-full" | "disable";

/**
 * Where the database is. `Text` is `string` in the handler; a deployment that creates its database knows some
 * of these only later and puts its own deferred text there.
 */
export interface DatabaseSettings<Text = string> {
  host: Text;
  /** TCP port, as text. */
  port: Text;
  name: Text;
  /** Absent with `secret`: the secret names its user. */
  user?: Text;
  auth: DatabaseAuth;
  /** ARN of a secret of RDS's JSON shape (username, password); with `secret` only. */
  secretArn?: Text;
  /** File that holds the password alone; with `password` only. */
  passwordFile?: string;
  tls: TlsMode;
  /** PEM file whose certificates are added to the root list, never instead of it. */
  caFile?: string;
}

/** Everything the handler is told. */
export interface HandlerSettings<Text = string> {
  /** Name of the refresh group: the view's name when there is one. Dimension of every metric. */
  group: string;
  views: ViewSettings[];
  database: DatabaseSettings<Text>;
  logFormat: "text" | "json";
  /** Rows of matview_refresh_history older than this are deleted by the run that notices them. */
  historyRetentionDays: number;
}

/** Whether a host is this machine: `localhost`, a loopback address, or a socket directory. */
export function isLoopback(host: string): boolean {
  if (host.startsWith("/") || host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

/*
 * Lambda takes 4 KB for all variables, of which the JSON of 50 views would take the most. A list that leaves the others less
 * than a quarter of that is compressed, to a tenth or less where names resemble each other. Brotli, whose output holds
 * nothing of the machine that it was made on, so that a deployment from another one finds nothing changed.
 */
const LONGEST_PLAIN_LIST_BYTES = 3_072;
const COMPRESSED = "brotli:";
/** Many times what fits into 4 KB, so that a text which is none of ours cannot take up all memory. */
const LONGEST_LIST_BYTES = 1_048_576;

/** The list of views as the text of a variable: JSON, or where that is long `brotli:` and base64. */
function writeViewList(views: ViewSettings[]): string {
  const json = JSON.stringify(views);
  if (Buffer.byteLength(json) <= LONGEST_PLAIN_LIST_BYTES) return json;
  return COMPRESSED + brotliCompressSync(json).toString("base64");
}

/**
 * The JSON value of such a text, whatever it holds.
 * @throws Error where it is no JSON, or is not compressed as it says.
 */
export function readViewList(text: string): unknown {
  if (!text.startsWith(COMPRESSED)) return JSON.parse(text);
  const compressed = Buffer.from(text.slice(COMPRESSED.length), "base64");
  return JSON.parse(brotliDecompressSync(compressed, { maxOutputLength: LONGEST_LIST_BYTES }).toString());
}

/** The environment that `parseEnvironment` reads back to the same settings. Absent values are left out. */
export function toEnvironment<Text>(settings: HandlerSettings<Text>): Record<string, string | Text> {
  const { database } = settings;
  const variables: Record<string, string | Text | undefined> = {
    MATVIEW_GROUP: settings.group,
    MATVIEW_VIEWS: writeViewList(settings.views),
    MATVIEW_DATABASE_HOST: database.host,
    MATVIEW_DATABASE_PORT: database.port,
    MATVIEW_DATABASE_NAME: database.name,
    MATVIEW_DATABASE_USER: database.user,
    MATVIEW_DATABASE_AUTH: database.auth,
    MATVIEW_DATABASE_SECRET_ARN: database.secretArn,
    MATVIEW_DATABASE_PASSWORD_FILE: database.passwordFile,
    MATVIEW_DATABASE_TLS: database.tls,
    MATVIEW_DATABASE_CA_FILE: database.caFile,
    MATVIEW_LOG_FORMAT: settings.logFormat,
    MATVIEW_HISTORY_RETENTION_DAYS: String(settings.historyRetentionDays),
  };
  const present = Object.entries(variables).filter(
    (entry): entry is [string, string | Text] => entry[1] !== undefined,
  );
  return Object.fromEntries(present);
}
