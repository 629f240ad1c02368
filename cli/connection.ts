/** The database a command by hand works on, read from the environment. */
import { userInfo } from "node:os";
import { parse } from "pg-connection-string";
import type { Connector } from "../handler/connect";
import { isLoopback } from "../handler/settings";
import { connectorWith, SSL_MODES, type SslMode } from "./sslMode";
import { lookUpPassword } from "./passwordFile";

/** The environment does not name one database. `faults` has every reason, each with the command that mends it. */
export class ConnectionFaults extends Error {
  override readonly name = "ConnectionFaults";
  constructor(readonly faults: string[]) {
    super(faults.join("\n"));
  }
}

type Environment = Record<string, string | undefined>;

/** What the variables said, before the defaults. */
interface Server {
  host: string;
  port: string;
  database: string;
  user: string;
  /** Absent where the password file is to be asked. */
  password?: string;
  sslMode?: string;
  rootCertificateFile?: string;
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
  const { host, port, database, sslMode, rootCertificateFile, credentials } = readTarget(environment);
  return connectorWith(
    { host, port, database },
    { renewable: false, get: credentials },
    sslMode,
    rootCertificateFile,
  );
}

/** One database and how it is reached, with every default filled in. */
export interface ConnectionTarget {
  host: string;
  port: number;
  database: string;
  user: string;
  sslMode: SslMode;
  rootCertificateFile?: string;
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
      `the port "${server.port}" is not a whole number from 1 to 65535: export ${server.portVariable}=5432`,
    );
  }
  const sslMode = readSslMode(server, faults);
  if (faults.length > 0) throw new ConnectionFaults(faults);
  const { host, database, user, password, rootCertificateFile } = server;
  return {
    host,
    port: Number(server.port),
    database,
    user,
    sslMode,
    ...(rootCertificateFile === undefined ? {} : { rootCertificateFile }),
    credentials: async () => ({ user, password: password ?? (await lookUpPassword(environment, server)) }),
  };
}

function readServer(environment: Environment, faults: string[]): Server & { portVariable: string } {
  const ssl = {
    ...(environment.PGSSLMODE ? { sslMode: environment.PGSSLMODE } : {}),
    ...(environment.PGSSLROOTCERT ? { rootCertificateFile: environment.PGSSLROOTCERT } : {}),
  };
  if (environment.RDS_PROXY_ENDPOINT && environment.DATABASE_URL) {
    faults.push(
      "RDS_PROXY_ENDPOINT and DATABASE_URL are both set, and only one can be meant: unset one of them",
    );
  }
  if (environment.RDS_PROXY_ENDPOINT || environment.RDS_USERNAME || environment.RDS_PASSWORD) {
    return { ...ssl, ...readRds(environment, faults), portVariable: "RDS_PORT" };
  }
  const base = { ...ssl, ...readPg(environment), portVariable: "PGPORT" };
  if (environment.DATABASE_URL) {
    return { ...base, ...readUrl(environment.DATABASE_URL, faults), portVariable: "PGPORT" };
  }
  if (!environment.PGHOST && !environment.PGDATABASE && !environment.PGUSER && !environment.PGPORT) {
    faults.push(`nothing says which database; one of:\n${EXAMPLES}`);
  }
  return base;
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
    database: environment.RDS_DATABASE || "scanner_db",
    user: required("RDS_USERNAME", "scanner_admin"),
    password: required("RDS_PASSWORD", "your-password"),
  };
}

function readPg(environment: Environment): Server {
  const user = environment.PGUSER || userInfo().username;
  return {
    host: environment.PGHOST || "localhost",
    port: environment.PGPORT || "5432",
    database: environment.PGDATABASE || user,
    user,
    ...(environment.PGPASSWORD ? { password: environment.PGPASSWORD } : {}),
  };
}

/** What a URL leaves out stays as PG* says. The URL is never quoted in a fault: it may hold a password. */
function readUrl(text: string, faults: string[]): Partial<Server> {
  let url: URL;
  try {
    url = new URL(text);
    if (!/^postgres(ql)?:$/.test(url.protocol)) throw new Error("another protocol");
  } catch {
    faults.push(
      'DATABASE_URL is not a URL: export DATABASE_URL="postgres://user:password@host:5432/database"',
    );
    return {};
  }
  const sslMode = url.searchParams.get("sslmode");
  const rootCertificateFile = url.searchParams.get("sslrootcert");
  // Taken out, since the parser gives them a meaning of its own, and reads files.
  for (const name of ["sslmode", "sslrootcert", "sslcert", "sslkey", "ssl"]) url.searchParams.delete(name);
  const { host, port, database, user, password } = parse(url.toString());
  return {
    ...(host ? { host } : {}),
    ...(port ? { port } : {}),
    ...(user ? { user } : {}),
    ...(database ? { database } : user ? { database: user } : {}),
    ...(password ? { password } : {}),
    ...(sslMode === null ? {} : { sslMode }),
    ...(rootCertificateFile === null ? {} : { rootCertificateFile }),
  };
}

function readSslMode(server: Server, faults: string[]): SslMode {
  const { sslMode, host, rootCertificateFile } = server;
  if (sslMode === undefined)
    return isLoopback(host) && rootCertificateFile === undefined ? "disable" : "verify-full";
  const known = SSL_MODES.find((mode) => mode === sslMode);
  if (known === undefined) {
    faults.push(`sslmode "${sslMode}" is not one of ${SSL_MODES.join(", ")}: export PGSSLMODE=verify-full`);
  }
  if (known === "verify-ca" && (rootCertificateFile === undefined || rootCertificateFile === "system")) {
    faults.push(
      "sslmode verify-ca does not check the host name, so it needs a CA of its own: export PGSSLROOTCERT=ca.pem",
    );
  }
  return known ?? "verify-full";
}
