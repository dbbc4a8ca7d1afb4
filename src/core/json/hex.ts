import { BelladonnaError } from '../error.ts'

/**
 * Bytes from lower-case hexadecimal; the inverse of `formatHex`.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new BelladonnaError('input_invalid', 'parse hex')
  const bytes = new Uint8Array(text.length / 2)
  for (let at = 0; at < bytes.length; at += 1) {
    bytes[at] = 16 * digitOf(text.charCodeAt(2 * at)) + digitOf(text.charCodeAt(2 * at + 1))
  }
  return bytes
}

/** The value of a digit that the pattern above let through: `0` is 48, `a` is 97. */
function digitOf(code: number): number {
  return code < 58 ? code - 48 : code - 87
}
