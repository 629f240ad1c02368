/** What befalls a server: its processes die, it changes places, is full, is a reader, or sets its clock. */
import type { Fault } from "../fault";
import { CIRCUMSTANCE_FAULTS } from "./server/circumstances";
import { END_FAULTS } from "./server/ends";
import { SESSION_FAULTS } from "./server/sessions";

export const SERVER_FAULTS: Fault[] = [...END_FAULTS, ...SESSION_FAULTS, ...CIRCUMSTANCE_FAULTS];
