import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { complementOf, intersectionOf, isWithin, unionOf, valueAlphabet } from './code-points.ts'

const ranges = fc.array(
  fc.tuple(fc.nat(40), fc.nat(8)).map(([first, length]) => [first, first + length] as const),
)
const everything = Array.from({ length: 60 }, (_, point) => point)

function members(set: ReturnType<typeof unionOf>): readonly number[] {
  return everything.filter((point) => set.some(([a, b]) => a <= point && point <= b))
}

test('code points: a set has one spelling, and union, complement and intersection are those of sets', () => {
  fc.assert(
    fc.property(ranges, ranges, (a, b) => {
      const [left, right] = [unionOf(a), unionOf(b)]
      const inLeft = new Set(members(left))
      assert.deepEqual(
        [...inLeft],
        everything.filter((point) => a.some(([first, last]) => first <= point && point <= last)),
      )
      assert.deepEqual(unionOf(left.toReversed()), left)
      assert.deepEqual(complementOf(complementOf(left)), left)
      assert.deepEqual(
        members(complementOf(left)),
        everything.filter((point) => !inLeft.has(point)),
      )
      assert.deepEqual(
        members(intersectionOf(left, right)),
        members(right).filter((point) => inLeft.has(point)),
      )
    }),
  )
})

test('code points: C13: no value holds what cannot be seen, whatever its parameter says', () => {
  const alphabet = valueAlphabet({ slash: true, space: true })
  for (let point = 0; point <= 0x10ffff; point += 1) {
    const text = String.fromCodePoint(point)
    const isHidden = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u.test(text)
    const isSpace = /\s/u.test(text) && text !== ' '
    if (isHidden || isSpace) assert.ok(!isWithin(alphabet, text), `U+${point.toString(16)}`)
  }
})

test('code points: a value holds "/" and " " only where its parameter says so', () => {
  const alphabetOf = (slash: boolean, space: boolean): ReturnType<typeof unionOf> =>
    valueAlphabet({ slash, space })
  assert.ok(isWithin(alphabetOf(true, true), 'a/b c é 😀'))
  assert.ok(!isWithin(alphabetOf(false, true), 'a/b'))
  assert.ok(!isWithin(alphabetOf(true, false), 'a b'))
  assert.ok(isWithin(alphabetOf(false, false), ''))
})
