import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRates } from './rates.ts'

test('rates: a state is kept until it says nothing any more, and then forgotten', () => {
  const rates = openRates(2)
  rates.take({ key: 'old', tatUs: 5_000 }, 4)
  rates.take({ key: 'live', tatUs: 9_000 }, 4)
  assert.deepEqual([...rates.states.keys()], ['old', 'live'])
  rates.take({ key: 'next', tatUs: 9_000 }, 6)
  assert.deepEqual([...rates.states.keys()], ['live', 'next'])
})

test('rates: states in use are never forgotten, however many', () => {
  const rates = openRates(2)
  for (let i = 0; i < 100; i += 1) rates.take({ key: `k${i}`, tatUs: 9_000 }, 6)
  assert.equal(rates.states.size, 100)
})

test('rates: a request without a rate changes nothing', () => {
  const rates = openRates()
  rates.take(null, 0)
  assert.equal(rates.states.size, 0)
})
