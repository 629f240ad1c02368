/** Shapes: nothing is told by its colour alone. Drawn, not typed, as fonts differ. */
import { shapes, type MarkName } from "./shapes";

export function Mark({ name }: { name: MarkName }) {
  const { path, isOutline = false } = shapes[name];
  return (
    <svg
      class={`mark mark-${name.replace(" ", "-").toLowerCase()}`}
      viewBox="0 0 12 12"
      width="12"
      height="12"
      aria-hidden="true"
    >
      <path
        d={path}
        fill={isOutline ? "none" : "currentColor"}
        stroke={isOutline ? "currentColor" : "none"}
        stroke-width="1.4"
      />
    </svg>
  );
}
