/** What one run of the engine did, gathered from its log of events. */
import assert from "node:assert/strict";
import type { EngineEvent, OpType, StepEventMetadata } from "@pulumi/pulumi/automation";

/** The value that stands for "not known yet" in a preview. */
export const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** What the engine did, or would do, with one resource. */
export interface EngineStep {
  /** "create", "update", "same", "delete", "replace", "create-replacement", … */
  operation: OpType;
  /** The type token in the long form. */
  type: string;
  /** The Pulumi name. */
  name: string;
  /** Paths of the changed properties, such as `environment.variables.MATVIEW_VIEWS`, sorted. */
  changed: string[];
  /** Inputs after the step. Empty for a deletion. */
  inputs: Record<string, unknown>;
}

/** A policy's objection. */
export interface PolicyViolation {
  policy: string;
  level: string;
  message: string;
}

/** One finished run. */
export interface EngineRun {
  /** What the CLI ended with. */
  exitCode: number;
  /** Everything that the CLI wrote. */
  text: string;
  /** Resources per operation, as in the CLI's summary. */
  summary: Partial<Record<OpType, number>>;
  /** All steps in the order of the engine, those that change nothing too. */
  steps: EngineStep[];
  /** What engine, program and plugins reported as a warning or an error. */
  problems: string[];
  violations: PolicyViolation[];
}

/** Reads a run out of the CLI's log of events: one as JSON on each line. */
export function runOf(exitCode: number, text: string, eventLog: string): EngineRun {
  const events = eventLog
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as EngineEvent);
  return {
    exitCode,
    text,
    summary: events.find(({ summaryEvent }) => summaryEvent)?.summaryEvent?.resourceChanges ?? {},
    steps: events.flatMap(({ resourcePreEvent }) =>
      resourcePreEvent ? [stepOf(resourcePreEvent.metadata)] : [],
    ),
    problems: events.flatMap(({ diagnosticEvent }) =>
      diagnosticEvent && ["warning", "error"].includes(diagnosticEvent.severity)
        ? [diagnosticEvent.message]
        : [],
    ),
    violations: events.flatMap(({ policyEvent }) => {
      if (!policyEvent) return [];
      const { policyName: policy, enforcementLevel: level, message } = policyEvent;
      // Messages carry colours as tags such as `<{%fg 1%}>`.
      return [{ policy, level, message: message.replace(/<\{%[^%]*%\}>/g, "").trim() }];
    }),
  };
}

/** Fails with all that the engine said when the run did not end well. */
export function assertSucceeded({ exitCode, text }: EngineRun): void {
  assert.equal(exitCode, 0, text);
}

/** `update Function function: memorySize`, sorted; names without `<base>-`. Unchanged resources are left out. */
export function changesOf({ steps }: EngineRun, base: string): string[] {
  return steps
    .filter(({ operation }) => operation !== "same")
    .map(({ operation, type, name, changed }) => {
      const what = `${operation} ${type.split(":").at(-1)} ${name.replace(`${base}-`, "")}`;
      return changed.length === 0 ? what : `${what}: ${changed.join(", ")}`;
    })
    .sort();
}

/** The one step of a resource type, such as `Function`, and of this name where one is given. */
export function stepOfType({ steps, text }: EngineRun, type: string, name?: string): EngineStep {
  const found = steps.filter((step) => step.type.endsWith(`:${type}`) && (name ?? step.name) === step.name);
  assert.equal(found.length, 1, text);
  return found[0]!;
}

function stepOf({ op, urn, type, detailedDiff, new: after }: StepEventMetadata): EngineStep {
  return {
    operation: op,
    type,
    name: urn.split("::").slice(3).join("::"),
    changed: Object.keys(detailedDiff ?? {}).sort(),
    inputs: (after?.inputs ?? {}) as Record<string, unknown>,
  };
}
