/** `prices`: shows the price table the cost estimate uses, or rebuilds a region of it from AWS's price list. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import {
  parsePriceTable,
  PriceUnknownError,
  regionPrices,
  type PriceId,
  type PriceTable,
} from "../components/cost/prices";
import { jsonOffers, readRegion, readServerPrices, type Offer, type RegionReading } from "./priceList";
import { awsPriceListUrl, openPriceList } from "./priceListSource";
import { unitPriceText } from "./money";
import { renderTable } from "./table";

/** Without these no estimate can be made at all: a list that lacks them has changed its form. */
const indispensable: PriceId[] = ["lambdaArm64GbSecond", "lambdaX86GbSecond", "lambdaRequest", "sqsRequest"];

const smallInstanceClasses = ["db.t4g.micro", "db.t4g.small", "db.t4g.medium", "db.t3.micro"];

interface PricesOptions {
  region: string;
  rebuild?: boolean;
  instanceClass: string[];
  priceList: string;
  table: string;
  json?: boolean;
}

/** The `prices` subcommand. Exit code 1 and a message on standard error when something cannot be had. */
export function pricesCommand(): Command {
  const command = new Command("prices")
    .description("show the prices the cost estimate uses, or rebuild them from AWS's public price list")
    .option("--region <region>", "AWS region", "us-east-1")
    .option("--rebuild", "read the region's prices from AWS's price list (EC2's part is large) and keep them")
    .option("--instance-class <class...>", "also read these RDS classes", [])
    .option("--price-list <url>", "AWS's price list or a mirror of it", awsPriceListUrl)
    .option(
      "--table <file>",
      "the price table",
      join(__dirname, "..", "components", "cost", "priceTable.json"),
    )
    .option("--json", "print JSON");
  return command.action(async (options: PricesOptions) => {
    try {
      await run(options, command);
    } catch (error) {
      command.error(`error: ${error instanceof Error ? error.message : String(error)}`, { exitCode: 1 });
    }
  });
}

async function run(options: PricesOptions, command: Command): Promise<void> {
  const output = command.configureOutput();
  const kept = parsePriceTable(JSON.parse(await readFile(options.table, "utf8")));
  const table = options.rebuild
    ? await rebuild(kept, options, (line) => output.writeErr?.(`${line}\n`))
    : kept;
  if (options.rebuild) await writeFile(options.table, `${JSON.stringify(table, null, 2)}\n`);
  output.writeOut?.(
    options.json ? `${JSON.stringify(regionPrices(table, options.region), null, 2)}\n` : show(table, options),
  );
}

/** The table with the region's prices read anew; what the list no longer has is gone from the table too. */
async function rebuild(
  table: PriceTable,
  { region, instanceClass, priceList }: PricesOptions,
  report: (line: string) => void,
): Promise<PriceTable> {
  const source = await openPriceList(region, priceList);
  const offers: Offer[] = [];
  for (const offerCode of jsonOffers) {
    report(`reading ${offerCode}`);
    offers.push(await source.offer(offerCode));
  }
  const known = Object.keys(table.regions[region]?.databaseInstances ?? {});
  const reading = readRegion(offers, region, [
    ...new Set([...smallInstanceClasses, ...known, ...instanceClass]),
  ]);
  refuseUnlessUsable(reading, region);
  report("reading AmazonEC2 (a large file, read until both prices are found)");
  const serverPrices = await readServerPrices(source.csvLines("AmazonEC2"));
  for (const name of reading.missing) report(`not in the list of ${region}: ${name}`);
  const rebuilt = { ...reading.region, prices: { ...reading.region.prices, ...serverPrices } };
  return parsePriceTable({ ...table, regions: { ...table.regions, [region]: rebuilt } });
}

function refuseUnlessUsable({ missing }: RegionReading, region: string): void {
  const lost = indispensable.filter((id) => missing.includes(id));
  if (lost.length === 0) return;
  throw new PriceUnknownError(
    `The price list of ${region} has no ${lost.join(", ")}: its form may have changed. The price table is unchanged.`,
  );
}

function show(table: PriceTable, { region }: PricesOptions): string {
  const { prices, databaseInstances } = regionPrices(table, region);
  const rows = Object.entries({ ...table.worldwide, ...prices, ...databaseInstances }).map(([id, price]) => [
    id,
    unitPriceText(price.usd),
    price.unit,
    price.date,
    price.source,
  ]);
  return renderTable(["id", "price", "per", "as of", "source"], rows, {
    isDecorated: process.stdout.isTTY,
    rightAligned: [1],
  });
}
