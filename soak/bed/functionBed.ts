/** The deployed function on the bed: the real bundle in processes of its own, which reaches its database by the wire. */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bundleHandler } from "../../components/bundle";
import type { Plan } from "../../components/plan/plan";
import { toEnvironment } from "../../handler/settings";
import { LambdaFunction, type FunctionConfiguration } from "../../local/lambda/lambdaFunction";
import type { LambdaProcess } from "../../local/lambda/lambdaProcess";
import { readEmbeddedMetrics } from "../../local/metrics";
import { databaseSettings, writePasswordFile } from "../../local/postgres/database";
import { tickEvent } from "../../local/tickEvent";
import type { Delivery, FunctionBed, Run, Wire } from "./bed";

/** Stands in ARNs and events; nothing is asked of AWS. */
const region = "us-east-1";

/** What the function is deployed with. */
interface FunctionOptions {
  plan: Plan;
  wire: Pick<Wire, "port" | "caFile">;
  /** Name of the database. */
  database: string;
  login: { user: string; password: string };
  /** For the bundle and the password file. */
  folder: string;
}

/** The event of a tick that has not been delivered yet. */
interface HeldBack {
  event: unknown;
  /** Whether it comes before the next tick's own. */
  isFirst: boolean;
}

/** Bundles the function as it is deployed. No process is started before the first run. */
export async function startFunction(options: FunctionOptions): Promise<SoakFunction> {
  const { plan, wire, database, login, folder } = options;
  const secret = await writePasswordFile(login.password, folder);
  const bundle = await bundleHandler("handler/index.ts", join(folder, "bundle"));
  const { group, views, settings } = plan;
  const { name, timeoutSeconds, memoryMb, runtime } = plan.function;
  const settingsOfDatabase = databaseSettings(
    { host: "127.0.0.1", port: wire.port, database },
    login.user,
    secret.file,
    { tls: "verify-full", caFile: wire.caFile },
  );
  const { historyRetentionDays } = settings;
  const environment = toEnvironment({
    ...{ group, views, historyRetentionDays },
    logFormat: "text",
    database: settingsOfDatabase,
  });
  return new SoakFunction(
    {
      ...{ name, timeoutSeconds, memoryMb, runtime, region },
      bundleFile: bundle.file,
      environment: { ...settings.environment, ...environment },
    },
    plan,
    { user: login.user, passwordFile: secret.file },
  );
}

export class SoakFunction implements FunctionBed {
  delivery: Delivery = "once";
  /** Ticks of the soak that were throttled, for the metric that Lambda would have. */
  readonly throttledTicks: number[] = [];
  readonly user: string;
  readonly passwordFile: string;
  private readonly fn: LambdaFunction;
  /** Lines of runs under way, by request id. */
  private readonly lines = new Map<string, string[]>();
  private readonly underWay = new Set<Promise<void>>();
  private finished: Run[] = [];
  private readonly paused = new Set<LambdaProcess>();
  private heldBack: HeldBack | undefined;
  private onPause: () => void = () => undefined;

  /** Used by {@link startFunction}. */
  constructor(
    configuration: FunctionConfiguration,
    private readonly plan: Plan,
    login: Pick<FunctionBed, "user" | "passwordFile">,
  ) {
    this.user = login.user;
    this.passwordFile = login.passwordFile;
    this.fn = new LambdaFunction(configuration, (line, requestId) => this.keep(line, requestId));
  }

  /**
   * Delivers a tick as {@link delivery} says, which is `once` again afterwards. A tick that is `late` or `out of order`
   * comes with the next one, before it or after it, as a run of kind `late`.
   * @param tick of the soak, from 1
   * @param tickEpochMs when it was due, by the plan's time
   * @returns every run that has ended since the last call, once none is under way but in processes that are paused
   */
  async deliver(tick: number, tickEpochMs: number): Promise<Run[]> {
    const { plan } = this;
    const event = tickEvent(plan.schedule, tickEpochMs, { region, functionName: plan.names.function });
    const { delivery, heldBack } = this;
    this.delivery = "once";
    this.heldBack = undefined;
    const comesLate = delivery === "late" || delivery === "out of order";
    if (comesLate) this.heldBack = { event, isFirst: delivery === "late" };
    if (delivery === "throttled") this.throttledTicks.push(tick);

    if (heldBack?.isFirst) {
      this.begin(tick, "late", heldBack.event);
      await this.quiet();
    }
    if (!comesLate && delivery !== "never" && delivery !== "throttled") {
      this.begin(tick, "tick", event);
      if (delivery === "twice") this.begin(tick, "again", event);
      if (delivery === "by hand too") this.begin(tick, "by hand", { source: "manual-soak" });
      await this.quiet();
    }
    if (heldBack?.isFirst === false) this.begin(tick, "late", heldBack.event);
    return this.settle();
  }

  /** Waits for the runs under way, but not for those that are paused. @returns every run that has ended since the last call */
  async settle(): Promise<Run[]> {
    await this.quiet();
    const ended = this.finished;
    this.finished = [];
    return ended;
  }

  kill(): void {
    for (const each of this.fn.busy) each.kill();
  }

  pause(): void {
    for (const each of this.fn.busy) {
      each.pause();
      this.paused.add(each);
      void each.gone.then(() => this.paused.delete(each));
    }
    this.onPause();
  }

  hang(): void {
    for (const each of this.fn.busy) each.hang();
  }

  resume(): void {
    for (const each of this.fn.busy) each.resume();
    this.paused.clear();
  }

  /** Whether a run is under way in a process that is paused. */
  get somePaused(): boolean {
    return this.paused.size > 0;
  }

  /** Replaced as a whole: a run that reads it meanwhile gets the one or the other. */
  async password(password: string): Promise<void> {
    const { passwordFile } = this;
    const draft = `${passwordFile}.new`;
    await writeFile(draft, password, { mode: 0o600 });
    await rename(draft, passwordFile);
  }

  /** Ends every process, also those that are paused. */
  async stop(): Promise<void> {
    await this.fn.stop();
    await Promise.all(this.underWay);
  }

  private begin(tick: number, kind: Run["kind"], event: unknown): void {
    const running = this.run(tick, kind, event);
    this.underWay.add(running);
    void running.finally(() => this.underWay.delete(running));
  }

  private async run(tick: number, kind: Run["kind"], event: unknown): Promise<void> {
    const invocation = await this.fn.invoke(event);
    const endedEpochMs = Date.now();
    const all = this.lines.get(invocation.requestId) ?? [];
    this.lines.delete(invocation.requestId);
    const metrics = all.flatMap((line) => readEmbeddedMetrics(line) ?? []);
    const lines = all.filter((line) => readEmbeddedMetrics(line) === undefined);
    this.finished.push({ tick, kind, invocation, lines, metrics, endedEpochMs });
  }

  /** Resolves when no run is under way, or none but in processes that are paused. */
  private async quiet(): Promise<void> {
    // A process has one run, and is busy with it when it is paused.
    while (this.underWay.size > this.paused.size) {
      const somePaused = new Promise<void>((resolve) => (this.onPause = resolve));
      await Promise.race([somePaused, ...this.underWay]);
    }
  }

  /** What a process says outside of a run, as it starts or dies, is part of no run's log. */
  private keep(line: string, requestId: string | undefined): void {
    if (requestId === undefined) return;
    const lines = this.lines.get(requestId) ?? [];
    lines.push(line);
    this.lines.set(requestId, lines);
  }
}
