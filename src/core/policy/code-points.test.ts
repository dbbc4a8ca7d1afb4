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

// The oracle is the runtime's own Unicode. A newer one that knows more of these shows here, and the list is changed by hand.
const unseen =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Z}\s\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\u2800]/u

test('code points: C13: values hold every character but what cannot be seen, whatever the parameter says', () => {
  const alphabet = valueAlphabet({ slash: true, space: true })
  const never: string[] = []
  const want: string[] = []
  for (let point = 0; point <= 0x10ffff; point += 1) {
    const text = String.fromCodePoint(point)
    if (!isWithin(alphabet, text)) never.push(point.toString(16))
    if (unseen.test(text) && text !== ' ') want.push(point.toString(16))
  }
  assert.deepEqual(never, want)
  assert.equal(never.length, 6404)
})

test('code points: a value holds "/" and " " only where its parameter says so', () => {
  const alphabetOf = (slash: boolean, space: boolean): ReturnType<typeof unionOf> =>
    valueAlphabet({ slash, space })
  assert.ok(isWithin(alphabetOf(true, true), 'a/b c é 😀'))
  assert.ok(!isWithin(alphabetOf(false, true), 'a/b'))
  assert.ok(!isWithin(alphabetOf(true, false), 'a b'))
  assert.ok(isWithin(alphabetOf(false, false), ''))
})
