/** Title and icon of the tab: a page that is left open is mostly seen as these. */
import { effect } from "@preact/signals";
import { VERDICTS, type Snapshot, type Verdict } from "../../contract";
import { shapes } from "../components/shapes";
import { pageTitle } from "../text/story";
import { connection, snapshot } from "./store";

const colours: Record<Verdict, string> = {
  late: "#d95f02",
  failing: "#c2267a",
  unknown: "#7a8490",
  paused: "#7a8490",
  ok: "#2a7fd4",
};

/** Keeps both in step with what is known; an icon that the server serves as a file stays as it is. */
export function keepTab(): void {
  const icon = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  const isOurs = icon?.href.startsWith("data:") === true;
  effect(() => {
    const isLive = connection.value.state === "live";
    document.title = pageTitle(snapshot.value, isLive);
    const href = iconOf(snapshot.value, isLive);
    if (isOurs && icon.href !== href) icon.href = href;
  });
}

function iconOf(known: Snapshot | null, isLive: boolean): string {
  const isAny = (verdict: Verdict) => known?.views.some((view) => view.verdict === verdict);
  const worst = isLive ? (VERDICTS.find(isAny) ?? "unknown") : "unknown";
  const { path, isOutline } = shapes[worst];
  const paint = isOutline
    ? `fill="none" stroke="${colours[worst]}" stroke-width="1.4"`
    : `fill="${colours[worst]}"`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 12 12"><path d="${path}" ${paint}/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
