/** What people do to a database that a function refreshes views in. */
import type { Fault } from "../fault";
import { DEFINITION_FAULTS } from "./people/definitions";
import { LOCK_FAULTS } from "./people/locks";
import { RIGHTS_FAULTS } from "./people/rights";
import { ROUTINE_FAULTS } from "./people/routine";

export const PEOPLE_FAULTS: Fault[] = [
  ...LOCK_FAULTS,
  ...DEFINITION_FAULTS,
  ...RIGHTS_FAULTS,
  ...ROUTINE_FAULTS,
];
