/** Reads the rule of a composite alarm: text in, alarms out. */

/** A state function with its alarm, quoted or not, or one of the other words of a rule. */
const TOKEN =
  /\b(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]*)"|'([^']*)'|([^()"']*?))\s*\)|\b(?:NOT|AND|OR|TRUE|FALSE)\b|[()]/g;

/**
 * Names or ARNs of the alarms that make a rule true when they go off: those under `ALARM(…)`, or under a negated
 * `OK(…)`. What else must be true beside them (`AND`) is not weighed.
 */
export function alarmsOfRule(rule: string): string[] {
  const alarms: string[] = [];
  const outer: boolean[] = [];
  let isNegatedHere = false;
  let isNotBefore = false;
  for (const [token, state, ...names] of rule.matchAll(TOKEN)) {
    const isNegated: boolean = isNegatedHere !== isNotBefore;
    if (token === "NOT") {
      isNotBefore = !isNotBefore;
      continue;
    }
    if (token === "(") {
      outer.push(isNegatedHere);
      isNegatedHere = isNegated;
    } else if (token === ")") {
      isNegatedHere = outer.pop() ?? false;
    } else if (state === (isNegated ? "OK" : "ALARM")) {
      alarms.push(names.find((name) => name !== undefined) ?? "");
    }
    isNotBefore = false;
  }
  return alarms;
}
