import { CommanderError, type Command } from "commander";

/** What a command wrote and how it ended. */
export interface CommandRun {
  exitCode: number;
  out: string;
  error: string;
}

/** Runs a command in this process, its output and exit code caught as its caller would see them. */
export async function runCommand(command: Command, ...args: string[]): Promise<CommandRun> {
  const run: CommandRun = { exitCode: 0, out: "", error: "" };
  command.exitOverride().configureOutput({
    writeOut: (text) => (run.out += text),
    writeErr: (text) => (run.error += text),
  });
  try {
    await command.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    run.exitCode = error.exitCode;
  }
  return run;
}
