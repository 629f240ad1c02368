/** What `status` prints: one line a view, as much of it as there is room for. */
import pc from "picocolors";
import { ageSeconds, agesByHour, type Runs } from "../doctor/runs";
import { displayName } from "../handler/names";
import { renderTable } from "./table";

/** How a view stands, the worst first. */
export const STATES = ["missing", "late", "failing", "unknown", "paused", "ok"] as const;
export type State = (typeof STATES)[number];

export interface ViewStatus {
  runs: Runs;
  state: State;
  ageSeconds: number | null;
  promiseSeconds?: number;
  /** Whether it is older than --max-age, or its age is unknown where --max-age was given. */
  isTooOld: boolean;
  /** The oldest that it was in each of the last 24 hours; null where that is unknown. */
  ages: (number | null)[];
}

/** @param limits promiseSeconds: what the stack promises; limitSeconds: what --max-age allows. */
export function statusOf(
  runs: Runs,
  { promiseSeconds, limitSeconds }: { promiseSeconds?: number; limitSeconds?: number },
): ViewStatus {
  const age = ageSeconds(runs);
  const isTooOld = limitSeconds !== undefined && (age === null || age > limitSeconds);
  const isLate = age !== null && (isTooOld || age > (promiseSeconds ?? Infinity));
  return {
    runs,
    state: stateOf(runs, isLate, age),
    ageSeconds: age,
    ...(promiseSeconds === undefined ? {} : { promiseSeconds }),
    isTooOld,
    ages: agesByHour(runs),
  };
}

function stateOf({ exists, last }: Runs, isLate: boolean, age: number | null): State {
  if (!exists) return "missing";
  if (isLate) return "late";
  if (last?.outcome === "failed") return "failing";
  if (last?.outcome === "skipped" && last.reason?.startsWith("it is paused") === true) return "paused";
  return age === null ? "unknown" : "ok";
}

/** A column; where the terminal is narrow those of the highest rank go first. */
interface Column {
  title: string;
  rank: number;
  isFigure?: true;
  text(status: ViewStatus): string;
}

/** What status needs of a stream and of the environment to know how to write. */
export type Output = Pick<NodeJS.WriteStream, "isTTY" | "columns">;
type Environment = Record<string, string | undefined>;

/** In a terminal as many columns as fit, in a pipe all of them; no colour and no sign beyond ASCII where that is not known to work. */
export function statusTable(statuses: ViewStatus[], output: Output, environment: Environment): string {
  if (statuses.length === 0) return "There is no materialized view in this database.\n";
  const colors = pc.createColors(output.isTTY && !environment.NO_COLOR && environment.TERM !== "dumb");
  const signs = signsFor(environment);
  const hasPromise = statuses.some(({ promiseSeconds }) => promiseSeconds !== undefined);
  const sparks = sparklines(statuses, signs);
  let columns: Column[] = [
    { title: "view", rank: 0, text: ({ runs }) => displayName(runs.view) },
    { title: "state", rank: 0, text: ({ state }) => state },
    { title: "age", rank: 0, isFigure: true, text: (status) => shortSeconds(status.ageSeconds) },
    ...(hasPromise
      ? [
          {
            title: "promise",
            rank: 2,
            isFigure: true as const,
            text: (status: ViewStatus) => shortSeconds(status.promiseSeconds ?? null),
          },
        ]
      : []),
    { title: "last run", rank: 1, text: lastRunText },
    { title: "kind", rank: 3, text: ({ runs }) => runs.kind ?? "-" },
    { title: "p50", rank: 6, isFigure: true, text: ({ runs }) => durationText(runs.p50Seconds) },
    { title: "p99", rank: 5, isFigure: true, text: ({ runs }) => durationText(runs.p99Seconds) },
    {
      title: "runs/24h",
      rank: 7,
      isFigure: true,
      text: ({ runs }) => `${runs.isCapped ? ">" : ""}${runs.runs}`,
    },
    { title: "failed", rank: 4, isFigure: true, text: ({ runs }) => String(runs.failures) },
    { title: "age, last 24 h", rank: 8, text: (status) => sparks.get(status) ?? "" },
  ];
  const room = output.isTTY && output.columns > 0 ? output.columns : Infinity;
  const draw = (): string => {
    const rows = statuses.map((status) => columns.map((column) => column.text(status)));
    const rightAligned = columns.flatMap(({ isFigure }, index) => (isFigure ? [index] : []));
    return renderTable(
      columns.map(({ title }) => title),
      rows,
      { isDecorated: false, rightAligned },
    );
  };
  let text = draw();
  while (longestLine(text) > room && columns.some(({ rank }) => rank > 0)) {
    const most = Math.max(...columns.map(({ rank }) => rank));
    columns = columns.filter(({ rank }) => rank < most);
    text = draw();
  }
  const [head = "", ...lines] = text.trimEnd().split("\n");
  const coloured = lines.map((line, index) => colourOf(statuses[index]?.state ?? "ok", colors)(line));
  return `${[colors.bold(head), ...coloured].join("\n")}\n`;
}

const longestLine = (text: string): number => Math.max(...text.split("\n").map((line) => [...line].length));

function colourOf(state: State, colors: ReturnType<typeof pc.createColors>): (text: string) => string {
  if (state === "ok") return (text) => text;
  return state === "unknown" || state === "paused" ? colors.yellow : colors.red;
}

/** From nothing to the most; the last is for an hour of which nothing is known. */
interface Signs {
  ramp: string[];
  unknown: string;
}
const BLOCKS: Signs = { ramp: [..."▁▂▃▄▅▆▇█"], unknown: " " };
const ASCII: Signs = { ramp: [..."_.-~=+*#"], unknown: " " };

/** By the locale, as libc takes it: LC_ALL before LC_CTYPE before LANG. */
export function signsFor({ LC_ALL, LC_CTYPE, LANG }: Environment): Signs {
  return /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || "") ? BLOCKS : ASCII;
}

/** Drawn up to the promise where there is one, so that a full block is a broken one; else up to the view's oldest. */
function sparklines(statuses: ViewStatus[], { ramp, unknown }: Signs): Map<ViewStatus, string> {
  return new Map(
    statuses.map((status) => {
      const { ages, promiseSeconds } = status;
      const most = promiseSeconds ?? Math.max(...ages.map((age) => age ?? 0));
      const sign = (age: number): string => {
        const step = age > most ? ramp.length - 1 : Math.floor((age / (most || 1)) * (ramp.length - 1));
        return ramp[Math.min(ramp.length - 1, step)] ?? unknown;
      };
      return [status, ages.map((age) => (age === null ? unknown : sign(age))).join("")];
    }),
  );
}

function lastRunText({ runs: { last, nowMs } }: ViewStatus): string {
  if (last === null) return "never";
  return `${last.outcome} ${shortSeconds(Math.max(0, (nowMs - last.atMs) / 1_000))} ago`;
}

/** `12s`, `4m12s`, `3h20m`, `2d4h`; `?` where it is not known. */
export function shortSeconds(seconds: number | null): string {
  if (seconds === null) return "?";
  const whole = Math.round(seconds);
  const parts = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor(whole / 3_600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join("");
}

const durationText = (seconds: number | null): string =>
  seconds === null ? "-" : seconds < 10 ? `${seconds.toFixed(2)}s` : shortSeconds(seconds);
