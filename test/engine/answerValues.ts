/** The plain values that answers are made of. */
import { createHash } from "node:crypto";

/** 64 hexadecimal digits that depend on the parts alone. */
export function digest(...parts: string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex");
}

/** A text, or the fallback when the value is absent or something else. */
export function text(value: unknown, fallback = ""): string {
  return typeof value === "string" ? value : fallback;
}

/** 32 hexadecimal digits written as a UUID. */
export function uuidOf(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
}
