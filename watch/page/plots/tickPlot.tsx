import { useMemo } from "preact/hooks";
import type { Tick, TickOutcome } from "../../contract";
import { disc, hollowSquare, triangle } from "./shapes";
import { Plot, type Drawing } from "./plot";

/** From the top. Where a mark stands says what it is even where there is no room for its shape. */
const lanes: TickOutcome[] = ["failed", "never came", "skipped", "refreshed"];
const middleOf = (outcome: TickOutcome) => lanes.length - lanes.indexOf(outcome) - 0.5;

/** The strip of ticks, a lane for each outcome. */
export function TickPlot({ ticks, fromMs, toMs }: { ticks: Tick[]; fromMs: number; toMs: number }) {
  const data = useMemo(
    () =>
      [ticks.map((tick) => tick.atMs), ticks.map((tick) => middleOf(tick.outcome))] as [number[], number[]],
    [ticks],
  );
  return (
    <Plot
      height={64}
      hasTimeAxis
      fromMs={fromMs}
      toMs={toMs}
      data={data}
      min={0}
      max={lanes.length}
      labels={lanes.map((outcome) => ({ at: middleOf(outcome), text: outcome }))}
      series={() => [{ paths: () => null, points: { show: false } }]}
      draw={(drawing) => drawTicks(drawing, ticks)}
    />
  );
}

function drawTicks({ context, colours, ratio, x, y, plot }: Drawing, ticks: Tick[]) {
  const spacing = plot.bbox.width / Math.max(1, ticks.length);
  const refreshedWidth = Math.max(ratio, Math.min(6 * ratio, spacing * 0.6));
  context.lineWidth = 1.25 * ratio;
  for (const tick of ticks) {
    const at = x(tick.atMs);
    const middle = y(middleOf(tick.outcome));
    switch (tick.outcome) {
      case "refreshed": {
        const tall = (tick.kind === "full" ? 12 : 9) * ratio;
        const wide = tick.kind === "full" ? Math.max(2 * ratio, refreshedWidth) : refreshedWidth;
        context.fillStyle = colours.kinds[tick.kind ?? "concurrent"];
        context.fillRect(at - wide / 2, middle - tall / 2, wide, tall);
        break;
      }
      case "skipped":
        context.strokeStyle = colours.skipped;
        hollowSquare(context, at, middle, 6 * ratio);
        break;
      case "failed":
        context.fillStyle = colours.failed;
        triangle(context, at, middle, 9 * ratio);
        break;
      case "never came":
        context.fillStyle = colours.neverCame;
        disc(context, at, middle, 4 * ratio);
        break;
    }
  }
}
