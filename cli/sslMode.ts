/** libpq's sslmode for the client we use, which by itself knows TLS or no TLS. */
import { readFileSync } from "node:fs";
import { makeConnector, type Connector } from "../handler/connect";
import type { CredentialSource } from "../handler/credentials";
import { verifiedTls, type TlsOptions } from "../handler/tls";

export const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
export type SslMode = (typeof SSL_MODES)[number];

const UNVERIFIED: TlsOptions = { rejectUnauthorized: false };

/** A connector that means by `mode` what libpq means; `rootCertificateFile` may be `system` for the public roots. */
export function connectorWith(
  server: { host: string; port: number; database: string },
  source: CredentialSource,
  mode: SslMode,
  rootCertificateFile: string | undefined,
): Connector {
  const file = rootCertificateFile === "system" ? undefined : rootCertificateFile;
  const connector = (tls: () => TlsOptions): Connector => makeConnector(server, "password", source, tls);
  const plain = connector(() => false);
  switch (mode) {
    case "disable":
      return plain;
    case "allow":
      return firstOrElse(
        plain,
        connector(() => UNVERIFIED),
        (code) => code?.startsWith("28") === true,
      );
    case "prefer":
      // Not a SQLSTATE: the server has no TLS, or answered nothing that is TLS.
      return firstOrElse(
        connector(() => UNVERIFIED),
        plain,
        (code) => code === undefined || !/^[0-9A-Z]{5}$/.test(code),
      );
    case "require":
      return connector(() => (file === undefined ? UNVERIFIED : chainOf(file)));
    case "verify-ca":
      return connector(() => chainOf(file ?? ""));
    case "verify-full":
      return connector(() => verifiedTls(file));
  }
}

/** The chain must end at the file's CA, and at no public one: the host name is not looked at. */
function chainOf(file: string): TlsOptions {
  return { rejectUnauthorized: true, ca: readFileSync(file, "utf8"), checkServerIdentity: () => undefined };
}

function firstOrElse(first: Connector, second: Connector, isRefusal: (code?: string) => boolean): Connector {
  return {
    address: first.address,
    auth: first.auth,
    async open(deadline) {
      try {
        return await first.open(deadline);
      } catch (error) {
        if (!isRefusal((error as { code?: string }).code)) throw error;
        return second.open(deadline);
      }
    },
  };
}
