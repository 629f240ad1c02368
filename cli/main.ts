/**
 * The product's one command, a file for each subcommand: `start`, `watch`, `refresh`, `incremental`, `status`, `doctor`,
 * `migrate`, `cost`, `prices`.
 */
import { Command } from "commander";
import { costCommand } from "./cost";
import { doctorCommand } from "./doctor";
import { incrementalCommand } from "./incremental";
import { migrateCommand } from "./migrate";
import { pricesCommand } from "./prices";
import { refreshCommand } from "./refresh";
import { startCommand } from "./start";
import { statusCommand } from "./status";
import { watchCommand } from "./watch";

const program = new Command("matview-refresh")
  .description("keeps PostgreSQL materialized views within a promised age")
  .showHelpAfterError("(--help shows what there is)")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

const commands = [
  startCommand(),
  watchCommand(),
  refreshCommand(),
  incrementalCommand(),
  statusCommand(),
  doctorCommand(),
  migrateCommand(),
  costCommand(),
  pricesCommand(),
];
for (const command of commands) program.addCommand(command);

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
