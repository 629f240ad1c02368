/** Whether the server has TLS and a certificate that the function takes. Asks the server, not the database. */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type PeerCertificate } from "node:tls";
import { CONNECTION_RULES } from "../../handler/remedies";
import { isLoopback } from "../../handler/settings";
import { verifiedTls } from "../../handler/tls";
import type { Check } from "../check";
import type { Finding, Findings } from "../finding";
import type { ConnectionFacts, Scope } from "../scope";

export interface TlsFacts {
  offersTls: boolean;
  /** Why Node.js does not take it: `CERT_HAS_EXPIRED`; undefined where it does. */
  error: string | undefined;
  /** Milliseconds since 1970. */
  validToMs: number;
  issuer: string;
  /** The name that it was held against. */
  host: string;
}

/** PostgreSQL's request for TLS: a length of 8, and a number that is no version. */
const TLS_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const LONGEST_PROBE_MS = 5_000;

export const certificate: Check = {
  about: "TLS and the server's certificate",
  isOutside: true,
  async run(_reader, scope): Promise<Findings> {
    const { connection, stack } = scope;
    const { host: wanted } = stack?.plan.settings.database ?? {};
    const isLocal = connection.host.startsWith("/");
    if (isLocal || (wanted === undefined && !connection.isTlsAsked)) return { findings: [], notSeen: [] };
    const facts = await probe(connection, wanted ?? connection.host);
    return judgeTls(facts, scope, Date.now());
  },
};

async function probe({ host, port, caFile }: ConnectionFacts, name: string): Promise<TlsFacts> {
  const socket = connectTcp(port, host);
  const patience = setTimeout(
    () => socket.destroy(new Error("no answer to the request for TLS")),
    LONGEST_PROBE_MS,
  );
  try {
    await once(socket, "connect");
    socket.write(TLS_REQUEST);
    const [answer] = (await once(socket, "data")) as [Buffer];
    const facts = {
      offersTls: answer[0] === 0x53,
      error: undefined,
      validToMs: Infinity,
      issuer: "",
      host: name,
    };
    return facts.offersTls ? { ...facts, ...(await readCertificate(socket, name, caFile)) } : facts;
  } finally {
    clearTimeout(patience);
    socket.destroy();
  }
}

async function readCertificate(
  socket: Socket,
  host: string,
  caFile: string | undefined,
): Promise<Pick<TlsFacts, "error" | "validToMs" | "issuer">> {
  const tls = connectTls({
    ...verifiedTls(caFile),
    socket,
    host,
    ...(/^[\d.:]+$/.test(host) ? {} : { servername: host }),
    // What is wrong with it is to be told, not thrown.
    rejectUnauthorized: false,
  });
  await once(tls, "secureConnect");
  const { valid_to, issuer } = tls.getPeerCertificate() as PeerCertificate | Record<string, undefined>;
  // Node.js has the code as text here, whatever its types say.
  const error = tls.authorized ? undefined : `${tls.authorizationError as unknown as string}`;
  tls.destroy();
  const { O, CN } = (issuer ?? {}) as { O?: string; CN?: string };
  return { error, validToMs: Date.parse(valid_to ?? ""), issuer: [CN, O].filter(Boolean).join(", ") };
}

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;

export function judgeTls(facts: TlsFacts, { address, connection, stack }: Scope, nowMs: number): Findings {
  const context = { address, auth: "", connected: false, connectionLost: false, message: facts.error ?? "" };
  const finding = (
    name: string,
    grade: Finding["grade"],
    what: string,
    why: string,
    remedy: string,
  ): Findings => ({
    findings: [{ name, grade, what, why, remedy }],
    notSeen: [],
  });
  const isStacks = stack !== undefined;
  const refuses = isStacks
    ? "The function verifies certificate and host name, always: it never connects."
    : "A connection that verifies the certificate is refused; one that does not can be read and changed on its way.";
  if (!facts.offersTls) {
    return finding(
      "no-tls",
      isStacks || !isLoopback(connection.host) ? "will fail" : "worth knowing",
      `${address} offers no TLS`,
      isStacks ? "The function connects with TLS alone." : "Password and data go over the network in clear.",
      CONNECTION_RULES.noTls.remedy(context),
    );
  }
  const until = Number.isFinite(facts.validToMs) ? new Date(facts.validToMs).toISOString().slice(0, 10) : "";
  const rotate =
    "aws rds modify-db-instance --db-instance-identifier <id> --certificate-rotation-restart --apply-immediately" +
    "  # elsewhere: a new certificate in ssl_cert_file";
  const grade = isStacks || connection.isTlsAsked ? "will fail" : "worth knowing";
  switch (facts.error) {
    case undefined: {
      const days = (facts.validToMs - nowMs) / DAY_MS;
      if (!(days < SOON_DAYS)) return { findings: [], notSeen: [] };
      return finding(
        "certificate-expires",
        "will hurt",
        `the server's certificate ends on ${until}, in ${Math.floor(days)} days`,
        "From that day on nobody who verifies it connects.",
        rotate,
      );
    }
    case "CERT_HAS_EXPIRED":
      return finding(
        "certificate-expired",
        grade,
        `the server's certificate ended on ${until}`,
        refuses,
        rotate,
      );
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return finding(
        "certificate-host",
        grade,
        `the server's certificate is not for ${facts.host}`,
        refuses,
        CONNECTION_RULES.wrongHost.remedy(context),
      );
    default:
      break;
  }
  // Lambda knows the CAs of RDS, and this machine does not unless it is told.
  if (/Amazon/.test(facts.issuer) && connection.caFile === undefined) {
    return {
      findings: [],
      notSeen: [
        {
          what: "whether the server's certificate is right",
          why: `it was issued by ${facts.issuer}, whose certificate this machine does not have; the function does`,
          remedy:
            "curl -o ca.pem https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem && export PGSSLROOTCERT=ca.pem",
        },
      ],
    };
  }
  return finding(
    "certificate-untrusted",
    grade,
    `the server's certificate is not trusted: ${facts.error}, issued by ${facts.issuer || "itself"}`,
    refuses,
    CONNECTION_RULES.certificate.remedy(context),
  );
}
