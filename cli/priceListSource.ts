/** Fetches AWS's public bulk price list: no account, no credentials. */
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { z } from "zod";
import { parseOffer, type Offer } from "./priceList";

export const awsPriceListUrl = "https://pricing.us-east-1.amazonaws.com";

/** RDS's regional list has tens of megabytes, EC2's hundreds. */
const requestTimeoutMs = 15 * 60_000;

const indexSchema = z.object({
  offers: z.record(z.string(), z.object({ currentRegionIndexUrl: z.string().optional() })),
});
const regionIndexSchema = z.object({
  regions: z.record(z.string(), z.object({ currentVersionUrl: z.string() })),
});

/** The price list of one region, service by service. */
export interface PriceListSource {
  /** @throws Error if the service has no list for the region, naming the regions it has. */
  offer(offerCode: string): Promise<Offer>;
  /** The same list as CSV, one line at a time. Stop iterating to stop the download. */
  csvLines(offerCode: string): AsyncIterable<string>;
}

/** Opens the list published under `baseUrl`, AWS's own or a mirror of it. */
export async function openPriceList(region: string, baseUrl: string): Promise<PriceListSource> {
  const { offers } = indexSchema.parse(await getJson(baseUrl, "/offers/v1.0/aws/index.json"));
  const offerPath = async (offerCode: string): Promise<string> => {
    const regionIndexUrl = offers[offerCode]?.currentRegionIndexUrl;
    if (!regionIndexUrl) throw new Error(`The price list has no regional prices for ${offerCode}`);
    const { regions } = regionIndexSchema.parse(await getJson(baseUrl, regionIndexUrl));
    const path = regions[region]?.currentVersionUrl;
    if (path) return path;
    throw new Error(
      `${offerCode} has no prices for region "${region}". It has: ${Object.keys(regions).join(", ")}`,
    );
  };
  return {
    offer: async (offerCode) => parseOffer(await getJson(baseUrl, await offerPath(offerCode))),
    async *csvLines(offerCode) {
      const path = (await offerPath(offerCode)).replace(/\.json$/, ".csv");
      const response = await get(baseUrl, path);
      if (!response.body) throw new Error(`${path} is empty`);
      const body = Readable.fromWeb(response.body as ReadableStream<Uint8Array>);
      try {
        yield* createInterface({ input: body, crlfDelay: Infinity });
      } finally {
        body.destroy();
      }
    },
  };
}

async function getJson(baseUrl: string, path: string): Promise<unknown> {
  return (await get(baseUrl, path)).json();
}

async function get(baseUrl: string, path: string): Promise<Response> {
  const url = new URL(path, baseUrl);
  let response: Response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new Error(`Cannot read ${url.href}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  if (!response.ok) throw new Error(`Cannot read ${url.href}: HTTP ${response.status}`);
  return response;
}
