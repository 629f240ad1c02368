/** The page's server as far as the page sees it: three files, a stream of planted snapshots, and controls. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import {
  DEFAULT_RANGE,
  TOKEN_HEADER,
  type RangeName,
  type Snapshot,
  type StreamEvent,
} from "../../watch/contract";
import { bundlePage, type PageFiles } from "../../watch/page/bundle";
import { plantedSnapshot } from "./planted";

export const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface Post {
  control: string;
  token: string | undefined;
  body: unknown;
}

export class PageServer {
  readonly posts: Post[] = [];
  /** Answers of the controls to come; `done` otherwise. */
  refuse: string | undefined;
  private readonly streams = new Map<ServerResponse, RangeName>();
  private readonly sockets = new Set<Socket>();
  private timer: NodeJS.Timeout | undefined;
  private server: Server | undefined;
  private files: PageFiles | undefined;
  port = 0;

  /** @param event what a stream is told; asked with each beat */
  constructor(
    public event: (nowMs: number, range: RangeName) => StreamEvent = (nowMs, range) => ({
      type: "snapshot",
      snapshot: plantedSnapshot(nowMs, range),
    }),
    private readonly beatMs = 1_000,
  ) {}

  get address(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** Shows other facts from now on. */
  show(changes: (snapshot: Snapshot) => Partial<Snapshot>): void {
    this.event = (nowMs, range) => {
      const snapshot = plantedSnapshot(nowMs, range);
      return { type: "snapshot", snapshot: { ...snapshot, ...changes(snapshot) } };
    };
    this.beat();
  }

  async start(): Promise<this> {
    this.files ??= await bundlePage();
    this.server = createServer((request, response) => void this.answer(request, response));
    this.server.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    await new Promise<void>((listening) => this.server?.listen(this.port, "127.0.0.1", listening));
    this.port = (this.server.address() as AddressInfo).port;
    this.timer = setInterval(() => this.beat(), this.beatMs);
    return this;
  }

  /** Gone at once, streams and all; `start` takes the same port again. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.streams.clear();
    for (const socket of this.sockets) socket.destroy();
    await new Promise((closed) => this.server?.close(closed));
  }

  /** Tells every stream at once. */
  beat(): void {
    for (const [stream, range] of this.streams) this.tell(stream, range);
  }

  private tell(stream: ServerResponse, range: RangeName): void {
    stream.write(`data: ${JSON.stringify(this.event(Date.now(), range))}\n\n`);
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.address);
    response.setHeader("content-security-policy", policy);
    response.setHeader("x-content-type-options", "nosniff");
    const send = (type: string, body: string, status = 200) =>
      response.writeHead(status, { "content-type": type }).end(body);
    if (url.pathname === "/") return void send("text/html; charset=utf-8", this.files?.html ?? "");
    if (url.pathname === "/page.js") return void send("text/javascript; charset=utf-8", this.files?.js ?? "");
    if (url.pathname === "/page.css") return void send("text/css; charset=utf-8", this.files?.css ?? "");
    if (url.pathname === "/events") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      const range = (url.searchParams.get("range") ?? DEFAULT_RANGE) as RangeName;
      this.streams.set(response, range);
      response.on("close", () => this.streams.delete(response));
      this.tell(response, range);
      return;
    }
    if (request.method === "POST" && url.pathname.startsWith("/control/")) {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const control = url.pathname.slice("/control/".length);
      this.posts.push({
        control,
        token: request.headers[TOKEN_HEADER] as string | undefined,
        body: JSON.parse(Buffer.concat(chunks).toString()),
      });
      if (this.refuse !== undefined)
        return void send("application/json", JSON.stringify({ error: this.refuse }), 409);
      return void send("application/json", JSON.stringify({ done: `${control}: done` }));
    }
    send("text/plain", "not here", 404);
  }
}

if (require.main === module) {
  void new PageServer().start().then((server) => console.log(server.address));
}
