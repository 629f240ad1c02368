/** Tables as the commands print them. */
import Table from "cli-table3";

/** How a table is drawn. */
export interface TableStyle {
  /** Lines and colour for a terminal; plain aligned columns for a pipe or a file. */
  isDecorated: boolean;
  /** Columns of figures, counted from 0. */
  rightAligned?: number[];
  /** Characters that a line may have: the texts of the widest columns are wrapped. */
  wrapTo?: number;
}

const plainCharacters = Object.fromEntries(
  [
    "top top-mid top-left top-right bottom bottom-mid bottom-left bottom-right",
    "left left-mid mid mid-mid right right-mid",
  ]
    .flatMap((names) => names.split(" "))
    .map((name) => [name, ""]),
);

/** A table as text, ending with a line feed. */
export function renderTable(
  head: string[],
  rows: string[][],
  { isDecorated, rightAligned = [], wrapTo }: TableStyle,
): string {
  const table = new Table({
    head,
    colAligns: head.map((_, column) => (rightAligned.includes(column) ? "right" : "left")),
    style: isDecorated ? { head: ["bold"], compact: true } : { head: [], border: [], "padding-left": 0 },
    ...(wrapTo === undefined ? {} : { wordWrap: true, colWidths: fitted(head, rows, wrapTo) }),
    ...(isDecorated ? {} : { chars: { ...plainCharacters, middle: " " } }),
  });
  table.push(...rows);
  const text = table.toString();
  return `${isDecorated ? text : withoutTrailingBlanks(text)}\n`;
}

/**
 * Text in lines that are short enough: what does not fit goes on below, indented by two more than where it began. No
 * word is cut.
 * @param wrapTo characters of a line; undefined leaves lines whole.
 */
export function wrapped(text: string, wrapTo: number | undefined): string {
  if (wrapTo === undefined) return text;
  return text
    .split("\n")
    .map((line) => wrapLine(line, wrapTo))
    .join("\n");
}

function wrapLine(line: string, wrapTo: number): string {
  if (line.length <= wrapTo) return line;
  const indent = /^ */.exec(line)?.[0] ?? "";
  const lines: string[] = [];
  let current = "";
  for (const word of line.trim().split(" ")) {
    const start = lines.length === 0 ? indent : `${indent}  `;
    const longer = current === "" ? `${start}${word}` : `${current} ${word}`;
    if (current === "" || longer.length <= wrapTo) current = longer;
    else {
      lines.push(current);
      current = `${indent}  ${word}`;
    }
  }
  return [...lines, current].join("\n");
}

/** A cell has a blank on either side; a line between it and the next. */
const CELL_BORDER = 3;

/** Widths of columns: what they need, or less of the widest until a line is short enough. No word is ever cut. */
function fitted(head: string[], rows: string[][], wrapTo: number): number[] {
  const columns = head.map((title, column) => [title, ...rows.map((row) => row[column] ?? "")]);
  const longest = (texts: string[]): number => Math.max(...texts.map(({ length }) => length));
  const widths = columns.map(longest);
  const narrowest = columns.map((texts) => longest(texts.flatMap((text) => text.split(" "))));
  const room = wrapTo - 1 - CELL_BORDER * head.length;
  for (;;) {
    const spare = widths.map((width, column) => (width > (narrowest[column] ?? 0) ? width : 0));
    const widest = spare.indexOf(Math.max(...spare));
    const isDone = widths.reduce((sum, width) => sum + width, 0) <= room || spare[widest] === 0;
    if (isDone) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths.map((width) => width + CELL_BORDER - 1);
}

function withoutTrailingBlanks(text: string): string {
  return text.replace(/ +$/gm, "");
}
