/** What people do to a database that a function refreshes views in. */
import { faultsOf } from "../fault";
import { DEFINITION_FAULTS } from "./definitions";
import { LOCK_FAULTS } from "./locks";
import { RIGHTS_FAULTS } from "./rights";
import { ROUTINE_FAULTS } from "./routine";

export const PEOPLE_FAULTS = faultsOf({ group: "people" }, [
  ...LOCK_FAULTS,
  ...DEFINITION_FAULTS,
  ...RIGHTS_FAULTS,
  ...ROUTINE_FAULTS,
]);
