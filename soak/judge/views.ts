/**
 * Judges what readers see of the views, by the ledger of what has committed and by what writers know of their own
 * transactions: nothing of it is what the function says.
 */
import { Client, type ClientConfig } from "pg";
import type { QualifiedName } from "../../handler/settings";
import { BALANCE, SUMMARY, WRITERS } from "../bed/books";
import type { Claims } from "../bed/claims";
import { HistoryTrial } from "./historyTrial";
import { Ledger, LedgerError } from "./ledger";
import { both, measureOffset, type Offset } from "./serverClock";
import { readShown, type Shown } from "./shown";
import { ViewTrial, type ViewKind } from "./viewTrial";

/** What one look has found. */
export interface Look {
  /** Whether the server answered; nothing was judged where not. */
  reached: boolean;
  violations: string[];
  /** Views that could not be read, and why: absent, not filled as yet, locked. */
  unread: string[];
}

export interface ViewJudgeOptions {
  /** To the server that takes writes now. */
  connection: () => ClientConfig;
  claims: Claims;
  writers?: readonly number[];
}

const SUMMARY_KIND: ViewKind = {
  view: SUMMARY,
  columns: ["writer", "watermark", "accounts", "entries", "total", "labels"],
  rowsOf: (model) => model.summary(),
};
const BALANCE_KIND: ViewKind = {
  view: BALANCE,
  columns: ["id", "writer", "label", "watermark", "entries", "total", "least", "greatest", "notes"],
  rowsOf: (model) => model.balance(),
};

const SESSION_LIMITS = "SET statement_timeout = '10s'; SET lock_timeout = '2s'";
const LONGEST_CONNECT_MS = 3_000;
/** The server is going, coming, or has no room. */
const UNREACHABLE = /^(08|53|57P|58)/;
/** The same, or in the way: a look comes to nothing. */
const UNJUDGED = /^(08|40|53|55|57|58)/;

/** A view that is judged, with what excuses it meanwhile. */
interface Case {
  trial: ViewTrial;
  history: HistoryTrial;
  source?: Case;
  /** What reads it. */
  readers: Case[];
  /** It may be wrong until a full run with a higher id. */
  wrongUntilFullAfter?: number;
  /** It may be wrong until a refresh with a higher id, since what it reads was. */
  wrongUntilAfter?: number;
  /** It may be newer than history says until a row with a higher id. */
  unrecordedUntilAfter?: number;
  /** The server's clock was moved since the view was last read. */
  hasClockMoved: boolean;
}

export class ViewJudge {
  private readonly ledger: Ledger;
  private readonly balance: Case;
  private readonly summary: Case;
  private client: Client | undefined;
  /** Of the last look; undefined where the clock was moved in the middle of it, or nothing was looked at yet. */
  private offset: Offset | undefined;
  private hasLooked = false;

  constructor(private readonly options: ViewJudgeOptions) {
    const writers = options.writers ?? WRITERS;
    this.ledger = new Ledger(writers);
    const caseOf = (kind: ViewKind, source?: Case): Case => ({
      trial: new ViewTrial(kind, writers),
      history: new HistoryTrial(kind.view, source?.history),
      ...(source && { source }),
      readers: [],
      hasClockMoved: false,
    });
    this.balance = caseOf(BALANCE_KIND);
    this.summary = caseOf(SUMMARY_KIND, this.balance);
    this.balance.readers.push(this.summary);
  }

  /** How often either view showed another moment than before. */
  get moments(): number {
    return this.cases.reduce((sum, { trial }) => sum + trial.moments, 0);
  }

  /** Looks at both views once. Never rejects for a server that is not there. */
  async look(): Promise<Look> {
    try {
      return { reached: true, ...(await this.lookAt(await this.connected())) };
    } catch (error) {
      const { code } = error as { code?: string };
      const isUnjudged = this.client === undefined || UNJUDGED.test(code ?? "");
      await this.close();
      this.cases.forEach(({ trial }) => (trial.isKnown = false));
      if (error instanceof LedgerError) return { reached: true, violations: [error.message], unread: [] };
      if (!isUnjudged) throw error;
      return { reached: false, violations: [], unread: [] };
    }
  }

  /** Whether, at the last look, each view showed all that had returned by then. */
  isFresh(sinceEpochMs: number): boolean {
    return this.cases.every(({ trial }) => {
      if (!trial.isKnown) return false;
      const late = [...(trial.cut ?? [])].flatMap(([writer, number]) =>
        this.options.claims.after(writer, number),
      );
      return late.every(([, { returnedMs = Infinity }]) => returnedMs > sinceEpochMs);
    });
  }

  /**
   * A maintained view may be wrong from now on until its next full run, and what reads it until it has been refreshed
   * after that. To be called while no run is under way.
   */
  async excuseUntilFullRun(view: QualifiedName): Promise<void> {
    this.caseOf(view).wrongUntilFullAfter = await this.lastHistoryId();
  }

  /** A refresh may have no row of history from now on until the view's next row. */
  async excuseUntilRecorded(view: QualifiedName): Promise<void> {
    this.caseOf(view).unrecordedUntilAfter = await this.lastHistoryId();
  }

  /** The server's clock was moved since the last look, and perhaps moved back: what was written meanwhile cannot be compared. */
  clockWasMoved(): void {
    this.cases.forEach((each) => (each.hasClockMoved = true));
  }

  /** Closes the connection, which the next look opens again. */
  async close(): Promise<void> {
    const { client } = this;
    this.client = undefined;
    await client?.end().catch(() => undefined);
  }

  /** In the order of dependency. */
  private get cases(): Case[] {
    return [this.balance, this.summary];
  }

