/** A CA of the soak's own, and what it has signed. */
import { generate } from "selfsigned";

/** Which certificate a server shows; the function reaches it at 127.0.0.1. */
export type CertificateKind = "good" | "expired" | "of another host";

/** A certificate and its private key, both PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

const DAY_MS = 86_400_000;

/** Makes a CA that nobody trusts, and a certificate of each kind. `ca` is PEM. */
export async function makeCertificates(): Promise<{ ca: string } & Record<CertificateKind, Certificate>> {
  const ca = await generate([{ name: "commonName", value: "matview-refresh soak CA" }], {
    ...COMMON,
    notBeforeDate: new Date(Date.now() - 365 * DAY_MS),
    notAfterDate: new Date(Date.now() + 365 * DAY_MS),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const signed = async (ip: string, expiredMs: number): Promise<Certificate> => {
    const { cert, private: key } = await generate([{ name: "commonName", value: ip }], {
      ...COMMON,
      notBeforeDate: new Date(Date.now() - 365 * DAY_MS),
      notAfterDate: new Date(Date.now() - expiredMs),
      extensions: [{ name: "subjectAltName", altNames: [{ type: 7, ip }] }],
      ca: { key: ca.private, cert: ca.cert },
    });
    return { cert, key };
  };
  const [good, expired, foreign] = await Promise.all([
    signed("127.0.0.1", -365 * DAY_MS),
    signed("127.0.0.1", DAY_MS),
    // Of the addresses that are kept for documentation.
    signed("192.0.2.1", -365 * DAY_MS),
  ]);
  return { ca: ca.cert, good, expired, "of another host": foreign };
}

const COMMON = { keyType: "ec", algorithm: "sha256" } as const;
