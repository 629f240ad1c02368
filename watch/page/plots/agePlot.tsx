import { useMemo } from "preact/hooks";
import type { ViewDetail } from "../../contract";
import { crossPromise } from "../text/story";
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
        if (promiseSeconds === null) return;
        const at = Math.round(y(promiseSeconds));
        context.strokeStyle = colours.promise;
        context.lineWidth = ratio;
        context.setLineDash([5 * ratio, 3 * ratio]);
        context.beginPath();
        context.moveTo(plot.bbox.left, at);
        context.lineTo(plot.bbox.left + plot.bbox.width, at);
        context.stroke();
      }}
    />
  );
}
