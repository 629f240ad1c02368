/**
 * The page's server: on this machine alone, for this machine's own browser. A page of another site reaches neither its
 * data (a name that leads here has another Host) nor its controls (an origin, and a token of this start).
 */
import { timingSafeEqual } from "node:crypto";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { Hono, type Context, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { streamSSE } from "hono/streaming";
import {
  CONTROLS,
  DEFAULT_RANGE,
  RANGES,
  TOKEN_HEADER,
  type ControlAnswer,
  type ControlRequest,
  type RangeName,
  type StreamEvent,
} from "./contract";
import { ControlRefused } from "./controls";
import { bundlePage, type PageFiles } from "./page/bundle";
import { Watch, type WatchOptions } from "./watch";

export interface PageServerOptions extends WatchOptions {
  /** 0 or absent: a free one. */
  port?: number | undefined;
  /** Made of the page's sources unless given; for tests. */
  files?: PageFiles;
}

export interface PageServer {
  /** `http://127.0.0.1:40919/`. */
  readonly url: string;
  readonly port: number;
  /** Ends every stream and the session with the database. */
  close(): Promise<void>;
}

const HOST = "127.0.0.1";

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const LONGEST_BODY_BYTES = 1_024;

/**
 * Serves the page.
 * @throws the system's error where the port is taken (EADDRINUSE), esbuild's where the page does not build.
 */
export async function servePage(options: PageServerOptions): Promise<PageServer> {
  const files = options.files ?? (await bundlePage());
  const watch = new Watch(options);
  const place = { port: options.port ?? 0 };
  const server = createAdaptorServer({ fetch: makeApp(watch, files, place).fetch }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(place.port, HOST, resolve);
  });
  place.port = (server.address() as AddressInfo).port;
  return {
    url: `http://${HOST}:${place.port}/`,
    port: place.port,
    async close() {
      await watch.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function makeApp(watch: Watch, { html, js, css }: PageFiles, place: { port: number }): Hono {
  const app = new Hono();
  app.use(headers, checkHost(place), checkSite);
  app.get("/", (context) => context.html(html));
  app.get("/page.js", (context) => send(context, js, "text/javascript; charset=utf-8"));
  app.get("/page.css", (context) => send(context, css, "text/css; charset=utf-8"));
  app.get("/snapshot", async (context) => {
    const range = rangeOf(context);
    if (range === undefined) return context.json({ error: WHICH_RANGES }, 400);
    const event = await watch.once(range);
    return event.type === "snapshot" ? context.json(event.snapshot) : context.json(event, 503);
  });
  app.get("/events", (context) => {
    const range = rangeOf(context);
    if (range === undefined) return context.json({ error: WHICH_RANGES }, 400);
    return streamSSE(context, (stream) => {
      const events = new Newest<StreamEvent>();
      const unsubscribe = watch.subscribe(range, (event) => events.put(event));
      stream.onAbort(() => {
        unsubscribe();
        events.end();
      });
      return events.each((event) => stream.writeSSE({ data: JSON.stringify(event) }));
    });
  });
  app.post("/control/:name", bodyLimit({ maxSize: LONGEST_BODY_BYTES }), async (context) => {
    const refusal = refusalOf(context, watch);
    const answer = (body: ControlAnswer, status: 200 | 400 | 403 | 404 | 409 | 500): Response =>
      context.json(body, status);
    if (refusal !== undefined) return answer({ error: refusal }, 403);
    const control = CONTROLS.find((name) => name === context.req.param("name"));
    const { controls } = watch;
    if (control === undefined || controls === undefined)
      return answer({ error: "there is no such control" }, 404);
    const request = await readRequest(context);
    if (request === undefined) return answer({ error: "the body is not what was expected" }, 400);
    try {
      const done = await controls.run(control, request);
      return answer({ done }, 200);
    } catch (error) {
      const { message } = error as Error;
      return answer({ error: message }, error instanceof ControlRefused ? 409 : 500);
    } finally {
      watch.pollSoon();
    }
  });
  app.notFound((context) => context.json({ error: "there is nothing here" }, 404));
  app.onError((error, context) =>
    context.json({ error: error.message }, error instanceof HTTPException ? error.status : 500),
  );
  return app;
}

const headers: MiddlewareHandler = async (context, next) => {
  await next();
  context.header("Content-Security-Policy", POLICY);
  context.header("Cache-Control", "no-store");
  context.header("X-Content-Type-Options", "nosniff");
  context.header("Referrer-Policy", "no-referrer");
  context.header("Cross-Origin-Resource-Policy", "same-origin");
  context.header("Cross-Origin-Opener-Policy", "same-origin");
};

/** Anybody may give a name of his own this address; a browser says which name it asked. */
const checkHost =
  (place: { port: number }): MiddlewareHandler =>
  async (context, next) => {
    const host = context.req.header("host");
    if (host === `${HOST}:${place.port}` || host === `localhost:${place.port}`) return next();
    return context.json(
      {
        error: `this server answers as ${HOST}:${place.port} or localhost:${place.port} alone; through a tunnel: ssh -L ${place.port}:${HOST}:${place.port} <host>`,
      },
      403,
    );
  };

/** A page of another site may link here, and load nothing from here. */
const checkSite: MiddlewareHandler = async (context, next) => {
  const site = context.req.header("sec-fetch-site") ?? "none";
  const isNavigation = context.req.header("sec-fetch-mode") === "navigate" && context.req.path === "/";
  if (site === "same-origin" || site === "none" || isNavigation) return next();
  return context.json({ error: "this is for its own page alone" }, 403);
};

/** Why a post is not from the page that this server has served; undefined where it is. */
function refusalOf(context: Context, watch: Watch): string | undefined {
  const host = context.req.header("host");
  if (context.req.header("origin") !== `http://${host}`) return "the request is not from this server's page";
  const given = Buffer.from(context.req.header(TOKEN_HEADER) ?? "");
  const wanted = Buffer.from(watch.token);
  if (given.length === wanted.length && timingSafeEqual(given, wanted)) return undefined;
  return "the page is of an earlier start of this server: load it again";
}

async function readRequest(context: Context): Promise<ControlRequest | undefined> {
  try {
    const body: unknown = await context.req.json();
    if (typeof body !== "object" || body === null) return undefined;
    const { level } = body as Record<string, unknown>;
    if (level === undefined) return {};
    return typeof level === "string" ? { level } : undefined;
  } catch {
    return undefined;
  }
}

function send(context: Context, text: string, type: string): Response {
  return context.body(text, 200, { "Content-Type": type });
}

const WHICH_RANGES = `range is one of ${Object.keys(RANGES).join(", ")}`;

function rangeOf(context: Context): RangeName | undefined {
  const name = context.req.query("range") ?? DEFAULT_RANGE;
  return Object.hasOwn(RANGES, name) ? (name as RangeName) : undefined;
}

/** Hands on one value at a time; who is slow gets the newest, not all. */
class Newest<Value> {
  private value: Value | undefined;
  private isOver = false;
  private wake: (() => void) | undefined;

  put(value: Value): void {
    this.value = value;
    this.wake?.();
  }

  end(): void {
    this.isOver = true;
    this.wake?.();
  }

  /** Resolves at the end. */
  async each(work: (value: Value) => Promise<void>): Promise<void> {
    while (!this.isOver) {
      const { value } = this;
      this.value = undefined;
      if (value !== undefined) await work(value);
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
