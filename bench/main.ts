/** The measurements behind docs/figures.md, a file each: `npm run bench -- --help` lists them. */
import { Command, InvalidArgumentError } from "commander";
import { alarms } from "./alarms";
import { bloat, type BloatOptions } from "./bloat";
import { incremental, type IncrementalOptions } from "./incremental";
import { load, type LoadOptions } from "./load";
import { overhead, type OverheadOptions } from "./overhead";
import { watch, type WatchOptions } from "./watch";
import { readers, type ReadersOptions } from "./readers";
import { writers, type WritersOptions } from "./writers";

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const program = new Command("bench")
  .description("measures on a PostgreSQL of its own, in a temporary folder that is removed afterwards")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

program
  .command("overhead")
  .description("what a run of the function costs beside the bare REFRESH statement (about 2 minutes)")
  .option("--objects <n,n>", "sizes to measure", readNumbers, [100_000, 1_250_000])
  .option("--rounds <n>", "measurements of each way, at the most", readNumber, 60)
  .option("--seconds-per-size <n>", "begin no round after this time", readNumber, 60)
  .action((options: OverheadOptions) => overhead(options, print));

program
  .command("readers")
  .description("how long readers wait while concurrent and plain refreshes run (about 1 minute)")
  .option("--objects <n>", "objects behind the view", readNumber, 1_250_000)
  .option("--rounds <n>", "refreshes of each kind", readNumber, 20)
  .option("--readers <n>", "readers at the same time", readNumber, 4)
  .action((options: ReadersOptions) => readers(options, print));

program
  .command("incremental")
  .description("folding what changed against computing all, and what readers notice (about 30 minutes)")
  .option("--objects <n,n>", "sizes to measure", readNumbers, [1_250_000, 10_000_000])
  .option("--jobs <n,n>", "rows of the view", readNumbers, [150, 100_000])
  .option("--changed <n,n>", "objects that change between two refreshes", readNumbers, [1_000, 10_000])
  .option("--rounds <n>", "measurements of each way, at the most", readNumber, 10)
  .option("--seconds-per-case <n>", "begin no round after this time", readNumber, 90)
  .option("--readers <n>", "readers at the same time", readNumber, 4)
  .action((options: IncrementalOptions) => incremental(options, print));

program
  .command("writers")
  .description("what maintenance costs those who write (about 4 minutes)")
  .option("--objects <n>", "objects behind the view", readNumber, 1_250_000)
  .option("--rounds <n>", "stretches without and with maintenance, of each kind of write", readNumber, 6)
  .option("--seconds <n>", "length of a stretch", readNumber, 2)
  .option("--writers <n,n>", "writers at the same time", readNumbers, [1, 8])
  .action((options: WritersOptions) => writers(options, print));

program
  .command("bloat")
  .description("how large the change tables become under a busy writer (about 5 minutes)")
  .option("--objects <n>", "objects behind the view", readNumber, 1_250_000)
  .option("--folds <n>", "folds in each of the three stretches", readNumber, 100)
  .option("--every-seconds <n>", "time between two folds", readNumber, 1)
  .option("--objects-per-minute <n>", "what the writer gets done", readNumber, 50_000)
  .action((options: BloatOptions) => bloat(options, print));

program
  .command("alarms")
  .description("how soon the alarms of a schedule go off, replayed; no server is needed")
  .action(() => alarms(print));

program
  .command("watch")
  .description("what the page asks of a database with a long history (about 2 minutes)")
  .option("--rows <n>", "rows of history", readNumber, 1_000_000)
  .option("--views <n>", "views that they are of", readNumber, 23)
  .action((options: WatchOptions) => watch(options, print));

program
  .command("load")
  .description(
    "many views: in one group, in levels, in several groups, with a long history and long names (about 5 minutes)",
  )
  .option("--views <n>", "views in all", readNumber, 200)
  .option("--rows <n>", "rows of each view", readNumber, 1_000)
  .option("--levels <n>", "levels of views that read views", readNumber, 20)
  .option("--groups <n>", "groups whose ticks come at the same moment", readNumber, 5)
  .option("--history <n>", "rows of history", readNumber, 1_000_000)
  .option("--rounds <n>", "measurements of each kind", readNumber, 5)
  .action((options: LoadOptions) => load(options, print));

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});

function readNumber(text: string): number {
  const value = Number(text.replaceAll("_", ""));
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError("It must be a whole number above 0.");
  return value;
}

function readNumbers(text: string): number[] {
  return text.split(",").map(readNumber);
}
