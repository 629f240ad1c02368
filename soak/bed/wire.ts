/**
 * The wire between function and server. It ends TLS as the server would, reads what goes by, and does to a connection
 * what networks do, at the message at which it is asked to. What is laid in ambush must not throw: nobody is there to
 * be told.
 */
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Ambush, Phase, Wire, WireConnection } from "./bed";
import { makeCertificates, type CertificateKind } from "./certificates";
import { CarriedConnection } from "./wireConnection";

/** What a wire is started with. */
interface WireOptions {
  /** Where the CA's certificate is written to. */
  folder: string;
  /** Port on 127.0.0.1 of the server that takes writes now; asked for each connection. */
  primaryPort: () => number;
}

/** Starts a wire on a free port of 127.0.0.1. */
export async function startWire({
  folder,
  primaryPort,
}: WireOptions): Promise<Wire & { stop(): Promise<void> }> {
  const certificates = await makeCertificates();
  const caFile = join(folder, "wire-ca.pem");
  await writeFile(caFile, certificates.ca);
  const ambushes = new Ambushes();
  const connections = new Set<CarriedConnection>();
  let acceptance: "open" | "closed" | "silent" = "open";
  let shown: CertificateKind = "good";
  let otherPort: number | undefined;
  let refusal: { sqlstate: string; message: string } | undefined;
  let slowMs = 0;
  const state = {
    targetPort: () => otherPort ?? primaryPort(),
    certificate: () => certificates[shown],
    refusal: () => refusal,
    slowMs: () => slowMs,
    spring: ambushes.spring.bind(ambushes),
  };
  const take = (socket: Socket): void => {
    const connection = new CarriedConnection(socket, state);
    connections.add(connection);
    void connection.gone.then(() => connections.delete(connection));
    if (acceptance === "silent") connection.freeze();
    else void connection.begin();
  };
  const open = (port: number): Server => createServer(take).listen(port, "127.0.0.1");
  let server: Server | undefined = open(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const close = (): void => {
    server?.close();
    server = undefined;
  };
  return {
    port,
    caFile,
    ambush: (ambush) => ambushes.lay(ambush),
    accept(how) {
      acceptance = how;
      if (how === "closed") close();
      else server ??= open(port);
    },
    leadTo: (to) => void (otherPort = to),
    certificate: (which) => void (shown = which),
    refusePasswords: (message) => void (refusal = message === undefined ? undefined : refusalOf(message)),
    slow: (ms) => void (slowMs = ms),
    cutAll: () => connections.forEach((connection) => connection.cut()),
    freezeAll: () => connections.forEach((connection) => connection.freeze()),
    thaw() {
      for (const connection of connections) if (connection.isSilent) connection.cut();
    },
    async stop() {
      close();
      for (const connection of connections) connection.cut();
      await Promise.all([...connections].map(({ gone }) => gone));
    },
  };
}

/** PostgreSQL gives what PAM refuses, which is how RDS looks at a token, another code than a wrong password. */
function refusalOf(message: string): { sqlstate: string; message: string } {
  return { sqlstate: message.startsWith("PAM ") ? "28000" : "28P01", message };
}

/** Who waits for a connection to come to a phase, and what is done then. */
class Ambushes {
  private readonly laid = new Set<{ ambush: Ambush; sprung: number }>();

  lay(ambush: Ambush): ReturnType<Wire["ambush"]> {
    const entry = { ambush, sprung: 0 };
    this.laid.add(entry);
    return {
      get sprung() {
        return entry.sprung;
      },
      disarm: () => void this.laid.delete(entry),
    };
  }

  /** Does, one after the other, what was laid for this. */
  async spring(phase: Phase, moment: Ambush["moment"], connection: WireConnection): Promise<void> {
    for (const entry of [...this.laid]) {
      const { ambush } = entry;
      if (ambush.phase !== phase || ambush.moment !== moment || !this.laid.has(entry)) continue;
      entry.sprung += 1;
      if (entry.sprung >= (ambush.times ?? 1)) this.laid.delete(entry);
      await ambush.act(connection);
    }
  }
}
