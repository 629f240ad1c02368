/** One uPlot of a view: all share width, gutters and the axis of time, so that they stand under one another. */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "../state/store";
import { formatAxisTime } from "../text/format";
import { palette, type Palette } from "./palette";

export const gutterPx = { left: 76, right: 10 };
const axisPx = 18;
const halfLabelPx = 26;
const font = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export interface Drawing {
  plot: uPlot;
  context: CanvasRenderingContext2D;
  colours: Palette;
  /** Canvas pixels of one CSS pixel. */
  ratio: number;
  /** Where a time stands, in canvas pixels. */
  x: (atMs: number) => number;
  y: (value: number) => number;
}

export interface PlotProps {
  /** Of the plot without the axis of time, CSS pixels. */
  height: number;
  fromMs: number;
  toMs: number;
  /** Times, then a series for each of {@link series}. */
  data: uPlot.AlignedData;
  series: (colours: () => Palette) => uPlot.Series[];
  isLogarithmic?: boolean;
  min: number;
  max: number;
  /** Where the y axis is labelled, and with what. */
  labels: { at: number; text: string }[];
  hasTimeAxis?: boolean;
  draw?: (drawing: Drawing) => void;
}

/** Draws again when its data, its size or the theme changed; for a browser that cannot draw it is empty. */
export function Plot(props: PlotProps) {
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const height = props.height + (props.hasTimeAxis ? axisPx : 0);

  useLayoutEffect(() => {
    const parent = element.current;
    if (parent === null) return;
    const made = new uPlot(optionsOf(latest, parent.clientWidth, height), latest.current.data, parent);
    plot.current = made;
    const sizes = new ResizeObserver(() => made.setSize({ width: parent.clientWidth, height }));
    sizes.observe(parent);
    return () => {
      sizes.disconnect();
      made.destroy();
    };
  }, []);

  const colours = theme.value;
  useEffect(() => {
    plot.current?.setData(props.data);
  }, [props.data, props.fromMs, props.toMs, props.min, props.max]);
  useEffect(() => plot.current?.redraw(false, true), [colours]);

  return <div ref={element} class="plot" aria-hidden="true" />;
}

function optionsOf(latest: { current: PlotProps }, width: number, height: number): uPlot.Options {
  const first = latest.current;
  const text = () => palette().text;
  const grid = { stroke: () => palette().grid, width: 1 };
  return {
    width,
    height,
    ms: 1,
    padding: [7, gutterPx.right, first.hasTimeAxis ? 0 : 7, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: true, range: () => [Math.round(latest.current.fromMs), Math.round(latest.current.toMs)] },
      y: {
        distr: first.isLogarithmic ? 3 : 1,
        range: () => [latest.current.min, latest.current.max],
      },
    },
    axes: [
      {
        size: first.hasTimeAxis ? axisPx : 0,
        stroke: text,
        font,
        grid,
        gap: 3,
        space: 64,
        ticks: { show: false },
        values: (plot, splits, _axis, _space, stepMs) => {
          if (!first.hasTimeAxis) return splits.map(() => "");
          // A label that would be cut off at the right is left out.
          const last = plot.width - gutterPx.left - halfLabelPx;
          return splits.map((at) =>
            plot.valToPos(at, "x") > last ? "" : formatAxisTime(at, stepMs / 1_000),
          );
        },
      },
      {
        size: gutterPx.left,
        stroke: text,
        font,
        grid,
        gap: 6,
        ticks: { show: false },
        splits: () => latest.current.labels.map((label) => label.at),
        filter: (_plot, splits) => splits,
        values: (_plot, splits) =>
          splits.map((at) => latest.current.labels.find((label) => label.at === at)?.text ?? ""),
      },
    ],
    series: [{}, ...first.series(palette)],
    hooks: {
      draw: [
        (plot) => {
          const ratio = uPlot.pxRatio;
          const context = plot.ctx;
          context.save();
          const { left, top, width: inner, height: tall } = plot.bbox;
          context.beginPath();
          context.rect(left - 6 * ratio, top - 4 * ratio, inner + 12 * ratio, tall + 8 * ratio);
          context.clip();
          latest.current.draw?.({
            plot,
            context,
            colours: palette(),
            ratio,
            x: (atMs) => plot.valToPos(atMs, "x", true),
            y: (value) => plot.valToPos(value, "y", true),
          });
          context.restore();
        },
      ],
    },
  };
}
