/** Tables as the commands print them. */
import Table from "cli-table3";

/** How a table is drawn. */
export interface TableStyle {
  /** Lines and colour for a terminal; plain aligned columns for a pipe or a file. */
  isDecorated: boolean;
  /** Columns of figures, counted from 0. */
  rightAligned?: number[];
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
  { isDecorated, rightAligned = [] }: TableStyle,
): string {
  const table = new Table({
    head,
    colAligns: head.map((_, column) => (rightAligned.includes(column) ? "right" : "left")),
    style: isDecorated ? { head: ["bold"], compact: true } : { head: [], border: [], "padding-left": 0 },
    ...(isDecorated ? {} : { chars: { ...plainCharacters, middle: " " } }),
  });
  table.push(...rows);
  const text = table.toString();
  return `${isDecorated ? text : withoutTrailingBlanks(text)}\n`;
}

function withoutTrailingBlanks(text: string): string {
  return text.replace(/ +$/gm, "");
}
