/** How the server's certificate is checked. */
import { readFileSync } from "node:fs";
import { rootCertificates, type ConnectionOptions } from "node:tls";

/** What the `pg` client takes: false for plain TCP. */
export type TlsOptions = false | ConnectionOptions;

/**
 * Certificate and host name are verified. A custom CA file joins the roots; handing it over alone would replace
 * them, and so would it replace NODE_EXTRA_CA_CERTS, through which Lambda knows the CAs of RDS.
 * @throws the file system's error when the CA file cannot be read.
 */
export function verifiedTls(caFile?: string): ConnectionOptions {
  const options: ConnectionOptions = { rejectUnauthorized: true, minVersion: "TLSv1.2" };
  if (caFile === undefined) return options;
  const extraFile = process.env.NODE_EXTRA_CA_CERTS;
  const files = extraFile === undefined || extraFile === "" ? [caFile] : [caFile, extraFile];
  return { ...options, ca: [...rootCertificates, ...files.map((file) => readFileSync(file, "utf8"))] };
}
