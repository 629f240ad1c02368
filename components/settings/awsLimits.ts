/** Limits of CloudWatch and EventBridge on what settings give them, which AWS would tell only halfway through. */
import { tickInput } from "../plan/tickPlan";
import type { Purpose } from "./settingsFaults";
import type { RuleFault, Shaped } from "./settingsRules";

/** Every rule of this file. */
export const AWS_LIMITS = [actionsFew, actionsNear, payloadShort];

/** CloudWatch's limit on the actions of one state of an alarm (PutMetricAlarm). */
const MOST_ACTIONS = 5;

/** EventBridge's limit on a target's constant input, in characters (PutTargets). */
const LONGEST_INPUT = 8_192;

const ACTION_KEYS = ["alarmTopicArns", "okActionArns"] as const;

function actionsFew(shaped: Shaped): RuleFault[] {
  const hasTopic = (shaped.alarmEmails ?? []).length > 0;
  const most = MOST_ACTIONS - (hasTopic ? 1 : 0);
  return ACTION_KEYS.flatMap((key) => {
    const arns = shaped[key] ?? [];
    if (arns.length <= most) return [];
    const problem = `has ${arns.length}, and an alarm tells at most ${MOST_ACTIONS} when its state changes`;
    const limit = `at most ${most}${hasTopic ? ", since alarmEmails makes a topic that is told too" : ""}`;
    return [{ key, value: arns, problem, limit, example: arns.slice(0, most) }];
  });
}

function actionsNear(shaped: Shaped, _purpose: Purpose, region?: string): RuleFault[] {
  if (region === undefined) return [];
  return ACTION_KEYS.flatMap((key) =>
    (shaped[key] ?? []).flatMap((arn, index) => {
      const parts = arn.split(":");
      if (parts[3] === region) return [];
      const problem = `is in ${parts[3]}, and alarms tell only what is in their own region`;
      const example = [...parts.slice(0, 3), region, ...parts.slice(4)].join(":");
      return [{ key: `${key}[${index}]`, value: arn, problem, limit: `one in ${region}`, example }];
    }),
  );
}

function payloadShort({ eventPayload }: Shaped): RuleFault[] {
  const length = tickInput({ eventPayload })?.length ?? 0;
  if (length <= LONGEST_INPUT) return [];
  const problem = `makes the event ${length} characters long`;
  const limit = `${LONGEST_INPUT} for the event with eventPayload as its detail, so ${length - LONGEST_INPUT} fewer`;
  return [{ key: "eventPayload", value: eventPayload, problem, limit, example: {} }];
}
