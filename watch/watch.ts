/** Watches one database for all who look: one poll at a time, told to each when something changed. */
import { randomBytes } from "node:crypto";
import type { Connector } from "../handler/connect";
import { RANGES, type RangeName, type Snapshot, type StreamEvent } from "./contract";
import type { Controls } from "./controls";
import { FactReader, type Facts, type Promised } from "./facts";
import { RangeHistory } from "./rangeHistory";
import { readFailures, readRuns } from "./queries/runs";
import type { HistoryRow } from "./queries/now";
import { Disconnected, Reader } from "./reader";
import { fingerprintOf, makeSnapshot, type RangeFacts } from "./snapshot";

export interface WatchOptions extends Promised {
  connector: Connector;
  /** Absent where the page can do nothing. */
  controls?: Controls | undefined;
  /** Between two polls. */
  pollMs?: number;
  /** Told how long each statement took. */
  onStatement?: ((tookMs: number) => void) | undefined;
}

type Listener = (event: StreamEvent) => void;

const POLL_MS = 1_000;
/** A poll may take up so much of the time at the most, so that a slow database is not asked all the time. */
const POLL_SHARE = 0.2;
const LONGEST_PAUSE_MS = 5_000;
/** While older history is still being read. */
const FILL_PAUSE_MS = 50;
/** Nothing is said for longer than this. */
const LONGEST_SILENCE_MS = 14_000;
/** While history is being read, what is there is told so often. */
const FILL_TOLD_MS = 1_000;
/** The session is given back when nobody looked for so long, and what was read of a range is forgotten. */
const REST_AFTER_MS = 60_000;
const FORGET_AFTER_MS = 1_800_000;

/** One range, and who looks at it. */
interface Range {
  history: RangeHistory | undefined;
  runs: Map<number, HistoryRow>;
  failures: { ofId: number; rows: RangeFacts["failures"] } | undefined;
  listeners: Map<Listener, { isNew: boolean }>;
  fingerprint: string;
  toldMs: number;
  usedMs: number;
}

export class Watch {
  /** Must come with whatever changes something. */
  readonly token = randomBytes(24).toString("base64url");
  private readonly reader: Reader;
  private readonly facts: FactReader;
  private readonly ranges = new Map<RangeName, Range>();
  private polling: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private restTimer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private disconnectedSinceMs: number | undefined;

  constructor(private readonly options: WatchOptions) {
    this.reader = new Reader(options.connector, options.onStatement);
    this.facts = new FactReader(this.reader, options);
  }

  get controls(): Controls | undefined {
    return this.options.controls;
  }

  /** Tells the listener of the range, at once and whenever something changed, until the returned function is called. */
  subscribe(name: RangeName, listener: Listener): () => void {
    const range = this.range(name);
    range.listeners.set(listener, { isNew: true });
    clearTimeout(this.restTimer);
    this.pollSoon();
    return () => {
      range.listeners.delete(listener);
      if (!this.isWatched) this.restTimer = setTimeout(() => void this.reader.rest(), REST_AFTER_MS).unref();
    };
  }

  /** One event of the range. */
  once(name: RangeName): Promise<StreamEvent> {
    return new Promise((resolve) => {
      const stop = this.subscribe(name, (event) => {
        stop();
        resolve(event);
      });
    });
  }

  /** Polls now; something was done that shows. */
  pollSoon(): void {
    this.wake?.();
    this.polling ??= this.poll().finally(() => {
      this.polling = undefined;
      if (this.isWatched && !this.isClosed) this.pollSoon();
    });
  }

  /** Says goodbye to the database; no event comes after it. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.restTimer);
    for (const { listeners } of this.ranges.values()) listeners.clear();
    this.wake?.();
    await this.reader.close();
    await this.polling;
  }

  private get isWatched(): boolean {
    return [...this.ranges.values()].some(({ listeners }) => listeners.size > 0);
  }

  private range(name: RangeName): Range {
    const known = this.ranges.get(name);
    if (known !== undefined) return known;
    const range: Range = {
      history: undefined,
      runs: new Map(),
      failures: undefined,
      listeners: new Map(),
      fingerprint: "",
      toldMs: 0,
      usedMs: 0,
    };
    this.ranges.set(name, range);
    return range;
  }

  private async poll(): Promise<void> {
    while (this.isWatched && !this.isClosed) {
      const startedMs = performance.now();
      const isFilled = await this.pollOnce();
      const tookMs = performance.now() - startedMs;
      const { pollMs = POLL_MS } = this.options;
      const pauseMs = Math.max(pollMs, Math.min(LONGEST_PAUSE_MS, tookMs / POLL_SHARE));
      await this.pause(isFilled ? pauseMs : FILL_PAUSE_MS);
    }
  }

  private async pause(ms: number): Promise<void> {
    if (this.isClosed || [...this.ranges.values()].some(hasNewListener)) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.wake = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.wake = undefined;
  }

  /** @returns whether all that is looked at is read. */
  private async pollOnce(): Promise<boolean> {
    try {
      const facts = await this.facts.read();
      let isFilled = true;
      for (const [name, range] of this.ranges) {
        if (range.listeners.size === 0) this.forgetUnused(name, range);
        else isFilled = (await this.pollRange(name, range, facts)) && isFilled;
      }
      this.disconnectedSinceMs = undefined;
      return isFilled;
    } catch (error) {
      if (!this.isClosed) this.tellDisconnected(error);
      return true;
    }
  }

