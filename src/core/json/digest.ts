import { hash } from 'node:crypto'
import { formatCanonicalJson } from './canonical.ts'
import type { JsonValue } from './canonical.ts'

/** SHA-256 of a text's UTF-8, 64 lower-case hexadecimal digits. */
export function sha256Hex(text: string): string {
  return hash('sha256', text, 'hex')
}

/** SHA-256 of the value's canonical JSON: equal values have equal digests, however they were written. */
export function digestOfJson(value: JsonValue): string {
  return sha256Hex(formatCanonicalJson(value))
}
