/**
 * A process that owns a local server, for tests that end such a process: starts one on the folder given, prints one
 * line of JSON, and stops the server when told to end.
 */
import { startPostgres } from "../../local/postgres/postgres";

async function main(dataDirectory: string): Promise<void> {
  const ended = new Promise<void>((resolve) => process.once("SIGTERM", resolve));
  try {
    const server = await startPostgres({ dataDirectory, serverSettings: { fsync: "off" } });
    print({ pid: server.pid, port: server.port });
    await ended;
    await server.stop();
  } catch (error) {
    print({ error: (error as Error).name, message: (error as Error).message });
  }
  process.exit();
}

function print(fact: object): void {
  process.stdout.write(`${JSON.stringify(fact)}\n`);
}

void main(process.argv[2] ?? "");
