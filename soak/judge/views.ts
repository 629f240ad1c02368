/**
 * Judges what readers see of the views, by the ledger of what has committed and by what writers know of their own
 * transactions: nothing of it is what the function says.
 */
import type { Client, ClientConfig } from "pg";
import { BALANCE, SUMMARY, WRITERS } from "../books/books";
import type { Claims } from "../books/claims";
import { Excuses } from "./excuses";
import { JudgeConnection } from "./judgeConnection";
import { Ledger, LedgerError } from "../books/ledger";
import { both, measureOffset, type Offset } from "./moment";
import { lastHistoryId, readShown, type Shown } from "./shown";
import { ViewTrial, type ViewKind } from "./viewTrial";

/** What one look has found. */
export interface Look {
  /** Whether the server answered; nothing was judged where not. */
  reached: boolean;
  violations: string[];
  /** Views that could not be read, and why: absent, not filled as yet, locked. */
  unread: string[];
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

/** The server is going, coming, or has no room. */
const UNREACHABLE = /^(08|53|57P|58)/;
/** The same, or in the way: a look comes to nothing. */
const UNJUDGED = /^(08|40|53|55|57|58)/;

/** A view that is judged. */
class Case {
  readonly trial: ViewTrial;
  readonly excuses: Excuses;
  /** The server's clock was moved since the view was last read. */
  hasClockMoved = false;
  /** What the look under way has read; undefined where it could not. */
  shown: Shown | undefined;

  constructor(
    kind: ViewKind,
    readonly source?: Case,
  ) {
    this.trial = new ViewTrial(kind);
    this.excuses = new Excuses(kind.view, source?.excuses);
  }
}

export class ViewJudge {
  private readonly connection: JudgeConnection;
  private readonly ledger = new Ledger();
  /** In the order of dependency. */
  private readonly cases: readonly [balance: Case, summary: Case];
  /** Of the last look; undefined where the clock was moved in the middle of it, or nothing was looked at yet. */
  private offset: Offset | undefined;
  private hasLooked = false;
  /** Violations that no look has returned as yet: one that breaks off leaves its own to the next. */
  private readonly found: string[] = [];

  /** @param connection to the server that takes writes now. */
  constructor(
    connection: () => ClientConfig,
    private readonly claims: Claims,
  ) {
    this.connection = new JudgeConnection(connection);
    const balance = new Case(BALANCE_KIND);
    this.cases = [balance, new Case(SUMMARY_KIND, balance)];
  }

  /** How often either view showed another moment than before. */
  get moments(): number {
    return this.cases.reduce((sum, { trial }) => sum + trial.moments, 0);
  }

  /** Looks at both views once. Does not reject for a server that is not there. */
  async look(): Promise<Look> {
    this.cases.forEach(({ trial }) => (trial.isKnown = false));
    try {
      const unread = await this.lookAt(await this.connection.open());
      return { reached: true, violations: this.found.splice(0), unread };
    } catch (error) {
      if (error instanceof LedgerError)
        return { reached: true, violations: [...this.found.splice(0), error.message], unread: [] };
      const { code } = error as { code?: string };
      if (this.connection.isOpen && !UNJUDGED.test(code ?? "")) throw error;
      await this.connection.close();
      return { reached: false, violations: [], unread: [] };
    }
  }

  /** Whether, at the last look, each view showed all that had returned by then. */
  isFresh(sinceEpochMs: number): boolean {
    return this.cases.every(({ trial }) => {
      if (!trial.isKnown) return false;
      const outside = [...(trial.cut ?? [])].flatMap(([writer, cut]) => this.claims.after(writer, cut));
      return outside.every(([, { returnedMs = Infinity }]) => returnedMs > sinceEpochMs);
    });
  }

  /**
   * A maintained view may be wrong from now on until its next full run, and what reads it until it has been refreshed
   * after that. To be called while no run is under way.
   */
  async excuseUntilFullRun(): Promise<void> {
    const id = await lastHistoryId(await this.connection.open());
    for (const { excuses } of this.cases) excuses.untilFullRun(id);
  }

