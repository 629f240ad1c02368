/** The stream of snapshots: opened again by itself, later each time, at once when the window is looked at again. */
import type { StreamEvent } from "../../contract";

const firstRetryMs = 500;
const longestRetryMs = 15_000;
/** The server says something at least every 15 s; silence for longer is a tunnel that fell asleep, or worse. */
const longestSilenceMs = 40_000;
const longestOpeningMs = 10_000;

export interface Listener {
  heard: (event: StreamEvent) => void;
  /** @param retryMs until the next attempt */
  lost: (retryMs: number) => void;
}

export class SnapshotStream {
  private source: EventSource | undefined;
  private retryTimer: number | undefined;
  private silenceTimer: number | undefined;
  private attempts = 0;

  /** @param address asked before each attempt, as the range may have changed */
  constructor(
    private readonly address: () => string,
    private readonly listener: Listener,
  ) {
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.hurry();
    });
  }

  /** Opens the stream, or closes the one that is open and opens another. */
  open(): void {
    this.close();
    const source = new EventSource(this.address());
    this.source = source;
    this.expectWithin(longestOpeningMs, () => this.fail());
    source.onmessage = (message: MessageEvent<string>) => {
      this.attempts = 0;
      this.expectWithin(longestSilenceMs, () => this.fail());
      this.listener.heard(JSON.parse(message.data) as StreamEvent);
    };
    source.onerror = () => this.fail();
  }

  private close(): void {
    clearTimeout(this.retryTimer);
    clearTimeout(this.silenceTimer);
    this.retryTimer = undefined;
    this.source?.close();
    this.source = undefined;
  }

  /** The browser's own attempts end for good at the first answer that is no stream; ours do not. */
  private fail(): void {
    this.close();
    const retryMs = Math.min(longestRetryMs, firstRetryMs * 2 ** this.attempts);
    this.attempts += 1;
    this.listener.lost(retryMs);
    this.retryTimer = setTimeout(() => this.open(), retryMs) as unknown as number;
  }

  private hurry(): void {
    if (this.retryTimer !== undefined) this.open();
  }

  private expectWithin(milliseconds: number, otherwise: () => void): void {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(otherwise, milliseconds) as unknown as number;
  }
}
