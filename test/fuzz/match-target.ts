/**
 * Patterns of `match` against RE2. Input: the pattern, then a value a line. What we compile RE2 compiles too, and both
 * take the same values: those of the input, and words that our own automaton says it takes.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { RE2JS } from 're2js'
import { compileMatch, matches } from '../../src/core/policy/automaton.ts'
import type { Automaton } from '../../src/core/policy/automaton.ts'
import { isWithin, valueAlphabet } from '../../src/core/policy/code-points.ts'
import { pick } from './mutate.ts'
import type { Draw } from './mutate.ts'
import type { Target } from './target.ts'

const free = { slash: true, space: true }
const alphabet = valueAlphabet(free)
const longestWord = 40

type Vectors = Readonly<{
  vectors: readonly Readonly<{
    pattern: string
    accepts: readonly string[]
    refuses: readonly string[]
  }>[]
  invalid: readonly Readonly<{ pattern: string }>[]
}>

export function matchTarget(): Target {
  const file = new URL('../../spec/vectors/match.json', import.meta.url)
  const { vectors, invalid }: Vectors = JSON.parse(readFileSync(file, 'utf8'))
  return {
    seeds: [
      ...vectors.map(({ pattern, accepts, refuses }) =>
        [pattern, ...accepts, ...refuses].join('\n'),
      ),
      ...invalid.map(({ pattern }) => `${pattern.slice(0, 200)}\na`),
    ],
    words: [
      ...['(', ')', '(?:', '|', '*', '+', '?', '{2}', '{1,}', '{0,3}', '{0}', '.', '[a-z]', '[^a]'],
      ...[
        '\\d',
        '\\D',
        '\\w',
        '\\W',
        '\\.',
        '\\\\',
        '[\\]é-ü]',
        '[-a]',
        '[a-]',
        '-',
        '^',
        '$',
        '/',
      ],
      ...[
        'a',
        'b',
        'é',
        '😀',
        '\u{10ffff}',
        '\u3000',
        '\u0301',
        '\u00ad',
        '\ud7ff',
        '\ue000',
        '\n',
      ],
    ],
    run,
  }
}

function run(input: string, draw: Draw): void {
  const [pattern = '', ...values] = input.split('\n')
  const compiled = compileMatch(pattern, free)
  if (compiled.kind === 'invalid') {
    assert.match(compiled.message, /./)
    return
  }
  const oracle = RE2JS.compile(`^(?:${pattern})$`, RE2JS.DOTALL)
  const words = [0, 1, 2, 3].flatMap(() => wordOf(draw, compiled.table) ?? [])
  for (const word of words) assert.ok(matches(compiled.table, word), 'a walk to an accepting state')
  for (const value of [...values, ...words]) {
    if (!value.isWellFormed()) continue
    const want = isWithin(alphabet, value) && oracle.matches(value)
    assert.equal(matches(compiled.table, value), want, `${pattern} on ${JSON.stringify(value)}`)
  }
}

/** A random word that leads from the start to an accepting state, if one is met early. */
function wordOf(draw: Draw, table: Automaton): string | undefined {
  let state = 0
  let word = ''
  for (let length = 0; length < longestWord; length++) {
    if (table.accepting.includes(state) && draw(4) === 0) return word
    const ways = table.starts.flatMap((start, range) => {
      const next = table.transitions[state * table.class_count + (table.classes[range] ?? 0)] ?? -1
      const after = table.starts[range + 1] ?? 0x11_0000
      return next < 0 ? [] : [{ next, start, after }]
    })
    if (ways.length === 0) break
    const { next, start, after } = pick(draw, ways)
    word += String.fromCodePoint(pick(draw, [start, after - 1, start + draw(after - start)]))
    state = next
  }
  return table.accepting.includes(state) ? word : undefined
}
