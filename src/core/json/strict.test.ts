import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import fc from 'fast-check'
import { skipWithoutData } from '../../../test/data.ts'
import { BelladonnaError } from '../error.ts'
import { parseStrictJson } from './strict.ts'

/** `y_` files of JSONTestSuite that our rules refuse: RFC 8259 allows them, and warns of them. */
const refusedOnPurpose = new Map([
  ['y_object_duplicated_key.json', 'a name given twice means two things to two readers'],
  ['y_object_duplicated_key_and_value.json', 'the same'],
])

function outcomeOf(bytes: Uint8Array): 'accepted' | 'refused' {
  try {
    parseStrictJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
    return 'accepted'
  } catch (error) {
    assert.ok(error instanceof BelladonnaError || error instanceof TypeError, String(error))
    return 'refused'
  }
}

test('strict JSON: JSONTestSuite: y_ is accepted, n_ is refused, i_ does not crash', (t) => {
  const folder = skipWithoutData(t, 'jsontestsuite/test_parsing', 229)
  if (folder === undefined) return
  const counts = new Map<string, number>()
  for (const name of readdirSync(folder)) {
    const outcome = outcomeOf(readFileSync(join(folder, name)))
    const kind = name.slice(0, 1)
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
    if (kind === 'n' || refusedOnPurpose.has(name)) assert.equal(outcome, 'refused', name)
    else if (kind === 'y') assert.equal(outcome, 'accepted', name)
  }
  console.log(`JSONTestSuite: ${JSON.stringify(Object.fromEntries(counts))}`)
  assert.ok((counts.get('y') ?? 0) >= 75 && (counts.get('n') ?? 0) >= 154)
})

test('strict JSON: reads what JSON.parse reads, from any spelling of it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 1, '\t'), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      fc.pre(!/\d{16}/.test(text)) // integers that a number cannot hold exactly are refused
      const read: unknown = JSON.parse(JSON.stringify(parseStrictJson(text, { maxDepth: 99 })))
      assert.deepEqual(read, JSON.parse(text.replaceAll(/(?<=[[:, ])-0(?=[\],}\s])|^-0$/g, '0')))
    }),
  )
})

test('strict JSON: never throws anything but its own error', () => {
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '\\',
    'u12',
    '1',
    '-',
    'e',
    '.',
    't',
    'rue',
    ' ',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
      outcomeOf(new TextEncoder().encode(parts.join('')))
    }),
    { numRuns: 2000 },
  )
})

const refusals: readonly { name: string; text: string }[] = [
  { name: 'C100: a duplicate name', text: '{"a":1,"\\u0061":2}' },
  { name: 'a lone surrogate', text: '"\\ud800"' },
  { name: 'C70: an integer past 2^53', text: '9007199254740993' },
  { name: 'C70: 1e400', text: '1e400' },
  { name: 'a byte order mark', text: '\ufeff1' },
  { name: 'text after the value', text: '1 2' },
  { name: 'no value', text: ' ' },
  { name: 'an unknown word', text: 'nul' },
  { name: 'a raw line end in a string', text: '"a\nb"' },
  { name: 'a string without end', text: '"a' },
  { name: 'an unknown escape', text: '"\\x41"' },
  { name: 'a short escape', text: '"\\u12g4"' },
  { name: 'a number as a name', text: '{1:2}' },
  { name: 'a name without a colon', text: '{"a" 1}' },
  { name: 'members without a comma', text: '{"a":1 "b":2}' },
  { name: 'elements without a comma', text: '[1 2]' },
  { name: 'a trailing comma', text: '[1,]' },
]

for (const { name, text } of refusals) {
  test(`strict JSON: refuses ${name}`, () => {
    assert.throws(() => parseStrictJson(text), { code: 'input_invalid' })
  })
}

test('strict JSON: limits hold at their value and not above', () => {
  assert.deepEqual(parseStrictJson('[[1]]', { maxDepth: 2 }), [[1]])
  assert.throws(() => parseStrictJson('[[1]]', { maxDepth: 1 }), /nested deeper than 1/)
  assert.deepEqual(parseStrictJson('[1,2]', { maxMembers: 2 }), [1, 2])
  assert.throws(() => parseStrictJson('{"a":[2]}', { maxMembers: 1 }), /more than 1 members/)
  assert.equal(parseStrictJson('"é"', { maxBytes: 4 }), 'é')
  assert.throws(() => parseStrictJson('"é"', { maxBytes: 3 }), /more than 3 bytes/)
})

test('strict JSON: C104: a depth of 100,000 is a refusal, not a stack overflow', () => {
  assert.throws(() => parseStrictJson('['.repeat(100_000)), { code: 'input_invalid' })
})

test('strict JSON: C100: __proto__ is a name like any other, in an object without prototype', () => {
  const value = parseStrictJson('{"__proto__":{"admin":true}}')
  assert.equal(Object.getPrototypeOf(value), null)
  assert.deepEqual(Object.keys(Object(value)), ['__proto__'])
  assert.equal(Reflect.get({}, 'admin'), undefined)
})

test('strict JSON: -0 is read as 0, since canonical JSON has no -0', () => {
  assert.ok(Object.is(parseStrictJson('-0'), 0))
  assert.ok(Object.is(parseStrictJson('-0.0e1'), 0))
})
