import { known, readList, readNames, readText, type Properties } from "../reading";
import { TYPE } from "../resource";
import { defineRule, type SingleResource } from "../rule";
import type { Verdicts } from "../verdict";

/** A password in a variable is readable by whoever may describe the function; without TLS it crosses the network. */
export const connectionSecurity = defineRule({
  name: "connection-security",
  description:
    "A refresh function holds no password in its environment and verifies the database's certificate.",
  remedy:
    "Use IAM database authentication (database.auth iam) or a secret's ARN; leave TLS at verify-full and rds.force_ssl at 1.",
  severity: "critical",
  isAboutMigrations: true,
  judgeFunction({ name, props }, _config, verdicts) {
    const variables = readNames(props, "environment", "variables");
    if (variables.state === "unknown") return verdicts.judgedAtUpdate(`the environment of ${name}`);
    for (const variable of known(variables) ?? []) {
      judgePassword(name, variable, props, verdicts);
      judgeTls(name, variable, props, verdicts);
    }
  },
  judgeResource(resource, _config, verdicts) {
    if (resource.type === TYPE.parameterGroup || resource.type === TYPE.clusterParameterGroup) {
      judgeParameters(resource, verdicts);
    }
  },
});

const PASSWORD_NAME =
  /pass(word|wd|phrase|code)?($|_)|pwd|pgpassword|secret|credential|api_?key|private_?key|access_?key|auth_?token/i;
/** Names that say that the value is where the secret is, and not the secret. */
const REFERENCE_NAME = /_?(arn|file|path|id|name|parameter|param|ttl|seconds|region|provider|mode)$/i;
/** The AWS SDK's own variables for the address of a service, such as AWS_ENDPOINT_URL_SECRETS_MANAGER. */
const ENDPOINT_NAME = /^AWS_ENDPOINT_URL(_|$)/;
const REFERENCE_VALUE = /^(arn:aws[a-z-]*:|\{\{resolve:)/;
/** A URL or a connection string that carries a password. */
const PASSWORD_IN_VALUE = /\w+:\/\/[^/\s:@]*:[^/\s@]+@|(^|[\s;])(password|pwd)\s*=\s*\S/i;

/** No message holds a value: it may be the password. */
function judgePassword(name: string, variable: string, props: Properties, verdicts: Verdicts): void {
  const value = readText(props, "environment", "variables", variable);
  const isEndpoint = ENDPOINT_NAME.test(variable);
  const isPasswordName = PASSWORD_NAME.test(variable) && !REFERENCE_NAME.test(variable) && !isEndpoint;
  if (value.state === "unknown") {
    // The SDK takes no credentials from an address, and AWS gives this one at update.
    if (isEndpoint) return;
    if (isPasswordName)
      verdicts.judgedAtUpdate(`whether variable ${variable} of ${name} is a secret or its ARN`);
    else if (/url|uri|dsn|connection/i.test(variable)) {
      verdicts.judgedAtUpdate(`whether variable ${variable} of ${name} holds a password`);
    }
    return;
  }
  if (value.state === "absent" || value.value === "") return;
  const isReference = REFERENCE_VALUE.test(value.value);
  if ((isPasswordName && !isReference) || PASSWORD_IN_VALUE.test(value.value)) {
    verdicts.refuse(
      `Variable ${variable} of ${name} holds a password: whoever may describe the function reads it. ` +
        "Use IAM database authentication, or the ARN of a secret that the function reads itself.",
    );
  }
}

const VERIFIED_MODES = ["verify-full", "verify-ca"];

function judgeTls(name: string, variable: string, props: Properties, verdicts: Verdicts): void {
  const value = readText(props, "environment", "variables", variable);
  const isTlsVariable = ["MATVIEW_DATABASE_TLS", "NODE_TLS_REJECT_UNAUTHORIZED", "PGSSLMODE"].includes(
    variable,
  );
  if (isTlsVariable && value.state === "unknown") {
    return verdicts.judgedAtUpdate(`variable ${variable} of ${name}, which says whether TLS is verified`);
  }
  if (value.state !== "known") return;
  const isOff =
    (variable === "MATVIEW_DATABASE_TLS" && value.value !== "verify-full") ||
    (variable === "NODE_TLS_REJECT_UNAUTHORIZED" && value.value === "0") ||
    (variable === "PGSSLMODE" && !VERIFIED_MODES.includes(value.value)) ||
    /[?&\s]sslmode=(disable|allow|prefer|require|no-verify)\b/i.test(value.value);
  if (!isOff) return;
  verdicts.refuse(
    `Variable ${variable} of ${name} turns the verification of the database's certificate off. Use verify-full.`,
  );
}

function judgeParameters({ name, props }: SingleResource, verdicts: Verdicts): void {
  const family = readText(props, "family");
  if (family.state === "known" && !/postgres/i.test(family.value)) return;
  const parameters = readList(props, "parameters");
  if (parameters.state === "unknown") return verdicts.judgedAtUpdate(`the parameters of group ${name}`);
  for (const index of (known(parameters) ?? []).keys()) {
    const parameter = readText(props, "parameters", index, "name");
    const value = readText(props, "parameters", index, "value");
    const isForceSsl = known(parameter) === "rds.force_ssl";
    if (parameter.state === "unknown" || (isForceSsl && value.state === "unknown")) {
      verdicts.judgedAtUpdate(`parameter ${index + 1} of group ${name}`);
    } else if (isForceSsl && /^(0|off|false)$/i.test(known(value) ?? "")) {
      const effect = "the database then takes connections without TLS";
      verdicts.refuse(`Parameter group ${name} sets rds.force_ssl to 0: ${effect}.`);
    }
  }
}
