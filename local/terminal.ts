/** The output of a run. */
import type { WriteStream } from "node:tty";
import pc from "picocolors";

/** Where a run prints: colours and a progress bar for a person, plain lines for a pipe or a file. */
export interface Terminal {
  /** A person is watching: the output may be redrawn. */
  readonly interactive: boolean;
  readonly colors: ReturnType<typeof pc.createColors>;
  line(text?: string): void;
  /** A line with the time in front, in the form of the handler's own log, in UTC. */
  event(text: string): void;
}

/** Asked of the stream itself: a CI variable or FORCE_COLOR must not put escape codes into a file. */
export function openTerminal(stream: WriteStream = process.stdout): Terminal {
  const interactive = stream.isTTY === true;
  const colors = pc.createColors(interactive && !process.env.NO_COLOR && process.env.TERM !== "dumb");
  const line = (text = ""): void => void stream.write(`${text}\n`);
  return { interactive, colors, line, event: (text) => line(`[${logTime(new Date())}] ${text}`) };
}

/** `2025-11-09 10:00:00`, UTC. */
export function logTime(time: Date): string {
  return time.toISOString().slice(0, 19).replace("T", " ");
}

/** A finished step of the start. */
export function done(terminal: Terminal, text: string): void {
  terminal.line(`  ${terminal.colors.green("✓")} ${text}`);
}

/** A number as a person reads it. */
export function count(value: number | string): string {
  return Number(value).toLocaleString("en-US");
}
