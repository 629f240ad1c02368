import { RANGES, type RangeName } from "../../contract";
import { chooseRange, connection, lastHeardMs, range, serverNowMs, snapshot } from "../state/store";
import { formatMoment, formatSpan, formatTime, formatUsd } from "../text/format";
import { verdictCounts } from "../text/story";

/** What is watched, over which range, and whether it still is. Always in sight. */
export function Header() {
  const known = snapshot.value;
  return (
    <header class="bar">
      <div class="bar-line">
        <h1>{known === null ? "Freshness" : `${known.server.database} @ ${known.server.address}`}</h1>
        <p class="facts">
          {known !== null && <span>PostgreSQL {known.server.version}</span>}
          {known?.schedule && (
            <>
              <span title={known.schedule.description}>{known.schedule.expression}</span>
              {!known.schedule.isEnabled && <span>switched off</span>}
              <span>timeout {formatSpan(known.schedule.timeoutSeconds)}</span>
              {known.schedule.monthlyUsd !== null && (
                <span>{formatUsd(known.schedule.monthlyUsd)} a month</span>
              )}
            </>
          )}
        </p>
        <nav aria-label="Range" class="ranges">
          {(Object.keys(RANGES) as RangeName[]).map((name) => (
            <a
              key={name}
              href={`?range=${name}`}
              aria-current={name === range.value ? "page" : undefined}
              onClick={(event) => {
                if (event.ctrlKey || event.metaKey || event.shiftKey) return;
                event.preventDefault();
                chooseRange(name);
              }}
            >
              {name}
            </a>
          ))}
        </nav>
      </div>
      <div class="bar-line">
        <p class="counts" role="status">
          {known !== null && (verdictCounts(known.views) || "no views")}
        </p>
        <ConnectionLine />
      </div>
    </header>
  );
}

function ConnectionLine() {
  const now = connection.value;
  const text = () => {
    switch (now.state) {
      case "opening":
        return "opening the stream";
      case "live":
        return "live";
      case "no database":
        return `no answer from the database since ${formatMoment(now.sinceMs, serverNowMs.value)}: ${now.reason}`;
      case "no server":
        return `no connection to the server of this page since ${formatMoment(now.sinceMs, serverNowMs.value)}; is npm run watch still running?`;
    }
  };
  return (
    <p class={`connection is-${now.state.replace(" ", "-")}`}>
      <span class="dot" aria-hidden="true" />
      <span role="status">{text()}</span>
      <Clock />
    </p>
  );
}

function Clock() {
  const now = connection.value;
  if (snapshot.value === null) return null;
  if (now.state === "live" || now.state === "opening")
    return <span class="clock">server {formatTime(serverNowMs.value)}</span>;
  const retrySeconds =
    now.state === "no server" ? Math.max(0, Math.ceil((now.retryAtMs - serverNowMs.value) / 1_000)) : null;
  return (
    <span class="clock">
      below: as of {formatTime(lastHeardMs.value)}
      {retrySeconds !== null && `, trying again${retrySeconds > 0 ? ` in ${retrySeconds} s` : ""}`}
    </span>
  );
}
