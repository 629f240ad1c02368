/** What names, tags, variables and lists of people must be to one another. */
import {
  environmentBytes,
  functionEnvironment,
  LONGEST_FUNCTION_NAME,
  LONGEST_SECRETS_URL,
  MOST_ENVIRONMENT_BYTES,
  RESERVED_VARIABLES,
  SECRETS_URL_VARIABLE,
} from "../plan/functionPlan";
import { writeStep } from "./settingsFaults";
import type { RuleFault, Shaped } from "./settingsRules";
import { resourceNamePart, writeViewName } from "./viewNames";

/** Every rule of this file. */
export const NAME_RULES = [
  viewsOnce,
  groupNamed,
  nameLengths,
  prefixFit,
  environmentNames,
  environmentSize,
  tagLimits,
  noDoubles,
];

function viewsOnce({ views = [] }: Shaped): RuleFault[] {
  const seen = new Set<string>();
  return views.flatMap(({ name }, index) => {
    // Compared as metrics have it: two views whose metrics were the same would hide each other's absence.
    const measured = `${name.schema}.${name.name}`;
    if (!seen.has(measured)) {
      seen.add(measured);
      return [];
    }
    const written = writeViewName(name);
    const key = `views[${index}]`;
    return [{ key, value: written, problem: "is listed twice", limit: "each view once", example: undefined }];
  });
}

function groupNamed({ views = [], groupName }: Shaped): RuleFault[] {
  const fault = { key: "groupName", value: groupName, example: "billing" };
  if (groupName === undefined && views.length > 1) {
    const problem = `is missing, and ${views.length} views have no one name`;
    return [{ ...fault, problem, limit: "a name for the group, where there are several views" }];
  }
  const group = groupName ?? views[0]?.name.name;
  if (group !== undefined && resourceNamePart(group) === "") {
    const problem = `nothing of "${group}" can stand in the name of an AWS resource`;
    return [{ ...fault, problem, limit: "letters, digits and hyphens" }];
  }
  return [];
}

/** What RDS allows in the identifiers of instances and proxies. */
const LONGEST_RDS_IDENTIFIER = 63;

/** What Pulumi puts after a name it makes: a hyphen and seven hexadecimal digits. */
const RANDOM_SUFFIX = "-0123456";

/** The longest `<namePrefix>-refresh-<group>`, and what else bears it, where that sets the limit. */
function longestName(database: Shaped["database"]): { longest: number; use: string } {
  if (database?.create === undefined) return { longest: LONGEST_FUNCTION_NAME, use: "" };
  const rest = database.create.proxy ? "-proxy" : "-db";
  return {
    longest: LONGEST_RDS_IDENTIFIER - rest.length - RANDOM_SUFFIX.length,
    use: `, and "<name>${rest}-<7 digits>" would be an RDS identifier over ${LONGEST_RDS_IDENTIFIER}`,
  };
}

function nameLengths({ namePrefix, groupName, views = [], database }: Shaped): RuleFault[] {
  const group = groupName ?? views[0]?.name.name;
  if (namePrefix === undefined || group === undefined) return [];
  const name = `${namePrefix}-refresh-${resourceNamePart(group)}`;
  const { longest, use } = longestName(database);
  const excess = name.length - longest;
  if (excess <= 0) return [];
  const key = namePrefix.length > excess + 1 && groupName === undefined ? "namePrefix" : "groupName";
  const given = key === "namePrefix" ? namePrefix : resourceNamePart(group);
  return [
    {
      key,
      value: key === "namePrefix" ? namePrefix : groupName,
      problem: `makes the function's name "${name}" ${name.length} long${use}`,
      limit: `${longest} for <namePrefix>-refresh-<group>, so ${excess} fewer`,
      example: given.slice(0, Math.max(1, given.length - excess)).replace(/-+$/, ""),
    },
  ];
}

function prefixFit({ namePrefix, database }: Shaped): RuleFault[] {
  if (namePrefix === undefined) return [];
  const fault = { key: "namePrefix", value: namePrefix };
  if (/^sg(?:-|$)/i.test(namePrefix)) {
    const problem = "makes names that begin with sg-, which EC2 keeps for the ids of security groups";
    return [{ ...fault, problem, limit: "anything else than sg or sg-...", example: "matview" }];
  }
  const fit = namePrefix.replace(/-+/g, "-").toLowerCase();
  if (database?.create === undefined || fit === namePrefix) return [];
  const problem = "cannot stand in an RDS identifier, and database.create makes one of it";
  const limit = "with database.create: lower-case letters, digits and single hyphens";
  return [{ ...fault, problem, limit, example: fit }];
}

