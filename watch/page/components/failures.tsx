import type { Failure } from "../../contract";
import { serverNowMs } from "../state/store";
import { formatMoment } from "../text/format";
import { Remedy } from "./copyButton";

const shownAtOnce = 4;

/** The last failures, each with who stood in the way then. */
export function Failures({ view, failures }: { view: string; failures: Failure[] }) {
  const newestFirst = [...failures].sort((a, b) => b.atMs - a.atMs);
  const rest = newestFirst.slice(shownAtOnce);
  return (
    <div class="failures">
      <h3>Failures</h3>
      <FailureTable label={`Failures of ${view}`} view={view} failures={newestFirst.slice(0, shownAtOnce)} />
      {rest.length > 0 && (
        <details>
          <summary>{rest.length} more in this range</summary>
          <FailureTable label={`Earlier failures of ${view}`} view={view} failures={rest} />
        </details>
      )}
    </div>
  );
}

function FailureTable({ label, view, failures }: { label: string; view: string; failures: Failure[] }) {
  return (
    <table role="table" aria-label={label}>
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader">at</th>
          <th role="columnheader">SQLSTATE</th>
          <th role="columnheader">reason</th>
          <th role="columnheader">in its way then</th>
          <th role="columnheader">remedy</th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        {failures.map((failure) => (
          <tr role="row" key={failure.atMs}>
            <td role="cell" class="at">
              {formatMoment(failure.atMs, serverNowMs.value)}
            </td>
            <td role="cell" class="sqlstate">
              {failure.sqlstate ?? "none"}
            </td>
            <td role="cell">{failure.reason}</td>
            <td role="cell" class="blockers">
              {failure.blockers.length === 0 ? (
                <span class="quiet">nobody</span>
              ) : (
                failure.blockers.map((blocker) => <div key={blocker}>{blocker}</div>)
              )}
            </td>
            <td role="cell" class="remedy-cell">
              {failure.remedy !== null && (
                <Remedy
                  text={failure.remedy}
                  of={`the failure at ${formatMoment(failure.atMs, serverNowMs.value)} of ${view}`}
                />
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
