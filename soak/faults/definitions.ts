/** What is dropped, made anew or altered under the function. */
import type { Bed } from "../bed/bed";
import type { VIEW_SQL } from "../books/books";
import type { FaultDraft, Planted } from "../fault";
import { ask, change, changed } from "./administrator";
import { before, whileHeld } from "./moment";

type ViewName = keyof typeof VIEW_SQL;

const UNIQUE_INDEXES = `
  SELECT indexrelid::regclass::text AS "name", pg_get_indexdef(indexrelid) AS "sql"
    FROM pg_index WHERE indrelid = $1::regclass AND indisunique ORDER BY indexrelid`;

/** Drops a view's unique indexes until they are made again; one that a remedy made goes then, so that none piles up. */
async function dropIndexes(bed: Bed, view: ViewName): Promise<Planted> {
  const read = (): Promise<{ name: string; sql: string }[]> => ask(bed, UNIQUE_INDEXES, [`soak.${view}`]);
  const dropOf = (indexes: { name: string }[]): string[] => indexes.map(({ name }) => `DROP INDEX ${name}`);
  const were = await read();
  // What tells that a column is unique, once no index does.
  await change(bed, `ANALYZE soak.${view}`, ...dropOf(were));
  return {
    what: dropOf(were).join("; "),
    async lift() {
      const are = await read();
      const missing = were.filter(({ name }) => !are.some((each) => each.name === name));
      const further = are.filter(({ name }) => !were.some((each) => each.name === name));
      await change(bed, ...missing.map(({ sql }) => sql), ...dropOf(further));
    },
  };
}

const DROP = "DROP MATERIALIZED VIEW soak.summary, soak.balance";

/** Until they are made anew, where they are not there. */
async function dropViews(bed: Bed): Promise<Planted> {
  await change(bed, DROP);
  return {
    what: DROP,
    async lift() {
      const there = await ask(bed, "SELECT WHERE to_regclass('soak.balance') IS NOT NULL");
      if (there.length === 0) await change(bed, bed.books.viewsSql);
    },
  };
}

/** In one transaction, as a migration does that changes a query: who looks sees the one or the other. */
const makeAnew = (bed: Bed): Promise<void> => change(bed, DROP, bed.books.viewsSql);

const ofView = { touches: ["view"], modes: ["full"] } satisfies Partial<FaultDraft>;

/** A run that is held must not be held by a lock on what the views' queries read. */
const whileRunIsHeld = { ...ofView, touches: ["view", "source"] } satisfies Partial<FaultDraft>;

/** Where it says `as the refresh begins`: between what the run has read of the view and what it does to it. */
export const DEFINITION_FAULTS: FaultDraft[] = [
  {
    ...ofView,
    name: "index dropped of a view that may not block",
    finding: "no-unique-index",
    ticks: [1, 3],
    refresh: "stops",
    codes: ["55000"],
    says: /(a concurrent refresh is impossible \(|falling back to regular refresh: )it has no unique index/,
    remedyHelps: true,
    plant: (bed) => dropIndexes(bed, "balance"),
  },
  {
    ...ofView,
    name: "index dropped of a view that may block",
    finding: "no-unique-index",
    ticks: [1, 3],
    refresh: "passes",
    says: /falling back to regular refresh: it has no unique index/,
    plant: (bed) => dropIndexes(bed, "summary"),
  },
  {
    ...ofView,
    modes: ["incremental"],
    name: "index dropped of a published table",
    finding: "no-unique-index",
    ticks: [1, 3],
    refresh: "passes",
    plant: (bed, dice) => dropIndexes(bed, dice.oneOf(["balance", "summary"])),
  },
  {
    ...ofView,
    name: "index dropped as the refresh begins",
    refresh: "stops",
    codes: ["55000"],
    says: /the view's unique index was dropped while its refresh began/,
    plant: (bed) => whileHeld(bed, "DROP INDEX", before("refresh"), () => dropIndexes(bed, "balance")),
  },
  {
    ...ofView,
    name: "views dropped and made anew later",
    finding: "view-missing",
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42P01"],
    says: /the materialized view does not exist/,
    plant: dropViews,
  },
  {
    ...whileRunIsHeld,
    name: "views dropped as a refresh begins",
    refresh: "stops",
    codes: ["42P01"],
    says: /the materialized view does not exist/,
    plant: (bed) => whileHeld(bed, DROP, before("refresh"), () => dropViews(bed)),
  },
  {
    ...ofView,
    name: "views made anew between two runs",
    refresh: "passes",
    async plant(bed) {
      await makeAnew(bed);
      return { what: "views dropped and made anew in one transaction", lift: () => Promise.resolve() };
    },
  },
  {
    ...whileRunIsHeld,
    name: "views made anew as a refresh begins",
    // It is tried again where there is time for that.
    refresh: "may pass",
    codes: ["40001"],
    says: /the view was replaced while its refresh began/,
    plant: (bed) => whileHeld(bed, "views made anew", before("refresh"), () => makeAnew(bed)),
  },
  {
    touches: ["source"],
    name: "column added to a table",
    ticks: [1, 4],
    refresh: "passes",
    plant(bed, dice) {
      const alter = `ALTER TABLE ${dice.oneOf(bed.books.tables)}`;
      return changed(
        bed,
        `${alter} ADD COLUMN soak_note text DEFAULT 'new'`,
        `${alter} DROP COLUMN IF EXISTS soak_note`,
      );
    },
  },
];
