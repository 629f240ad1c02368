/** Sets variables of this process for the surrounding `describe` and puts the old ones back after it. */
export function useEnvironment(variables: () => Record<string, string>): void {
  const replaced: Record<string, string | undefined> = {};
  before(() => {
    for (const [name, value] of Object.entries(variables())) {
      replaced[name] = process.env[name];
      process.env[name] = value;
    }
  });
  after(() => {
    for (const [name, value] of Object.entries(replaced)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
}
