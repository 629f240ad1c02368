/** The function's variables, and the input of its ticks: what settings put into AWS as text, within AWS's limits. */
import { toEnvironment, type DatabaseSettings, type HandlerSettings } from "../../handler/settings";

/**
 * Set beside the handler's own variables. From Node 20 on, the runtime no longer loads the RDS certificate
 * authorities by itself; this file adds them to Node's.
 */
const RUNTIME_ENVIRONMENT = { NODE_EXTRA_CA_CERTS: "/var/runtime/ca-cert.pem" } as const;

/** Where the AWS SDK finds Secrets Manager, if not at the region's public address; set with an endpoint of ours. */
export const SECRETS_URL_VARIABLE = "AWS_ENDPOINT_URL_SECRETS_MANAGER";

/** Variables that this product sets; the last one makes the SDK blind to the one before. */
export const PRODUCT_VARIABLES: readonly string[] = [
  ...Object.keys(RUNTIME_ENVIRONMENT),
  SECRETS_URL_VARIABLE,
  "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
];

/** The part of a stack the environment is made of; `Text` is deferred text where a value is known later. */
export type EnvironmentSource<Text> = Omit<HandlerSettings, "database"> & {
  environment: Record<string, Text>;
};

/** Every variable of the function. */
export function functionEnvironment<Text>(
  { environment, ...settings }: EnvironmentSource<Text>,
  database: DatabaseSettings<Text>,
): Record<string, string | Text> {
  return { ...environment, ...RUNTIME_ENVIRONMENT, ...toEnvironment({ ...settings, database }) };
}

/** How much of Lambda's 4 KB an environment takes: names and values in UTF-8. */
export function environmentBytes(environment: Record<string, string>): number {
  return Object.entries(environment).reduce(
    (bytes, [name, value]) => bytes + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
}

/** With a payload of the user's own the event still is a scheduled one, which the handler tells from a manual. */
export function tickInput(eventPayload: Record<string, unknown> | undefined): string | undefined {
  if (eventPayload === undefined || Object.keys(eventPayload).length === 0) return undefined;
  return JSON.stringify({ source: "aws.events", "detail-type": "Scheduled Event", detail: eventPayload });
}
