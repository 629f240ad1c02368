/** What a soak prints at its end, and writes for other programs and for the docs. */
import { renderTable, wrapped } from "../cli/table";
import { describeSeconds } from "../local/duration";
import { medianOf } from "../local/tally";
import { count } from "../local/terminal";
import type { Mode } from "./bed/bed";
import type { Conviction } from "./chronicle";
import type { ExitCodes } from "./judge/commands";

/** What came of one kind of fault. */
export interface FaultResult {
  name: string;
  group: string;
  /** Times it was planted, and times it was known to have struck. */
  planted: number;
  struck: number;
  /** How runs told of it: SQLSTATEs, other codes and outcomes (`timedOut`), with how often. */
  seen: Record<string, number>;
  /** Seconds of the plan's time from the last success before it to the alarm, by kind of alarm, once for each stretch. */
  alarmAfterSeconds: Record<string, number[]>;
  /** Ticks after its end, once for each time that no other fault came before. */
  recoveredAfterTicks: number[];
  /** Refreshes and writes that were lost through it. */
  lost: number;
  remedies: { executed: number; helped: number };
  /** Of commands that were run while it stood; undefined where none was. */
  exitCodes?: ExitCodes;
  /** Why it could not be planted on this machine. */
  skipped?: string;
}

/** All that a soak in one mode came to. */
export interface SoakResult {
  seed: number;
  mode: Mode;
  ticks: number;
  /** The faults that were asked for; undefined where all were. */
  faultsAsked?: string[];
  realSeconds: number;
  virtualSeconds: number;
  /** By outcome: `refreshed`, `skipped`, `failed`, `timedOut`, `crashed`. */
  runs: Record<string, number>;
  faults: FaultResult[];
  /** Faults of the story that could not be planted in their tick, such as while another had taken the server away. */
  unplanted: { tick: number; fault: string; why: string }[];
  violations: Conviction[];
  judge: {
    /** Times that the views were read and compared. */
    looks: number;
    /** Of writers, each numbered. */
    transactions: number;
    /** Moments that the views showed, each compared with the ledger. */
    cuts: number;
    historyRows: number;
  };
  /** How often alarms went off, by kind. */
  alarms: Record<string, number>;
}

/** The command that does the same again. */
export function reproduceCommand({
  ticks,
  seed,
  mode,
  faultsAsked,
}: Pick<SoakResult, "ticks" | "seed" | "mode" | "faultsAsked">): string {
  const asked = faultsAsked?.join(",") ?? "";
  const faults = asked === "" ? "" : ` --faults ${asked.includes(" ") ? `"${asked}"` : asked}`;
  return `npm run soak -- --ticks ${ticks} --seed ${seed} --mode ${mode}${faults}`;
}

const HEAD = ["Fault", "Planted", "Seen as", "Alarm after", "Fresh after", "Remedy", "Exits", "Lost"];
const FIGURES = [1, 7];
const LONGEST_LINE = 120;

/** The report for a person: decorated for a terminal, plain for a pipe or a file. No line is over 120 characters. */
export function renderReport(result: SoakResult, isDecorated: boolean): string {
  const facts = renderTable(["Soak", result.mode], factRows(result), { isDecorated, wrapTo: LONGEST_LINE });
  const planted = result.faults.filter(({ skipped }) => skipped === undefined);
  const faults = renderTable(HEAD, planted.map(faultRow), {
    ...{ isDecorated, rightAligned: FIGURES, wrapTo: LONGEST_LINE },
  });
  const left = skippedLines(result).map((line) => wrapped(line, LONGEST_LINE));
  const broken = result.violations.map((each) => wrapped(violationText(each), LONGEST_LINE));
  const parts = [
    facts,
    ...(planted.length === 0 ? [] : [faults]),
    ...(left.length === 0 ? [] : [`${left.join("\n")}\n`]),
    ...(broken.length === 0 ? [] : [`${broken.join("\n")}\n`]),
    `Again: ${reproduceCommand(result)}\n`,
  ];
  return parts.join("\n");
}

