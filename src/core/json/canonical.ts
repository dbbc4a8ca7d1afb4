import { BelladonnaError } from '../error.ts'

/** A value that JSON can carry. Objects are plain: no class, no `toJSON`, no accessor counts. */
export type JsonValue =
  null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue }

/** Deeper values are refused instead of risking the stack, which an encoder cannot win back (ABUSE C70). */
export const maxCanonicalDepth: number = 128

/**
 * The one spelling of a JSON value that we hash and sign: no white space, members in the order of their UTF-16 code
 * units, numbers as ECMAScript prints them.
 *
 * Refuses whatever another reader might see otherwise: NaN, infinities, lone surrogates, `undefined`, holes, instances
 * of classes. (`JSON.stringify` drops or rewrites each of these in silence.)
 *
 * @throws {BelladonnaError} `input_invalid`
 * @see RFC 8785, sections 3.2.2 and 3.2.3
 */
export function formatCanonicalJson(value: JsonValue): string {
  return format(value, 0)
}

function format(value: JsonValue, depth: number): string {
  if (depth > maxCanonicalDepth) throw refused('nested too deeply')
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return formatString(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw refused('a number that is not finite')
    return JSON.stringify(value)
  }
  if (typeof value !== 'object') throw refused(`a value of type ${typeof value}`)
  if (isArray(value)) {
    // Array.from visits holes too, which `map` would skip.
    return `[${Array.from(value, (item) => format(item, depth + 1)).join(',')}]`
  }
  if (!isPlain(value)) throw refused('an object that is not plain')
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, item]) => `${formatString(name)}:${format(item, depth + 1)}`).join(',')}}`
}

function formatString(text: string): string {
  if (!text.isWellFormed()) throw refused('a string with a lone surrogate')
  return JSON.stringify(text)
}

function isArray(value: object): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function refused(what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `format canonical JSON: ${what}`)
}
