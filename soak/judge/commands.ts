/**
 * Whether the commands that a person runs while a fault stands name it, and exit as they say: a refresh by hand, the
 * doctor and the status, as the function's role and by its way to the server.
 */
import { readFile } from "node:fs/promises";
import { qualifiedName } from "../../handler/names";
import type { Bed } from "../bed/bed";
import { runCommand, type CommandResult } from "../command";
import type { Fault } from "../fault";
import { codesIn } from "../outcomes";
import type { Plant } from "../plantings";
import { commandOf, remediesOf } from "../remedy";
import { endsSession } from "./runLog";

const REFRESH_SECONDS = 8;

/** What they print with --json, as far as it is judged. */
interface Answer {
  /** Of a command whose whole answer is a failure. */
  error?: string;
  /** The doctor's. */
  findings?: { name: string; remedy: string }[];
  /** Of the status. */
  views?: { state: string }[];
}

interface Ran extends CommandResult {
  answer: Answer;
}

type FaultFacts = Pick<Fault, "refresh" | "codes" | "says" | "finding">;

/** With what each of them ended; undefined for one that was not asked. */
export interface ExitCodes {
  refresh: number | null;
  doctor?: number | null;
  status: number | null;
}

export class CommandJudge {
  /** By the name of the fault that they were asked about. */
  readonly exitCodes = new Map<string, ExitCodes>();

  constructor(private readonly bed: Pick<Bed, "fn" | "wire" | "folder" | "books">) {}

  /**
   * Runs them, once for each kind of fault. Not for one that struck a single run, or concerns the function alone: no
   * command meets it.
   * @returns what is wrong, a sentence each; undefined where none was run
   */
  async check({ planting: { fault }, planted }: Plant): Promise<string[] | undefined> {
    const isMet = fault.group !== "function" && planted.strikesOnce !== true;
    if (!isMet || this.exitCodes.has(fault.name)) return undefined;
    const refresh = await this.run(`refresh -- --timeout ${REFRESH_SECONDS}`);
    // On a slow network the doctor, who asks a hundred things, would take a minute.
    const isSlow = fault.refresh === "may pass" && fault.touches.includes("wire");
    const doctor = isSlow ? undefined : await this.run("doctor --");
    const status = await this.run("status --");
    this.exitCodes.set(fault.name, {
      ...{ refresh: refresh.exitCode, status: status.exitCode },
      ...(doctor && { doctor: doctor.exitCode }),
    });
    return [
      ...judgeRefresh(fault, refresh),
      ...(doctor === undefined ? [] : judgeDoctor(fault, refresh, doctor)),
      ...judgeStatus(fault, refresh, status),
    ];
  }

  private async run(command: string): Promise<Ran> {
    const { fn, wire, folder, books } = this.bed;
    const views = books.views.map((view) => `--view ${qualifiedName(view)}`).join(" ");
    const result = await runCommand(
      `npm run -s ${command} ${views} --json`,
      {
        ...{ host: "127.0.0.1", port: wire.port, caFile: wire.caFile },
        ...{ database: "soak", user: fn.user, password: await readFile(fn.passwordFile, "utf8") },
      },
      folder,
    );
    return { ...result, answer: readAnswer(result.stdout) };
  }
}

/** Empty where it is no answer. */
function readAnswer(stdout: string): Answer {
  try {
    return JSON.parse(stdout) as Answer;
  } catch {
    return {};
  }
}

/** What each of them has to keep to. */
function judgeAnswer(command: string, { codes }: FaultFacts, ran: Ran): string[] {
  const { exitCode, stdout, stderr, answer } = ran;
  const said = `${stdout}${stderr}`.slice(0, 2_000);
  if ((exitCode !== 0 && exitCode !== 1) || Object.keys(answer).length === 0)
    return [`${command} exited with ${exitCode}: ${said}`];
  if (answer.error === undefined) return [];
  const named = codesIn(answer.error);
  const isItsOwn = named.length > 0 && named.every((code) => codes.includes(code));
  return [
    ...(exitCode === 0 ? [`${command} failed, and exited with 0: ${said}`] : []),
    ...(isItsOwn ? [] : [`${command} names another cause: ${said}`]),
  ];
}

export function judgeRefresh(fault: FaultFacts, ran: Ran): string[] {
  const { refresh, says, finding } = fault;
  const { exitCode, stdout, stderr } = ran;
  const wrong = judgeAnswer("refresh", fault, ran);
  if (exitCode === 1 && refresh === "passes") wrong.push(`refresh failed, which nothing stops: ${stdout}`);
  // By hand some of what stops a run is only told: that readers are blocked, that the view is paused.
  const hasToSay = exitCode === 1 || refresh === "stops" || finding !== undefined;
  if (hasToSay && says !== undefined && !says.test(`${stdout}${stderr}`))
    wrong.push(`refresh (exit code ${exitCode}) does not say ${says}: ${stdout}${stderr}`);
  if (exitCode === 0 && refresh === "stops" && says === undefined)
    wrong.push("refresh passed, which is stopped");
  return wrong;
}

/** Of a lock that has been held for less than half a minute the doctor does not say that refreshes will fail. */
const isOfLocks = (codes: string[]): boolean => codes.length > 0 && codes.every((code) => code === "55P03");

export function judgeDoctor(fault: FaultFacts, refresh: Ran, ran: Ran): string[] {
  const wrong = judgeAnswer("doctor", fault, ran);
  const { findings = [] } = ran.answer;
  const said = findings.map(({ name, remedy }) => `${name}: ${remedy}`).join("\n");
  if (fault.finding !== undefined && !findings.some(({ name }) => name === fault.finding))
    wrong.push(`the doctor does not find "${fault.finding}": ${said}`);
  if (ran.exitCode === 1 && fault.refresh === "passes")
    wrong.push(`the doctor says that refreshes will fail: ${said}`);
  const failure = refresh.answer.error ?? "";
  const codes = codesIn(failure);
  if (refresh.exitCode !== 1 || fault.refresh !== "stops") return wrong;
  if (ran.exitCode === 0 && !isOfLocks(codes))
    wrong.push(`refresh fails, and the doctor finds nothing that does: ${said}`);
  // Silence has several causes, and the failure cannot tell which.
  if (codes.includes("ETIMEDOUT")) return wrong;
  for (const remedy of remediesOf(failure).map(commandOf))
    if (!findings.some((each) => commandOf(each.remedy) === remedy))
      wrong.push(`the doctor knows other remedies than ${remedy}: ${said}`);
  return wrong;
}

export function judgeStatus(fault: FaultFacts, refresh: Ran, ran: Ran): string[] {
  const wrong = judgeAnswer("status", fault, ran);
  if (ran.exitCode === 1 && fault.refresh === "passes")
    wrong.push(`status exited with 1, and nothing is wrong: ${ran.stdout}`);
  const { views } = ran.answer;
  const isRecorded =
    !codesIn(refresh.answer.error ?? "").some(endsSession) && !/not recorded|untracked/.test(refresh.stderr);
  const isTold = views?.some(({ state }) => state !== "ok");
  if (refresh.exitCode === 1 && isRecorded && isTold === false)
    wrong.push(`refresh failed, and status says that all is well: ${ran.stdout}`);
  return wrong;
}
