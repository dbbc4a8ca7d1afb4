import { BelladonnaError } from '../error.ts'
import { complementOf, intersectionOf, unionOf } from './code-points.ts'
import type { CodePointRange, CodePointSet } from './code-points.ts'

/** What a pattern says. A `set` matches one character and is never empty. */
export type PatternNode =
  | PatternAtom
  | Readonly<{ kind: 'sequence'; parts: readonly PatternNode[] }>
  | Readonly<{ kind: 'repeat'; part: PatternAtom; min: number; max: number | null }>

/** What can be repeated: a character, or a group. */
export type PatternAtom =
  | Readonly<{ kind: 'set'; set: CodePointSet }>
  | Readonly<{ kind: 'choice'; options: readonly PatternNode[] }>

/** Longest pattern, in characters. */
const maxPatternLength = 512
/** Most groups within each other. */
const maxPatternDepth = 16
/** Highest count in `{m,n}`. */
const maxRepeat = 255

/** Where the parser is: `at` only grows. */
type Cursor = {
  readonly characters: readonly string[]
  readonly alphabet: CodePointSet
  at: number
}

const digits: CodePointSet = [[0x30, 0x39]]
const word: CodePointSet = unionOf([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
])
const escapedSets: ReadonlyMap<string, CodePointSet> = new Map([
  ['d', digits],
  ['D', complementOf(digits)],
  ['w', word],
  ['W', complementOf(word)],
])
const punctuation = /^[!-/:-@[-`{-~]$/

/**
 * Reads the subset of RE2 that `match` parameters have: literals, `.`, classes, `\d \D \w \W`, escaped punctuation,
 * groups, `|`, `* + ?` and `{m}`, `{m,}`, `{m,n}`. All else is refused rather than read as something near it.
 *
 * @param alphabet what a value may hold at all: a class loses the rest in silence, a literal outside is an error
 * @throws {BelladonnaError} `input_invalid`; the message counts characters from 1
 * @see spec/policy.md, "Patterns"
 */
export function parsePattern(pattern: string, alphabet: CodePointSet): PatternNode {
  const cursor: Cursor = { characters: Array.from(pattern), alphabet, at: 0 }
  if (cursor.characters.length > maxPatternLength) {
    throw refused(cursor, `the pattern is longer than ${String(maxPatternLength)} characters`)
  }
  const node = readChoice(cursor, 0)
  if (peek(cursor) === ')') throw refused(cursor, '")" without "("')
  return node
}

function readChoice(cursor: Cursor, depth: number): PatternAtom {
  const options = [readSequence(cursor, depth)]
  while (skipIf(cursor, '|')) options.push(readSequence(cursor, depth))
  return { kind: 'choice', options }
}

function readSequence(cursor: Cursor, depth: number): PatternNode {
  const parts: PatternNode[] = []
  for (;;) {
    const next = peek(cursor)
    if (next === undefined || next === '|' || next === ')') return { kind: 'sequence', parts }
    parts.push(readRepeat(cursor, readAtom(cursor, next, depth)))
  }
}

function readAtom(cursor: Cursor, next: string, depth: number): PatternAtom {
  switch (next) {
    case '(':
      return readGroup(cursor, depth + 1)
    case '[':
      return readClass(cursor)
    case '.':
      cursor.at += 1
      return { kind: 'set', set: cursor.alphabet }
    case '^':
    case '$':
      throw refused(cursor, `${JSON.stringify(next)}: a pattern always matches the whole value`)
    case '*':
    case '+':
    case '?':
      throw refused(cursor, `${JSON.stringify(next)} has nothing to repeat`)
    case '{':
    case '}':
    case ']':
      throw refused(cursor, `${JSON.stringify(next)} stands for itself only as "\\${next}"`)
    default:
      return toNode(cursor, readOne(cursor, next))
  }
}

function readGroup(cursor: Cursor, depth: number): PatternAtom {
  if (depth > maxPatternDepth) {
    throw refused(cursor, `more than ${String(maxPatternDepth)} groups within each other`)
  }
  cursor.at += 1
  if (skipIf(cursor, '?') && !skipIf(cursor, ':'))
    throw refused(cursor, 'only "(?:" may follow "("')
  const node = readChoice(cursor, depth)
  if (!skipIf(cursor, ')')) throw refused(cursor, '"(" without ")"')
  return node
}

function readRepeat(cursor: Cursor, part: PatternAtom): PatternNode {
  const next = peek(cursor)
  let repeat: PatternNode
  if (next === '*') repeat = { kind: 'repeat', part, min: 0, max: null }
  else if (next === '+') repeat = { kind: 'repeat', part, min: 1, max: null }
  else if (next === '?') repeat = { kind: 'repeat', part, min: 0, max: 1 }
  else if (next === '{') return noSecondRepeat(cursor, readCounts(cursor, part))
  else return part
  cursor.at += 1
  return noSecondRepeat(cursor, repeat)
}

function readCounts(cursor: Cursor, part: PatternAtom): PatternNode {
  const rest = cursor.characters.slice(cursor.at, cursor.at + 9).join('')
  // No leading zeros: RE2 reads "{01}" as these four characters.
  const found = /^\{(0|[1-9][0-9]{0,2})(?:(,)(0|[1-9][0-9]{0,2})?)?\}/.exec(rest)
  if (found === null) throw refused(cursor, 'expected {m}, {m,} or {m,n}; a brace itself is "\\{"')
  const [spelling, low, comma, high] = found
  const min = Number(low)
  const most = high === undefined ? min : Number(high)
  if (most < min || most > maxRepeat) {
    throw refused(cursor, `expected counts in order and at most ${String(maxRepeat)}`)
  }
  cursor.at += spelling.length
  return { kind: 'repeat', part, min, max: comma !== undefined && high === undefined ? null : most }
}

function noSecondRepeat(cursor: Cursor, repeat: PatternNode): PatternNode {
  const next = peek(cursor)
  if (next !== undefined && '*+?{'.includes(next)) {
    throw refused(cursor, 'a second repetition; use a group (lazy ones have no meaning here)')
  }
  return repeat
}

function readClass(cursor: Cursor): PatternAtom {
  const start = cursor.at
  cursor.at += 1
  const negated = skipIf(cursor, '^')
  const ranges: CodePointRange[] = []
  for (let first = true; first || peek(cursor) !== ']'; first = false) {
    ranges.push(...readClassItem(cursor, first))
  }
  cursor.at += 1
  const listed = unionOf(ranges)
  const set = intersectionOf(negated ? complementOf(listed) : listed, cursor.alphabet)
  if (set.length === 0) throw refused({ ...cursor, at: start }, 'a class that no value can match')
  return { kind: 'set', set }
}

function readClassItem(cursor: Cursor, first: boolean): CodePointSet {
  const next = peek(cursor)
  if (next === undefined) throw refused(cursor, '"[" without "]"')
  if ('[]^'.includes(next))
    throw refused(cursor, `in a class ${JSON.stringify(next)} is "\\${next}"`)
  if (next === '-' && !first && cursor.characters[cursor.at + 1] !== ']') {
    throw refused(cursor, 'inside a class "-" itself is "\\-"')
  }
  const low = readOne(cursor, next)
  const isRange = peek(cursor) === '-' && cursor.characters[cursor.at + 1] !== ']'
  if (!isRange) return low
  cursor.at += 1
  const end = peek(cursor)
  if (end === undefined) throw refused(cursor, '"[" without "]"')
  return rangeOf(cursor, low, readOne(cursor, end))
}

function rangeOf(cursor: Cursor, low: CodePointSet, high: CodePointSet): CodePointSet {
  const [[first, firstEnd] = [0, 1]] = low
  const [[last, lastEnd] = [0, 1]] = high
  if (first !== firstEnd || last !== lastEnd || last < first) {
    throw refused(cursor, 'a range that does not go from a character up to a character')
  }
  return [[first, last]]
}

/** One character, escaped or not, or one of the escaped sets. `next` is what the cursor stands at. */
function readOne(cursor: Cursor, next: string): CodePointSet {
  cursor.at += 1
  if (next !== '\\') return literalOf(next)
  const escaped = peek(cursor)
  const set = escaped === undefined ? undefined : escapedSets.get(escaped)
  if (escaped === undefined || (set === undefined && !punctuation.test(escaped))) {
    throw refused(cursor, 'only \\d \\D \\w \\W and punctuation may follow "\\"')
  }
  cursor.at += 1
  return set ?? literalOf(escaped)
}

function literalOf(character: string): CodePointSet {
  return Array.from(character, (one) => [Number(one.codePointAt(0)), Number(one.codePointAt(0))])
}

function toNode(cursor: Cursor, wanted: CodePointSet): PatternAtom {
  const set = intersectionOf(wanted, cursor.alphabet)
  if (set.length === 0) {
    throw refused(cursor, 'a character that no value may hold (see `slash` and `space`)', -1)
  }
  return { kind: 'set', set }
}

function peek(cursor: Cursor): string | undefined {
  return cursor.characters[cursor.at]
}

function skipIf(cursor: Cursor, character: string): boolean {
  if (peek(cursor) !== character) return false
  cursor.at += 1
  return true
}

function refused(cursor: Cursor, what: string, back = 0): BelladonnaError {
  return new BelladonnaError(
    'input_invalid',
    `at character ${String(cursor.at + 1 + back)}: ${what}`,
  )
}
