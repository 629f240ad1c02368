/** libpq's sslmode for the client we use, which by itself knows TLS or no TLS. */
import { parse } from "pg-connection-string";
import { makeConnector, type Connector } from "../handler/connect";
import type { CredentialSource } from "../handler/credentials";
import { verifiedTls, type TlsOptions } from "../handler/tls";

export const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
export type SslMode = (typeof SSL_MODES)[number];

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
  const unverified = connector(() => libpqTls("require", undefined));
  switch (mode) {
    case "disable":
      return plain;
    case "allow":
      return firstOrElse(plain, unverified, (code) => code?.startsWith("28") === true);
    case "prefer":
      // Not a SQLSTATE: the server has no TLS, or answered nothing that is TLS.
      return firstOrElse(unverified, plain, (code) => code === undefined || !/^[0-9A-Z]{5}$/.test(code));
    case "require":
    case "verify-ca":
      return connector(() => libpqTls(mode, file));
    case "verify-full":
      return connector(() => verifiedTls(file));
  }
}

function libpqTls(mode: "require" | "verify-ca", file: string | undefined): TlsOptions {
  const parameters = new URLSearchParams({ sslmode: mode, ...(file !== undefined && { sslrootcert: file }) });
  return parse(`postgres://?${parameters.toString()}`, { useLibpqCompat: true }).ssl as TlsOptions;
}

function firstOrElse(first: Connector, second: Connector, isRefusal: (code?: string) => boolean): Connector {
  return {
    ...first,
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