  private forgetUnused(name: RangeName, { usedMs }: Range): void {
    if (performance.now() - usedMs > FORGET_AFTER_MS) this.ranges.delete(name);
  }

  private async pollRange(name: RangeName, range: Range, facts: Facts): Promise<boolean> {
    range.usedMs = performance.now();
    const read = await this.readRange(name, range, facts);
    const snapshot = makeSnapshot(facts, read, {
      address: this.reader.address,
      controls: this.controlState(),
    });
    const isFilled = (range.history?.filledShare ?? 1) >= 1;
    const sinceMs = performance.now() - range.toldMs;
    const fingerprint = fingerprintOf(snapshot);
    const isDue = fingerprint !== range.fingerprint && (isFilled || sinceMs >= FILL_TOLD_MS);
    if (isDue || sinceMs >= LONGEST_SILENCE_MS) {
      range.fingerprint = fingerprint;
      range.toldMs = performance.now();
      this.tell(range, { type: "snapshot", snapshot }, "all");
    } else this.tell(range, { type: "snapshot", snapshot }, "new");
    return isFilled;
  }

  private async readRange(name: RangeName, range: Range, facts: Facts): Promise<RangeFacts> {
    const { pulse, history } = facts;
    const views = facts.views.map(({ view }) => view);
    const measures = facts.views.map(({ measure }) => measure);
    if (history === undefined) {
      return { name, sliceSeconds: 60, series: [], runs: new Map(), failures: [], notes: [] };
    }
    if (range.history === undefined || range.history.isOutdated(pulse, views, measures)) {
      range.history = new RangeHistory(this.reader, views, measures, RANGES[name]);
      range.failures = undefined;
    }
    await range.history.update(pulse);
    const series = range.history.series(pulse.nowMs);
    await this.readTicks(range, series, facts);
    if (range.failures?.ofId !== pulse.lastId) {
      const rows = await readFailures(this.reader, views, history, range.history.rangeAfterId);
      range.failures = { ofId: pulse.lastId, rows };
    }
    const fromMs = pulse.nowMs - RANGES[name] * 1_000;
    const { filledShare, sliceSeconds } = range.history;
    return {
      name,
      sliceSeconds,
      series,
      runs: range.runs,
      failures: range.failures.rows.filter(({ row }) => row.finishedMs >= fromMs),
      notes:
        filledShare >= 1
          ? []
          : [`The history of this range is being read: ${Math.floor(filledShare * 100)} %`],
    };
  }

  /** Reads the runs that are not known yet, and forgets those that are no longer shown. */
  private async readTicks(range: Range, series: RangeFacts["series"], { history }: Facts): Promise<void> {
    const shown = new Set(series.flatMap(({ ticks }) => ticks.map(({ id }) => id)));
    for (const id of range.runs.keys()) if (!shown.has(id)) range.runs.delete(id);
    const unknown = [...shown].filter((id) => !range.runs.has(id));
    if (unknown.length === 0 || history === undefined) return;
    for (const row of await readRuns(this.reader, unknown, history)) range.runs.set(row.id, row);
  }

  private tellDisconnected(error: unknown): void {
    const isKnown = error instanceof Disconnected;
    const reason = isKnown ? error.message : `the page could not read the database: ${describe(error)}`;
    this.disconnectedSinceMs ??= Date.now();
    this.facts.forget();
    const controls = this.controlState();
    const fingerprint = JSON.stringify([reason, controls]);
    const event: StreamEvent = { type: "disconnected", reason, sinceMs: this.disconnectedSinceMs, controls };
    for (const range of this.ranges.values()) {
      const isDue =
        fingerprint !== range.fingerprint || performance.now() - range.toldMs >= LONGEST_SILENCE_MS;
      if (isDue) {
        range.fingerprint = fingerprint;
        range.toldMs = performance.now();
      }
      this.tell(range, event, isDue ? "all" : "new");
    }
  }

  private tell({ listeners }: Range, event: StreamEvent, whom: "all" | "new"): void {
    for (const [listener, state] of [...listeners]) {
      if (whom === "new" && !state.isNew) continue;
      state.isNew = false;
      listener(event);
    }
  }

  private controlState(): Snapshot["controls"] {
    const { controls } = this.options;
    return controls === undefined ? null : { ...controls.state(), token: this.token };
  }
}

function hasNewListener({ listeners }: Range): boolean {
  return [...listeners.values()].some(({ isNew }) => isNew);
}

function describe(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return code === undefined ? String(message) : `${message} (${code})`;
}
