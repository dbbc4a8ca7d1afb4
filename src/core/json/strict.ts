import { BelladonnaError } from '../error.ts'
import type { JsonValue } from './canonical.ts'

/** Bounds of one parse; each is checked before the value that would break it is built. */
export type JsonLimits = Readonly<{
  /** Size of the text as UTF-8. */
  maxBytes?: number
  /** Arrays and objects within each other. */
  maxDepth?: number
  /** Members and elements together. */
  maxMembers?: number
}>

const defaultLimits: Required<JsonLimits> = {
  maxBytes: 16 * 1024 * 1024,
  maxDepth: 32,
  maxMembers: 1_000_000,
}

/** Where the parser is. `text` never changes; `at` and `members` only grow. */
type Cursor = {
  readonly text: string
  readonly limits: Required<JsonLimits>
  at: number
  members: number
}

// Both patterns are sticky and without nested repetition: linear in the text.
const numberPattern = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const plainTextPattern = /[^"\\\u0000-\u001f]*/y
const escapes: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

/**
 * Reads JSON text whose every part means one thing to every reader.
 *
 * Beyond RFC 8259 it refuses duplicate names, lone surrogates, integers outside ±(2^53 − 1), numbers that are not finite,
 * and anything above the limits (ABUSE C70). Objects have no prototype (C100). `-0` is read as `0`.
 *
 * @throws {BelladonnaError} `input_invalid`, with the offset in UTF-16 code units
 */
export function parseStrictJson(text: string, limits: JsonLimits = {}): JsonValue {
  const cursor: Cursor = { text, limits: { ...defaultLimits, ...limits }, at: 0, members: 0 }
  if (new TextEncoder().encode(text).length > cursor.limits.maxBytes) {
    throw refused(cursor, `more than ${String(cursor.limits.maxBytes)} bytes`)
  }
  const value = readValue(cursor, 0)
  skipSpace(cursor)
  if (cursor.at < text.length) throw refused(cursor, 'text after the value')
  return value
}

function readValue(cursor: Cursor, depth: number): JsonValue {
  skipSpace(cursor)
  switch (cursor.text.charAt(cursor.at)) {
    case '{':
      return readObject(cursor, depth + 1)
    case '[':
      return readArray(cursor, depth + 1)
    case '"':
      return readString(cursor)
    case 't':
      return readWord(cursor, 'true', true)
    case 'f':
      return readWord(cursor, 'false', false)
    case 'n':
      return readWord(cursor, 'null', null)
    default:
      return readNumber(cursor)
  }
}

function readObject(cursor: Cursor, depth: number): JsonValue {
  const object: Record<string, JsonValue> = {}
  Object.setPrototypeOf(object, null)
  enter(cursor, depth)
  if (skipIf(cursor, '}')) return object
  do {
    countMember(cursor)
    skipSpace(cursor)
    if (cursor.text[cursor.at] !== '"') throw refused(cursor, 'expected a name')
    const name = readString(cursor)
    if (name in object) throw refused(cursor, `duplicate name ${JSON.stringify(name)}`)
    if (!skipIf(cursor, ':')) throw refused(cursor, 'expected ":"')
    object[name] = readValue(cursor, depth)
  } while (skipIf(cursor, ','))
  if (!skipIf(cursor, '}')) throw refused(cursor, 'expected "," or "}"')
  return object
}

function readArray(cursor: Cursor, depth: number): JsonValue {
  const array: JsonValue[] = []
  enter(cursor, depth)
  if (skipIf(cursor, ']')) return array
  do {
    countMember(cursor)
    array.push(readValue(cursor, depth))
  } while (skipIf(cursor, ','))
  if (!skipIf(cursor, ']')) throw refused(cursor, 'expected "," or "]"')
  return array
}

function readString(cursor: Cursor): string {
  let value = ''
  cursor.at += 1
  for (;;) {
    value += take(cursor, plainTextPattern)
    const end = cursor.text[cursor.at]
    if (end === '"') break
    if (end !== '\\') throw refused(cursor, 'a string without end, or with a control character')
    value += readEscape(cursor)
  }
  cursor.at += 1
  if (!value.isWellFormed()) throw refused(cursor, 'a string with a lone surrogate')
  return value
}

function readEscape(cursor: Cursor): string {
  const letter = cursor.text.charAt(cursor.at + 1)
  if (letter === 'u') {
    const digits = cursor.text.slice(cursor.at + 2, cursor.at + 6)
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw refused(cursor, 'expected four hexadecimal digits')
    cursor.at += 6
    return String.fromCharCode(Number.parseInt(digits, 16))
  }
  const meant = escapes.get(letter)
  if (meant === undefined) throw refused(cursor, 'an unknown escape')
  cursor.at += 2
  return meant
}

function readNumber(cursor: Cursor): number {
  numberPattern.lastIndex = cursor.at
  const found = numberPattern.exec(cursor.text)
  if (found === null) throw refused(cursor, 'expected a value')
  const [spelling, fraction, exponent] = found
  const value = Number(spelling)
  const exact = fraction !== undefined || exponent !== undefined || Number.isSafeInteger(value)
  if (!Number.isFinite(value) || !exact) throw refused(cursor, `number out of range ${spelling}`)
  cursor.at += spelling.length
  return value === 0 ? 0 : value
}

function readWord(cursor: Cursor, word: string, value: JsonValue): JsonValue {
  if (!cursor.text.startsWith(word, cursor.at)) throw refused(cursor, 'expected a value')
  cursor.at += word.length
  return value
}

function enter(cursor: Cursor, depth: number): void {
  if (depth > cursor.limits.maxDepth) {
    throw refused(cursor, `nested deeper than ${String(cursor.limits.maxDepth)}`)
  }
  cursor.at += 1
}

function countMember(cursor: Cursor): void {
  cursor.members += 1
  if (cursor.members > cursor.limits.maxMembers) {
    throw refused(cursor, `more than ${String(cursor.limits.maxMembers)} members`)
  }
}

function skipIf(cursor: Cursor, character: string): boolean {
  skipSpace(cursor)
  if (cursor.text[cursor.at] !== character) return false
  cursor.at += 1
  return true
}

function skipSpace(cursor: Cursor): void {
  while (cursor.at < cursor.text.length && ' \t\n\r'.includes(cursor.text.charAt(cursor.at))) {
    cursor.at += 1
  }
}

/** Advances over what `pattern`, which also matches nothing, finds here. */
function take(cursor: Cursor, pattern: RegExp): string {
  const start = cursor.at
  pattern.lastIndex = start
  pattern.test(cursor.text)
  cursor.at = Math.max(start, pattern.lastIndex)
  return cursor.text.slice(start, cursor.at)
}

function refused(cursor: Cursor, what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `parse JSON at ${String(cursor.at)}: ${what}`)
}
