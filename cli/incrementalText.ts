/** What the incremental commands print for people. */
import { escapeIdentifier } from "pg";
import { qualifiedName, quotedName, shellName } from "../handler/names";
import type { QualifiedName } from "../handler/settings";
import type { SqlFile } from "../incremental/files";
import type { Listed } from "../incremental/list";
import type { Finding, Maintenance } from "../incremental/maintenance";
import { QUERY_GONE, type ViewState } from "../incremental/install/state";
import type { Reverted } from "../incremental/revert";
import type { Verification } from "../incremental/verify";
import { renderTable, wrapped, type TableStyle } from "./table";

/** Where text goes: a terminal of so many columns, or a pipe. */
export type Terminal = Pick<NodeJS.WriteStream, "isTTY" | "columns">;

/** In a pipe lines stay whole, to be searched. */
const styleFor = ({ isTTY, columns }: Terminal): TableStyle =>
  isTTY ? { isDecorated: true, ...(columns > 0 ? { wrapTo: columns } : {}) } : { isDecorated: false };

/** What `plan` found. */
export interface Planned {
  view: QualifiedName;
  findings: Finding[];
  /** Absent where the view is refused. */
  maintenance: Maintenance | undefined;
  owner: string | undefined;
}

export function planText({ view, findings, maintenance, owner }: Planned, terminal: Terminal): string {
  const verdict =
    maintenance === undefined ? "cannot be maintained incrementally" : "can be maintained incrementally";
  const rows = findings.map(({ capability, possible, place, reason, remedy }) => [
    capability,
    possible,
    oneLine(place),
    oneLine(reason),
    oneLine(remedy ?? ""),
  ]);
  const table =
    rows.length === 0
      ? ""
      : `\n${renderTable(["capability", "possible", "place", "reason", "remedy"], rows, styleFor(terminal))}`;
  const more =
    maintenance === undefined
      ? ""
      : wrapped(`\n${priceText(maintenance)}\n${createdText(maintenance, owner)}`, styleFor(terminal).wrapTo);
  return `${qualifiedName(view)} ${verdict}\n${table}${more}`;
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

/** Writers pay by the statement and by what it changes; docs/incremental.md has what was measured. */
function priceText({ logs }: Maintenance): string {
  const lines = logs.map(({ table, relations, name, form }) => {
    const what =
      form === "deltas"
        ? "one row for each group that a statement touches"
        : "the old and the new image of each row that a statement changes in a column the query uses";
    const partitions = relations.length === 1 ? "" : ` and its ${relations.length - 1} partitions`;
    return `  ${qualifiedName(table)}${partitions}: 4 statement triggers, which write ${what} to ${name}`;
  });
  return [
    "What writers pay",
    ...lines,
    "  measured: 0.03 to 0.06 ms more for a statement of one row",
    "",
  ].join("\n");
}

function createdText({ view, names, logs, states }: Maintenance, owner: string | undefined): string {
  const tables = [
    names.status,
    names.lock,
    ...logs.map(({ name }) => name),
    ...states.map(({ name }) => name),
  ];
  const views = [names.query, ...states.map(({ query }) => query)];
  const functions = [names.fold, names.changes, names.fingerprint, ...logs.map((log) => log.function)];
  return [
    `What is created in schema matview_refresh${owner === undefined ? "" : `, for ${owner}`}`,
    `  tables    ${tables.join(", ")}`,
    `  views     ${views.join(", ")}`,
    `  functions ${functions.join(", ")}`,
    `  ${qualifiedName(view)} itself becomes a table of the same columns, indexes, readers and comments`,
    "",
  ].join("\n");
}

export function listText(listed: Listed[], terminal: Terminal): string {
  if (listed.length === 0) return "No view is maintained incrementally in this database.\n";
  const rows = listed.map(({ view, status, pending }) => [
    qualifiedName(view),
    status.paused ? `${status.phase}, paused` : status.phase,
    pending.toLocaleString("en-US"),
    timeText(status.lastFullAt),
    oneLine(status.lastFullReason ?? "-"),
    status.drift === null || status.drift === 0
      ? "0"
      : `${status.drift.toLocaleString("en-US")} (${timeText(status.driftAt)})`,
    String(status.generatorVersion),
  ]);
  const table = renderTable(
    ["view", "phase", "pending", "last full run", "because", "drift found", "generator"],
    rows,
    { ...styleFor(terminal), rightAligned: [2, 6] },
  );
  const troubles = listed.flatMap(({ view, trouble }) =>
    trouble === undefined
      ? []
      : [`${qualifiedName(view)}: ${trouble.reason}\n  To fix it: ${trouble.remedy}\n`],
  );
  return [table, ...troubles].join(troubles.length === 0 ? "" : "\n");
}

/** `2026-11-27 18:42:49Z`. */
const timeText = (time: string | null): string =>
  time === null ? "-" : `${new Date(time).toISOString().slice(0, 19).replace("T", " ")}Z`;

/** What a revert came to. */
export function revertedText({ view, status }: ViewState, reverted: Reverted): string {
  const name = qualifiedName(view);
  switch (reverted) {
    case "reverted":
      return `${name} is as it was before apply`;
    case "untouched":
      return `${name} is not maintained: there was nothing to do`;
    case "gone":
      return `${name} itself was gone: all that maintained it is dropped, and there was no view to bring back`;
    case "kept": {
      const query = status?.original.described.query ?? "…";
      return [
        `${name} is an ordinary table now, with the rows that it has: ${QUERY_GONE}.`,
        "All that maintained it is dropped. Refreshes of it fail until it is a materialized view again:",
        `  ALTER TABLE ${quotedName(view)} RENAME TO ${escapeIdentifier(`${view.name}_old`)};  -- or DROP TABLE`,
        `  CREATE MATERIALIZED VIEW ${quotedName(view)} AS …;  -- and its indexes`,
        "Its query was, when apply was run:",
        ...query.split("\n").map((line) => `  ${line}`),
      ].join("\n");
    }
  }
}

export function verificationText(
  view: QualifiedName,
  found: Verification,
  terminal: Terminal = { isTTY: false, columns: 0 },
): string {
  const { fold, rows, missing, extra, different, examples } = found;
  const folded = {
    incremental: `${(fold.changes ?? 0).toLocaleString("en-US")} changes folded`,
    paused: "paused: nothing was folded",
    refused: `nothing was folded, since a full run is due: ${fold.reason}`,
  }[fold.kind];
  if (missing + extra + different === 0) {
    return `✓ ${qualifiedName(view)} equals its query: ${rows.toLocaleString("en-US")} rows (${folded ?? fold.kind})\n`;
  }
  return [
    `✗ ${qualifiedName(view)} differs from its query (${folded ?? fold.kind})`,
    `  missing ${missing}, extra ${extra}, different ${different}, of ${rows} rows`,
    ...examples.flatMap(({ kind, published, query }) => [
      `  ${kind}`,
      ...(published === null ? [] : [`    published ${published}`]),
      ...(query === null ? [] : [`    query     ${query}`]),
    ]),
    wrapped(differenceText(view, found), styleFor(terminal).wrapTo),
    "",
  ].join("\n");
}

/** What to do, and why it usually is so. */
function differenceText(view: QualifiedName, { fold }: Verification): string {
  if (fold.kind === "paused") return "  It is paused: resume it, and the next refresh folds what changed.";
  const command = `  To put the rows right: npm run refresh -- --view ${shellName(view)} --full`;
  if (fold.kind === "refused") {
    return `  A full run is due, and the next refresh makes it where allowFullRuns is not false.\n${command}`;
  }
  return [
    command,
    "  Usually something was written that fires no trigger: with session_replication_role = replica, by logical replication, or while triggers were disabled; or somebody wrote to the view's table itself.",
  ].join("\n");
}

export function filesText(directory: string, files: SqlFile[]): string {
  return files.map(({ name, role }) => `${directory}/${name}  (to be run by ${role})\n`).join("");
}
