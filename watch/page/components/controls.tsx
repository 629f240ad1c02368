import type { Control, Snapshot } from "../../contract";
import { ask, busy, said } from "../state/control";
import { snapshot } from "../state/store";

/** What one can do to a run on this machine. */
export function Controls({
  controls,
  isLive,
}: {
  controls: NonNullable<Snapshot["controls"]>;
  isLive: boolean;
}) {
  const has = (name: Control) => controls.available.includes(name);
  // Not to be had while one is on; its place is kept.
  const hadOutage = has("outage") || snapshot.value?.controls?.available.includes("outage") === true;
  const canOutage = has("outage") && isLive && busy.value === null;
  const answer = said.value;
  return (
    <section class="controls" aria-labelledby="controls">
      <h2 id="controls">This run</h2>
      <div class="buttons">
        {has("refresh") && (
          <button type="button" onClick={() => void ask("refresh")} aria-disabled={busy.value !== null}>
            {busy.value === "refresh" ? "Refreshing…" : "Refresh now"}
          </button>
        )}
        {(controls.paused ? has("resume") : has("pause")) && (
          <button
            type="button"
            class="pause"
            onClick={() => void ask(controls.paused ? "resume" : "pause")}
            aria-disabled={busy.value !== null}
          >
            {controls.paused ? "Resume the schedule" : "Pause the schedule"}
          </button>
        )}
        {has("load") && (
          <label>
            Load{" "}
            <select
              value={controls.load}
              onChange={(event) => void ask("load", { level: event.currentTarget.value })}
            >
              {controls.loads.map((level) => (
                <option key={level} value={level}>
                  {level}
                </option>
              ))}
            </select>
          </label>
        )}
        {hadOutage && (
          <button type="button" onClick={() => void (canOutage && ask("outage"))} aria-disabled={!canOutage}>
            Outage of 30 s
          </button>
        )}
      </div>
      <p class={answer?.isError ? "answer is-error" : "answer"} role="status">
        {answer?.text ?? (controls.paused ? "The schedule is paused." : "")}
      </p>
    </section>
  );
}
