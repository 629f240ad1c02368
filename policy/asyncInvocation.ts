/** What Lambda does with an asynchronous invocation that fails or comes late: a function's own setting or a default. */
import { readNumber, withDefault, type Reading } from "./reading";
import { refersTo, related } from "./relations";
import { TYPE, type Resource, type ResourcesOfType } from "./resource";

const DEFAULT_RETRIES = 2;
const DEFAULT_EVENT_AGE_SECONDS = 21_600;

/** The setting of a function's asynchronous invocations. */
export interface AsyncInvocation {
  retries: Reading<number>;
  eventAgeSeconds: Reading<number>;
}

/** Reads what happens to a tick of a function that fails or comes late. */
export function asyncInvocationOf(fn: Resource, ofType: ResourcesOfType): AsyncInvocation {
  const configs = related(ofType(TYPE.invokeConfig), (config) => refersTo(config, ["functionName"], fn));
  const valueOf = (key: string, fallback: number): Reading<number> => {
    const [config] = configs.found;
    if (config) return withDefault(readNumber(config.props, key), fallback);
    return configs.isUnclear
      ? { state: "unknown", path: key }
      : { state: "known", value: fallback, path: key };
  };
  return {
    retries: valueOf("maximumRetryAttempts", DEFAULT_RETRIES),
    eventAgeSeconds: valueOf("maximumEventAgeInSeconds", DEFAULT_EVENT_AGE_SECONDS),
  };
}
