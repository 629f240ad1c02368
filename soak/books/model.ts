/** The books as they have to be after a number of transactions: computed here, without the database. */

/** An amount of money: whole cents, so that sums are exact. */
export interface Entry {
  id: number;
  account: number;
  cents: number;
  note: string | null;
}

/** What one transaction does to the books of one writer. What names something that is not there does nothing. */
export type Operation =
  | { kind: "open" | "rename"; account: number; label: string }
  /** Its entries go with it. */
  | { kind: "close"; account: number }
  | { kind: "put"; entries: Entry[] }
  | { kind: "change"; entries: Omit<Entry, "account">[] }
  | { kind: "rehome"; entry: number; account: number }
  | { kind: "remove"; entries: number[] }
  /** Entry number i of so many, from 0, has id `first + i` and `cents + i`, and belongs to one account after the other. */
  | { kind: "fill"; first: number; count: number; accounts: number[]; cents: number }
  /** Adds to the entries with these ids and all between. */
  | { kind: "raise"; first: number; last: number; cents: number }
  | { kind: "drain"; first: number; last: number }
  | { kind: "truncate" }
  /** All entries are deleted and inserted again with so much added. */
  | { kind: "reload"; cents: number };

/** A row of a view, each column as the text that the server shows; null where it is. */
export type Row = (string | null)[];

interface Account {
  label: string;
  entries: Map<number, { cents: number; note: string | null }>;
  /** Entries, sum, least, greatest, notes; undefined when something changed since. */
  sums?: Row;
}

/** The books of one writer at one of its transactions. */
export class WriterModel {
  /** Of the last transaction that is in it; 0: none. */
  number = 0;
  nextAccount: number;
  nextEntry: number;
  private readonly accounts = new Map<number, Account>();
  private readonly accountOf = new Map<number, number>();

  constructor(readonly writer: number) {
    this.nextAccount = writer * IDS_OF_A_WRITER;
    this.nextEntry = writer * IDS_OF_A_WRITER;
  }

  get accountIds(): number[] {
    return [...this.accounts.keys()];
  }

  get entryIds(): number[] {
    return [...this.accountOf.keys()];
  }

  /** Goes on by the writer's next transaction. */
  advance(operations: readonly Operation[]): void {
    for (const operation of operations) this.apply(operation);
    this.number += 1;
  }

  /** Rows that soak.balance has of this writer, in the order of their id. */
  balance(): Row[] {
    const rows = [...this.accounts].sort(([one], [other]) => one - other);
    return rows.map(([id, account]) => [
      ...[String(id), String(this.writer), account.label, String(this.number)],
      ...(account.sums ??= sumsOf(account)),
    ]);
  }

  /** The row that soak.summary has of this writer; none where it has no account. */
  summary(): Row[] {
    const rows = [...this.accounts].sort(([one], [other]) => one - other).map(([, account]) => account);
    if (rows.length === 0) return [];
    let cents = 0;
    for (const { entries } of rows) for (const entry of entries.values()) cents += entry.cents;
    return [
      [
        ...[String(this.writer), String(this.number), String(rows.length), String(this.accountOf.size)],
        ...[
          money(cents),
          rows
            .map(({ label }) => label)
            .sort(byBytes)
            .join("|"),
        ],
      ],
    ];
  }

  private apply(operation: Operation): void {
    switch (operation.kind) {
      case "open":
        this.accounts.set(operation.account, { label: operation.label, entries: new Map() });
        this.nextAccount = Math.max(this.nextAccount, operation.account + 1);
        return;
      case "rename": {
        const account = this.accounts.get(operation.account);
        if (account !== undefined) account.label = operation.label;
        return;
      }
      case "close":
        for (const id of this.accounts.get(operation.account)?.entries.keys() ?? [])
          this.accountOf.delete(id);
        this.accounts.delete(operation.account);
        return;
      case "put":
        return operation.entries.forEach((entry) => this.put(entry));
      case "change":
        return operation.entries.forEach(({ id, cents, note }) => {
          const entries = this.touched(id)?.entries;
          if (entries !== undefined) entries.set(id, { cents, note });
        });
      case "rehome": {
        const entry = this.touched(operation.entry)?.entries.get(operation.entry);
        if (entry === undefined) return;
        this.remove(operation.entry);
        return this.put({ id: operation.entry, account: operation.account, ...entry });
      }
      case "remove":
        return operation.entries.forEach((id) => this.remove(id));
      case "fill": {
        const { first, count, accounts, cents } = operation;
        for (let index = 0; index < count; index += 1) {
          const account = accounts[index % accounts.length] as number;
          this.put({ id: first + index, account, cents: cents + index, note: null });
        }
        return;
      }
      case "raise":
        return this.raise(this.between(operation.first, operation.last), operation.cents);
      case "drain":
        return this.between(operation.first, operation.last).forEach((id) => this.remove(id));
      case "truncate":
        return this.entryIds.forEach((id) => this.remove(id));
      case "reload":
        return this.raise(this.entryIds, operation.cents);
    }
  }

  private between(first: number, last: number): number[] {
    return this.entryIds.filter((id) => id >= first && id <= last);
  }

  private raise(ids: number[], cents: number): void {
    for (const id of ids) {
      const entry = this.touched(id)?.entries.get(id);
      if (entry !== undefined) entry.cents += cents;
    }
  }

  /** The account of an entry, which is about to change. */
  private touched(entry: number): Account | undefined {
    const account = this.accounts.get(this.accountOf.get(entry) ?? 0);
    if (account !== undefined) delete account.sums;
    return account;
  }

  private put({ id, account: accountId, cents, note }: Entry): void {
    const account = this.accounts.get(accountId);
    if (account === undefined)
      throw new Error(`entry ${id}: writer ${this.writer} has no account ${accountId}`);
    account.entries.set(id, { cents, note });
    delete account.sums;
    this.accountOf.set(id, accountId);
    this.nextEntry = Math.max(this.nextEntry, id + 1);
  }

  private remove(id: number): void {
    this.touched(id)?.entries.delete(id);
    this.accountOf.delete(id);
  }
}

/** No two writers have an id in common. */
const IDS_OF_A_WRITER = 1_000_000_000;

function sumsOf({ entries }: Account): Row {
  if (entries.size === 0) return ["0", "0.00", null, null, null];
  const ordered = [...entries].sort(([one], [other]) => one - other).map(([, entry]) => entry);
  let [sum, least, greatest] = [0, Infinity, -Infinity];
  for (const { cents } of ordered) {
    sum += cents;
    least = Math.min(least, cents);
    greatest = Math.max(greatest, cents);
  }
  const notes = ordered.flatMap(({ note }) => (note === null ? [] : [note]));
  return [
    ...[String(entries.size), money(sum), money(least), money(greatest)],
    notes.length === 0 ? null : notes.join("|"),
  ];
}

/** The order of collation C. */
const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));

/** As the server writes a numeric with two places: `-0.05`. */
export function money(cents: number): string {
  const digits = String(Math.abs(cents)).padStart(3, "0");
  return `${cents < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}
