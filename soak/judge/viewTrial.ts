/** One view before the judge: is what it shows the books at one moment, and the moment that is claimed? */
import type { Client } from "pg";
import type { QualifiedName } from "../../handler/settings";
import { WRITERS } from "../books/books";
import type { Claims } from "../books/claims";
import type { Ledger } from "../books/ledger";
import { WriterModel, type Row } from "../books/model";
import {
  cutText,
  falseTimes,
  notOneMoment,
  tornSpans,
  WITHOUT_ROW,
  type Cut,
  type Edge,
  type Offset,
} from "./moment";
import type { Columns, Shown } from "./shown";

/** What a view is, as the judge computes it. */
export interface ViewKind {
  view: QualifiedName;
  columns: Columns;
  /** Rows that it has of one writer, in the order of its key. */
  rowsOf: (model: WriterModel) => Row[];
}

/** What everything is held against. */
interface Evidence {
  client: Client;
  ledger: Ledger;
  claims: Claims;
}

const LONGEST_OPERATION = 300;

export class ViewTrial {
  /** How often another moment was shown than at the look before. */
  moments = 0;
  /** What was shown at the last look that could be judged. */
  cut: Cut | undefined;
  /** Whether the last look has shown it. */
  isKnown = false;
  /** Newest row of history that was seen, and by which offset of the clocks; undefined where its times cannot be compared. */
  newest: { id: number; offset: Offset | undefined } | undefined;
  private oid: string | undefined;
  private models = newModels();
  /** Of those that have been replayed. */
  private began: Edge | undefined;
  /** Newest row of history at the last look that could be judged. */
  private recordedId: number | undefined;

  constructor(readonly kind: ViewKind) {}

  /** Number of each writer's last transaction that has been replayed. */
  get replayed(): Cut {
    return new Map([...this.models].map(([writer, { number }]) => [writer, number]));
  }

  /** What freshness says has to be what the newest row says. */
  takeNewest({ newest, freshAsOf }: Shown, offset: Offset | undefined): string[] {
    if (newest === null) this.newest = undefined;
    else if (newest.id !== this.newest?.id) this.newest = { id: newest.id, offset };
    if (freshAsOf === (newest?.asOf ?? null)) return [];
    return [`matview_freshness says as_of ${freshAsOf}, and its newest row ${newest?.asOf ?? "is missing"}`];
  }

  /** @param mayBeUnrecorded whether a refresh may lack its row of history */
  async judge(shown: Shown, evidence: Evidence, mayBeUnrecorded: boolean): Promise<string[]> {
    const seen = this.readCut(shown.rows);
    if (typeof seen === "string") return [seen];
    const unknown = [...seen].find(([writer, number]) => number > evidence.ledger.end(writer));
    if (unknown !== undefined)
      return [`transaction ${unknown[1]} of writer ${unknown[0]} is shown and is not in the ledger`];
    const violations = this.movedFrom(seen, shown, mayBeUnrecorded);
    await this.advance(seen, evidence);
    violations.push(
      ...(await this.compare(shown.rows, evidence)),
      ...tornSpans(seen, evidence.ledger.openSpans),
    );
    const edges = { began: this.began, returned: firstReturned(seen, evidence.claims) };
    violations.push(...notOneMoment(edges));
    if (shown.newest !== null && this.newest?.offset !== undefined && !mayBeUnrecorded)
      violations.push(...falseTimes(shown.newest, edges, this.newest.offset));
    if (cutText(seen) !== cutText(this.cut ?? new Map())) this.moments += 1;
    this.cut = seen;
    this.isKnown = true;
    this.oid = shown.oid;
    const { id, runId, asOf } = shown.newest ?? { id: "none", runId: null, asOf: null };
    const where = `at ${cutText(seen)}, history row ${id} (run ${runId}, as_of ${asOf})`;
    return violations.map((violation) => `${where}: ${violation}`);
  }

