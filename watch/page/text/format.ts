/** Quantities and times as the page writes them. Pure; times are in the reader's zone, by the server's clock. */

const pad = (value: number) => String(value).padStart(2, "0");

/** An age that counts up: `12s`, `4m12s`, `3h05m`, `2d04h`; always two units from a minute on, so it does not jump. */
export function formatAge(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)}m${pad(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)}h${pad(Math.floor((whole % 3_600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d${pad(Math.floor((whole % 86_400) / 3_600))}h`;
}

/** A span that stands still: like an age, without a second unit that is nothing: `4m`, `1h30m`, `7d`. */
export function formatSpan(seconds: number): string {
  return formatAge(seconds).replace(/(?<=[dhm])00[hms]$/, "");
}

/** How long something took: `3 ms`, `0.42 s`, `1.2 s`, `48 s`, `2m05s`. */
export function formatDuration(seconds: number): string {
  if (seconds < 0.0995) return `${seconds < 0.00095 ? "<1" : Math.round(seconds * 1_000)} ms`;
  if (seconds < 0.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  return formatSpan(seconds);
}

const counts = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
export const formatCount = (count: number): string => counts.format(count);

/** `1 change`, `1,204 changes`. */
export const formatCounted = (count: number, noun: string, plural = `${noun}s`): string =>
  `${formatCount(count)} ${count === 1 ? noun : plural}`;

/** `99.98 %`; cut, not rounded, so that 100 % is said only of the whole. */
export function formatShare(share: number): string {
  if (share >= 1) return "100 %";
  return `${(Math.floor(share * 10_000) / 100).toFixed(2)} %`;
}

/** `10:15:02`. */
export function formatTime(atMs: number): string {
  const at = new Date(atMs);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** `27 Nov`. */
export function formatDay(atMs: number): string {
  const at = new Date(atMs);
  return `${at.getDate()} ${months[at.getMonth()]}`;
}

/** The time, with the day where it is another than that of `nowMs`: `10:15:02`, `26 Nov 23:59:00`. */
export function formatMoment(atMs: number, nowMs: number): string {
  const isToday = new Date(atMs).toDateString() === new Date(nowMs).toDateString();
  return isToday ? formatTime(atMs) : `${formatDay(atMs)} ${formatTime(atMs)}`;
}

/** A label of the time axis whose labels stand `stepSeconds` apart. */
export function formatAxisTime(atMs: number, stepSeconds: number): string {
  const at = new Date(atMs);
  const isMidnight = at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0;
  if (stepSeconds >= 86_400 || isMidnight) return formatDay(atMs);
  return stepSeconds >= 60 ? formatTime(atMs).slice(0, 5) : formatTime(atMs);
}

/** `$0.42`, `$12.80`; under a cent is said as such. */
export const formatUsd = (usd: number): string => (usd > 0 && usd < 0.005 ? "<$0.01" : `$${usd.toFixed(2)}`);
