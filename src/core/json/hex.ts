import { BelladonnaError } from '../error.ts'

/**
 * Bytes from lower-case hexadecimal; the inverse of `formatHex`.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new BelladonnaError('input_invalid', 'parse hex')
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  )
}
