/** `npm run soak`: a thousand ticks of faults, and whether every promise held. */
import { writeFile } from "node:fs/promises";
import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError, Option } from "commander";
import { StopSignals } from "../local/stopSignals";
import { openTerminal, type Terminal } from "../local/terminal";
import type { Mode } from "./bed/bed";
import { chooseFaults, FAULTS, GROUPS } from "./catalogue";
import { renderReport, reportJson, reportMarkdown, type SoakResult } from "./report";
import { resultOf } from "./result";
import { soak, type Observer } from "./run";

/** Exit codes of the command. */
const EXIT = { held: 0, broken: 1, badUsage: 2 } as const;

/** A line for so many ticks, where the output is no terminal. */
const TICKS_A_LINE = 50;

interface SoakArguments {
  ticks: number;
  seed: number;
  faults?: string[];
  mode: Mode | "both";
  json?: string;
  markdown?: string;
  verbose?: true;
}

const help = `
The deployed bundle runs in processes of its own, against a PostgreSQL server with a synchronous standby, both started for
the soak in a temporary folder. A tick of the plan, a minute, takes about a second: the time in which nothing runs is
skipped. Writers keep a ledger; a judge compares what readers see with it, byte for byte.

Groups of faults: ${GROUPS.join(", ")}. --list names all of them.

Exit code: 0 when every promise held, 1 when one broke (the seed, the tick and what led to it are printed), 2 for bad
options. Ctrl-C ends the soak after the tick, with its report.

Examples:
  npm run soak -- --ticks 1000 --seed 7
  npm run soak -- --ticks 60 --mode incremental --faults network,people
  npm run soak -- --ticks 20 --mode full --faults "postmaster killed" --verbose`;

async function run(options: SoakArguments): Promise<number> {
  const terminal = openTerminal();
  const signals = new StopSignals();
  const modes: Mode[] = options.mode === "both" ? ["full", "incremental"] : [options.mode];
  const results: SoakResult[] = [];
  for (const mode of modes) {
    if (signals.signal.aborted) break;
    const { ticks, seed, faults: asked = [] } = options;
    const observer = observe(terminal, mode, options);
    const faults = chooseFaults(mode, asked);
    const soaked = await soak({ mode, ticks, seed, faults }, observer, signals.signal).finally(() =>
      observer.end(),
    );
    results.push(resultOf(soaked, { mode, seed, faults: asked }));
    // After each mode: the next may not come to its end.
    terminal.line(`\n${renderReport(results.at(-1)!, terminal.interactive)}`);
    if (options.json !== undefined) await writeFile(options.json, reportJson(results));
    if (options.markdown !== undefined)
      await writeFile(options.markdown, results.map(reportMarkdown).join("\n"));
  }
  return results.every(({ violations }) => violations.length === 0) ? EXIT.held : EXIT.broken;
}

function observe(
  terminal: Terminal,
  mode: Mode,
  { ticks, verbose }: SoakArguments,
): Observer & { end(): void } {
  const bar =
    terminal.interactive && verbose !== true
      ? new SingleBar({
          format: `${mode} {bar} tick {value}/{total}, {duration_formatted}, {broken} broken`,
          hideCursor: true,
        })
      : undefined;
  let broken = 0;
  const say = (line: string): void => {
    // A line of its own above the bar.
    if (bar !== undefined) process.stderr.write("\r\u001B[K");
    terminal.line(line);
  };
  return {
    began({ maxStalenessSeconds }, skipped) {
      terminal.line(`Mode ${mode}: ${ticks} ticks, data at most ${maxStalenessSeconds} s old`);
      for (const { fault, why } of skipped) terminal.line(`  Skipped: ${fault.name}: ${why}`);
      bar?.start(ticks, 0, { broken });
    },
    ticked(tick, line) {
      bar?.update(tick, { broken });
      if (verbose === true) say(line);
      else if (bar === undefined && tick % TICKS_A_LINE === 0)
        say(`  ${mode}: tick ${tick} of ${ticks}, ${broken} promises broken`);
    },
    convicted({ tick, invariant, what }) {
      broken += 1;
      say(terminal.colors.red(`✗ tick ${tick}: ${invariant}: ${what}`));
    },
    end: () => bar?.stop(),
  };
}

function readCount(text: string): number {
  const value = Number(text.replaceAll("_", ""));
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError("It must be a whole number above 0.");
  return value;
}

function readWords(text: string): string[] {
  const words = text.split(",").map((word) => word.trim());
  try {
    chooseFaults("full", words);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
  return words;
}

const program = new Command("soak")
  .description("runs what is deployed through ticks and faults drawn from a seed, and judges every promise")
  .option("--ticks <n>", "ticks of each mode", readCount, 100)
  .option("--seed <n>", "draws faults, writers and the lateness of metrics", readCount, 7)
  .option("--faults <list>", "groups or names, with commas between; all unless given", readWords)
  .addOption(
    new Option("--mode <mode>", "materialized views that are refreshed, maintained ones, or both in turn")
      .choices(["full", "incremental", "both"])
      .default("both"),
  )
  .option("--json <file>", "write the report there as JSON")
  .option("--markdown <file>", "write the report there as Markdown")
  .option("--verbose", "a line for each tick")
  .addOption(new Option("--list", "name every fault and end").conflicts(["ticks", "faults", "json"]))
  .addHelpText("after", help)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.badUsage))
  .action(async (options: SoakArguments & { list?: true }) => {
    if (options.list) {
      const lines = FAULTS.map(({ group, name, modes }) => `${group}: ${name} (${modes.join(", ")})\n`);
      process.stdout.write(lines.join(""));
      return;
    }
    process.exitCode = await run(options);
  });

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = EXIT.broken;
});
