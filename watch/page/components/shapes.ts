/** The shapes of marks, twelve units wide and high. Those of a canvas are in plots/shapes.ts. */
import type { AlarmState, RefreshKind, TickOutcome, Verdict } from "../../contract";

export type MarkName = Verdict | TickOutcome | RefreshKind | AlarmState["state"] | "over" | "promise";

export const shapes: Record<MarkName, { path: string; isOutline?: boolean }> = {
  // An hourglass.
  late: { path: "M1.5 1h9L7.2 6l3.3 5h-9L4.8 6z" },
  failing: { path: "M6 .8 11.6 11H.4z" },
  unknown: { path: "M3.3 3.8a2.7 2.7 0 1 1 4 2.3Q6 6.9 6 8.1M6 9.9v1.6", isOutline: true },
  paused: { path: "M2 1h3v10H2zM7 1h3v10H7z" },
  ok: { path: "M6 1.5a4.5 4.5 0 1 0 .01 0z" },
  refreshed: { path: "M2 1h8v10H2z" },
  skipped: { path: "M2.5 2.5h7v7h-7z", isOutline: true },
  failed: { path: "M6 .8 11.6 11H.4z" },
  "never came": { path: "M6 3.8a2.2 2.2 0 1 0 .01 0z" },
  concurrent: { path: "M6 2a4 4 0 1 0 .01 0z" },
  regular: { path: "M2 2h8v8H2z" },
  incremental: { path: "M4.2 1.5h3.6v9H4.2z" },
  full: { path: "M6 .5 11.5 6 6 11.5.5 6z" },
  OK: { path: "M6 1.5a4.5 4.5 0 1 0 .01 0z" },
  ALARM: { path: "M6 .8 11.6 11H.4z" },
  INSUFFICIENT_DATA: { path: "M3.3 3.8a2.7 2.7 0 1 1 4 2.3Q6 6.9 6 8.1M6 9.9v1.6", isOutline: true },
  over: { path: "M0 3.5h12v5H0z" },
  promise: { path: "M0 6h3M4.5 6h3M9 6h3", isOutline: true },
};
