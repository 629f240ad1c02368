/** Rule: no password in variables, and TLS that is verified. */
import { known, readNames, readText } from "../reading";
import { defineRule } from "../rule";

/** A password in a variable is readable by whoever may describe the function; without TLS it crosses the network. */
export const connectionSecurity = defineRule({
  name: "connection-security",
  description:
    "A refresh function holds no password in its environment and verifies the database's certificate.",
  remedy: "Use IAM database authentication (database.auth iam) or a secret's ARN; leave TLS at verify-full.",
  severity: "critical",
  isAboutMigrations: true,
  judgeFunction({ resource, name }, _config, verdicts) {
    const variables = readNames(resource.props, "environment", "variables");
    if (variables.state === "unknown") verdicts.judgedAtUpdate(`the environment of ${name}`);
    for (const variable of known(variables) ?? []) {
      const value = readText(resource.props, "environment", "variables", variable);
      const mayMatter = [PASSWORD_NAME, ADDRESS_NAME].some((pattern) => pattern.test(variable));
      if (value.state === "unknown" && (mayMatter || variable in VERIFIES_TLS)) {
        verdicts.judgedAtUpdate(`variable ${variable} of ${name}`);
      }
      if (value.state !== "known") continue;
      // No message holds a value: it may be the password.
      if (holdsPassword(variable, value.value)) {
        verdicts.refuse(
          `Variable ${variable} of ${name} holds a password: whoever may describe the function reads it. Use IAM ` +
            "database authentication, or the ARN of a secret that the function reads itself.",
        );
      }
      if (VERIFIES_TLS[variable]?.(value.value) === false) {
        verdicts.refuse(
          `Variable ${variable} of ${name} turns the verification of the database's certificate off. Take it out, or set verify-full.`,
        );
      }
    }
  },
});

/** Names of a password itself; DB_PASSWORD_FILE and DB_SECRET_ARN say where it is. */
const PASSWORD_NAME = /(pass(word|wd|phrase)?|pwd|secret|credentials?|api_?key|access_?key|auth_?token)$/i;
/** Names of what may hold a password among other things. */
const ADDRESS_NAME = /(url|uri|dsn)$/i;
const REFERENCE_VALUE = /^(arn:aws[a-z-]*:|\{\{resolve:|$)/;
/** A URL or a connection string that carries a password. */
const PASSWORD_IN_VALUE = /\w+:\/\/[^/\s:@]*:[^/\s@]+@|(^|[\s;])(password|pwd)\s*=\s*\S/i;

function holdsPassword(variable: string, value: string): boolean {
  return (PASSWORD_NAME.test(variable) && !REFERENCE_VALUE.test(value)) || PASSWORD_IN_VALUE.test(value);
}

/** Variables by which the handler's connection can go without verification. */
const VERIFIES_TLS: Record<string, (value: string) => boolean> = {
  MATVIEW_DATABASE_TLS: (value) => value === "verify-full",
  NODE_TLS_REJECT_UNAUTHORIZED: (value) => value !== "0",
};
