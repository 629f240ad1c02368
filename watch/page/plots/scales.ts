/** Where the axes end and what they are labelled with. Pure. */
import { formatCount, formatSpan } from "../text/format";

export interface Scale {
  min: number;
  max: number;
  labels: { at: number; text: string }[];
}

const spans = [
  1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400, 172_800,
  604_800,
];

/** An axis of ages, and where on it the promise stands. */
export interface AgeScale extends Scale {
  promiseAt: number | null;
  /** Where the axis is broken, as the promise is many times what was reached; null where it is whole. */
  breakAt: number | null;
}

/** Below this share of its promise an age would be a flat line at the bottom. */
const leastShare = 1 / 5;

/** From nothing to above the highest age and the promise, with about three labels. */
export function ageScale(highestSeconds: number, promiseSeconds: number | null): AgeScale {
  const isFarAbove =
    promiseSeconds !== null && highestSeconds > 0 && highestSeconds < promiseSeconds * leastShare;
  const top = Math.max(1, highestSeconds * 1.06, isFarAbove ? 0 : (promiseSeconds ?? 0) * 1.25);
  const step =
    spans.find((span) => top / span < (isFarAbove ? 2 : 4)) ?? Math.ceil(top / 3 / 604_800) * 604_800;
  const max = Math.ceil(top / (step / 2)) * (step / 2);
  const labels = [];
  for (let at = 0; at <= max; at += step) labels.push({ at, text: at === 0 ? "0" : formatSpan(at) });
  if (!isFarAbove) return { min: 0, max, labels, promiseAt: promiseSeconds, breakAt: null };
  const promiseAt = max * 1.36;
  labels.push({ at: promiseAt, text: formatSpan(promiseSeconds) });
  return { min: 0, max: max * 1.46, labels, promiseAt, breakAt: max * 1.18 };
}

/** Whole decades about the durations; they change seldom, so the picture stands still. */
export function durationScale(durations: number[]): Scale {
  const known = durations.filter((seconds) => seconds > 0);
  const lowest = known.reduce((a, b) => Math.min(a, b), Infinity);
  const highest = known.reduce((a, b) => Math.max(a, b), 0);
  const first = Number.isFinite(lowest) ? Math.max(-4, Math.floor(Math.log10(lowest))) : -2;
  const last = Math.max(first + 1, highest > 0 ? Math.ceil(Math.log10(highest)) : 0);
  const labels = [];
  for (let power = first; power <= last; power += 1) {
    labels.push({ at: 10 ** power, text: decadeText(power) });
  }
  return { min: 10 ** first, max: 10 ** last, labels };
}

/** `10 ms`, `1 s`, `100 s`. */
const decadeText = (power: number): string => (power < 0 ? `${10 ** (power + 3)} ms` : `${10 ** power} s`);

/** From nothing to a round number above the most. */
export function countScale(most: number): Scale {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, most)));
  const max =
    [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= most) ?? 10 * power;
  return {
    min: 0,
    max,
    labels: [0, max / 2, max]
      .filter((at) => Number.isInteger(at))
      .map((at) => ({ at, text: formatCount(at) })),
  };
}
