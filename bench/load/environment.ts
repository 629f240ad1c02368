/** How many views fit into a function's variables. No server is needed. */
import { createHash } from "node:crypto";
import { parseSettings } from "../../components/settings/parseSettings";
import { SettingsFaults } from "../../components/settings/faults";
import * as stand from "./stand";

const SUBJECTS = "sales orders customers stock shipments invoices payments returns sessions tickets".split(
  " ",
);
const WAYS = "by_region by_product by_day by_month by_channel by_store summary totals ranking trend".split(
  " ",
);
const LONGEST_NAME_BYTES = 63;

const digits = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Names of views, by how people give them; the number tells each from the others. */
const NAMES: Record<string, (index: number) => string> = {
  "usual names": (index) => {
    const [subject, way] = [SUBJECTS[index % 10], WAYS[Math.floor(index / 10) % 10]];
    return `${["public", "reporting", "finance"][index % 3]}.${subject}_${way}_${index}`;
  },
  "63 bytes each, of words": (index) => {
    const [subject, way] = [`${SUBJECTS[index % 10]}_`, `${WAYS[Math.floor(index / 10) % 10]}_`];
    const cut = (text: string): string => text.slice(0, LONGEST_NAME_BYTES);
    return `${cut(subject.repeat(20))}.${cut(`${way}${index}_${subject}${way}`.repeat(20))}`;
  },
  "63 bytes each, of random digits": (index) =>
    `v${digits(`s${index}`).slice(0, 62)}.v${digits(`v${index}`).slice(0, 62)}`,
};

/** The largest group that the settings accept, and what they say of one more. */
export function measureEnvironment(print: stand.Print): void {
  const rows = Object.entries(NAMES).map(([kind, name]): [string, string] => {
    const most = largestGroup(name);
    return [kind, `${stand.counted(most)} views; one more: ${refusalOf(name, most + 1)}`];
  });
  stand.printFigures(print, "The largest group that fits into Lambda's 4,096 bytes of variables", rows);
}

function largestGroup(name: (index: number) => string): number {
  let [fits, tooMany] = [1, 4_096];
  while (tooMany - fits > 1) {
    const middle = Math.floor((fits + tooMany) / 2);
    if (refusalOf(name, middle) === undefined) fits = middle;
    else tooMany = middle;
  }
  return fits;
}

function refusalOf(name: (index: number) => string, count: number): string | undefined {
  try {
    parseSettings(
      { groupName: "many", views: Array.from({ length: count }, (_, index) => name(index)) },
      "local",
    );
    return undefined;
  } catch (error) {
    if (!(error instanceof SettingsFaults)) throw error;
    const [fault] = error.faults;
    return `${fault?.key} = ${String(fault?.value)} ${fault?.problem}`;
  }
}
