/** Durations as options give them and as readers see them. */
const unitSeconds: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/**
 * Seconds of a duration such as `60s`, `1.5m`, `2h` or `1d`; a plain number is seconds.
 * @throws Error that shows the accepted forms
 */
export function parseDurationSeconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([smhd]?)$/.exec(text.trim());
  const seconds = Number(match?.[1]) * (unitSeconds[match?.[2] || "s"] ?? NaN);
  if (!(seconds > 0) || !Number.isFinite(seconds))
    throw new Error(`"${text}" is not a duration; write 60s, 5m, 2h or 1d`);
  return seconds;
}

/** A duration for a reader: `0.8 s`, `75 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`. */
export function describeSeconds(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return twoUnits(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(whole / 60);
  if (minutes < 2880) return twoUnits(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return twoUnits(Math.floor(hours / 24), "d", hours % 24, "h");
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
