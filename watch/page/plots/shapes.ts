/** The marks of components/mark.tsx on a canvas: the same shape for the same thing. */
import type { RefreshKind } from "../../contract";

type Paint = (context: CanvasRenderingContext2D, x: number, y: number, size: number) => void;

const path =
  (trace: Paint, isOutline = false): Paint =>
  (context, x, y, size) => {
    context.beginPath();
    trace(context, x, y, size);
    if (isOutline) context.stroke();
    else context.fill();
  };

const polygon = (context: CanvasRenderingContext2D, points: [number, number][]) => {
  for (const [index, [x, y]] of points.entries()) {
    if (index === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  }
  context.closePath();
};

export const disc = path((context, x, y, size) => context.arc(x, y, size / 2, 0, 2 * Math.PI));
export const square = path((context, x, y, size) => context.rect(x - size / 2, y - size / 2, size, size));
export const hollowSquare = path(
  (context, x, y, size) => context.rect(x - size / 2, y - size / 2, size, size),
  true,
);
export const bar = path((context, x, y, size) => context.rect(x - size / 5, y - size / 2, size / 2.5, size));
export const triangle = path((context, x, y, size) =>
  polygon(context, [
    [x, y - size / 2],
    [x + size / 1.8, y + size / 2],
    [x - size / 1.8, y + size / 2],
  ]),
);
export const diamond = path((context, x, y, size) =>
  polygon(context, [
    [x, y - size / 1.6],
    [x + size / 1.6, y],
    [x, y + size / 1.6],
    [x - size / 1.6, y],
  ]),
);

export const kindShapes: Record<RefreshKind, Paint> = {
  concurrent: disc,
  regular: square,
  incremental: bar,
  full: diamond,
};
