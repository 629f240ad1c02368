/** The database a command by hand works on, read from the environment. */
import { userInfo } from "node:os";
import { parse } from "pg-connection-string";
import pgpass from "pgpass";
import type { Budget } from "../handler/budget";
import type { Connector, Session } from "../handler/connect";
import { classify } from "../handler/failure";
import { shownWord } from "../handler/names";
import { isLoopback } from "../handler/settings";
import { connectorWith, SSL_MODES, type SslMode } from "./sslMode";

/** The environment does not name one database. `faults` has every reason, each with the command that puts it right. */
export class ConnectionFaults extends Error {
  override readonly name = "ConnectionFaults";
  constructor(readonly faults: string[]) {
    super(faults.join("\n"));
  }
}

type Environment = Record<string, string | undefined>;

/** What the variables say, with every default but that of the sslmode. */
interface Server {
  host: string;
  port: string;
  /** The variable to correct where the port is wrong. */
  portVariable: string;
  database: string;
  user: string;
  /** Empty where the password file is to be asked. */
  password: string;
  sslMode: string | undefined;
  rootCertificateFile: string | undefined;
}

const EXAMPLES = [
  '  export RDS_PROXY_ENDPOINT="…" RDS_USERNAME="…" RDS_PASSWORD="…"',
  '  export DATABASE_URL="postgres://user:password@host:5432/database"',
  '  export PGHOST="…" PGUSER="…" PGDATABASE="…"',
].join("\n");

/**
 * Reads, in this order, RDS_PROXY_ENDPOINT with RDS_USERNAME, RDS_PASSWORD, RDS_DATABASE (scanner_db) and RDS_PORT
 * (5432); DATABASE_URL; PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD or the password file, PGSSLMODE and
 * PGSSLROOTCERT, the last two with either of the others too.
 *
 * They mean what libpq takes them for, with two differences. Without an sslmode, an address that is not loopback
 * gets verify-full, where libpq would settle for a connection without TLS. With verify-full, sslrootcert adds to the
 * public roots instead of replacing them.
 * @throws ConnectionFaults with everything that is missing or wrong.
 */
export function connectionFromEnvironment(environment: Environment): Connector {
  const { host, port, database, user, sslMode, rootCertificateFile, credentials } = readTarget(environment);
  return connectorWith(
    { host, port, database },
    { renewable: false, get: credentials, user },
    sslMode,
    rootCertificateFile,
  );
}

/** @throws RefreshFailure that says what kept it from being opened, and what helps */
export async function openSession(connector: Connector, budget: Budget): Promise<Session> {
  const { address, auth, user } = connector;
  return connector.open(budget).catch((error: unknown) => {
    throw classify(error, { address, auth, user, connected: false, connectionLost: false });
  });
}

/** One database and how it is reached, with every default filled in. */
export interface ConnectionTarget {
  host: string;
  port: number;
  database: string;
  user: string;
  sslMode: SslMode;
  rootCertificateFile: string | undefined;
  /** Asks the password file where no variable has the password; an empty text where nothing has. */
  credentials: () => Promise<{ user: string; password: string }>;
}

/** What {@link connectionFromEnvironment} connects to. */
export function readTarget(environment: Environment): ConnectionTarget {
  const faults: string[] = [];
  const server = readServer(environment, faults);
  if (environment.PGSERVICE) {
    faults.push("PGSERVICE is set and not supported: unset PGSERVICE, and set PGHOST, PGUSER and PGDATABASE");
  }
  if (!/^\d+$/.test(server.port) || Number(server.port) < 1 || Number(server.port) > 65_535) {
    faults.push(
      `the port ${shownWord(server.port)} is not a whole number from 1 to 65535: export ${server.portVariable}=5432`,
    );
  }
  const sslMode = readSslMode(server, faults);
  if (faults.length > 0) throw new ConnectionFaults(faults);
  const { host, database, user, password, rootCertificateFile } = server;
  const address = { host, port: Number(server.port), database, user };
  return {
    ...address,
    sslMode,
    rootCertificateFile,
    credentials: async () => ({ user, password: password || (await lookUpPassword(address)) }),
  };
}

/** An empty text where the file has none: then the server must ask for none. */
function lookUpPassword(address: Parameters<typeof pgpass>[0]): Promise<string> {
  return new Promise((resolve) => pgpass(address, (password) => resolve(password ?? "")));
}

