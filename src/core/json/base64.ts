import { BelladonnaError } from '../error.ts'

/** Standard base64 with padding. */
export function formatBase64(bytes: Uint8Array): string {
  let binary = ''
  // In pieces: a spread of all bytes would overflow the argument list.
  for (let start = 0; start < bytes.length; start += 4096) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 4096))
  }
  return btoa(binary)
}

/**
 * Reads standard base64, and only the spelling that `formatBase64` writes: no white space, no missing padding, no
 * spare bits.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export function parseBase64(text: string): Uint8Array {
  let bytes: Uint8Array
  try {
    bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  } catch (cause) {
    throw new BelladonnaError('input_invalid', 'parse base64: not base64', { cause })
  }
  if (formatBase64(bytes) !== text) {
    throw new BelladonnaError('input_invalid', 'parse base64: not the canonical spelling')
  }
  return bytes
}
