import { useMemo } from "preact/hooks";
import type { ViewDetail } from "../../contract";
import { crossPromise } from "../text/story";
import type { Palette } from "./palette";
import { Plot } from "./plot";
import { ageScale } from "./scales";

/** The sawtooth, the promise as a line, and what lies above it. */
export function AgePlot({
  age,
  promiseSeconds,
  fromMs,
  toMs,
}: {
  age: ViewDetail["age"];
  promiseSeconds: number | null;
  fromMs: number;
  toMs: number;
}) {
  const { data, scale } = useMemo(() => {
    const crossed = crossPromise(age, promiseSeconds);
    const highest = age.seconds.reduce<number>((most, seconds) => Math.max(most, seconds ?? 0), 0);
    return {
      data: [crossed.atMs, crossed.seconds, crossed.over] as [number[], (number | null)[], (number | null)[]],
      scale: ageScale(highest, promiseSeconds),
    };
  }, [age, promiseSeconds]);
  return (
    <Plot
      height={110}
      fromMs={fromMs}
      toMs={toMs}
      data={data}
      {...scale}
      series={(colours) => [
        {
          stroke: () => colours().line,
          fill: () => colours().fill,
          width: 1,
          points: { show: false },
        },
        {
          stroke: () => colours().over,
          fill: () => colours().overFill,
          fillTo: promiseSeconds ?? 0,
          width: 2,
          points: { show: false },
        },
      ]}
      draw={({ plot, context, colours, ratio, y }) => {
        const { left, width } = plot.bbox;
        if (scale.breakAt !== null) drawBreak(context, y(scale.breakAt), left, width, ratio, colours);
        if (scale.promiseAt === null) return;
        const at = Math.round(y(scale.promiseAt));
        context.strokeStyle = colours.promise;
        context.lineWidth = ratio;
        context.setLineDash([5 * ratio, 3 * ratio]);
        context.beginPath();
        context.moveTo(left, at);
        context.lineTo(left + width, at);
        context.stroke();
      }}
    />
  );
}

/** A gap between two jagged lines: what lies above is farther away than it looks. */
function drawBreak(
  context: CanvasRenderingContext2D,
  middle: number,
  left: number,
  width: number,
  ratio: number,
  colours: Palette,
) {
  context.fillStyle = colours.panel;
  context.fillRect(left - 6 * ratio, middle - 3 * ratio, width + 12 * ratio, 6 * ratio);
  context.strokeStyle = colours.broken;
  context.lineWidth = ratio;
  for (const offset of [-3, 3]) {
    context.beginPath();
    for (let step = 0; step * 6 * ratio <= width; step += 1) {
      context.lineTo(left + step * 6 * ratio, middle + (offset + (step % 2 === 0 ? 1.5 : -1.5)) * ratio);
    }
    context.stroke();
  }
}