  private async lookAt(client: Client): Promise<Omit<Look, "reached">> {
    const first = await measureOffset(client, this.options.claims.now);
    const unread: string[] = [];
    // What reads comes before what it reads, so that it can never be newer.
    const summary = await this.show(client, this.summary, unread);
    const balance = await this.show(client, this.balance, unread);
    const readMs = this.options.claims.now();
    await this.ledger.read(client);
    this.compareClocks(both(first, await measureOffset(client, this.options.claims.now)));
    const violations = this.lostTransactions(readMs);
    for (const [each, shown] of [
      [this.balance, balance],
      [this.summary, summary],
    ] as const) {
      const found = await this.judge(client, each, shown);
      violations.push(...found.map((violation) => `${each.trial.kind.view.name} ${violation}`));
    }
    violations.push(...this.newerThanSource());
    this.forget();
    return { violations, unread };
  }

  private async show(client: Client, { trial }: Case, unread: string[]): Promise<Shown | undefined> {
    const { view, columns } = trial.kind;
    try {
      return await readShown(client, view, columns);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code === undefined || UNREACHABLE.test(code)) throw error;
      unread.push(`${view.schema}.${view.name}: ${message} (${code})`);
      return undefined;
    }
  }

  private compareClocks(offset: Offset | undefined): void {
    const before = this.offset;
    const isSteady = offset !== undefined && before !== undefined && both(before, offset) !== undefined;
    if (this.hasLooked && !isSteady) this.clockWasMoved();
    this.hasLooked = true;
    this.offset = offset;
  }

  private async judge(client: Client, each: Case, shown: Shown | undefined): Promise<string[]> {
    const { trial, history, source } = each;
    trial.isKnown = false;
    if (shown === undefined) return [];
    const violations = await history.read(client, !each.hasClockMoved);
    // What reads a view takes its time over, right or wrong.
    const hasSourceTime = source?.trial.newest === undefined || source.trial.newest.offset !== undefined;
    violations.push(
      ...trial.takeNewest(shown, each.hasClockMoved || !hasSourceTime ? undefined : this.offset),
    );
    each.hasClockMoved = false;
    const id = shown.newest?.id ?? 0;
    if (isExcused(each, id)) return violations;
    if (id > (each.unrecordedUntilAfter ?? Infinity)) delete each.unrecordedUntilAfter;
    const mayBeUnrecorded = each.unrecordedUntilAfter !== undefined;
    const evidence = { client, ledger: this.ledger, claims: this.options.claims };
    return [...violations, ...(await trial.judge(shown, evidence, mayBeUnrecorded))];
  }

  /** What had returned before the ledger was read has to be in it. */
  private lostTransactions(readMs: number): string[] {
    return this.ledger.writers.flatMap((writer) =>
      this.options.claims
        .after(writer, this.ledger.end(writer))
        .filter(([, { returnedMs = Infinity }]) => returnedMs < readMs)
        .map(([number]) => `ledger: transaction ${number} of writer ${writer} had returned and is not in it`),
    );
  }

  private newerThanSource(): string[] {
    const [source, reader] = [this.balance.trial, this.summary.trial];
    if (!source.isKnown || !reader.isKnown) return [];
    const newer = [...(reader.cut ?? [])].filter(
      ([writer, number]) => number > (source.cut?.get(writer) ?? 0),
    );
    return newer.map(
      ([writer, number]) =>
        `summary shows transaction ${number} of writer ${writer}, and balance, which it reads, ` +
        `no more than ${source.cut?.get(writer)}`,
    );
  }

  /** What both views have passed is not needed any more. */
  private forget(): void {
    const [one, other] = this.cases.map(({ trial }) => trial.replayed);
    const passed = new Map(
      [...(one ?? [])].map(([writer, number]) => [writer, Math.min(number, other?.get(writer) ?? 0)]),
    );
    this.ledger.forget(passed);
    for (const [writer, number] of passed) this.options.claims.forget(writer, number);
  }

  private caseOf({ schema, name }: QualifiedName): Case {
    const found = this.cases.find(
      ({ trial: { kind } }) => kind.view.schema === schema && kind.view.name === name,
    );
    if (found === undefined) throw new Error(`no view ${schema}.${name} is judged`);
    return found;
  }

  private async lastHistoryId(): Promise<number> {
    const { rows } = await (
      await this.connected()
    ).query<{ id: number }>(
      "SELECT coalesce(max(id), 0)::double precision AS id FROM public.matview_refresh_history",
    );
    return rows[0]?.id ?? 0;
  }

  private async connected(): Promise<Client> {
    if (this.client !== undefined) return this.client;
    const client = new Client({
      application_name: "soak judge",
      ...this.options.connection(),
      connectionTimeoutMillis: LONGEST_CONNECT_MS,
    });
    client.on("error", () => {
      if (this.client === client) this.client = undefined;
    });
    await client.connect();
    this.client = client;
    await client.query(SESSION_LIMITS);
    return client;
  }
}

/** @param id newest row of history that belongs to what is shown */
function isExcused(each: Case, id: number): boolean {
  const { wrongUntilFullAfter, history, source, readers } = each;
  if (wrongUntilFullAfter !== undefined) {
    const full = history.fullRunWithin(wrongUntilFullAfter, id);
    if (full === undefined) return true;
    delete each.wrongUntilFullAfter;
    for (const reader of readers) reader.wrongUntilAfter = full;
  }
  if (source?.wrongUntilFullAfter !== undefined || id <= (each.wrongUntilAfter ?? -1)) return true;
  delete each.wrongUntilAfter;
  return false;
}
