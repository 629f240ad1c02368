/** Numbers of a command line. */

/** The number that a text writes in decimal digits, such as `15` or `0.5`; NaN for any other, `0x10` and `` too. */
export function parseDecimal(text: string): number {
  return /^\d+(?:\.\d+)?$/.test(text.trim()) ? Number(text) : NaN;
}
