/**
 * A small price list in AWS's own format, written by hand: the files' structure, the usage types and the
 * neighbours that a careless rule would take for the wanted product. Region: Oregon.
 */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export const version = "20261101000000";
const publicationDate = "2026-11-01T08:30:00Z";
const onDemandTerm = "JRTCKXETXF";
const rate = "6YS6EN2CT7";

/** A tier: first unit it holds for, and its price. */
type Tier = [beginRange: string, usd: string];

interface FixtureProduct {
  sku: string;
  family: string;
  attributes: Record<string, string>;
  tiers: Tier[];
}

function product(
  sku: string,
  family: string,
  usagetype: string,
  tiers: Tier[],
  more: Record<string, string> = {},
) {
  const region = { regionCode: "us-west-2", location: "US West (Oregon)", locationType: "AWS Region" };
  return { sku, family, attributes: { ...region, usagetype, ...more }, tiers };
}

const flat = (usd: string): Tier[] => [["0", usd]];
const postgresql = { databaseEngine: "PostgreSQL", deploymentOption: "Single-AZ" };

const products: Record<string, FixtureProduct[]> = {
  AWSLambda: [
    product("LAMX86", "Serverless", "USW2-Lambda-GB-Second", [
      ["15000000000", "0.0000133334"],
      ["0", "0.0000166667"],
      ["6000000000", "0.0000150000"],
    ]),
    product("LAMARM", "Serverless", "USW2-Lambda-GB-Second-ARM", flat("0.0000133334")),
    product("LAMREQ", "Serverless", "USW2-Request", flat("0.0000002000")),
    product("LAMREQARM", "Serverless", "USW2-Request-ARM", flat("0.0000002500")),
    product("LAMEDGE", "Serverless", "USW2-Lambda-Edge-Request", flat("0.0000006000")),
    product("LAMFREE", "Serverless", "Global-Lambda-GB-Second", flat("0.0000000000"), { regionCode: "" }),
  ],
  AWSQueueService: [
    product("SQSSTD", "API Request", "USW2-Requests-Tier1", flat("0.0000004000"), { queueType: "Standard" }),
    product("SQSFIFO", "API Request", "USW2-Requests-FIFO-Tier1", flat("0.0000005000"), {
      queueType: "FIFO (first-in, first-out)",
    }),
    product("SQSFREE", "API Request", "Global-Requests", flat("0.0000003000"), {
      regionCode: "",
      queueType: "Standard",
    }),
    product("SQSFAIR", "API Request", "USW2-Requests-Fair-Tier1", flat("0.0000001000"), {
      queueType: "Fair",
    }),
  ],
  AmazonCloudWatch: [
    product("CWALARM", "Alarm", "USW2-CW:AlarmMonitorUsage", flat("0.1000000000")),
    product("CWHIRES", "Alarm", "USW2-CW:HighResAlarmMonitorUsage", flat("0.3000000000")),
    product("CWCOMP", "Alarm", "USW2-CW:CompositeAlarmMonitorUsage", flat("0.5000000000")),
    product("CWMETRIC", "Metric", "USW2-CW:MetricMonitorUsage", [
      ["10000", "0.1000000000"],
      ["0", "0.3000000000"],
    ]),
    product("CWLOGIN", "Data Payload", "USW2-DataProcessing-Bytes", flat("0.5000000000")),
    product("CWLOGIA", "Data Payload", "USW2-DataProcessingIA-Bytes", flat("0.2500000000")),
    product("CWLOGST", "Storage Snapshot", "USW2-TimedStorage-ByteHrs", flat("0.0300000000")),
  ],
  AmazonSNS: [
    product("SNSMAIL", "Message Delivery", "USW2-DeliveryAttempts-SMTP", [
      ["0", "0.0000000000"],
      ["1000", "0.0000200000"],
    ]),
  ],
  AWSSecretsManager: [
    product("SMSECRET", "Secret", "USW2-AWSSecretsManager-Secrets", flat("0.4000000000")),
    product("SMCALL", "API Request", "USW2-AWSSecretsManagerAPIRequest", flat("0.0000050000")),
  ],
  AmazonVPC: [
    product("VPCEH", "VpcEndpoint", "USW2-VpcEndpoint-Hours", flat("0.0100000000")),
    product("VPCEGW", "VpcEndpoint", "USW2-VpcEndpoint-GWLBE-Hours", flat("0.0110000000")),
    product("VPCELAX", "VpcEndpoint", "USW2-LAX1-VpcEndpoint-Hours", flat("0.0120000000"), {
      regionCode: "us-west-2-lax-1",
      locationType: "AWS Local Zone",
    }),
    product("VPCEB", "VpcEndpoint", "USW2-VpcEndpoint-Bytes", flat("0.0100000000")),
    product("VPCIP", "VPCPublicIPv4Address", "USW2-PublicIPv4:InUseAddress", flat("0.0050000000")),
    product("VPCIDLE", "VPCPublicIPv4Address", "USW2-PublicIPv4:IdleAddress", flat("0.0060000000")),
  ],
  AmazonRDS: [
    product("RDSPROXY", "RDSProxy", "USW2-RDS:ProxyUsage", flat("0.0150000000"), {
      databaseEngine: "PostgreSQL",
    }),
    product("RDSGP3", "Database Storage", "USW2-RDS:GP3-Storage", flat("0.1150000000"), postgresql),
    product("RDSGP3MY", "Database Storage", "USW2-RDS:GP3-Storage", flat("0.1160000000"), {
      ...postgresql,
      databaseEngine: "MySQL",
    }),
    product("RDSMICRO", "Database Instance", "USW2-InstanceUsage:db.t4g.micro", flat("0.0160000000"), {
      ...postgresql,
      instanceType: "db.t4g.micro",
    }),
    product("RDSMULTI", "Database Instance", "USW2-Multi-AZUsage:db.t4g.micro", flat("0.0320000000"), {
      databaseEngine: "PostgreSQL",
      deploymentOption: "Multi-AZ",
      instanceType: "db.t4g.micro",
    }),
    product("RDSBIG", "Database Instance", "USW2-InstanceUsage:db.r8g.2xl", flat("0.9560000000"), {
      ...postgresql,
      instanceType: "db.r8g.2xlarge",
    }),
  ],
};

