import type { ViewDetail } from "../../contract";
import { serverNowMs, snapshot } from "../state/store";
import { formatMoment } from "../text/format";
import { anchorOf } from "./firstLook";

/** Which view reads which: tables and views, and what those views read. */
export function Reads({ detail }: { detail: ViewDetail }) {
  if (detail.reads.length === 0) return null;
  return (
    <div class="reads">
      <h3>Reads</h3>
      <ReadsList detail={detail} above={[detail.view]} />
    </div>
  );
}

function ReadsList({ detail, above }: { detail: ViewDetail; above: string[] }) {
  return (
    <ul>
      {detail.reads.map((read) => {
        const known = snapshot.value?.details.find((candidate) => candidate.view === read.name);
        return (
          <li key={read.name}>
            {known === undefined ? read.name : <a href={`#${anchorOf(read.name)}`}>{read.name}</a>}{" "}
            <span class="quiet">
              {read.kind}
              {read.asOfMs !== null && `, as of ${formatMoment(read.asOfMs, serverNowMs.value)}`}
            </span>
            {known !== undefined && known.reads.length > 0 && !above.includes(read.name) && (
              <ReadsList detail={known} above={[...above, read.name]} />
            )}
          </li>
        );
      })}
    </ul>
  );
}