/** The result as JSON, with the command that does the same again. */
export function reportJson(results: SoakResult[]): string {
  const all = results.map((result) => ({ ...result, reproduce: reproduceCommand(result) }));
  return `${JSON.stringify(all, undefined, 2)}\n`;
}

/** The table for the docs. */
export function reportMarkdown(result: SoakResult): string {
  const line = (cells: string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const table = (head: string[], rows: string[][]): string =>
    [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
  const planted = result.faults.filter(({ skipped }) => skipped === undefined);
  const parts = [
    `\`${reproduceCommand(result)}\``,
    table(["Soak", result.mode], factRows(result)),
    table(HEAD, planted.map(faultRow)),
    ...skippedLines(result),
    ...result.violations.map((each) => `- ${violationText(each).replaceAll("\n  ", "\n  - ")}`),
  ];
  return `${parts.join("\n\n")}\n`;
}

function factRows(result: SoakResult): [string, string][] {
  const { seed, ticks, realSeconds, virtualSeconds, runs, judge, violations, alarms, faults } = result;
  return [
    ["Seed", String(seed)],
    [
      "Ticks",
      `${count(ticks)}, ${describeSeconds(virtualSeconds)} of the plan in ${describeSeconds(realSeconds)}`,
    ],
    ["Runs", `${count(sum(Object.values(runs)))}: ${counts(runs) || "none"}`],
    [
      "Faults",
      `${count(sum(faults.map(({ planted }) => planted)))} of ${faults.filter(({ planted }) => planted > 0).length} kinds`,
    ],
    ["Alarms", counts(alarms) || "none"],
    ["Transactions written", count(judge.transactions)],
    ["Views read and compared", `${count(judge.looks)} times, ${count(judge.cuts)} moments`],
    ["Rows of history judged", count(judge.historyRows)],
    ["Lost", count(sum(faults.map(({ lost }) => lost)))],
    ["Promises broken", count(violations.length)],
  ];
}

function faultRow(fault: FaultResult): string[] {
  const { name, planted, struck, seen, alarmAfterSeconds, remedies, lost } = fault;
  const alarms = Object.entries(alarmAfterSeconds).filter(([, seconds]) => seconds.length > 0);
  return [
    name,
    struck === planted ? String(planted) : `${planted} (struck ${struck})`,
    counts(seen) || "not at all",
    alarms.map(([kind, seconds]) => `${kind} ${Math.round(medianOf(seconds))} s`).join(", ") || "none",
    recovered(fault),
    remedies.executed === 0 ? "" : `${remedies.helped} of ${remedies.executed} helped`,
    fault.exitCodes === undefined ? "" : codesOf(fault.exitCodes),
    String(lost),
  ];
}

/** Of refresh, doctor and status, in this order. */
const codesOf = ({ refresh, doctor, status }: ExitCodes): string => `${refresh} ${doctor ?? "-"} ${status}`;

/** The median, and the most where it is more. */
function recovered({ recoveredAfterTicks }: FaultResult): string {
  if (recoveredAfterTicks.length === 0) return "not judged";
  const [middle, most] = [medianOf(recoveredAfterTicks), Math.max(...recoveredAfterTicks)];
  return `${middle === most ? most : `${middle} to ${most}`} ${most === 1 ? "tick" : "ticks"}`;
}

function skippedLines({ faults, unplanted }: SoakResult): string[] {
  return [
    ...faults.flatMap(({ name, skipped }) =>
      skipped === undefined ? [] : [`Not planted: ${name}: ${skipped}`],
    ),
    ...unplanted.map(({ tick, fault, why }) => `Not planted in tick ${tick}: ${fault}: ${why}`),
  ];
}

function violationText({ tick, invariant, what, story }: Conviction): string {
  return [`Broken in tick ${tick}: ${invariant}: ${what}`, ...story.map((line) => `  ${line}`)].join("\n");
}

/** `55P03×4, timedOut×1`: the most frequent first. */
function counts(of: Record<string, number>): string {
  return Object.entries(of)
    .filter(([, times]) => times > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([what, times]) => `${what}×${count(times)}`)
    .join(", ");
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
