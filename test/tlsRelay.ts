import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { generate } from "selfsigned";

/** A certificate for 127.0.0.1 that is its own CA, with its private key; both PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

/** Makes a certificate that no one else trusts; one of a year unless told otherwise. */
export async function makeCertificate(notAfterDate?: Date): Promise<Certificate> {
  const { cert, private: key } = await generate([{ name: "commonName", value: "matview-refresh test" }], {
    keyType: "ec",
    ...(notAfterDate && { notBeforeDate: new Date(0), notAfterDate }),
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] },
    ],
  });
  return { cert, key };
}

/** What RDS Proxy is to a database: the end of TLS in front of the server. */
export interface TlsRelay {
  readonly port: number;
  close(): Promise<void>;
}

/** AuthenticationCleartextPassword of PostgreSQL's protocol. */
const ASK_FOR_PASSWORD = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]);
const HEADER_BYTES = 5;

/**
 * Starts a relay that speaks PostgreSQL's TLS handshake and hands the plain bytes on to a server of this machine.
 * With `onPassword` it asks for the password itself, as RDS does for IAM, and connects to the server, which must ask
 * for a plain password too, only when `onPassword` has seen it.
 */
export async function startTlsRelay(
  targetPort: number,
  certificate: Certificate,
  onPassword?: (password: string) => Promise<void>,
): Promise<TlsRelay> {
  const server = createServer((raw) => {
    raw.on("error", () => undefined);
    raw.once("data", () => {
      raw.write("S");
      const inward = new TLSSocket(raw, { isServer: true, ...certificate });
      inward.on("error", () => inward.destroy());
      if (onPassword === undefined) join(inward, connect(targetPort, "127.0.0.1"));
      else relayAfterPassword(inward, targetPort, onPassword).catch(() => inward.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

async function relayAfterPassword(
  inward: TLSSocket,
  targetPort: number,
  onPassword: (password: string) => Promise<void>,
): Promise<void> {
  const startup = await nextBytes(inward);
  inward.write(ASK_FOR_PASSWORD);
  const answer = await nextBytes(inward);
  await onPassword(answer.subarray(HEADER_BYTES, -1).toString("utf8"));
  const outward = connect(targetPort, "127.0.0.1");
  outward.write(startup);
  await nextBytes(outward);
  outward.write(answer);
  join(inward, outward);
}

async function nextBytes(socket: Socket): Promise<Buffer> {
  const [bytes] = (await once(socket, "data")) as [Buffer];
  return bytes;
}

function join(inward: Socket, outward: Socket): void {
  inward.pipe(outward);
  outward.pipe(inward);
  outward.on("error", () => inward.destroy());
  inward.on("close", () => outward.destroy());
}
