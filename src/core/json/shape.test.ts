import assert from 'node:assert/strict'
import test from 'node:test'
import type { JsonValue } from './canonical.ts'
import {
  anyBoolean,
  anyString,
  guarded,
  integerWithin,
  listOf,
  mapOf,
  oneOf,
  orNull,
  recordOf,
  stringWhere,
} from './shape.ts'
import type { Shape } from './shape.ts'

const pair = recordOf((members) => ({
  a: members.take('a', integerWithin(0, 9)),
  b: members.take('b', orNull(anyString)),
}))
const isX = (value: unknown): value is 'x' => value === 'x'
const short = stringWhere((text) => text.length < 3, 'a short string')

const accepted: readonly { shape: Shape<unknown>; value: JsonValue }[] = [
  { shape: pair, value: { a: 9, b: null } },
  { shape: listOf(pair), value: [{ a: 0, b: 'x' }] },
  { shape: oneOf(['x', 'y']), value: 'y' },
  { shape: mapOf(short, anyBoolean), value: { on: true } },
  { shape: guarded(isX, 'x'), value: 'x' },
]

for (const [index, { shape, value }] of accepted.entries()) {
  test(`shapes: accepted value ${index} comes out as it is`, () => {
    assert.deepEqual(shape(value, 'it'), value)
  })
}

const refused: readonly { shape: Shape<unknown>; value: JsonValue; message: string }[] = [
  { shape: pair, value: { a: 1 }, message: 'it: expected a member "b"' },
  { shape: pair, value: { a: 1, b: null, c: 1 }, message: 'it: unknown member "c"' },
  { shape: pair, value: { a: 10, b: null }, message: 'it.a: expected an integer from 0 to 9' },
  { shape: pair, value: { a: -1, b: null }, message: 'it.a: expected an integer from 0 to 9' },
  { shape: pair, value: { a: 0.5, b: null }, message: 'it.a: expected an integer from 0 to 9' },
  { shape: pair, value: { a: '1', b: null }, message: 'it.a: expected an integer from 0 to 9' },
  { shape: pair, value: [], message: 'it: expected an object' },
  { shape: pair, value: null, message: 'it: expected an object' },
  { shape: pair, value: 'x', message: 'it: expected an object' },
  { shape: listOf(pair), value: [1], message: 'it[0]: expected an object' },
  { shape: listOf(pair), value: {}, message: 'it: expected an array' },
  { shape: oneOf(['x', 'y']), value: 'z', message: 'it: expected one of x, y' },
  { shape: mapOf(short, anyBoolean), value: { off: true }, message: 'it: expected a short string' },
  { shape: mapOf(short, anyBoolean), value: { on: 1 }, message: 'it.on: expected true or false' },
  { shape: guarded(isX, 'x'), value: 'y', message: 'it: expected x' },
  { shape: anyString, value: 1, message: 'it: expected a string' },
]

for (const { shape, value, message } of refused) {
  test(`shapes: ${JSON.stringify(value)} is refused: ${message}`, () => {
    assert.throws(() => shape(value, 'it'), { code: 'input_invalid', message })
  })
}
