import { useMemo } from "preact/hooks";
import type { Tick } from "../../contract";
import { Plot } from "./plot";
import { durationScale } from "./scales";
import { kindShapes, triangle } from "./shapes";

/** How long each run took, by its kind; from milliseconds to minutes, so in decades. */
export function DurationPlot({ ticks, fromMs, toMs }: { ticks: Tick[]; fromMs: number; toMs: number }) {
  const { data, scale, runs } = useMemo(() => {
    const runs = ticks.filter((tick) => tick.outcome !== "skipped" && tick.durationSeconds !== null);
    const durations = runs.map((tick) => tick.durationSeconds ?? 0);
    return {
      runs,
      data: [runs.map((tick) => tick.atMs), durations] as [number[], number[]],
      scale: durationScale(durations),
    };
  }, [ticks]);
  return (
    <Plot
      height={84}
      fromMs={fromMs}
      toMs={toMs}
      data={data}
      isLogarithmic
      {...scale}
      series={() => [{ paths: () => null, points: { show: false } }]}
      draw={({ context, colours, ratio, x, y }) => {
        for (const tick of runs) {
          const at = x(tick.atMs);
          const height = y(Math.max(scale.min, tick.durationSeconds ?? 0));
          if (tick.outcome === "failed") {
            context.fillStyle = colours.failed;
            triangle(context, at, height, 8 * ratio);
            continue;
          }
          const kind = tick.kind ?? "concurrent";
          context.fillStyle = colours.kinds[kind];
          kindShapes[kind](
            context,
            at,
            height,
            (kind === "full" ? 8 : kind === "incremental" ? 6 : 4.5) * ratio,
          );
        }
      }}
    />
  );
}
