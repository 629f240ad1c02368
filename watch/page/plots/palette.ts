/** The colours of styles.css for what is drawn on a canvas; read anew when the theme changes. */
import type { RefreshKind } from "../../contract";

const read = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export const palette = () => ({
  text: read("--quiet"),
  panel: read("--panel"),
  grid: read("--grid"),
  broken: read("--rule"),
  line: read("--ok"),
  fill: read("--ok-wash"),
  promise: read("--text"),
  over: read("--late"),
  overFill: read("--late-wash"),
  failed: read("--failing"),
  skipped: read("--quiet"),
  neverCame: read("--text"),
  kinds: {
    concurrent: read("--concurrent"),
    regular: read("--regular"),
    incremental: read("--incremental"),
    full: read("--full"),
  } satisfies Record<RefreshKind, string>,
});
export type Palette = ReturnType<typeof palette>;
