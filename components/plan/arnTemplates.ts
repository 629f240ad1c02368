/** ARNs in the plan hold placeholders for what only AWS knows; backends fill them in. */

/** What a placeholder can stand for; `queueArn:30` is the queue of the tick at second 30. */
export type ArnToken =
  | "partition"
  | "region"
  | "accountId"
  | "logGroupArn"
  | "databaseResourceId"
  | "databaseUser"
  | "failureDestinationArn"
  | "kmsKeyArn"
  | "secretKmsKeyArn"
  | "secretArn"
  | `queueArn:${number}`;

const TOKEN = /\{([A-Za-z]+(?::\d+)?)\}/g;

/** A placeholder as it stands in a template. */
export function token(name: ArnToken): string {
  return `{${name}}`;
}

/** The placeholders of a template, in order. */
export function tokensOf(template: string): ArnToken[] {
  return [...template.matchAll(TOKEN)].map((match) => match[1] as ArnToken);
}

/**
 * The template with every placeholder filled in.
 * @throws Error for a placeholder without a value.
 */
export function fillArn(template: string, values: Partial<Record<ArnToken, string>>): string {
  return template.replace(TOKEN, (_, name: ArnToken) => {
    const value = values[name];
    if (value === undefined) throw new Error(`no value for {${name}} in ${template}`);
    return value;
  });
}
