import type { Snapshot } from "../../contract";
import { ask, busy, said } from "../state/control";

/** What one can do to a run on this machine. */
export function Controls({
  controls,
  isLive,
}: {
  controls: NonNullable<Snapshot["controls"]>;
  isLive: boolean;
}) {
  const has = (name: (typeof controls.available)[number]) => controls.available.includes(name);
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
        {has("outage") && (
          <button
            type="button"
            onClick={() => void ask("outage")}
            aria-disabled={busy.value !== null || !isLive}
          >
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
