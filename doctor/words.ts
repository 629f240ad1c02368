/** Quantities as findings have them, and commands that several of them give. */

/** `0.04 s`, `12 s`, `4 min 12 s`, `3 h 20 min`, `2 d 4 h`. */
export function secondsText(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const units = [
    [86_400, "d", 3_600, "h"],
    [3_600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ] as const;
  const [large, largeUnit, small, smallUnit] = units.find(([unit]) => seconds >= 2 * unit) ?? units[2];
  const whole = Math.floor(seconds / large);
  const rest = Math.floor((seconds - whole * large) / small);
  return rest === 0 ? `${whole} ${largeUnit}` : `${whole} ${largeUnit} ${rest} ${smallUnit}`;
}

/** `16 kB`, `1.2 GB`. */
export function bytesText(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const value = bytes / 1024 ** step;
  return `${value < 10 && step > 0 ? value.toFixed(1) : Math.round(value)} ${units[step]}`;
}

export const countText = (count: number): string => Math.round(count).toLocaleString("en-US");

/** The command that gives a stack another setting. */
export function configCommand(stack: string, key: string, value: string | number): string {
  const word = typeof value === "number" || /^[\w.-]+$/.test(value) ? String(value) : `"${value}"`;
  return `pulumi config set ${key} ${word} --stack ${stack} && pulumi up --stack ${stack}`;
}
