/** What a long command is doing: a line that counts the seconds on a terminal, plain lines in a pipe. */
import pc from "picocolors";

export interface Progress {
  /** A step begins, which ends the one before it; with two blanks in front, a remark on the one that runs. */
  report: (line: string) => void;
  /** What all came to: no step, and without a time. Ends the last one. */
  conclude: (line: string) => void;
  /** Ends the last step. */
  done: (isRight: boolean) => void;
}

const TICK_MS = 250;

/** Writes to that stream. */
export function progressOn(stream: NodeJS.WriteStream): Progress {
  return stream.isTTY
    ? countingOn(stream)
    : {
        report: (line) => stream.write(`${line}\n`),
        conclude: (line) => stream.write(`${line}\n`),
        done: () => undefined,
      };
}

function countingOn(stream: NodeJS.WriteStream): Progress {
  let step: { title: string; startedMs: number } | undefined;
  const seconds = (): string => ((performance.now() - (step?.startedMs ?? 0)) / 1_000).toFixed(1);
  const show = (mark: string, end: string): void => {
    if (step !== undefined) stream.write(`\r\u001B[K${mark} ${step.title} ${pc.dim(`${seconds()} s`)}${end}`);
  };
  // A line that the terminal wraps could not be written over.
  const showRunning = (): void => {
    if (step === undefined) return;
    const room = Math.max(10, (stream.columns || 80) - `… 86400.0 s `.length);
    const title = step.title.length > room ? `${step.title.slice(0, room - 1)}…` : step.title;
    stream.write(`\r\u001B[K… ${title} ${pc.dim(`${seconds()} s`)}`);
  };
  const timer = setInterval(showRunning, TICK_MS);
  timer.unref();
  return {
    report(line) {
      if (line.startsWith("  ")) {
        stream.write(`\r\u001B[K${line}\n`);
        return;
      }
      show(pc.green("✓"), "\n");
      step = { title: line, startedMs: performance.now() };
      showRunning();
    },
    conclude(line) {
      show(pc.green("✓"), "\n");
      step = undefined;
      stream.write(`${line}\n`);
    },
    done(isRight) {
      clearInterval(timer);
      show(isRight ? pc.green("✓") : pc.red("✗"), "\n");
      step = undefined;
    },
  };
}
