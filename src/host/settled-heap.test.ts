import assert from 'node:assert/strict'
import { test } from 'node:test'
import { settleHeap } from './settled-heap.ts'

test('what nobody holds any more is given back at once, and what somebody holds stays', () => {
  const kept = Array.from({ length: 1_000 }, (_, at) => ({ at }))
  let dropped: unknown[] | null = Array.from({ length: 1_000_000 }, (_, at) => ({ at }))
  const before = process.memoryUsage()
  assert.equal(dropped.length, 1_000_000)
  dropped = null
  settleHeap()
  const after = process.memoryUsage()
  assert.ok(
    before.heapUsed - after.heapUsed > 20_000_000,
    `${before.heapUsed} to ${after.heapUsed}`,
  )
  assert.ok(before.heapTotal - after.heapTotal > 20_000_000, 'the system has it again')
  assert.equal(kept[999]?.at, 999)
})

test('afterwards no code can collect by a global function', () => {
  settleHeap()
  assert.equal('gc' in globalThis, false)
})
