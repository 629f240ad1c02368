/** Who the function says it is. The AWS SDK is loaded by the modes that need it and by no other. */
import { readFile } from "node:fs/promises";
import * as z from "zod/mini";
import type { DatabaseSettings } from "./settings";

interface Credentials {
  user: string;
  password: string;
}

/** Where a run's credentials come from. */
export interface CredentialSource {
  /**
   * Credentials for one connect.
   * @param refused whether the server has just refused the ones given before (28P01).
   * @param withinMs how long a service may be asked for them.
   */
  get(refused: boolean, withinMs: number): Promise<Credentials>;
  /** Whether asking again after a refusal can bring other credentials. */
  renewable: boolean;
  /** Who the function says it is; absent where only the credentials tell. */
  user?: string;
}

/** The credentials could not be had; the connection was not tried. `code` is the AWS error's name or an errno. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
  constructor(
    message: string,
    readonly code: string,
    /** Whether asking again can help. */
    readonly isTransient = false,
  ) {
    super(message);
  }
}

const SECRET_REQUEST = { connectionTimeout: 3_000, requestTimeout: 5_000 };

/** The source a run's settings ask for. A source lives for one run, so a rotated secret is seen by the next. */
export function credentialSource(database: DatabaseSettings): CredentialSource {
  switch (database.auth) {
    case "iam":
      return { ...userOf(database), renewable: false, get: () => iamToken(database) };
    case "secret":
      return secretSource(database.secretArn ?? "");
    case "password":
      return { ...userOf(database), renewable: false, get: () => passwordFromFile(database) };
  }
}

const userOf = ({ user }: DatabaseSettings): Pick<CredentialSource, "user"> =>
  user === undefined ? {} : { user };

/** A token is signed on this side, costs no request and lives for 15 minutes: one is made for every connect. */
async function iamToken(database: DatabaseSettings): Promise<Credentials> {
  const { Signer } = await import("@aws-sdk/rds-signer");
  const user = database.user ?? "";
  try {
    const signer = new Signer({ hostname: database.host, port: Number(database.port), username: user });
    return { user, password: await signer.getAuthToken() };
  } catch (error) {
    throw asCredentialsError("an IAM token could not be signed", error);
  }
}

const rdsSecret = z.object({
  username: z.string().check(z.minLength(1)),
  password: z.string().check(z.minLength(1)),
});

/** A secret is fetched once a run, and again when the server refuses it: it may have been rotated in between. */
function secretSource(secretArn: string): CredentialSource {
  let fetched: Credentials | undefined;
  return {
    renewable: true,
    async get(refused, withinMs) {
      if (fetched === undefined || refused) fetched = await fetchSecret(secretArn, withinMs);
      return fetched;
    },
  };
}

async function fetchSecret(secretArn: string, withinMs: number): Promise<Credentials> {
  const { SecretsManagerClient, GetSecretValueCommand } = await import("@aws-sdk/client-secrets-manager");
  const client = new SecretsManagerClient({ maxAttempts: 2, requestHandler: SECRET_REQUEST });
  const abortSignal = AbortSignal.timeout(Math.floor(withinMs));
  let text: string | undefined;
  try {
    const command = new GetSecretValueCommand({ SecretId: secretArn });
    ({ SecretString: text } = await client.send(command, { abortSignal }));
  } catch (error) {
    throw asCredentialsError("the database secret could not be fetched", error);
  } finally {
    client.destroy();
  }
  const parsed = rdsSecret.safeParse(parseJson(text ?? ""));
  if (parsed.success) return { user: parsed.data.username, password: parsed.data.password };
  // The parser's own message would quote what it read.
  throw new CredentialsError("the database secret is not JSON with username and password", "InvalidSecret");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function passwordFromFile(database: DatabaseSettings): Promise<Credentials> {
  try {
    const text = await readFile(database.passwordFile ?? "", "utf8");
    return { user: database.user ?? "", password: text.replace(/\r?\n$/, "") };
  } catch (error) {
    throw asCredentialsError("the password file could not be read", error);
  }
}

/** Names of throttles and timeouts as AWS's services and SDK give them, and errnos of a network that fails. */
const TRANSIENT =
  /^(Throttling|ThrottlingException|ThrottledException|TooManyRequestsException|RequestLimitExceeded|RequestTimeout|RequestTimeoutException|TimeoutError|AbortError|ServiceUnavailable|InternalServiceError|ECONNRESET|ECONNREFUSED|ETIMEDOUT|EPIPE|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/;

/** What the SDK adds to an error of a service. */
interface ServiceError extends NodeJS.ErrnoException {
  $fault?: "client" | "server";
  $retryable?: object;
}

function asCredentialsError(problem: string, error: unknown): CredentialsError {
  const { code, name, $fault, $retryable } = error as ServiceError;
  const isTransient =
    $fault === "server" || $retryable !== undefined || TRANSIENT.test(name) || TRANSIENT.test(code ?? "");
  return new CredentialsError(problem, code ?? name, isTransient);
}
