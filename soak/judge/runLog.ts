/** What a run says for itself, in its log and in its answer: the claims that history is held against. */
import type { Run } from "../bed/bed";

/** What a run told of one view. */
export interface ViewStory {
  /** Undefined where the run ended, or was ended, before it told. */
  outcome?: "refreshed" | "skipped" | "failed";
  /** SQLSTATE, errno or TLS code of its failure. */
  code?: string;
  problem?: string;
  /** Tries that lost their connection once the refresh had begun: each may have been committed. */
  openCommits: number;
  /** It says that history could not be written, or that the view is not tracked. */
  saysUnrecorded: boolean;
  /** Whether the connection was there when the outcome was known; undefined where the log leaves it open. */
  wasConnected?: boolean;
}

export const isSqlstate = (code: string): boolean => /^(?=.*\d)[0-9A-Z]{5}$/.test(code);

/** Killed, crashed or timed out: it told nothing at its end. */
export const isBroken = ({ invocation: { outcome } }: Run): boolean =>
  outcome === "timedOut" || outcome === "crashed";

/** Failures with these codes end the session, if there was one. */
export function endsSession(code: string): boolean {
  if (!isSqlstate(code)) return true;
  return /^(08|28|3D)/.test(code) || SESSION_ENDS.has(code);
}

/** Those that may come with the end of the session, or without it. */
const mayEndSession = (code: string): boolean => endsSession(code) || /^(57P|58|XX)/.test(code);

/** Shut down, crashed, not up yet, too long idle; no connection free; takes no writes, after which another is opened. */
const SESSION_ENDS = new Set(["57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300", "25006"]);

const FAILED = /\((?:SQLSTATE )?([A-Za-z0-9_]+)\)\. To fix it: /;

/**
 * Reads a run's log, as `handler/report.ts` writes it for people. `✓` names no view: it is of the view that was being
 * refreshed.
 * @param views as `schema.name`
 * @returns by `schema.name`; views that it does not name are not in it.
 */
export function readRunLog(run: Run, views: string[]): Map<string, ViewStory> {
  const reader = new LogReader(views);
  for (const line of run.lines) reader.read(line.replace(/^\[[^\]]*\] /, ""));
  return reader.finish(isBroken(run));
}

class LogReader {
  private readonly stories = new Map<string, ViewStory>();
  /** The view whose refresh has begun and has not ended. */
  private underWay: string | undefined;
  private lastCode: string | undefined;
  private isConnected: boolean | undefined;

  constructor(private readonly views: string[]) {}

  finish(wasEnded: boolean): Map<string, ViewStory> {
    if (wasEnded && this.underWay !== undefined) this.storyOf(this.underWay).openCommits += 1;
    return this.stories;
  }

  read(line: string): void {
    if (line.startsWith("Connecting to database")) return this.reconnect();
    const match = (pattern: RegExp): string | undefined => pattern.exec(line)?.[1];
    const refreshing = match(/^Refreshing (.+) materialized view\.\.\.$/);
    if (refreshing !== undefined) return this.begin(refreshing);
    if (line.startsWith("✓ Refresh completed")) return this.complete();
    const skipped = match(/^Skipped ([^:]+): /);
    if (skipped !== undefined) return this.end(skipped, { outcome: "skipped" });
    if (line.startsWith("✗ Refresh failed: ")) return this.fail(line.slice("✗ Refresh failed: ".length));
    const tried = /^Attempt \d+ failed, trying again(?:: (.*)| \(same reason\))$/.exec(line);
    if (tried !== null) return this.fellThrough(tried[1]);
    const putOff = match(/^Putting (.+) off until the others are done: /);
    // The code is not said: what comes next tells whether the connection is there.
    if (putOff !== undefined) return void (this.isConnected = undefined);
    this.readNote(line);
  }

  private readNote(line: string): void {
    const unrecorded =
      /^history: the refresh of (.+) is done and not recorded: /.exec(line) ??
      /^history: (.+) (?:failed|skipped) is not recorded: /.exec(line) ??
      /^freshness of (.+) is untracked: /.exec(line);
    if (unrecorded?.[1] !== undefined) this.storyOf(unrecorded[1]).saysUnrecorded = true;
  }

  /** The session before this one, if there was one, is lost: nobody opens another otherwise. */
  private reconnect(): void {
    if (this.underWay !== undefined) this.storyOf(this.underWay).openCommits += 1;
    this.underWay = undefined;
    this.isConnected = undefined;
  }

  private connectedAfter(code: string | undefined): boolean | undefined {
    if (code === undefined || (mayEndSession(code) && !endsSession(code))) return undefined;
    return !endsSession(code);
  }

  private begin(name: string): void {
    this.underWay = name;
    this.isConnected = true;
    this.storyOf(this.underWay);
  }

  private complete(): void {
    if (this.underWay === undefined) return;
    this.storyOf(this.underWay).outcome = "refreshed";
    this.underWay = undefined;
    this.lastCode = undefined;
  }

  private fellThrough(reason: string | undefined): void {
    this.lastCode = reason === undefined ? this.lastCode : FAILED.exec(reason)?.[1];
    this.isConnected = this.connectedAfter(this.lastCode);
    // The server has said no, and goes on: nothing was committed.
    if (this.isConnected === true || this.lastCode === "25006") this.underWay = undefined;
  }

  private fail(message: string): void {
    const view = this.views.find((each) => message.startsWith(`${each}: `));
    const found = FAILED.exec(message);
    if (view === undefined) return;
    const code = found?.[1];
    const problem = message.slice(view.length + 2, found?.index ?? message.length).trim();
    if (code !== undefined) this.isConnected = this.connectedAfter(code);
    if (this.underWay === view && code !== "25006" && this.isConnected !== true)
      this.storyOf(view).openCommits += 1;
    this.lastCode = undefined;
    this.end(view, { outcome: "failed", problem, ...(code !== undefined && { code }) });
  }

  private end(name: string, told: Partial<ViewStory>): void {
    const story = this.storyOf(name);
    Object.assign(story, told, this.isConnected === undefined ? {} : { wasConnected: this.isConnected });
    this.underWay = undefined;
  }

  private storyOf(view: string): ViewStory {
    const story = this.stories.get(view) ?? { openCommits: 0, saysUnrecorded: false };
    this.stories.set(view, story);
    return story;
  }
}

/** What is said of one view. */
export interface ViewAnswer {
  /** `skipped` where it was not refreshed. */
  refresh_type: string;
  drift?: number | null;
}

/**
 * By `schema.name`: of several views each has its report, of one the answer is about it alone.
 * @param value what the handler returned; undefined where it did not.
 * @param views all that it may be about, `schema.name`.
 */
export function readAnswer(value: unknown, views: string[]): Map<string, ViewAnswer> {
  const text = (value as { body?: unknown } | undefined)?.body;
  if (typeof text !== "string") return new Map<string, ViewAnswer>();
  const body = JSON.parse(text) as ViewAnswer & { views?: ({ view: string } & ViewAnswer)[] };
  if (body.views !== undefined) return new Map(body.views.map((each) => [each.view, each] as const));
  const [only, ...others] = views;
  // A run by hand of one view of several does not say of which.
  return only !== undefined && others.length === 0 ? new Map([[only, body]]) : new Map<string, ViewAnswer>();
}
