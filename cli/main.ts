/** The product's one command, a file for each subcommand: `start`, `refresh`, `migrate`, `cost` and `prices`. */
import { Command } from "commander";
import { costCommand } from "./cost";
import { migrateCommand } from "./migrate";
import { pricesCommand } from "./prices";
import { refreshCommand } from "./refresh";
import { startCommand } from "./start";

const program = new Command("matview-refresh")
  .description("keeps PostgreSQL materialized views within a promised age")
  .showHelpAfterError("(--help shows what there is)")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

for (const command of [startCommand(), refreshCommand(), migrateCommand(), costCommand(), pricesCommand()]) {
  program.addCommand(command);
}

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
