/** What the page may do to a run on this machine. */
import type { Control, ControlRequest } from "../watch/contract";
import { ControlRefused, type Controls, type ControlState } from "../watch/controls";
import { describeSeconds } from "./duration";
import type { Terminal } from "./terminal";
import type { TickRunner } from "./tickRunner";
import { loadRates, type LoadLevel } from "./workload/load";
import type { LoadSwitch } from "./workload/loadSwitch";

const OUTAGE_SECONDS = 30;
const LEVELS = Object.keys(loadRates) as LoadLevel[];

/** What of a run is there to be controlled, once its schedule has begun. */
export interface Controlled {
  ticks: TickRunner;
  load: LoadSwitch | undefined;
  /** Starts an outage at once and resolves at its end; absent where the server is not this run's, or one is planned. */
  outage: ((seconds: number) => Promise<void>) | undefined;
  terminal: Terminal;
}

export class RunControls implements Controls {
  private controlled: Controlled | undefined;
  private paused = false;
  private isOut = false;

  /** Whether the schedule's ticks are to be left out. */
  get isPaused(): boolean {
    return this.paused;
  }

  /** The schedule begins. */
  attach(run: Controlled): void {
    this.controlled = run;
  }

  /** The schedule is over. */
  detach(): void {
    this.controlled = undefined;
  }

  state(): ControlState {
    return {
      paused: this.paused,
      load: this.controlled?.load?.level ?? "off",
      loads: LEVELS,
      available: this.available(),
    };
  }

  async run(control: Control, { level }: ControlRequest): Promise<string> {
    const run = this.controlled;
    if (run === undefined || !this.available().includes(control))
      throw new ControlRefused(this.whyNot(control, run));
    switch (control) {
      case "refresh":
        return refresh(run);
      case "pause":
      case "resume":
        return this.pause(run, control === "pause");
      case "load":
        return setLoad(run, level);
      case "outage":
        return this.beginOutage(run);
    }
  }

  private available(): Control[] {
    const run = this.controlled;
    if (run === undefined) return [];
    return [
      "refresh",
      this.paused ? "resume" : "pause",
      ...(run.load === undefined ? [] : (["load"] as const)),
      ...(run.outage === undefined || this.isOut ? [] : (["outage"] as const)),
    ];
  }

  private whyNot(control: Control, run: Controlled | undefined): string {
    if (run === undefined) return "the run has not begun, or is over";
    switch (control) {
      case "outage":
        return this.isOut
          ? "an outage is under way"
          : "the server is not this run's to stop, or an outage is planned";
      case "load":
        return "the tables are not this run's to work on";
      case "pause":
        return "the schedule is paused already";
      case "resume":
        return "the schedule is not paused";
      case "refresh":
        return "it cannot be done now";
    }
  }

  private beginOutage({ outage }: Controlled): string {
    this.isOut = true;
    void outage?.(OUTAGE_SECONDS).finally(() => (this.isOut = false));
    return `PostgreSQL is stopped for ${describeSeconds(OUTAGE_SECONDS)}`;
  }

  private pause({ terminal }: Controlled, paused: boolean): string {
    this.paused = paused;
    const done = paused ? "the schedule is paused: no tick is fired" : "the schedule goes on";
    terminal.event(`Page: ${done}`);
    return done;
  }
}

async function refresh({ ticks, terminal }: Controlled): Promise<string> {
  terminal.event("Page: refresh now");
  const { tick, error } = await ticks.refreshNow();
  if (tick.outcome === "refreshed") {
    const kinds = [...new Set(tick.refreshes.map(({ refresh_type }) => refresh_type))].join(", ");
    return `refreshed in ${(tick.refreshSeconds ?? tick.runSeconds).toFixed(2)} s (${kinds})`;
  }
  throw new ControlRefused(error ?? `the refresh was ${tick.outcome}`);
}

async function setLoad({ load, terminal }: Controlled, level: string | undefined): Promise<string> {
  const wanted = LEVELS.find((known) => known === level);
  if (wanted === undefined) throw new ControlRefused(`a level is one of ${LEVELS.join(", ")}`);
  await load?.set(wanted);
  const rate = loadRates[wanted];
  const done =
    rate === 0
      ? "the load is off"
      : `the load is ${wanted}: ${rate.toLocaleString("en-US")} objects a minute`;
  terminal.event(`Page: ${done}`);
  return done;
}
