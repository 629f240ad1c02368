/** One connection of the function, from its first byte to its end: what it says is read, held, late, or lost. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { TLSSocket } from "node:tls";
import type { Ambush, Phase, WireConnection } from "./bed";
import type { Certificate } from "./certificates";
import { firstBytes, isSecured, Lane } from "./sockets";
import {
  ASK_FOR_PASSWORD,
  asksForTls,
  fatalError,
  isLetIn,
  isReady,
  MessageReader,
  phaseOfSql,
  sqlOf,
  type Message,
} from "./messages";

/** What a connection asks of the wire, each when it comes to it. */
interface WireState {
  targetPort(): number;
  certificate(): Certificate;
  /** What a password is refused with. */
  refusal(): { sqlstate: string; message: string } | undefined;
  /** How late each message of every connection is. */
  slowMs(): number;
  spring(phase: Phase, moment: Ambush["moment"], connection: WireConnection): Promise<void>;
}

/**
 * `open` carries; `silent` carries nothing and passes no end on, whether it is frozen or has been abandoned; `over` has
 * been ended.
 */
type Condition = "open" | "silent" | "over";

export class CarriedConnection implements WireConnection {
  /** Resolves when both sides are closed. */
  readonly gone: Promise<unknown>;
  private condition: Condition = "open";
  private inward: Socket;
  private outward: Socket | undefined;
  private ownSlowMs = 0;
  /** What the function waits for an answer to. */
  private phase: Phase = "connect";
  private readonly toServer = new Lane();
  private readonly toFunction = new Lane();
  /** The part of an answer that has arrived; it is handed on as a whole. */
  private held: Buffer[] = [];
  private isLetIn = false;
  private resolveGone: () => void = () => undefined;

  constructor(
    private readonly accepted: Socket,
    private readonly wire: WireState,
  ) {
    this.gone = new Promise<void>((resolve) => (this.resolveGone = resolve));
    this.inward = accepted;
    accepted.setNoDelay(true);
    this.watch(accepted, () => this.outward);
  }

  get isSilent(): boolean {
    return this.condition === "silent";
  }

  cut(): void {
    this.condition = "over";
    this.inward.destroy();
    this.outward?.destroy();
    this.noteEnd();
  }

  abandon(): void {
    if (this.condition === "over") return;
    this.condition = "silent";
    this.inward.destroy();
  }

  freeze(): void {
    if (this.condition === "open") this.condition = "silent";
  }

  slow(ms: number): void {
    this.ownSlowMs = ms;
  }

  /** Goes through the phases before the first query, then carries. */
  async begin(): Promise<void> {
    await this.at("connect", "before");
    if (!this.isOpen || !(await this.reachServer())) return;
    const [request] = new MessageReader(false).read(await firstBytes(this.accepted));
    if (!this.isOpen) return;
    // Nothing but TLS: what is deployed asks for nothing else.
    if (request === undefined || !asksForTls(request)) return this.cut();
    await this.at("connect", "after");
    await this.late(performance.now());
    if (!this.isOpen) return;
    this.accepted.write("S");
    this.phase = "tls";
    await this.at("tls", "before");
    if (!this.isOpen) return;
    const secure = new TLSSocket(this.accepted, { isServer: true, ...this.wire.certificate() });
    this.inward = secure;
    this.watch(secure, () => this.outward);
    if (!(await isSecured(secure))) return;
    await this.at("tls", "after");
    if (this.isOpen) this.carry();
  }

  private get isOpen(): boolean {
    return this.condition === "open";
  }

  private at(phase: Phase, moment: Ambush["moment"]): Promise<void> {
    return this.wire.spring(phase, moment, this);
  }

  /** Waits for as long as what has just arrived is to be late. */
  private async late(arrivedMs: number): Promise<void> {
    const waitMs = arrivedMs + Math.max(this.ownSlowMs, this.wire.slowMs()) - performance.now();
    if (waitMs > 0) await sleep(waitMs);
  }

  /** @returns whether the server has accepted; the function hears of a refusal as far as one connection can tell it. */
  private async reachServer(): Promise<boolean> {
    const outward = connect({ port: this.wire.targetPort(), host: "127.0.0.1", noDelay: true });
    this.outward = outward;
    this.watch(outward, () => this.inward);
    return once(outward, "connect").then(
      () => true,
      () => {
        if (this.isOpen) this.accepted.resetAndDestroy();
        return false;
      },
    );
  }

  private carry(): void {
    const { outward, inward } = this;
    if (outward === undefined) return;
    const refusal = this.wire.refusal();
    const fromFunction = new MessageReader(false);
    inward.on("data", (piece: Buffer) => {
      const arrivedMs = performance.now();
      for (const message of fromFunction.read(piece)) {
        fromFunction.begun();
        this.toServer.add(() =>
          refusal === undefined
            ? this.carryRequest(message, arrivedMs, outward)
            : this.refuse(message, arrivedMs, refusal),
        );
      }
    });
    const fromServer = new MessageReader();
    outward.on("data", (piece: Buffer) => {
      const arrivedMs = performance.now();
      for (const message of fromServer.read(piece))
        this.toFunction.add(() => this.carryAnswer(message, arrivedMs));
    });
  }

  private async carryRequest(message: Message, arrivedMs: number, outward: Socket): Promise<void> {
    await this.late(arrivedMs);
    if (!this.isOpen) return;
    const sql = sqlOf(message);
    if (message.type === "" || sql !== undefined) {
      this.phase = sql === undefined ? "authenticate" : phaseOfSql(sql);
      await this.at(this.phase, "before");
    }
    if (this.isOpen) outward.write(message.bytes);
  }

  /** What leads to being let in is handed on at once, every later answer as a whole. */
  private async carryAnswer(message: Message, arrivedMs: number): Promise<void> {
    this.isLetIn ||= isLetIn(message);
    this.held.push(message.bytes);
    const isAnswer = isReady(message);
    if (this.isLetIn && !isAnswer) return;
    await this.late(arrivedMs);
    if (isAnswer && this.isOpen) await this.at(this.phase, "after");
    this.handOn();
  }

  private handOn(): void {
    if (this.isOpen) this.inward.write(Buffer.concat(this.held));
    this.held = [];
  }

  /** Does as RDS does: asks for the token, and refuses it whatever it is. */
  private async refuse(
    { type }: Message,
    arrivedMs: number,
    { sqlstate, message }: { sqlstate: string; message: string },
  ): Promise<void> {
    await this.late(arrivedMs);
    if (type === "") {
      await this.at("authenticate", "before");
      if (this.isOpen) this.inward.write(ASK_FOR_PASSWORD);
    } else if (this.isOpen) {
      this.inward.end(fatalError(sqlstate, message));
      this.outward?.destroy();
    }
  }

  /** The end of one side is the end of the other, after what was under way; of a silent connection it is nothing. */
  private watch(socket: Socket, other: () => Socket | undefined): void {
    let isBroken = false;
    socket.on("error", () => (isBroken = true));
    socket.on("close", () => {
      const lane = socket === this.outward ? this.toFunction : this.toServer;
      lane.add(() => {
        if (this.isOpen) {
          // What it still said before it went: why it ends the connection.
          if (socket === this.outward) this.handOn();
          const peer = other();
          if (isBroken) peer?.destroy();
          else peer?.destroySoon();
        }
        this.noteEnd();
      });
    });
  }

  private noteEnd(): void {
    if (this.accepted.destroyed && (this.outward === undefined || this.outward.destroyed)) this.resolveGone();
  }
}