function environmentNames({ environment = {} }: Shaped): RuleFault[] {
  return Object.keys(environment).flatMap((name) => {
    const isReserved = RESERVED_VARIABLES.includes(name) || name.startsWith("MATVIEW_");
    const isName = /^[A-Za-z][A-Za-z0-9_]+$/.test(name);
    if (isName && !isReserved) return [];
    return [
      {
        key: `environment${writeStep(name)}`,
        value: "(not shown)",
        problem: isReserved ? "is set by Lambda or by this product" : "is not a name that Lambda takes",
        limit:
          "two or more of letters, digits and _, beginning with a letter, and none of Lambda's or MATVIEW_...",
        example: undefined,
      },
    ];
  });
}

/** As long as an endpoint may be, so that a database made with the stack fits as well. */
const LONGEST_HOST = "h".repeat(253);

function environmentSize(shaped: Shaped): RuleFault[] {
  const { views, environment, database, network } = shaped;
  if (views === undefined || environment === undefined) return [];
  const variables = functionEnvironment(
    {
      group: shaped.groupName ?? views[0]?.name.name ?? "",
      views: views.map(({ name, ...view }) => ({ ...name, ...view })),
      logFormat: "json",
      historyRetentionDays: 3_650,
      environment,
    },
    {
      host: database?.host ?? LONGEST_HOST,
      port: "65535",
      name: database?.name ?? "",
      user: database?.user ?? "",
      auth: database?.auth ?? "iam",
      tls: "verify-full",
      ...(database?.secretArn === undefined ? {} : { secretArn: database.secretArn }),
    },
  );
  if (network?.secretsEndpoint === true) variables[SECRETS_URL_VARIABLE] = LONGEST_SECRETS_URL;
  const bytes = environmentBytes(variables);
  if (bytes <= MOST_ENVIRONMENT_BYTES) return [];
  const viewBytes = Buffer.byteLength(variables.MATVIEW_VIEWS ?? "");
  const isViews = viewBytes >= environmentBytes(environment);
  return [
    {
      key: isViews ? "views" : "environment",
      value: isViews ? `${views.length} views, ${viewBytes} bytes` : "(not shown)",
      problem: `makes the function's environment ${bytes} bytes`,
      limit: `${MOST_ENVIRONMENT_BYTES} bytes for all variables of a Lambda function; split the views over two groups`,
      example: isViews ? [{ name: "public.job_progress" }] : {},
    },
  ];
}

/** AWS allows 50 on a resource; ours and those that a provider adds by default take some. */
const MOST_TAGS = 45;

function tagLimits({ tags = {} }: Shaped): RuleFault[] {
  const names = Object.keys(tags);
  const faults = names.flatMap((name) => tagFaults(name, tags[name] ?? ""));
  if (names.length > MOST_TAGS) {
    const problem = `holds ${names.length} tags`;
    faults.push({ key: "tags", value: tags, problem, limit: `at most ${MOST_TAGS}`, example: {} });
  }
  return faults;
}

function tagFaults(name: string, value: string): RuleFault[] {
  const signs = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u;
  const limit =
    "a key of 1 to 128 and a value of up to 256 letters, digits, spaces and _ . : / = + - @; no key beginning with aws:";
  const fault = { key: `tags${writeStep(name)}`, value, limit, example: undefined };
  if (name === "" || name.length > 128) return [{ ...fault, problem: `has a key ${name.length} long` }];
  if (/^aws:/i.test(name)) return [{ ...fault, problem: "has a key that AWS keeps for itself" }];
  if (value.length > 256) return [{ ...fault, problem: `has a value ${value.length} long` }];
  if (!signs.test(name) || !signs.test(value)) return [{ ...fault, problem: "has a sign AWS does not take" }];
  return [];
}

function noDoubles(shaped: Shaped): RuleFault[] {
  return (["alarmEmails", "alarmTopicArns", "okActionArns"] as const).flatMap((key) => {
    const values = shaped[key] ?? [];
    return values.flatMap((value, index) =>
      values.indexOf(value) === index
        ? []
        : [
            {
              key: `${key}[${index}]`,
              value,
              problem: "is listed twice",
              limit: "each one once",
              example: undefined,
            },
          ],
    );
  });
}
