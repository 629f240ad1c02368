/** What the wire needs of sockets before anything is carried, and the order in which it is carried. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import type { TLSSocket } from "node:tls";

/** Works one after the other, in the order in which they were given. */
export class Lane {
  private last: Promise<void> = Promise.resolve();

  add(work: () => Promise<void> | void): void {
    this.last = this.last.then(work);
  }
}

/** What arrives first, alone; nothing where the socket is closed before. */
export async function firstBytes(socket: Socket): Promise<Buffer> {
  const [bytes] = (await Promise.race([once(socket, "data"), once(socket, "close")]).catch(() => [])) as [
    Buffer | boolean | undefined,
  ];
  // Its TLS begins with the next bytes, which are not ours to read.
  socket.pause();
  return Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0);
}

/** Whether the handshake comes to its end. */
export async function isSecured(socket: TLSSocket): Promise<boolean> {
  const isSecure = await Promise.race([
    once(socket, "secure").then(() => true),
    once(socket, "close").then(() => false),
  ]).catch(() => false);
  // OpenSSL is still in the middle of telling so, and must not lose its socket then.
  await setImmediate();
  return isSecure;
}
