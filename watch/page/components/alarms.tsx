import type { AlarmState } from "../../contract";
import { serverNowMs } from "../state/store";
import { formatMoment } from "../text/format";
import { Mark } from "./mark";

const words: Record<AlarmState["state"], string> = {
  ALARM: "ALARM",
  INSUFFICIENT_DATA: "no data",
  OK: "OK",
};

/** The alarms of the plan as they would stand: those that are up in full, the others folded. */
export function Alarms({ alarms }: { alarms: AlarmState[] }) {
  const up = alarms.filter((alarm) => alarm.state === "ALARM");
  const rest = alarms.filter((alarm) => alarm.state !== "ALARM");
  const folded = (["INSUFFICIENT_DATA", "OK"] as const).filter((state) =>
    rest.some((alarm) => alarm.state === state),
  );
  return (
    <section class="alarms" aria-labelledby="alarms">
      <h2 id="alarms">
        Alarms <span class="quiet">replayed from history by the plan's own rules, not CloudWatch's</span>
      </h2>
      {up.length > 0 && <AlarmList alarms={up} />}
      {rest.length > 0 && (
        <details>
          <summary>
            {folded.map((state) => (
              <span key={state} class="folded">
                <Mark name={state} />
                {rest.filter((alarm) => alarm.state === state).length} {words[state]}
              </span>
            ))}
            <span class="quiet">{rest.map((alarm) => alarm.name).join(", ")}</span>
          </summary>
          <AlarmList alarms={rest} />
        </details>
      )}
    </section>
  );
}

function AlarmList({ alarms }: { alarms: AlarmState[] }) {
  return (
    <ul class="alarm-list">
      {alarms.map((alarm) => (
        <Alarm key={alarm.name} alarm={alarm} />
      ))}
    </ul>
  );
}

function Alarm({ alarm }: { alarm: AlarmState }) {
  return (
    <li class={`alarm is-${alarm.state.toLowerCase()}`}>
      <span class="alarm-state">
        <Mark name={alarm.state} />
        {words[alarm.state]}
      </span>
      <span class="alarm-name">{alarm.name}</span>
      <span class="alarm-since quiet">
        {alarm.sinceMs !== null && `since ${formatMoment(alarm.sinceMs, serverNowMs.value)}`}
      </span>
      {/* A description is written for the day when the alarm goes off. */}
      <span class="alarm-why">
        {alarm.state !== "ALARM" && <span class="quiet">would say: </span>}
        {alarm.description}
      </span>
    </li>
  );
}
