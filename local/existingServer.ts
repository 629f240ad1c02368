import { userInfo } from "node:os";
import type { ClientConfig } from "pg";
import { parse } from "pg-connection-string";
import { isLoopback, type DatabaseSettings } from "../handler/settings";
import { verifiedTls } from "../handler/tls";

/** A server that is there already, as DATABASE_URL names it. */
export interface ExistingServer {
  connection: ClientConfig & { host: string; port: number; database: string; user: string };
  password: string;
  /** The function's own choice: it verifies, or speaks plain TCP to this machine. */
  tls: Pick<DatabaseSettings, "tls" | "caFile">;
}

/** DATABASE_URL cannot be used. The URL is not quoted, since it may hold a password. */
export class DatabaseUrlError extends Error {
  override readonly name = "DatabaseUrlError";
}

/**
 * Reads DATABASE_URL. The function that is run knows two kinds of connection, and so does this: certificate and
 * host name verified, or plain TCP to this machine. `sslmode=require` and its like are raised to verify-full;
 * `sslmode=disable` is refused for any other machine.
 * @throws DatabaseUrlError
 */
export function readDatabaseUrl(text: string): ExistingServer {
  const url = parseUrl(text);
  const sslMode = url.searchParams.get("sslmode") ?? undefined;
  const caFile = url.searchParams.get("sslrootcert") ?? undefined;
  // Taken out, since the parser gives them a meaning of its own, and reads files.
  for (const name of ["sslmode", "sslrootcert", "sslcert", "sslkey", "ssl"]) url.searchParams.delete(name);
  const parsed = parse(url.toString());
  const user = parsed.user || userInfo().username;
  const host = parsed.host || "localhost";
  const tls = chooseTls(host, sslMode, caFile);
  const password = typeof parsed.password === "string" ? parsed.password : "";
  return {
    connection: {
      host,
      port: Number(parsed.port || 5432),
      database: parsed.database || user,
      user,
      // As a function, or the client would look for an absent password in places of its own.
      password: () => password,
      ssl: tls.tls === "disable" ? false : verifiedTls(tls.caFile),
    },
    password,
    tls,
  };
}

function parseUrl(text: string): URL {
  try {
    const url = new URL(text);
    if (/^postgres(ql)?:$/.test(url.protocol)) return url;
  } catch {
    // The same message as for another protocol.
  }
  throw new DatabaseUrlError(
    'DATABASE_URL is not a URL of PostgreSQL: export DATABASE_URL="postgres://user:password@host:5432/database"',
  );
}

function chooseTls(
  host: string,
  sslMode: string | undefined,
  caFile: string | undefined,
): Pick<DatabaseSettings, "tls" | "caFile"> {
  const wantsTls = ["require", "verify-ca", "verify-full"].includes(sslMode ?? "") || caFile !== undefined;
  if (isLoopback(host) && !wantsTls) return { tls: "disable" };
  if (sslMode === "disable") {
    throw new DatabaseUrlError(
      `DATABASE_URL asks for a connection to ${host} without TLS, which the function never makes: ` +
        "write sslmode=verify-full, and sslrootcert=<file> where the server's CA is not a public one",
    );
  }
  const file = caFile === "system" ? undefined : caFile;
  return { tls: "verify-full", ...(file !== undefined && { caFile: file }) };
}
