import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { RefreshKind, Tick, ViewDetail, ViewSummary } from "../../contract";
import { AgePlot } from "../plots/agePlot";
import { ChangesPlot } from "../plots/changesPlot";
import { DurationPlot } from "../plots/durationPlot";
import { gutterPx } from "../plots/plot";
import { TickPlot } from "../plots/tickPlot";
import { serverNowMs, snapshot } from "../state/store";
import { formatCount, formatCounted, formatDuration, formatMoment, formatSpan } from "../text/format";
import { ageSummary, isOfNote, tickDetail, tickStory } from "../text/story";
import { Mark } from "./mark";
import type { MarkName } from "./shapes";

/** What happened to a view over the range: plots under one another, and a cursor over all of them. */
export function Timeline({ summary, detail }: { summary: ViewSummary; detail: ViewDetail }) {
  const root = useRef<HTMLDivElement>(null);
  const isNear = useIsNear(root);
  const { chosen, choose } = useChosenTick(detail.ticks);
  const range = snapshot.value?.range;
  if (range === undefined) return null;
  const { fromMs, toMs } = range;
  const { ticks } = detail;

  const pointAt = (event: PointerEvent) => {
    const plots = root.current;
    if (plots === null || event.pointerType === "touch") return;
    choose(nearest(ticks, timeAt(event.clientX, plots, fromMs, toMs)));
  };
  const span = { fromMs, toMs };
  const cursor = chosen !== null && chosen.atMs >= fromMs ? (chosen.atMs - fromMs) / (toMs - fromMs) : null;
  return (
    <div
      class="timeline"
      ref={root}
      onPointerMove={pointAt}
      onPointerLeave={() => choose(null)}
      onClick={(event) => {
        if (root.current !== null) choose(nearest(ticks, timeAt(event.clientX, root.current, fromMs, toMs)));
      }}
    >
      <Caption title="Age" summary={ageSummary(detail.age, summary.promiseSeconds, toMs)}>
        {summary.promiseSeconds !== null && (
          <>
            <Key mark="promise">promise {formatSpan(summary.promiseSeconds)}</Key>
            <Key mark="over">over it</Key>
          </>
        )}
      </Caption>
      <Room height={110} cursor={cursor}>
        {isNear && <AgePlot age={detail.age} promiseSeconds={summary.promiseSeconds} {...span} />}
      </Room>

      <Caption title="Duration" summary={durationSummary(detail)}>
        {kindsIn(ticks).map((kind) => (
          <Key key={kind} mark={kind}>
            {kind}
          </Key>
        ))}
      </Caption>
      <Room height={84} cursor={cursor}>
        {isNear && <DurationPlot ticks={ticks} {...span} />}
      </Room>

      {detail.isMaintained && (
        <>
          <Caption title="Changes folded" summary={changesSummary(detail)} />
          <Room height={56} cursor={cursor}>
            {isNear && <ChangesPlot ticks={ticks} {...span} />}
          </Room>
        </>
      )}

      <Caption title="Ticks" summary={countsOf(detail)} />
      <Strip view={detail.view} ticks={ticks} chosen={chosen} choose={choose}>
        <Room height={82} cursor={cursor}>
          {isNear && <TickPlot ticks={ticks} {...span} />}
        </Room>
      </Strip>
      <Story tick={chosen ?? ticks.at(-1)} isChosen={chosen !== null} />
    </div>
  );
}

/**
 * Kept free for a plot, which is drawn when it comes near what is seen. The cursor stands over all plots of a view at
 * one time; `cursor` is its share of the range.
 */
function Room({
  height,
  cursor,
  children,
}: {
  height: 110 | 82 | 84 | 56;
  cursor: number | null;
  children: preact.ComponentChildren;
}) {
  return (
    <div class={`room room-${height}`}>
      {children}
      {cursor !== null && (
        <div class="cursor-room" aria-hidden="true">
          <div class="cursor" style={{ left: `${cursor * 100}%` }} />
        </div>
      )}
    </div>
  );
}

function Caption({
  title,
  summary,
  children,
}: {
  title: string;
  summary: string;
  children?: preact.ComponentChildren;
}) {
  return (
    <div class="caption">
      <h3>{title}</h3>
      <p>{summary}</p>
      {children && <p class="keys">{children}</p>}
    </div>
  );
}

function Key({ mark, children }: { mark: MarkName; children: preact.ComponentChildren }) {
  return (
    <span class="key">
      <Mark name={mark} />
      {children}
    </span>
  );
}

