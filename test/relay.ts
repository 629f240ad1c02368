import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A TCP relay on loopback in front of a server, where a test can do to a connection what networks do. */
export interface Relay {
  readonly port: number;
  /** Ends every connection at once, on both sides. */
  cut(): void;
  /** From now on carries nothing and closes nothing, like a network that went silent. */
  freeze(): void;
  close(): Promise<void>;
}

/** Starts a relay to a port of this machine. */
export async function startRelay(targetPort: number): Promise<Relay> {
  const sockets = new Set<Socket>();
  let isFrozen = false;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((inward) => {
    keep(inward);
    if (isFrozen) return;
    const outward = connect(targetPort, "127.0.0.1");
    keep(outward);
    inward.pipe(outward);
    outward.pipe(inward);
    inward.on("close", () => outward.destroy());
    outward.on("close", () => inward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => sockets.forEach((socket) => socket.destroy());
  return {
    port: (server.address() as AddressInfo).port,
    cut,
    freeze() {
      isFrozen = true;
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