function readServer(environment: Environment, faults: string[]): Server {
  const { RDS_PROXY_ENDPOINT, RDS_USERNAME, RDS_PASSWORD, DATABASE_URL } = environment;
  if (RDS_PROXY_ENDPOINT && DATABASE_URL) {
    faults.push(
      "RDS_PROXY_ENDPOINT and DATABASE_URL are both set, and only one can be meant: unset one of them",
    );
  }
  if (RDS_PROXY_ENDPOINT || RDS_USERNAME || RDS_PASSWORD) return readRds(environment, faults);
  const { PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGSSLMODE, PGSSLROOTCERT } = environment;
  if (!DATABASE_URL && !PGHOST && !PGDATABASE && !PGUSER && !PGPORT) {
    faults.push(`nothing says which database; one of:\n${EXAMPLES}`);
  }
  // What a URL leaves out stays as PG* says.
  const url = DATABASE_URL ? readUrl(DATABASE_URL, faults) : {};
  const user = url.user || PGUSER || userInfo().username;
  return {
    host: url.host || PGHOST || "localhost",
    port: url.port || PGPORT || "5432",
    portVariable: "PGPORT",
    database: url.database || url.user || PGDATABASE || user,
    user,
    password: url.password || PGPASSWORD || "",
    sslMode: url.sslMode ?? (PGSSLMODE || undefined),
    rootCertificateFile: url.rootCertificateFile ?? (PGSSLROOTCERT || undefined),
  };
}

function readRds(environment: Environment, faults: string[]): Server {
  const required = (variable: string, example: string): string => {
    const value = environment[variable] ?? "";
    if (value === "") faults.push(`${variable} is not set: export ${variable}="${example}"`);
    return value;
  };
  return {
    host: required("RDS_PROXY_ENDPOINT", "your-rds-proxy.rds.amazonaws.com"),
    port: environment.RDS_PORT || "5432",
    portVariable: "RDS_PORT",
    database: environment.RDS_DATABASE || "scanner_db",
    user: required("RDS_USERNAME", "scanner_admin"),
    password: required("RDS_PASSWORD", "your-password"),
    sslMode: environment.PGSSLMODE || undefined,
    rootCertificateFile: environment.PGSSLROOTCERT || undefined,
  };
}

/** The URL is never quoted in a fault: it may hold a password. */
function readUrl(text: string, faults: string[]): Partial<Record<keyof Server, string | null>> {
  try {
    return partsOfUrl(text);
  } catch {
    faults.push(
      'DATABASE_URL is not a URL: export DATABASE_URL="postgres://user:password@host:5432/database", with signs such ' +
        "as % and @ in a name or password written as %25 and %40",
    );
    return {};
  }
}

/** @throws Error for what is no URL of PostgreSQL, or has a percent sign that encodes nothing. */
function partsOfUrl(text: string): Partial<Record<keyof Server, string | null>> {
  const url = new URL(text);
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw new Error("another protocol");
  const sslMode = url.searchParams.get("sslmode");
  const rootCertificateFile = url.searchParams.get("sslrootcert");
  // Taken out, since the parser reads the files at once and knows no default by host.
  for (const name of ["sslmode", "sslrootcert", "sslcert", "sslkey", "ssl"]) url.searchParams.delete(name);
  const { host, port, database, user, password } = parse(url.toString());
  return { host, port, database, user, password, sslMode, rootCertificateFile };
}

function readSslMode(server: Server, faults: string[]): SslMode {
  const { sslMode, host, rootCertificateFile } = server;
  if (sslMode === undefined)
    return isLoopback(host) && rootCertificateFile === undefined ? "disable" : "verify-full";
  const known = SSL_MODES.find((mode) => mode === sslMode);
  if (known === undefined) {
    faults.push(
      `sslmode ${shownWord(sslMode)} is not one of ${SSL_MODES.join(", ")}: export PGSSLMODE=verify-full`,
    );
  }
  if (known === "verify-ca" && (rootCertificateFile === undefined || rootCertificateFile === "system")) {
    faults.push(
      "sslmode verify-ca does not check the host name, so it needs a CA of its own: export PGSSLROOTCERT=ca.pem",
    );
  }
  return known ?? "verify-full";
}
