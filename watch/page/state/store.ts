/** What the page knows: the last snapshot, how the stream stands, the range, and the server's clock. */
import { computed, signal } from "@preact/signals";
import { DEFAULT_RANGE, RANGES, type RangeName, type Snapshot } from "../../contract";
import { SnapshotStream } from "./stream";

export type Connection =
  | { state: "opening" }
  | { state: "live" }
  | { state: "no database"; sinceMs: number; reason: string }
  /** The server of the page is gone; times are by its clock as it would be. */
  | { state: "no server"; sinceMs: number; retryAtMs: number };

export const snapshot = signal<Snapshot | null>(null);
export const connection = signal<Connection>({ state: "opening" });
/** What a local run lets the page do; known even while the database does not answer. */
export const controls = signal<Snapshot["controls"]>(null);

function rangeOfAddress(): RangeName {
  const asked = new URLSearchParams(location.search).get("range");
  return asked !== null && Object.hasOwn(RANGES, asked) ? (asked as RangeName) : DEFAULT_RANGE;
}
export const range = signal<RangeName>(rangeOfAddress());

/** The server's clock when the last snapshot came, and how far this window's own had run. */
const heard = signal({ serverMs: Date.now(), atMs: performance.now() });
const elapsedMs = signal(0);

/** The server's clock; advances each second. */
export const serverNowMs = computed(() => heard.value.serverMs + elapsedMs.value);
/** What an age of the last snapshot has grown by. Stands still while there is no stream: what is then is not known. */
export const grownSeconds = signal(0);
/** The server's clock at the last snapshot. */
export const lastHeardMs = computed(() => heard.value.serverMs);

function advance(): void {
  elapsedMs.value = performance.now() - heard.value.atMs;
  if (connection.value.state === "live") grownSeconds.value = elapsedMs.value / 1_000;
}

const stream = new SnapshotStream(() => `events?range=${range.value}`, {
  heard: (event) => {
    if (event.type === "disconnected") {
      controls.value = event.controls;
      connection.value = { state: "no database", sinceMs: event.sinceMs, reason: event.reason };
      return;
    }
    heard.value = { serverMs: event.snapshot.server.nowMs, atMs: performance.now() };
    grownSeconds.value = 0;
    elapsedMs.value = 0;
    snapshot.value = event.snapshot;
    controls.value = event.snapshot.controls;
    connection.value = { state: "live" };
  },
  lost: (retryMs) => {
    advance();
    const now = serverNowMs.value;
    const before = connection.value;
    connection.value = {
      state: "no server",
      sinceMs: before.state === "no server" ? before.sinceMs : now,
      retryAtMs: now + retryMs,
    };
  },
});

/** Shows another range, as a page of its own in the browser's history. */
export function chooseRange(name: RangeName): void {
  if (name === range.value) return;
  history.pushState(null, "", `?range=${name}`);
  range.value = name;
  stream.open();
}

const isDark = matchMedia("(prefers-color-scheme: dark)");
/** Changes when the system goes from light to dark or back: what is drawn on a canvas is drawn again. */
export const theme = signal<"light" | "dark">(isDark.matches ? "dark" : "light");

/** Opens the stream and starts the clock. */
export function start(): void {
  addEventListener("popstate", () => {
    // Also told when a link within the page was followed.
    if (range.value === rangeOfAddress()) return;
    range.value = rangeOfAddress();
    stream.open();
  });
  isDark.addEventListener("change", () => (theme.value = isDark.matches ? "dark" : "light"));
  setInterval(advance, 1_000);
  stream.open();
}
