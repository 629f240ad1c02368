/** Draws what a transaction does. */
import type { Dice } from "../dice";
import type { Entry, Operation, WriterModel } from "./model";

/** The state stays so small that the judge can look at all of it. */
const MOST_ACCOUNTS = 8;
const MOST_ENTRIES = 300;
const ENTRIES_LEFT = 120;
const MOST_CENTS = 100_000;

/** Text that has gone wrong somewhere before: in quotes, in arrays, in COPY, in comparisons. */
const AWKWARD = [
  ...[
    "plain",
    "",
    " ",
    "it's",
    '"quoted"',
    "back\\slash",
    "\\N",
    "$$",
    "{a,b}",
    "NULL",
    "a,b",
    "%s",
    "--",
    ";",
  ],
  ...[
    "line\nbreak",
    "tab\tand return\r",
    "trailing ",
    "\u00e9",
    "e\u0301",
    "\u00df",
    "\u{1d11e}",
    "\u200b",
    "\ufeff",
  ],
];

const text = (dice: Dice, id: number): string =>
  `${dice.oneOf(AWKWARD)}${dice.percent(50) ? id % 1_000 : ""}`;
const cents = (dice: Dice): number => dice.between(-MOST_CENTS, MOST_CENTS);

/** One to four things at once. At most one account is closed, and that at the end: nothing is done with it afterwards. */
export function drawTransaction(dice: Dice, model: WriterModel): Operation[] {
  const operations: Operation[] = [];
  const fresh = new Fresh(model);
  for (let count = dice.percent(60) ? 1 : dice.between(2, 4); count > 0; count -= 1) {
    operations.push(drawOperation(dice, model, fresh));
  }
  const closing = operations.find(({ kind }) => kind === "close");
  return [...operations.filter(({ kind }) => kind !== "close"), ...(closing === undefined ? [] : [closing])];
}

/** Moves an amount from the books of one writer to those of another; the sum of both stays. */
export function drawTransfer(dice: Dice, from: WriterModel, to: WriterModel): Map<number, Operation[]> {
  const moved = dice.between(1, MOST_CENTS);
  const half = (model: WriterModel, sign: number): Operation[] => {
    const account = dice.oneOf(model.accountIds);
    const entry = { id: model.nextEntry, account, cents: sign * moved, note: text(dice, model.nextEntry) };
    return [{ kind: "put", entries: [entry] }];
  };
  return new Map([
    [from.writer, half(from, -1)],
    [to.writer, half(to, 1)],
  ]);
}

/** So many entries more, over all accounts. */
export function drawFill(
  dice: Dice,
  model: Pick<WriterModel, "nextEntry" | "accountIds">,
  count: number,
): Operation[] {
  const { nextEntry: first, accountIds: accounts } = model;
  return [{ kind: "fill", first, count, accounts, cents: cents(dice) }];
}

export function drawReload(dice: Dice): Operation[] {
  return [{ kind: "reload", cents: dice.between(1, MOST_CENTS) }];
}

/** Ids that the transaction has not used yet. */
class Fresh {
  private nextAccount: number;
  private nextEntry: number;

  constructor(model: WriterModel) {
    ({ nextAccount: this.nextAccount, nextEntry: this.nextEntry } = model);
  }

  account(): number {
    return this.nextAccount++;
  }

  entries(count: number): number {
    this.nextEntry += count;
    return this.nextEntry - count;
  }
}

function drawOperation(dice: Dice, model: WriterModel, fresh: Fresh): Operation {
  const { accountIds, entryIds } = model;
  if (entryIds.length > MOST_ENTRIES && dice.percent(10)) return drain(entryIds);
  const chance = dice.between(1, 100);
  if (chance <= 6 && accountIds.length < MOST_ACCOUNTS) {
    const account = fresh.account();
    return { kind: "open", account, label: text(dice, account) };
  }
  if (chance <= 9 && accountIds.length > 2) return { kind: "close", account: dice.oneOf(accountIds) };
  if (chance <= 18) {
    const account = dice.oneOf(accountIds);
    return { kind: "rename", account, label: text(dice, dice.between(1, 1_000)) };
  }
  if (chance <= 21 && entryIds.length <= MOST_ENTRIES) {
    const count = dice.between(100, 400);
    return { kind: "fill", first: fresh.entries(count), count, accounts: accountIds, cents: cents(dice) };
  }
  if (chance <= 60 || entryIds.length === 0) return putSome(dice, accountIds, fresh);
  if (chance <= 64) {
    const [first, last] = [dice.oneOf(entryIds), dice.oneOf(entryIds)].sort((one, other) => one - other);
    return { kind: "raise", first: first ?? 0, last: last ?? 0, cents: dice.between(-100, 100) };
  }
  if (chance <= 74) return { kind: "rehome", entry: dice.oneOf(entryIds), account: dice.oneOf(accountIds) };
  const some = new Set(Array.from({ length: dice.between(1, 5) }, () => dice.oneOf(entryIds)));
  if (chance <= 86) return { kind: "remove", entries: [...some] };
  const entries = [...some].map((id) => ({ id, cents: cents(dice), note: note(dice, id) }));
  return { kind: "change", entries };
}

/** New entries, or an amount moved from one account to another. */
function putSome(dice: Dice, accountIds: number[], fresh: Fresh): Operation {
  const isMove = dice.percent(30);
  const count = isMove ? 2 : dice.between(1, 5);
  const first = fresh.entries(count);
  const moved = dice.between(1, MOST_CENTS);
  const entries = Array.from({ length: count }, (_, index): Entry => {
    const id = first + index;
    const amount = isMove ? (index === 0 ? -moved : moved) : cents(dice);
    return { id, account: dice.oneOf(accountIds), cents: amount, note: note(dice, id) };
  });
  return { kind: "put", entries };
}

const note = (dice: Dice, id: number): string | null => (dice.percent(30) ? null : text(dice, id));

/** Takes the oldest back, however many they are. */
function drain(entryIds: number[]): Operation {
  const ids = entryIds.toSorted((one, other) => one - other);
  return { kind: "drain", first: ids[0] as number, last: ids[ids.length - ENTRIES_LEFT] as number };
}
