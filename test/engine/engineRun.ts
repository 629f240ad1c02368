/** What one run of the engine did, gathered from its events. */
import {
  CommandError,
  type EngineEvent,
  type OpType,
  type StepEventMetadata,
} from "@pulumi/pulumi/automation";
import type { RunOptions } from "./engineStack";

/** What the engine did, or would do, with one resource. */
export interface EngineStep {
  /** "create", "update", "same", "delete", "replace", "create-replacement", … */
  operation: OpType;
  urn: string;
  /** The type token in the long form. */
  type: string;
  /** The Pulumi name. */
  name: string;
  /** Paths of the changed properties, such as `environment.variables.MATVIEW_VIEWS`, sorted. */
  changed: string[];
  /** The changed top-level properties, sorted. */
  properties: string[];
  /** Inputs after the step; unknown values are the engine's placeholder. Empty for a deletion. */
  inputs: Record<string, unknown>;
}

/** A message of the engine, a program or a provider. */
export interface EngineMessage {
  severity: "info" | "info#err" | "warning" | "error";
  message: string;
  urn?: string;
}

/** A policy's objection. */
export interface PolicyViolation {
  policy: string;
  level: string;
  message: string;
  urn?: string;
}

/** One finished run. */
export interface EngineRun {
  /** 0, or what the CLI ended with. */
  exitCode: number;
  /** Resources per operation, as in the CLI's summary. */
  summary: Partial<Record<OpType, number>>;
  /** All steps in the order of the engine, those that change nothing too. */
  steps: EngineStep[];
  /** The steps that change something. */
  changes: EngineStep[];
  messages: EngineMessage[];
  violations: PolicyViolation[];
  stdout: string;
  stderr: string;
  durationSeconds: number;
}

/** Collects the events of one run. */
export class RunRecord {
  private readonly steps: EngineStep[] = [];
  private readonly messages: EngineMessage[] = [];
  private readonly violations: PolicyViolation[] = [];
  private summary: Partial<Record<OpType, number>> = {};
  private output = "";
  private errors = "";

  /** Runs an operation of the Automation API; the CLI's failure is a result, any other error is thrown. */
  static async of(operation: (record: RunRecord) => Promise<unknown>): Promise<EngineRun> {
    const record = new RunRecord();
    const start = performance.now();
    let exitCode = 0;
    try {
      await operation(record);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      exitCode = exitCodeOf(error);
    }
    return record.finish(exitCode, (performance.now() - start) / 1000);
  }

  /** Options for preview and up of the Automation API that write into this record. */
  options({ policyPacks, policyPackConfigs, expectNoChanges }: RunOptions) {
    const { onEvent, onOutput, onError } = this;
    return {
      onEvent,
      onOutput,
      onError,
      policyPacks,
      policyPackConfigs,
      expectNoChanges,
      color: "never" as const,
    };
  }

  readonly onOutput = (text: string): void => {
    this.output += text;
  };

  readonly onError = (text: string): void => {
    this.errors += text;
  };

  readonly onEvent = (event: EngineEvent): void => {
    const { resourcePreEvent, summaryEvent, diagnosticEvent, policyEvent } = event;
    if (resourcePreEvent) this.steps.push(stepOf(resourcePreEvent.metadata));
    if (summaryEvent) this.summary = summaryEvent.resourceChanges;
    // The engine also sends its debug messages, whatever the SDK's type of the severity says.
    if (diagnosticEvent && (diagnosticEvent.severity as string) !== "debug") {
      const { severity, message, urn } = diagnosticEvent;
      this.messages.push({ severity, message: plainText(message).trim(), ...(urn && { urn }) });
    }
    if (policyEvent) {
      const { policyName: policy, enforcementLevel: level, message, resourceUrn } = policyEvent;
      this.violations.push({
        policy,
        level,
        message: plainText(message),
        ...(resourceUrn && { urn: resourceUrn }),
      });
    }
  };

  private finish(exitCode: number, durationSeconds: number): EngineRun {
    return {
      exitCode,
      summary: this.summary,
      steps: this.steps,
      changes: this.steps.filter(({ operation }) => operation !== "same"),
      messages: this.messages,
      violations: this.violations,
      stdout: this.output,
      stderr: this.errors,
      durationSeconds,
    };
  }
}

function stepOf({ op, urn, type, diffs, detailedDiff, new: after }: StepEventMetadata): EngineStep {
  const changed = Object.keys(detailedDiff ?? {});
  const properties = diffs ?? changed.map((path) => path.split(/[.[]/, 1)[0] ?? path);
  return {
    operation: op,
    urn,
    type,
    name: urn.split("::").slice(3).join("::"),
    changed: changed.sort(),
    properties: [...new Set(properties)].sort(),
    inputs: (after?.inputs ?? {}) as Record<string, unknown>,
  };
}

/** Engine messages carry colours as tags such as `<{%fg 1%}>`. */
function plainText(message: string): string {
  return message.replace(/<\{%[^%]*%\}>/g, "");
}

/** The CLI's exit code, which CommandError keeps in its text alone; without one the CLI never ended by itself. */
function exitCodeOf(error: CommandError): number {
  const code = /failed with exit code (\d+)/.exec(error.message)?.[1];
  if (code === undefined) throw error;
  return Number(code);
}
