import type { ViewSummary } from "../../contract";
import { grownSeconds, snapshot } from "../state/store";
import { formatAge, formatShare, formatSpan } from "../text/format";
import { Mark } from "./mark";
import { Remedy } from "./copyButton";

/** Is my data fresh, why not, what do I do: one row a view, the worst on top. */
export function FirstLook() {
  const known = snapshot.value;
  if (known === null) return null;
  return (
    <section aria-labelledby="first-look">
      <h2 id="first-look" class="unseen">
        First look
      </h2>
      {/* The roles are said again, as a grid in place of a table takes them away in some browsers. */}
      <table class="first-look" role="table" aria-labelledby="first-look">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader">state</th>
            <th role="columnheader" class="number">
              age of promise
            </th>
            <th role="columnheader">view</th>
            <th role="columnheader">cause</th>
            <th role="columnheader">remedy</th>
            <th role="columnheader" class="number">
              within promise, {known.range.name}
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {known.views.map((summary) => (
            <Row key={summary.view} summary={summary} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ summary }: { summary: ViewSummary }) {
  return (
    <tr role="row" class={`row is-${summary.verdict}`}>
      <td role="cell" class="verdict-cell">
        <VerdictBadge verdict={summary.verdict} />
      </td>
      <td role="cell" class="age-cell">
        <AgeOfPromise summary={summary} />
      </td>
      <th role="rowheader" scope="row" class="name-cell">
        <a href={`#${anchorOf(summary.view)}`}>{summary.view}</a>
      </th>
      <td role="cell" class="cause-cell">
        {summary.cause}
      </td>
      <td role="cell" class="remedy-cell">
        {summary.remedy !== null && <Remedy text={summary.remedy} of={summary.view} />}
      </td>
      <td role="cell" class="kept-cell number">
        {summary.withinPromise === null ? (
          <span class="quiet wide-only">not known</span>
        ) : (
          <span title={`within its promise for ${formatShare(summary.withinPromise)} of the range`}>
            {formatShare(summary.withinPromise)}
            <span class="narrow-only"> of the time within its promise</span>
          </span>
        )}
      </td>
    </tr>
  );
}

export const anchorOf = (view: string): string => `view-${encodeURIComponent(view)}`;

export function VerdictBadge({ verdict }: { verdict: ViewSummary["verdict"] }) {
  return (
    <span class={`verdict is-${verdict}`}>
      <Mark name={verdict} />
      {verdict}
    </span>
  );
}

/** `4m12s of 4m`, counting up, over a bar that is full at the promise. */
export function AgeOfPromise({ summary }: { summary: ViewSummary }) {
  const { ageSeconds, promiseSeconds } = summary;
  if (ageSeconds === null) return <span class="quiet">age not known</span>;
  const age = ageSeconds + grownSeconds.value;
  return (
    <>
      <span class="age">
        <b>{formatAge(age)}</b>
        {promiseSeconds !== null && ` of ${formatSpan(promiseSeconds)}`}
      </span>
      {promiseSeconds !== null && <PromiseMeter share={age / promiseSeconds} />}
    </>
  );
}

/** Three quarters of its width are the promise; what lies above reaches into the rest. */
function PromiseMeter({ share }: { share: number }) {
  const promiseAt = 72;
  const width = Math.min(96, share * promiseAt);
  return (
    <svg
      class={share > 1 ? "meter is-over" : "meter"}
      viewBox="0 0 96 5"
      width="96"
      height="5"
      aria-hidden="true"
    >
      <rect class="meter-track" x="0" y="1" width={promiseAt} height="3" />
      <rect class="meter-within" x="0" y="1" width={Math.min(promiseAt, width)} height="3" />
      {width > promiseAt && (
        <rect class="meter-over" x={promiseAt} y="0" width={width - promiseAt} height="5" />
      )}
      <rect class="meter-promise" x={promiseAt - 0.5} y="0" width="1" height="5" />
    </svg>
  );
}
