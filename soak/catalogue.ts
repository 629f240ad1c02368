/** Every fault that there is. */
import type { Mode } from "./bed/bed";
import type { Fault } from "./fault";
import { DISK_FAULTS } from "./faults/disk";
import { FUNCTION_FAULTS } from "./faults/function";
import { MAINTAINED_FAULTS } from "./faults/maintained";
import { NETWORK_FAULTS } from "./faults/network";
import { PEOPLE_FAULTS } from "./faults/people";
import { SERVER_FAULTS } from "./faults/server";

export const FAULTS: readonly Fault[] = [
  ...SERVER_FAULTS,
  ...NETWORK_FAULTS,
  ...DISK_FAULTS,
  ...FUNCTION_FAULTS,
  ...PEOPLE_FAULTS,
  ...MAINTAINED_FAULTS,
];

export const GROUPS = [...new Set(FAULTS.map(({ group }) => group))];

/**
 * The faults of a mode that a list of groups and names asks for; all of them where it asks for nothing.
 * @throws Error that names what there is, where a word is neither a group's nor a fault's name
 */
export function chooseFaults(mode: Mode, asked: readonly string[]): Fault[] {
  const isKnown = (word: string): boolean =>
    FAULTS.some(({ name, group }) => word === group || word === name);
  const unknown = asked.filter((word) => !isKnown(word));
  if (unknown.length > 0) {
    const names = FAULTS.map(({ name }) => name).join(", ");
    throw new Error(`no such fault: ${unknown.join(", ")}. Groups: ${GROUPS.join(", ")}. Faults: ${names}`);
  }
  return FAULTS.filter(
    ({ name, group, modes }) =>
      modes.includes(mode) && (asked.length === 0 || asked.includes(group) || asked.includes(name)),
  );
}
