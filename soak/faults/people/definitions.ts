/** What is dropped, made anew or altered under the function. */
import type { Bed } from "../../bed/bed";
import type { Fault, Planted } from "../../fault";
import { change, uniqueIndexes, viewAt, whileHeld } from "../administrator";
import { drop, makeAnew } from "./anew";

/** Drops a view's unique indexes until they are made again; one that a remedy made goes then, so that none piles up. */
async function dropIndexes(bed: Bed, place: 0 | 1): Promise<Planted> {
  const { sql } = viewAt(bed, place);
  const before = await uniqueIndexes(bed, sql);
  const what = before.map(({ name }) => `DROP INDEX ${name}`).join("; ");
  // What tells that a column is unique, once no index does.
  await change(bed, `ANALYZE ${sql}`, what);
  return {
    what,
    async lift() {
      const now = await uniqueIndexes(bed, sql);
      await change(
        bed,
        ...before.filter((index) => !now.some(({ name }) => name === index.name)).map((index) => index.sql),
        ...now
          .filter((index) => !before.some(({ name }) => name === index.name))
          .map(({ name }) => `DROP INDEX ${name}`),
      );
    },
  };
}

export const DEFINITION_FAULTS: Fault[] = [
  {
    group: "people",
    touches: ["view"],
    modes: ["full"],
    name: "index dropped of a view that may not block",
    ticks: [1, 3],
    refresh: "stops",
    codes: ["55000"],
    says: /a concurrent refresh is impossible \(it has no unique index/,
    remedyHelps: true,
    plant: (bed) => dropIndexes(bed, 0),
  },
  {
    group: "people",
    touches: ["view"],
    modes: ["full"],
    name: "index dropped of a view that may block",
    ticks: [1, 3],
    refresh: "passes",
    codes: [],
    says: /falling back to regular refresh: it has no unique index/,
    plant: (bed) => dropIndexes(bed, 1),
  },
  {
    group: "people",
    touches: ["view"],
    modes: ["incremental"],
    name: "index dropped of a published table",
    ticks: [1, 3],
    refresh: "passes",
    codes: [],
    plant: (bed, dice) => dropIndexes(bed, dice.oneOf([0, 1])),
  },
  {
    group: "people",
    touches: ["view"],
    modes: ["full"],
    name: "index dropped as the refresh begins",
    ticks: [1, 1],
    refresh: "stops",
    codes: ["55000"],
    says: /the view's unique index was dropped while its refresh began/,
    plant(bed) {
      let dropped: Planted | undefined;
      const at = { phase: "refresh", moment: "before", what: "DROP INDEX as the refresh begins" } as const;
      const planted = whileHeld(bed, at, async () => {
        dropped = await dropIndexes(bed, 0);
      });
      return Promise.resolve({
        ...planted,
        async lift() {
          await planted.lift();
          await dropped?.lift();
        },
      });
    },
  },
  {
    group: "people",
    touches: ["view"],
    modes: ["full"],
    name: "views dropped, and made anew later",
    ticks: [1, 3],
    refresh: "stops",
    codes: ["42P01"],
    says: /the materialized view does not exist/,
    async plant(bed) {
      return { what: "DROP MATERIALIZED VIEW", lift: await drop(bed) };
    },
  },
  {
    group: "people",
    touches: ["view"],
    modes: ["full"],
    name: "views dropped as a refresh begins",
    ticks: [1, 1],
    refresh: "stops",
    codes: ["42P01"],
    says: /the materialized view does not exist/,
    plant(bed) {
      let bringBack: (() => Promise<void>) | undefined;
      const at = { phase: "refresh", moment: "before", what: "DROP MATERIALIZED VIEW as it begins" } as const;
      const planted = whileHeld(bed, at, async () => {
        bringBack = await drop(bed);
      });
      return Promise.resolve({
        ...planted,
        async lift() {
          await planted.lift();
          await bringBack?.();
        },
      });
    },
  },
  {
    group: "people",
    touches: ["view"],
    modes: ["full"],
    name: "views made anew between two runs",
    ticks: [1, 1],
    refresh: "passes",
    codes: [],
    async plant(bed) {
      await makeAnew(bed);
      return { what: "views dropped and made anew in one transaction", lift: () => Promise.resolve() };
    },
  },
  {
    group: "people",
    touches: ["view"],
    modes: ["full"],
    name: "views made anew as a refresh begins",
    ticks: [1, 1],
    // It is tried again where there is time for that.
    refresh: "may pass",
    codes: ["40001"],
    says: /the view was replaced while its refresh began/,
    plant(bed) {
      // Between what the run has read of the view and what it does to it.
      const at = { phase: "refresh", moment: "before", what: "views made anew as it begins" } as const;
      return Promise.resolve(whileHeld(bed, at, () => makeAnew(bed)));
    },
  },
  {
    group: "people",
    touches: ["source"],
    modes: ["full", "incremental"],
    name: "column added to a table",
    ticks: [1, 4],
    refresh: "passes",
    codes: [],
    async plant(bed, dice) {
      const table = dice.oneOf(bed.books.tables);
      const what = `ALTER TABLE ${table} ADD COLUMN soak_note text DEFAULT 'new'`;
      await change(bed, what);
      return { what, lift: () => change(bed, `ALTER TABLE ${table} DROP COLUMN IF EXISTS soak_note`) };
    },
  },
];
