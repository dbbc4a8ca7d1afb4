import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import fc from 'fast-check'
import { RE2JS } from 're2js'
import { compileMatch, matches } from './automaton.ts'
import type { Automaton } from './automaton.ts'
import { complementOf, isWithin, valueAlphabet } from './code-points.ts'
import type { TextOptions } from './code-points.ts'
import { maxAutomatonStates } from './determinise.ts'
import { anyPattern } from './pattern.test-support.ts'

const plain: TextOptions = { slash: false, space: false }
const free: TextOptions = { slash: true, space: true }

function tableOf(pattern: string, options: TextOptions = plain): Automaton {
  const compiled = compileMatch(pattern, options)
  assert.ok(compiled.kind === 'compiled', `${pattern}: ${JSON.stringify(compiled)}`)
  return compiled.table
}

type Vector = Readonly<{
  pattern: string
  slash: boolean
  space: boolean
  table: Automaton
  accepts: readonly string[]
  refuses: readonly string[]
}>
type Vectors = Readonly<{
  vectors: readonly Vector[]
  invalid: readonly Readonly<{ pattern: string; message: string }>[]
}>

const { vectors, invalid }: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/match.json', import.meta.url), 'utf8'),
)

for (const { pattern, slash, space, table, accepts, refuses } of vectors) {
  test(`patterns: vector ${pattern}`, () => {
    const compiled = tableOf(pattern, { slash, space })
    assert.deepEqual(compiled, table)
    for (const value of accepts) assert.ok(matches(compiled, value), `accepts ${value}`)
    for (const value of refuses) assert.ok(!matches(compiled, value), `refuses ${value}`)
  })
}

for (const { pattern, message } of invalid) {
  test(`patterns: refused vector ${pattern.slice(0, 40)}`, () => {
    assert.deepEqual(compileMatch(pattern, plain), { kind: 'invalid', message })
  })
}

test('patterns: agree with re2js on any pattern and any value', () => {
  let accepted = 0
  fc.assert(
    fc.property(
      anyPattern,
      fc.array(
        fc.string({
          unit: fc.constantFrom('a', 'b', 'c', '0', '-', '.', 'é', '😀', '/', ' ', '\\', ']', '_'),
          maxLength: 6,
        }),
        { minLength: 8, maxLength: 8 },
      ),
      (pattern, values) => {
        const compiled = compileMatch(pattern, free)
        const oracle = RE2JS.compile(`^(?:${pattern})$`, RE2JS.DOTALL)
        for (const value of compiled.kind === 'compiled' ? values : []) {
          const want = oracle.matches(value)
          if (want) accepted += 1
          assert.equal(
            compiled.kind === 'compiled' && matches(compiled.table, value),
            want,
            `${pattern} on ${value}`,
          )
        }
      },
    ),
    { numRuns: 400 },
  )
  assert.ok(accepted > 100, `only ${accepted} values were accepted at all`)
})

test('patterns: C13: a value outside the alphabet never matches', () => {
  const table = tableOf('.*|[^a]*|\\W*|\\D*')
  const alphabet = valueAlphabet(plain)
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      assert.equal(matches(table, value), value.isWellFormed() && isWithin(alphabet, value))
    }),
  )
  for (const value of ['a\n', '\0', 'a b', 'a/b', '\u202e', '\ud800', '\u00a0']) {
    assert.ok(!matches(table, value), JSON.stringify(value))
  }
  const all = tableOf('.*', free)
  for (const [first, last] of complementOf(valueAlphabet(free))) {
    for (let point = first; point <= last; point += 1) {
      assert.ok(!matches(all, `a${String.fromCodePoint(point)}b`), `U+${point.toString(16)}`)
    }
  }
})

test('patterns: one language has one table, however it is written', () => {
  const same: readonly (readonly [string, string])[] = [
    ['(a|b)*', '[ab]*'],
    ['a+', 'aa*'],
    ['(?:a?){3}', 'a{0,3}'],
    ['ab|ac', 'a[bc]'],
    ['\\w', '[0-9A-Za-z_]'],
    ['[^\\D]', '\\d'],
    ['(a*)*', 'a*'],
    ['a|', 'a?'],
  ]
  for (const [left, right] of same) assert.deepEqual(tableOf(left), tableOf(right), left)
})

test('patterns: C109: what is slow elsewhere is one step for each character here', () => {
  const table = tableOf('(a+)+b|(a|a)*c|(.*.*.*)d')
  const startMs = performance.now()
  assert.ok(!matches(table, 'a'.repeat(65_536)))
  assert.ok(performance.now() - startMs < 200)
})

test('patterns: promise 7: a pattern that needs too many states is refused, and soon', () => {
  const greedy = ['.*a.{200}', '(?:a{0,255}){9}', '((a{0,99}){0,99}){0,99}', '(.*a){12}.{12}']
  const startMs = performance.now()
  for (const pattern of greedy) {
    const message = `the pattern needs more than ${maxAutomatonStates} states`
    assert.deepEqual(compileMatch(pattern, plain), { kind: 'invalid', message })
  }
  assert.ok(performance.now() - startMs < 20_000)
})

test('patterns: a table that was cut matches nothing more', () => {
  const table = tableOf('[a-c]+')
  assert.ok(!matches({ ...table, transitions: [] }, 'a'))
  assert.ok(!matches({ ...table, classes: [] }, 'a'))
  assert.ok(!matches({ ...table, accepting: [] }, 'a'))
})

test('patterns: an error that is not ours is not swallowed', () => {
  assert.throws(() => Reflect.apply(compileMatch, undefined, [null, plain]), TypeError)
})