  /** A refresh may have no row of history from now on until the view's next row. */
  async excuseUntilRecorded(): Promise<void> {
    const id = await lastHistoryId(await this.connection.open());
    for (const { excuses } of this.cases) excuses.untilRecorded(id);
  }

  /** The server's clock was moved since the last look, and perhaps back again: what was written meanwhile cannot be compared. */
  clockWasMoved(): void {
    this.cases.forEach((each) => (each.hasClockMoved = true));
  }

  /** Closes the connection, which the next look opens again. */
  close(): Promise<void> {
    return this.connection.close();
  }

  /** @returns views that could not be read */
  private async lookAt(client: Client): Promise<string[]> {
    const first = await measureOffset(client);
    const unread: string[] = [];
    // What reads comes before what it reads, so that it can never be newer.
    for (const each of this.cases.toReversed()) {
      each.shown = await readOr(client, each.trial.kind, unread);
    }
    const readMs = Date.now();
    await this.ledger.read(client);
    this.compareClocks(both(first, await measureOffset(client)));
    this.found.push(...this.lostTransactions(readMs));
    for (const each of this.cases) {
      const { name } = each.trial.kind.view;
      await this.judge(client, each, (violation) => this.found.push(`${name} ${violation}`));
    }
    this.found.push(...this.newerThanSource());
    this.forget();
    return unread;
  }

  private compareClocks(offset: Offset | undefined): void {
    const before = this.offset;
    const isSteady = offset !== undefined && before !== undefined && both(before, offset) !== undefined;
    if (this.hasLooked && !isSteady) this.clockWasMoved();
    this.hasLooked = true;
    this.offset = offset;
  }

  private async judge(client: Client, each: Case, say: (violation: string) => void): Promise<void> {
    const { trial, excuses, shown, source } = each;
    if (shown === undefined) return;
    // What reads a view takes its time over, right or wrong.
    const newestOfSource = source?.trial.newest;
    const hasSourceTime = newestOfSource === undefined || newestOfSource.offset !== undefined;
    const isComparable = !each.hasClockMoved && hasSourceTime;
    trial.takeNewest(shown, isComparable ? this.offset : undefined).forEach(say);
    each.hasClockMoved = false;
    const id = shown.newest?.id ?? 0;
    const mayBeUnrecorded = excuses.mayBeUnrecorded(id);
    if (await excuses.mayBeWrong(client, id)) return;
    const evidence = { client, ledger: this.ledger, claims: this.claims };
    (await trial.judge(shown, evidence, mayBeUnrecorded)).forEach(say);
  }

  /** What had returned before the ledger was read has to be in it. */
  private lostTransactions(readMs: number): string[] {
    return WRITERS.flatMap((writer) =>
      this.claims
        .after(writer, this.ledger.end(writer))
        .filter(([, { returnedMs = Infinity }]) => returnedMs < readMs)
        .map(([number]) => `ledger: transaction ${number} of writer ${writer} had returned and is not in it`),
    );
  }

  private newerThanSource(): string[] {
    const [source, reader] = this.cases.map(({ trial }) => trial);
    if (!source?.isKnown || !reader?.isKnown) return [];
    return [...(reader.cut ?? [])]
      .filter(([writer, number]) => number > (source.cut?.get(writer) ?? 0))
      .map(
        ([writer, number]) =>
          `summary shows transaction ${number} of writer ${writer}, and balance, which it reads, ` +
          `no more than ${source.cut?.get(writer)}`,
      );
  }

  /** What both views have passed is not needed any more. */
  private forget(): void {
    const replayed = this.cases.map(({ trial }) => trial.replayed);
    const passed = new Map(
      WRITERS.map((writer) => [writer, Math.min(...replayed.map((cut) => cut.get(writer) ?? 0))]),
    );
    this.ledger.forget(passed);
    for (const [writer, number] of passed) this.claims.forget(writer, number);
  }
}

async function readOr(
  client: Client,
  { view, columns }: ViewKind,
  unread: string[],
): Promise<Shown | undefined> {
  try {
    return await readShown(client, view, columns);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === undefined || !/^[0-9A-Z]{5}$/.test(code) || UNREACHABLE.test(code)) throw error;
    unread.push(`${view.schema}.${view.name}: ${message} (${code})`);
    return undefined;
  }
}
