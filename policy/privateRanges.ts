/** Address ranges that the internet does not reach. Pure: CIDRs in, an answer out. */
import { BlockList, isIP } from "node:net";

/** Private IPv4 (RFC 1918), shared by carriers and VPCs (RFC 6598), unique local IPv6 (RFC 4193). */
const PRIVATE_CIDRS = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

interface Range {
  address: string;
  bits: number;
  family: "ipv4" | "ipv6";
}

/** Whether a text is an address range: an address, and how many of its bits count. */
export function isCidr(text: string): boolean {
  return readCidr(text) !== undefined;
}

/** Whether all of a range lies inside one private range, or inside one that is allowed. A text that is none does not. */
export function isPrivateRange(cidr: string, allowedCidrs: string[]): boolean {
  const range = readCidr(cidr);
  if (range === undefined) return false;
  return [...PRIVATE_CIDRS, ...allowedCidrs].some((outer) => contains(readCidr(outer), range));
}

function readCidr(text: string): Range | undefined {
  const [address = "", bitsText, ...more] = text.trim().split("/");
  const version = isIP(address);
  const mostBits = version === 6 ? 128 : 32;
  const bits = bitsText === undefined ? mostBits : /^\d+$/.test(bitsText) ? Number(bitsText) : NaN;
  if (version === 0 || more.length > 0 || !(bits <= mostBits)) return undefined;
  return { address, bits, family: version === 6 ? "ipv6" : "ipv4" };
}

function contains(outer: Range | undefined, inner: Range): boolean {
  if (outer?.family !== inner.family || outer.bits > inner.bits) return false;
  const block = new BlockList();
  block.addSubnet(outer.address, outer.bits, outer.family);
  return block.check(inner.address, inner.family);
}