/** The regional price list of a service, as its JSON file would parse. */
export function fixtureOffer(
  offerCode: string,
  among: FixtureProduct[] = products[offerCode] ?? [],
): unknown {
  return {
    formatVersion: "v1.0",
    disclaimer: "A fixture.",
    offerCode,
    version,
    publicationDate,
    products: Object.fromEntries(
      among.map(({ sku, family, attributes }) => [
        sku,
        { sku, productFamily: family, attributes: { servicecode: offerCode, ...attributes } },
      ]),
    ),
    terms: {
      OnDemand: Object.fromEntries(among.map(({ sku, tiers }) => [sku, onDemand(sku, tiers)])),
      Reserved: { RDSMICRO: { "RDSMICRO.4NA7Y494T4": { priceDimensions: {} } } },
    },
    attributesList: {},
  };
}

function onDemand(sku: string, tiers: Tier[]) {
  const dimensions = tiers.map(([beginRange, usd], index) => {
    const rateCode = `${sku}.${onDemandTerm}.${rate}${index}`;
    return [
      rateCode,
      { rateCode, unit: "Unit", beginRange, endRange: "Inf", pricePerUnit: { USD: usd }, appliesTo: [] },
    ] as const;
  });
  const offerTermCode = onDemandTerm;
  const priceDimensions = Object.fromEntries(dimensions);
  return { [`${sku}.${onDemandTerm}`]: { offerTermCode, sku, priceDimensions, termAttributes: {} } };
}

/** All fixture offers. */
export function fixtureOffers(): Record<string, unknown> {
  return Object.fromEntries(Object.keys(products).map((offerCode) => [offerCode, fixtureOffer(offerCode)]));
}

