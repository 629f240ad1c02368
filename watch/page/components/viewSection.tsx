import type { ViewDetail, ViewSummary } from "../../contract";
import { serverNowMs } from "../state/store";
import { formatCount, formatCounted, formatDuration, formatMoment, formatShare } from "../text/format";
import { asOfStory } from "../text/story";
import { Failures } from "./failures";
import { AgeOfPromise, anchorOf, VerdictBadge } from "./firstLook";
import { Reads } from "./reads";
import { Timeline } from "./timeline";

/** Everything about one view. */
export function ViewSection({ summary, detail }: { summary: ViewSummary; detail: ViewDetail }) {
  const anchor = anchorOf(summary.view);
  return (
    <section class="view" aria-labelledby={anchor}>
      <div class="view-head">
        <h2 id={anchor} tabIndex={-1}>
          {summary.view}
        </h2>
        <VerdictBadge verdict={summary.verdict} />
        <AgeOfPromise summary={summary} />
        <span class="quiet">{summary.cause}</span>
      </div>
      <div class="view-body">
        {detail.ticks.length === 0 && detail.age.atMs.length === 0 ? (
          <p class="quiet">No run of it is recorded in this range, and no tick was due.</p>
        ) : (
          <Timeline summary={summary} detail={detail} />
        )}
        <Facts summary={summary} detail={detail} />
      </div>
      {detail.failures.length > 0 && <Failures view={summary.view} failures={detail.failures} />}
    </section>
  );
}

function Facts({ summary, detail }: { summary: ViewSummary; detail: ViewDetail }) {
  const { maintenance, durations } = detail;
  const now = serverNowMs.value;
  return (
    <div class="facts-column">
      <dl>
        {summary.withinPromise !== null && (
          <Fact name="within its promise">{formatShare(summary.withinPromise)} of the range</Fact>
        )}
        <Fact name="duration">
          {durations.p50Seconds === null
            ? "no run in this range"
            : `p50 ${formatDuration(durations.p50Seconds)}${
                durations.p99Seconds === null ? "" : `, p99 ${formatDuration(durations.p99Seconds)}`
              } of ${formatCounted(durations.of, "refresh", "refreshes")}`}
        </Fact>
        {maintenance !== null && (
          <>
            {maintenance.isPaused && <Fact name="maintenance">paused</Fact>}
            <Fact name="changes that wait">
              {maintenance.pendingChanges === null
                ? "not seen: this role may not read them"
                : `${maintenance.pendingIsAtLeast ? "at least " : ""}${formatCount(maintenance.pendingChanges)}`}
            </Fact>
            <Fact name="last full run">
              {maintenance.lastFullAtMs === null
                ? "none yet"
                : `${formatMoment(maintenance.lastFullAtMs, now)}${
                    maintenance.lastFullReason === null ? "" : `: ${maintenance.lastFullReason}`
                  }`}
            </Fact>
            <Fact name="drift found">
              {maintenance.drift === 0 ? "none" : formatCounted(maintenance.drift, "row")}
            </Fact>
          </>
        )}
        <Fact name="as of">{asOfStory(detail, summary, now)}</Fact>
      </dl>
      <Reads detail={detail} />
    </div>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