  /** Every row of a writer has to show the same watermark. */
  private readCut(rows: Row[]): Cut | string {
    const { columns } = this.kind;
    const [writerAt, watermarkAt] = [columns.indexOf("writer"), columns.indexOf("watermark")];
    const cut = new Map<number, number>();
    for (const row of rows) {
      const [writer, number] = [Number(row[writerAt]), Number(row[watermarkAt])];
      const before = cut.get(writer) ?? number;
      if (before !== number)
        return `rows of writer ${writer} are of different moments: transactions ${before} and ${number} (${columns[0]} ${row[0]})`;
      cut.set(writer, number);
    }
    const missing = WRITERS.find((writer) => !cut.has(writer));
    return missing === undefined ? cut : `no row of writer ${missing} is shown`;
  }

  /** A view that was made anew may show what it likes, as long as it is one moment. */
  private movedFrom(seen: Cut, { oid, newest }: Shown, mayBeUnrecorded: boolean): string[] {
    if (oid !== this.oid) {
      this.recordedId = newest?.id;
      return [];
    }
    const before = this.cut ?? new Map<number, number>();
    const back = [...seen].filter(([writer, number]) => number < (before.get(writer) ?? 0));
    const isRecorded = newest?.id !== this.recordedId || mayBeUnrecorded;
    const hasMoved = [...seen].some(([writer, number]) => number !== before.get(writer));
    this.recordedId = newest?.id;
    return [
      ...(back.length > 0 ? [`older than before, which was ${cutText(before)}`] : []),
      ...(hasMoved && !isRecorded ? [`other than before (${cutText(before)}), ${WITHOUT_ROW}`] : []),
    ];
  }

  /** Replays the ledger up to what is shown; from its beginning where that is older than what has been replayed. */
  private async advance(seen: Cut, { client, ledger, claims }: Evidence): Promise<void> {
    if ([...this.models].some(([writer, { number }]) => number > (seen.get(writer) ?? 0))) {
      this.models = newModels();
      this.began = undefined;
    }
    for (const [writer, model] of this.models) {
      const further = await ledger.between(client, writer, model.number + 1, seen.get(writer) ?? 0);
      for (const { number, operations } of further) {
        model.advance(operations);
        const ms = claims.of(writer, number)?.beganMs ?? -Infinity;
        if (ms > (this.began?.ms ?? -Infinity)) this.began = { writer, number, ms };
      }
    }
  }

  /** The first row that is not as it has to be. */
  private async compare(rows: Row[], evidence: Evidence): Promise<string[]> {
    const expected = [...this.models.values()].flatMap((model) => this.kind.rowsOf(model));
    const length = Math.max(expected.length, rows.length);
    for (let index = 0; index < length; index += 1) {
      const [wanted, seen] = [expected[index], rows[index]];
      if (wanted !== undefined && seen !== undefined && isSame(wanted, seen)) continue;
      const { columns } = this.kind;
      const writer = Number((wanted ?? seen)?.[columns.indexOf("writer")]);
      const differing = columns.filter((_, at) => wanted?.[at] !== seen?.[at]);
      return [
        `row ${index + 1} of ${rows.length} differs in ${differing.join(", ")}: ${described(wanted)} was expected and ` +
          `${described(seen)} is shown; ${await this.ledgerAround(writer, evidence)}`,
      ];
    }
    return [];
  }

  private async ledgerAround(writer: number, { client, ledger }: Evidence): Promise<string> {
    const number = this.models.get(writer)?.number ?? 0;
    const to = Math.min(number + 1, ledger.end(writer));
    const rows = await ledger.between(client, writer, Math.max(1, number - 1), to);
    return `ledger of writer ${writer}: ${rows
      .map(
        (row) => `${row.number} (${row.xid}) ${JSON.stringify(row.operations).slice(0, LONGEST_OPERATION)}`,
      )
      .join("; ")}`;
  }
}

const newModels = (): Map<number, WriterModel> =>
  new Map(WRITERS.map((writer) => [writer, new WriterModel(writer)]));

/** Of what is not shown. */
function firstReturned(seen: Cut, claims: Claims): Edge | undefined {
  let first: Edge | undefined;
  for (const [writer, cut] of seen)
    for (const [number, { returnedMs: ms = Infinity }] of claims.after(writer, cut))
      if (ms < (first?.ms ?? Infinity)) first = { writer, number, ms };
  return first;
}

const isSame = (one: Row, other: Row): boolean =>
  one.length === other.length && one.every((value, index) => value === other[index]);

const described = (row: Row | undefined): string => (row === undefined ? "no row" : JSON.stringify(row));
