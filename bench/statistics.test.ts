import assert from 'node:assert/strict'
import { test } from 'node:test'

import { percentile, ratioOfPercentiles, ratioPerRound } from './statistics.ts'

const oneToHundred = Array.from({ length: 100 }, (_, i) => 100 - i)

for (const [share, want] of [
  [0, 1],
  [0.01, 1],
  [0.5, 50],
  [0.99, 99],
  [1, 100],
] as const) {
  test(`percentile: the share ${share} of 1 to 100 is ${want}`, () => {
    assert.equal(percentile(oneToHundred, share), want)
  })
}

test('percentile: of nothing is an error', () => {
  assert.throws(() => percentile([], 0.5), RangeError)
})

test('ratioPerRound: a disturbance of both sides does not count', () => {
  assert.deepEqual(ratioPerRound([1, 1, 100, 1, 1], [2, 2, 200, 2, 2]), {
    value: 0.5,
    spread: [0.5, 0.5],
  })
})

test('ratioPerRound: rounds come in pairs', () => {
  assert.throws(() => ratioPerRound([1], [1, 2]), RangeError)
})

test('ratioOfPercentiles: is taken over all rounds', () => {
  assert.equal(ratioOfPercentiles([1, 1, 8], [2, 4, 4], 0.99).value, 2)
})
