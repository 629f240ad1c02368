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
  const up = alarms.filter((alarm) => alarm.state !== "OK");
  const fine = alarms.filter((alarm) => alarm.state === "OK");
  return (
    <section class="alarms" aria-labelledby="alarms">
      <h2 id="alarms">
        Alarms <span class="quiet">replayed from history by the plan's own rules, not CloudWatch's</span>
      </h2>
      {up.length > 0 && (
        <ul class="alarm-list">
          {[...up]
            .sort((a, b) => a.state.localeCompare(b.state))
            .map((alarm) => (
              <Alarm key={alarm.name} alarm={alarm} />
            ))}
        </ul>
      )}
      {fine.length > 0 && (
        <details>
          <summary>
            <Mark name="OK" /> {fine.length} OK
            <span class="quiet">{`: ${fine.map((alarm) => alarm.name).join(", ")}`}</span>
          </summary>
          <ul class="alarm-list">
            {fine.map((alarm) => (
              <Alarm key={alarm.name} alarm={alarm} />
            ))}
          </ul>
        </details>
      )}
    </section>
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
      <span class="alarm-why">{alarm.description}</span>
    </li>
  );
}
