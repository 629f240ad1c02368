import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** An endpoint on loopback that speaks as much of Secrets Manager's protocol as one GetSecretValue needs. */
export interface SecretsManager {
  readonly url: string;
  /** Secret texts, one a request; the last one stays. With none, requests are denied. */
  answers: string[];
  /** Refusals that come before the answers, one a request. */
  refusals: { status: number; type: string }[];
  /** ARNs that were asked for. */
  readonly requested: string[];
  close(): Promise<void>;
}

export async function startSecretsManager(): Promise<SecretsManager> {
  const requested: string[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      const { SecretId: arn } = JSON.parse(body) as { SecretId: string };
      requested.push(arn);
      const refusal = manager.refusals.shift();
      if (refusal !== undefined) {
        response.writeHead(refusal.status, { "Content-Type": "application/x-amz-json-1.1" });
        response.end(JSON.stringify({ __type: refusal.type, Message: "no" }));
        return;
      }
      const isSigned = request.headers.authorization?.startsWith("AWS4-HMAC-SHA256 ") === true;
      const secret = manager.answers.length > 1 ? manager.answers.shift() : manager.answers[0];
      const isKnown = request.headers["x-amz-target"] === "secretsmanager.GetSecretValue";
      const isAnswered = isSigned && isKnown && secret !== undefined;
      response.writeHead(isAnswered ? 200 : 400, { "Content-Type": "application/x-amz-json-1.1" });
      response.end(
        JSON.stringify(
          isAnswered
            ? { ARN: arn, Name: "db", SecretString: secret }
            : { __type: "AccessDeniedException", Message: "no" },
        ),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const manager: SecretsManager = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answers: [],
    refusals: [],
    requested,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return manager;
}