/** One more product for a service, to make its list ambiguous. */
export function fixtureOfferWith(offerCode: string, sku: string, usagetype: string, usd: string): unknown {
  const more = product(sku, "Alarm", usagetype, flat(usd));
  return fixtureOffer(offerCode, [...(products[offerCode] ?? []), more]);
}

/** A service's list without some products. */
export function fixtureOfferWithout(offerCode: string, ...skus: string[]): unknown {
  return fixtureOffer(
    offerCode,
    (products[offerCode] ?? []).filter(({ sku }) => !skus.includes(sku)),
  );
}

const csvColumns = ["SKU", "TermType", "PriceDescription", "PricePerUnit", "usageType", "operation"];

/** The start of EC2's regional list as CSV: five lines about the file, the column names, then a row a price. */
export const fixtureCsvLines: string[] = [
  ["FormatVersion", "v1.0"],
  ["Disclaimer", 'Prices are "as is", and may change'],
  ["Publication Date", publicationDate],
  ["Version", version],
  ["OfferCode", "AmazonEC2"],
  csvColumns,
  [
    "EC2RES",
    "Reserved",
    "Linux/UNIX, t3.micro reserved",
    "0.0065000000",
    "USW2-BoxUsage:t3.micro",
    "RunInstances",
  ],
  [
    "EC2WIN",
    "OnDemand",
    "$0.0196 per On Demand Windows",
    "0.0196000000",
    "USW2-BoxUsage:t3.micro",
    "RunInstances:0002",
  ],
  [
    "EC2LAX",
    "OnDemand",
    "$0.0125, Los Angeles",
    "0.0125000000",
    "USW2-LAX1-BoxUsage:t3.micro",
    "RunInstances",
  ],
  [
    "EC2T3",
    "OnDemand",
    '$0.0104 per "Linux", on demand',
    "0.0104000000",
    "USW2-BoxUsage:t3.micro",
    "RunInstances",
  ],
  ["EC2GP2", "OnDemand", "$0.10 per GB-month", "0.1000000000", "USW2-EBS:VolumeUsage.gp2", ""],
  ["EC2GP3", "OnDemand", "$0.08 per GB-month", "0.0800000000", "USW2-EBS:VolumeUsage.gp3", ""],
].map((fields) => fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(","));

/** A price list server on this machine, with the paths AWS uses. */
export interface FixtureServer {
  url: string;
  /** Paths asked for, in order. */
  requests: string[];
  close(): Promise<void>;
}

/** Serves `offers` (by code) and EC2's CSV for us-west-2 alone. */
export async function servePriceList(offers: Record<string, unknown>): Promise<FixtureServer> {
  const requests: string[] = [];
  const base = "/offers/v1.0/aws";
  const files = new Map<string, string>();
  const codes = [...Object.keys(offers), "AmazonEC2"];
  const index: [string, object][] = codes.map((offerCode) => [
    offerCode,
    { offerCode, currentRegionIndexUrl: `${base}/${offerCode}/current/region_index.json` },
  ]);
  files.set(`${base}/index.json`, JSON.stringify({ offers: Object.fromEntries(index) }));
  for (const code of codes) {
    const regionCode = "us-west-2";
    const currentVersionUrl = `${base}/${code}/${version}/${regionCode}/index.json`;
    const regions = { [regionCode]: { regionCode, currentVersionUrl } };
    files.set(`${base}/${code}/current/region_index.json`, JSON.stringify({ regions }));
    files.set(currentVersionUrl, JSON.stringify(offers[code]));
  }
  files.set(`${base}/AmazonEC2/${version}/us-west-2/index.csv`, `${fixtureCsvLines.join("\n")}\n`);
  const server: Server = createServer((request, response) => {
    const path = request.url ?? "";
    requests.push(path);
    const file = files.get(path);
    response.statusCode = file === undefined ? 404 : 200;
    response.end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return { url: `http://127.0.0.1:${port}`, requests, close };
}
