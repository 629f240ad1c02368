/** Dollars as text. Amounts are rounded here and nowhere else. */

/** A month's amount to the cent: "$0.19", "-$1.20". */
export function monthlyText(usd: number): string {
  const cents = Math.abs(usd).toFixed(2);
  return `${usd < 0 && Number(cents) > 0 ? "-" : ""}$${cents}`;
}

/** A unit price in full, as AWS publishes it with ten decimals: "$0.0000166667". */
export function unitPriceText(usd: number): string {
  return `$${usd.toFixed(10).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}
