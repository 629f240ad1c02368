/** `doctor`: what will go wrong, before it does. */
import { Command } from "commander";
export function doctorCommand(): Command {
  return new Command("doctor");
}
