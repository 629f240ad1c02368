/** The server of DATABASE_URL as the local run takes it. */
import { isLoopback, type DatabaseSettings } from "../handler/settings";
import { verifiedTls } from "../handler/tls";
import type { ExistingServer } from "../local/postgres/database";
import type { ConnectionTarget } from "./connection";

/** The function that is run makes no such connection. */
export class UnusableServerError extends Error {
  override readonly name = "UnusableServerError";
}

/**
 * A server as the local run uses it. The function that is run knows two kinds of connection, and so does this:
 * certificate and host name verified, or plain TCP to this machine. `require` and its like are raised to verify-full;
 * `disable` is refused for any other machine.
 * @throws UnusableServerError, or the file system's error when the CA file cannot be read
 */
export async function existingServer(target: ConnectionTarget): Promise<ExistingServer> {
  const { host, port, database } = target;
  const tls = chooseTls(target);
  const { user, password } = await target.credentials();
  return {
    connection: {
      host,
      port,
      database,
      user,
      // As a function, or the client would look for an absent password in places of its own.
      password: () => password,
      ssl: tls.tls === "disable" ? false : verifiedTls(tls.caFile),
    },
    password,
    tls,
  };
}

function chooseTls({
  host,
  sslMode,
  rootCertificateFile,
}: ConnectionTarget): Pick<DatabaseSettings, "tls" | "caFile"> {
  const isContent = ["disable", "allow", "prefer"].includes(sslMode);
  if (isLoopback(host) && isContent) return { tls: "disable" };
  if (sslMode === "disable") {
    throw new UnusableServerError(
      `a connection to ${host} without TLS is asked for, which the function never makes: ` +
        "write sslmode=verify-full, and sslrootcert=<file> where the server's CA is not a public one",
    );
  }
  const file = rootCertificateFile === "system" ? undefined : rootCertificateFile;
  return { tls: "verify-full", ...(file !== undefined && { caFile: file }) };
}