/** One stop of the tab key; the arrows go from tick to tick, with Shift to the next that says more than "refreshed". */
function Strip({
  view,
  ticks,
  chosen,
  choose,
  children,
}: {
  view: string;
  ticks: Tick[];
  chosen: Tick | null;
  choose: (tick: Tick | null) => void;
  children: preact.ComponentChildren;
}) {
  const last = ticks.length - 1;
  const at = chosen === null ? last : ticks.indexOf(chosen);
  const onKeyDown = (event: KeyboardEvent) => {
    const to = targetOf(event, ticks, at);
    if (to === undefined) return;
    event.preventDefault();
    choose(to === null ? null : (ticks[to] ?? null));
  };
  return (
    <div
      class="strip"
      role="slider"
      tabIndex={0}
      aria-label={`Ticks of ${view}`}
      aria-orientation="horizontal"
      aria-valuemin={0}
      aria-valuemax={Math.max(0, last)}
      aria-valuenow={Math.max(0, at)}
      aria-valuetext={
        ticks[at] === undefined ? "no ticks in this range" : tickStory(ticks[at], serverNowMs.value)
      }
      onKeyDown={onKeyDown}
      onFocus={() => {
        if (chosen === null) choose(ticks[last] ?? null);
      }}
      onBlur={() => choose(null)}
    >
      {children}
    </div>
  );
}

/** The index that a key leads to; null takes the cursor away, undefined leaves the key to the browser. */
function targetOf(event: KeyboardEvent, ticks: Tick[], at: number): number | null | undefined {
  const within = (index: number) => Math.min(ticks.length - 1, Math.max(0, index));
  const step = (direction: 1 | -1) => {
    if (!event.shiftKey) return within(at + direction);
    for (let index = at + direction; index >= 0 && index < ticks.length; index += direction) {
      const tick = ticks[index];
      if (tick !== undefined && isOfNote(tick)) return index;
    }
    return at;
  };
  switch (event.key) {
    case "ArrowLeft":
    case "ArrowDown":
      return step(-1);
    case "ArrowRight":
    case "ArrowUp":
      return step(1);
    case "PageDown":
      return within(at - 10);
    case "PageUp":
      return within(at + 10);
    case "Home":
      return 0;
    case "End":
      return within(ticks.length);
    case "Escape":
      return null;
    default:
      return undefined;
  }
}

function Story({ tick, isChosen }: { tick: Tick | undefined; isChosen: boolean }) {
  if (tick === undefined) return <p class="story quiet">No ticks in this range.</p>;
  return (
    <p class="story">
      <span class="quiet">{isChosen ? "" : "last: "}</span>
      <span class="story-time">{formatMoment(tick.atMs, serverNowMs.value)}</span>{" "}
      <Mark name={tick.outcome} />
      <b>{tick.outcome}</b>
      {tickDetail(tick)}
    </p>
  );
}

/** The tick that is pointed at or focused; held by its time, as each snapshot brings new objects. */
function useChosenTick(ticks: Tick[]) {
  const [atMs, setAtMs] = useState<number | null>(null);
  const chosen = useMemo(
    () => (atMs === null ? null : (ticks.find((tick) => tick.atMs === atMs) ?? nearest(ticks, atMs))),
    [ticks, atMs],
  );
  return { chosen, choose: (tick: Tick | null) => setAtMs(tick?.atMs ?? null) };
}

function timeAt(clientX: number, plots: HTMLElement, fromMs: number, toMs: number): number {
  const box = plots.getBoundingClientRect();
  const width = box.width - gutterPx.left - gutterPx.right;
  return fromMs + ((clientX - box.left - gutterPx.left) / width) * (toMs - fromMs);
}

function nearest(ticks: Tick[], atMs: number): Tick | null {
  return ticks.reduce<Tick | null>(
    (best, tick) => (best === null || Math.abs(tick.atMs - atMs) < Math.abs(best.atMs - atMs) ? tick : best),
    null,
  );
}

/** True from when an element first came near what is seen: fifty views need not draw fifty plots at once. */
function useIsNear(element: { current: HTMLElement | null }): boolean {
  const [isNear, setIsNear] = useState(false);
  useEffect(() => {
    if (element.current === null) return;
    const seen = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        setIsNear(true);
        seen.disconnect();
      },
      { rootMargin: "600px" },
    );
    seen.observe(element.current);
    return () => seen.disconnect();
  }, []);
  return isNear;
}

const kindsIn = (ticks: Tick[]): RefreshKind[] =>
  (["concurrent", "regular", "incremental", "full"] as const).filter((kind) =>
    ticks.some((tick) => tick.kind === kind),
  );

function countsOf({ counts }: ViewDetail): string {
  const told = (["refreshed", "failed", "skipped", "never came"] as const)
    .filter((outcome) => counts[outcome] > 0)
    .map((outcome) => `${formatCount(counts[outcome])} ${outcome}`);
  return told.length === 0 ? "none in this range" : told.join(", ");
}

function durationSummary({ durations, ticks }: ViewDetail): string {
  if (durations.p50Seconds === null) return "no run in this range";
  const longest = ticks.reduce((most, tick) => Math.max(most, tick.durationSeconds ?? 0), 0);
  return `half within ${formatDuration(durations.p50Seconds)}, longest ${formatDuration(longest)}`;
}

function changesSummary({ ticks, maintenance }: ViewDetail): string {
  const folded = ticks.map((tick) => tick.changes ?? 0);
  const most = folded.reduce((a, b) => Math.max(a, b), 0);
  const drift = maintenance?.drift ?? 0;
  return `at most ${formatCount(most)} a run, ${
    drift === 0 ? "no drift found" : `drift of ${formatCounted(drift, "row")} found`
  }`;
}
