import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { skipWithoutData } from '../../../test/data.ts'
import { formatCanonicalJson, maxCanonicalDepth } from './canonical.ts'
import type { JsonValue } from './canonical.ts'
import { digestOfJson } from './digest.ts'
import { parseStrictJson } from './strict.ts'

type Vector = Readonly<{ name: string; input: string; canonical: string; sha256: string }>

const { vectors }: { vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/canonical-json.json', import.meta.url), 'utf8'),
)

for (const { name, input, canonical, sha256 } of vectors) {
  test(`canonical JSON: ${name}`, () => {
    const value = parseStrictJson(input)
    assert.equal(formatCanonicalJson(value), canonical)
    assert.equal(digestOfJson(value), sha256)
  })
}

test('canonical JSON: the examples of RFC 8785 come out byte by byte', (t) => {
  const folder = skipWithoutData(t, 'jcs-rfc8785', 6)
  if (folder === undefined) return
  const names = readdirSync(join(folder, 'input')).filter((name) => name.endsWith('.json'))
  assert.notEqual(names.length, 0)
  for (const name of names) {
    const value = parseStrictJson(readFileSync(join(folder, 'input', name), 'utf8'))
    const want: string = readFileSync(join(folder, 'output', name), 'utf8').replace(/\n$/, '')
    assert.equal(formatCanonicalJson(value), want, name)
  }
  console.log(`RFC 8785: ${names.length} examples`)
})

test('canonical JSON: agrees with the package canonicalize on any JSON, and parses to the same again', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const plain: JsonValue = JSON.parse(JSON.stringify(value))
      const text = formatCanonicalJson(plain)
      fc.pre(!/\d{16}/.test(text)) // integers that a number cannot hold exactly are refused
      assert.equal(text, canonicalize(plain))
      assert.equal(formatCanonicalJson(parseStrictJson(text, { maxDepth: 128 })), text)
    }),
  )
})

const hole: JsonValue[] = [1, 2, 3]
delete hole[1]
const refusals: readonly { name: string; value: unknown }[] = [
  { name: 'NaN', value: NaN },
  { name: 'an infinity', value: -Infinity },
  { name: 'a lone surrogate', value: 'x\ud800' },
  { name: 'a lone surrogate in a name', value: { '\udc00': 1 } },
  { name: 'undefined', value: undefined },
  { name: 'an undefined member', value: { a: undefined } },
  { name: 'a hole', value: hole },
  { name: 'a function', value: () => 1 },
  { name: 'a bigint', value: 1n },
  { name: 'a date, which has a toJSON', value: new Date(0) },
  { name: 'a map', value: new Map() },
]

for (const { name, value } of refusals) {
  test(`canonical JSON: C70: refuses ${name}`, () => {
    assert.throws(
      () => {
        Reflect.apply(formatCanonicalJson, undefined, [value])
      },
      { code: 'input_invalid' },
    )
  })
}

test('canonical JSON: C70: refuses what is nested too deeply, before the stack ends', () => {
  let value: JsonValue = 1
  for (let depth = 0; depth < maxCanonicalDepth; depth += 1) value = [value]
  assert.equal(formatCanonicalJson(value).length, 2 * maxCanonicalDepth + 1)
  assert.throws(() => formatCanonicalJson([value]), { code: 'input_invalid' })
})
