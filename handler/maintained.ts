/** Maintained views: materialized views whose published relation became a table that a stored function folds changes into. */
import { createHash } from "node:crypto";
import { quotedName } from "./names";
import type { QualifiedName } from "./settings";

/** The schema of everything that maintains views. */
export const MAINTENANCE_SCHEMA = "matview_refresh";

/** The group role of those who refresh, made by migration 007. */
export const REFRESHER = "matview_refresher";

/** One of its objects as SQL: `"matview_refresh"."public__job_progress__fold"`. */
export const inSchema = (name: string): string => quotedName({ schema: MAINTENANCE_SCHEMA, name });

/** How a fold's comment begins; the name of the table that it writes follows, quoted as SQL where it must be. */
export const FOLD_COMMENT = "matview-refresh: folds ";

/** A numbered table of a view: `public__job_progress__log_1`. A log's trigger function ends in `_write`. */
export const numberedName = (
  { base }: MaintainedNames,
  kind: "log" | "leaf" | "layer",
  number: number,
): string => `${base}__${kind}_${number}`;

/** What a fold writes beside the view, as a regular expression over what follows `<base>__`. */
export const WRITTEN_BESIDES = "^(status|(log|leaf|layer)_[0-9]+)$";

/** What the trigger function of a log is called after its name. */
export const LOG_WRITER = "_write";

const LONGEST_BASE_BYTES = 48;
const HASH_DIGITS = 8;

/** Names of a view's objects in {@link MAINTENANCE_SCHEMA}. */
export interface MaintainedNames {
  base: string;
  fold: string;
  /** What the fold calls where there is something to do. */
  changes: string;
  query: string;
  status: string;
  lock: string;
  fingerprint: string;
}

/**
 * Readable names that differ for different views: `public__job_progress__fold`. A name too long for an identifier of
 * 63 bytes, or one that another view could have too, ends in a hash.
 */
export function maintainedNames({ schema, name }: QualifiedName): MaintainedNames {
  const plain = `${schema}__${name}`;
  const isPlain =
    Buffer.byteLength(plain) <= LONGEST_BASE_BYTES && !schema.includes("__") && !name.includes("__");
  const hash = createHash("sha256")
    .update(JSON.stringify([schema, name]))
    .digest("hex");
  const base = isPlain
    ? plain
    : `${cutToBytes(plain, LONGEST_BASE_BYTES - HASH_DIGITS - 1)}_${hash.slice(0, HASH_DIGITS)}`;
  const of = (part: string): string => `${base}__${part}`;
  return {
    base,
    fold: of("fold"),
    changes: of("fold_changes"),
    query: of("query"),
    status: of("status"),
    lock: of("lock"),
    fingerprint: of("fingerprint"),
  };
}

/** The longest beginning that fits, without half a character at its end. */
function cutToBytes(text: string, bytes: number): string {
  let cut = text;
  while (Buffer.byteLength(cut) > bytes) cut = [...cut].slice(0, -1).join("");
  return cut;
}
