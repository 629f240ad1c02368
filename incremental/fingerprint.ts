// stub
import { inSchema } from "./print";
export function fingerprintFunction(input: { names: { fingerprint: string } } & Record<string, unknown>): string {
  return `CREATE OR REPLACE FUNCTION ${inSchema(input.names.fingerprint)}(OUT shape text, OUT content text, OUT broken text) LANGUAGE sql AS $$ SELECT 'a', 'b', NULL::text $$`;
}
