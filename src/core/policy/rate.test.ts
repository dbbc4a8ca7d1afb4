import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { subjectOf } from './policy.test-support.ts'
import { applyRate, maxIntervalUs, parseRateUs, rateKey } from './rate.ts'

const rates: readonly (readonly [text: string, us: number | undefined])[] = [
  ['10/min', 6_000_000],
  ['1/s', 1_000_000],
  ['3600/h', 1_000_000],
  ['1/d', maxIntervalUs],
  ['1000000/s', 1],
  ['7/min', 8_571_429], // 8,571,428.6 rounded up: never more than seven
  ['1000001/s', undefined],
  ['0/s', undefined],
  ['01/s', undefined],
  ['-1/s', undefined],
  ['1.5/s', undefined],
  ['10', undefined],
  ['10/m', undefined],
  ['10 / min', undefined],
  ['10/week', undefined],
  ['', undefined],
]
for (const [text, us] of rates) {
  test(`rates: ${JSON.stringify(text)} is ${us ?? 'none'}`, () => {
    assert.equal(parseRateUs(text), us)
  })
}

/** One request each second at most, two at once. */
const limit = { interval_us: 1_000_000, burst: 2 }
const steps: readonly (readonly [nowMs: number, waitUs: number])[] = [
  [10_000, 0],
  [10_000, 0],
  [10_000, 1_000_000],
  [10_400, 600_000],
  [11_000, 0],
  [11_000, 1_000_000],
  [5_000, 7_000_000], // the clock was set back: the wait is longer, never shorter
  [13_000, 0],
  [13_000, 0],
  [13_000, 1_000_000],
]
test('rates: a burst, then one for each interval; a refused request costs nothing', () => {
  let tatUs: number | undefined
  for (const [nowMs, waitUs] of steps) {
    const answer = applyRate(limit, tatUs, nowMs)
    assert.equal(answer.kind === 'exceeds' ? answer.waitUs : 0, waitUs, `at ${nowMs}`)
    if (answer.kind === 'conforms') tatUs = answer.tatUs
  }
})

test('rates: requests that count for more take as many places, and one above the burst never gets in', () => {
  const bytes = { interval_us: 1000, burst: 100 }
  const first = applyRate(bytes, undefined, 0, 90)
  assert.deepEqual(first, { kind: 'conforms', tatUs: 90_000 })
  assert.deepEqual(applyRate(bytes, 90_000, 0, 11), { kind: 'exceeds', waitUs: 1000 })
  assert.equal(applyRate(bytes, 90_000, 0, 10).kind, 'conforms')
  assert.equal(applyRate(bytes, 90_000, 1, 11).kind, 'conforms')
  assert.equal(applyRate(bytes, undefined, 0, 101).kind, 'exceeds')
})

test('rates: promise 7: never more than burst + time / interval in any window', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5_000_000 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.integer({ min: 0, max: 4000 }), { maxLength: 60 }),
      (interval_us, burst, gaps) => {
        let nowMs = 1_800_000_000_000
        let tatUs: number | undefined
        const permitted: number[] = []
        for (const gap of gaps) {
          nowMs += gap
          const answer = applyRate({ interval_us, burst }, tatUs, nowMs)
          if (answer.kind === 'exceeds') continue
          tatUs = answer.tatUs
          permitted.push(nowMs)
        }
        permitted.forEach((start, first) => {
          permitted.slice(first).forEach((end, index) => {
            assert.ok(index + 1 <= burst + ((end - start) * 1000) / interval_us)
          })
        })
      },
    ),
  )
})

test('rates: whoever waits as long as it was told is permitted', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9_000_000 }),
      fc.integer({ min: 1, max: 5 }),
      (gap, n) => {
        let tatUs: number | undefined
        let waits = 0
        for (let nowMs = 1000, asked = 0; asked < 20; asked += 1) {
          const answer = applyRate({ interval_us: gap, burst: n }, tatUs, nowMs)
          if (answer.kind === 'conforms') tatUs = answer.tatUs
          else {
            waits += 1
            nowMs += Math.ceil(answer.waitUs / 1000)
            assert.equal(applyRate({ interval_us: gap, burst: n }, tatUs, nowMs).kind, 'conforms')
          }
        }
        assert.ok(waits > 0)
      },
    ),
  )
})

test('promise 7: rates: each uid and each unit that a grant names has its own state for each grant', () => {
  const units = new Set(['a.service', 'b.service'])
  const [one, two] = ['g-1', 'g-11'].map((id) => ({ id, units }))
  assert.ok(one && two)
  const alone = [subjectOf(1), subjectOf(11)]
  const inUnits = ['a.service', 'b.service'].map((unit) => subjectOf(1, [], { unit }))
  const keys = [one, two].flatMap((grant) =>
    [...alone, ...inUnits].map((who) => rateKey(grant, who)),
  )
  assert.equal(new Set(keys).size, 8)
  // Which uid a service runs as does not count, nor which of its sessions a user is in: each would be a state anew.
  assert.equal(rateKey(one, subjectOf(2, [], { unit: 'a.service' })), keys[2])
  assert.equal(rateKey(one, subjectOf(1, [], { unit: 'session-3.scope' })), keys[0])
})
