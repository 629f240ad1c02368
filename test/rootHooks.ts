import { stopTestServers } from "./servers";

/** Stops the servers that tests have started: after the last test, and when the run is interrupted. */
export const mochaHooks: Mocha.RootHookObject = {
  async afterAll(this: Mocha.Context) {
    this.timeout(60_000);
    await stopTestServers();
  },
};

const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

for (const [signal, exitCode] of Object.entries(exitCodes)) {
  process.once(signal, () => {
    void stopTestServers().finally(() => process.exit(exitCode));
  });
}
