import { useMemo } from "preact/hooks";
import type { Tick } from "../../contract";
import { Plot } from "./plot";
import { countScale } from "./scales";
import { diamond } from "./shapes";

/** The changes that each run of a maintained view folded, and where a full run found drift. */
export function ChangesPlot({ ticks, fromMs, toMs }: { ticks: Tick[]; fromMs: number; toMs: number }) {
  const { data, scale, folds } = useMemo(() => {
    const folds = ticks.filter((tick) => tick.changes !== null || (tick.drift ?? 0) > 0);
    const changes = folds.map((tick) => tick.changes ?? 0);
    return {
      folds,
      data: [folds.map((tick) => tick.atMs), changes] as [number[], number[]],
      scale: countScale(changes.reduce((a, b) => Math.max(a, b), 1)),
    };
  }, [ticks]);
  return (
    <Plot
      height={56}
      fromMs={fromMs}
      toMs={toMs}
      data={data}
      {...scale}
      series={() => [{ paths: () => null, points: { show: false } }]}
      draw={({ context, colours, ratio, x, y, plot }) => {
        const wide = Math.max(
          ratio,
          Math.min(6 * ratio, (plot.bbox.width / Math.max(1, folds.length)) * 0.6),
        );
        const ground = y(0);
        for (const tick of folds) {
          const at = x(tick.atMs);
          context.fillStyle = colours.kinds.incremental;
          const top = y(tick.changes ?? 0);
          context.fillRect(at - wide / 2, top, wide, ground - top);
          if ((tick.drift ?? 0) > 0) {
            context.fillStyle = colours.over;
            diamond(context, at, y(scale.max) + 6 * ratio, 8 * ratio);
          }
        }
      }}
    />
  );
}
