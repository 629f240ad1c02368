/** What `doctor` prints: findings by grade, each with what puts it right on a line of its own, to be copied. */
import pc from "picocolors";
import type { Examination } from "../doctor/examine";
import { GRADES, type Finding, type Grade, type NotSeen } from "../doctor/finding";
import { signsFor, type Output } from "./statusText";

/** An examination, or the one finding that kept it from beginning. */
export type Report = Pick<Examination, "findings" | "notSeen"> &
  Partial<Pick<Examination, "scope" | "checks">> & { address?: string; seconds?: number };

type Environment = Record<string, string | undefined>;

const MARKS: Record<Grade, { utf8: string; ascii: string }> = {
  "will fail": { utf8: "✗", ascii: "x" },
  "will hurt": { utf8: "▲", ascii: "!" },
  "worth knowing": { utf8: "·", ascii: "-" },
};

/** Text is wrapped to a terminal's width; what is to be copied never is, nor is anything in a pipe. */
export function reportText(report: Report, output: Output, environment: Environment): string {
  const { findings, notSeen } = report;
  const colors = pc.createColors(output.isTTY && !environment.NO_COLOR && environment.TERM !== "dumb");
  const isUtf8 = signsFor(environment).ramp[0] === "▁";
  const width = output.isTTY && output.columns > 0 ? Math.max(40, output.columns) : Infinity;
  const paint: Record<Grade, (text: string) => string> = {
    "will fail": (text) => colors.bold(colors.red(text)),
    "will hurt": (text) => colors.yellow(text),
    "worth knowing": (text) => colors.dim(text),
  };
  const block = (group: [Finding, ...Finding[]]): string => {
    const [{ grade, view, what, why, remedy }] = group;
    const mark = isUtf8 ? MARKS[grade].utf8 : MARKS[grade].ascii;
    const subject = group.length > 1 ? `${group.length} views: ` : view === undefined ? "" : `${view}: `;
    const [first = "", ...rest] = wrap(`${subject}${what}`, width - 4, 4);
    const isWhole = subject !== "" && first.startsWith(subject);
    const painted = isWhole ? colors.bold(subject) + first.slice(subject.length) : first;
    return [
      `  ${paint[grade](mark)} ${painted}`,
      ...rest,
      ...labelled("why", why, width, colors.dim),
      ...(group.length === 1
        ? [fixLine(remedy, colors)]
        : group.flatMap((each) => [`    ${colors.bold(each.view ?? "")}`, fixLine(each.remedy, colors)])),
    ].join("\n");
  };
  const sections = GRADES.flatMap((grade) => {
    const found = findings.filter((finding) => finding.grade === grade);
    return found.length === 0
      ? []
      : [`${paint[grade](grade.toUpperCase())}\n${alike(found).map(block).join("\n\n")}`];
  });
  if (notSeen.length > 0) {
    sections.push(
      `${colors.bold("NOT SEEN")}\n${notSeen.map((one) => unseen(one, width, colors)).join("\n\n")}`,
    );
  }
  return `${[headText(report, colors), ...sections, countText(report)].join("\n\n")}\n`;
}

const fixLine = (remedy: string, colors: ReturnType<typeof pc.createColors>): string =>
  `    ${colors.dim("fix")}  ${colors.cyan(remedy)}`;

/** Findings that say the same of several views, together. */
function alike(findings: Finding[]): [Finding, ...Finding[]][] {
  const groups = new Map<string, [Finding, ...Finding[]]>();
  for (const finding of findings) {
    const { name, view, what, why } = finding;
    const key = JSON.stringify([name, view !== undefined, what, why]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [finding]);
    else group.push(finding);
  }
  return [...groups.values()];
}

function unseen(
  { what, view, why, remedy }: NotSeen,
  width: number,
  colors: ReturnType<typeof pc.createColors>,
): string {
  const [first = "", ...rest] = wrap(`${view === undefined ? "" : `${view}: `}${what}`, width - 4, 4);
  return [`  ? ${first}`, ...rest, ...labelled("why", why, width, colors.dim), fixLine(remedy, colors)].join(
    "\n",
  );
}

function headText({ scope, address }: Report, colors: ReturnType<typeof pc.createColors>): string {
  if (scope === undefined) return colors.bold(`${address}`);
  const { patients, role, user, version, stack } = scope;
  const views = patients.length === 1 ? "1 view" : `${patients.length} views`;
  const who = role === user ? `as ${user}` : `as ${user}, for ${role}`;
  const of = stack === undefined ? "" : `, stack ${stack.name}`;
  return colors.bold(`${scope.address} ${who}: PostgreSQL ${version}, ${views}${of}`);
}

function countText({ findings, notSeen, checks, seconds }: Report): string {
  const counts = GRADES.flatMap((grade) => {
    const count = findings.filter((finding) => finding.grade === grade).length;
    return count === 0 ? [] : [`${count} ${grade}`];
  });
  const found = counts.length === 0 ? "Nothing was found" : counts.join(", ");
  const unseen = notSeen.length === 0 ? "" : `; ${notSeen.length} not seen`;
  const how =
    checks === undefined || seconds === undefined
      ? ""
      : ` (${checks} checks in ${seconds.toFixed(1)} s; nothing was changed)`;
  return `${found}${unseen}${how}`;
}

function labelled(label: string, text: string, width: number, dim: (text: string) => string): string[] {
  const [first = "", ...rest] = wrap(text, width - 9, 9);
  return [`    ${dim(label)}  ${first}`, ...rest];
}

/** Lines of so many characters, those after the first indented. */
function wrap(text: string, width: number, indent: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.replaceAll(/\s+/g, " ").trim().split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((each, index) => (index === 0 ? each : " ".repeat(indent) + each));
}

export function reportJson({ scope, address, findings, notSeen }: Report): string {
  const willFail = findings.some(({ grade }) => grade === "will fail");
  const facts = {
    success: !willFail,
    database: scope?.address ?? address,
    server_version: scope?.version ?? null,
    user: scope?.user ?? null,
    role: scope?.role ?? null,
    stack: scope?.stack?.name ?? null,
    views: scope?.patients.map(({ name }) => name) ?? [],
    findings: findings.map(({ name, grade, view, ...texts }) => ({
      name,
      grade,
      view: view ?? null,
      ...texts,
    })),
    not_seen: notSeen.map(({ view, ...texts }) => ({ view: view ?? null, ...texts })),
  };
  return `${JSON.stringify(facts, null, 2)}\n`;
}
