/** The commands that show whether a stack works, filled in with its names; for people to paste into a shell. */
import { shellWord } from "../settings/names";
import type { Plan, VerificationCommand } from "./planTypes";

/** From "is it there" to "is it quick enough", then switching the schedule off and on. */
export function verificationCommands(
  { names, alarms }: Pick<Plan, "names" | "alarms">,
  regionName: string,
): VerificationCommand[] {
  const region = `--region ${regionName}`;
  const functionName = `--function-name ${names.function}`;
  const logGroup = shellWord(names.logGroup);
  const alarmNames = alarms.map((alarm) => shellWord(alarm.name)).join(" ");
  return [
    { title: "The function", command: `aws lambda get-function-configuration ${functionName} ${region}` },
    { title: "The rule", command: `aws events describe-rule --name ${names.rule} ${region}` },
    {
      title: "The rule's targets",
      command: `aws events list-targets-by-rule --rule ${names.rule} ${region}`,
    },
    { title: "The log, as it grows", command: `aws logs tail ${logGroup} --follow ${region}` },
    { title: "The log of the last 10 minutes", command: `aws logs tail ${logGroup} --since 10m ${region}` },
    {
      title: "A refresh by hand",
      command:
        `aws lambda invoke ${functionName} --cli-binary-format raw-in-base64-out ` +
        `--payload '{"source":"manual-test"}' ${region} /tmp/refresh-test.json && jq . /tmp/refresh-test.json`,
    },
    {
      title: "Durations of the last hour (GNU date)",
      command:
        "aws cloudwatch get-metric-statistics --namespace AWS/Lambda --metric-name Duration " +
        `--dimensions Name=FunctionName,Value=${names.function} ` +
        "--start-time $(date -u -d '1 hour ago' +%Y-%m-%dT%H:%M:%S) --end-time $(date -u +%Y-%m-%dT%H:%M:%S) " +
        `--period 300 --statistics Average Maximum ${region}`,
    },
    {
      title: "The alarms",
      command:
        `aws cloudwatch describe-alarms --alarm-names ${alarmNames} ` +
        `--query 'MetricAlarms[].[AlarmName,StateValue]' --output table ${region}`,
    },
    {
      title: "Stop refreshing for a while",
      command: `aws events disable-rule --name ${names.rule} ${region}`,
    },
    { title: "Refresh again", command: `aws events enable-rule --name ${names.rule} ${region}` },
  ];
}
