import assert from 'node:assert/strict'
import test from 'node:test'
import { unlimited } from './plan.ts'
import { freshRlimits } from './rlimits.ts'

const limits = freshRlimits({ soft: 10, hard: 20 })

test('rlimits: C30: every limit of Linux is set, so none is inherited', () => {
  assert.deepEqual(
    limits.map(({ resource }) => resource),
    Array.from({ length: 16 }, (_, resource) => resource),
  )
})

test('rlimits: C30: a file size limit of the caller does not reach the run', () => {
  assert.deepEqual(limits[1], { resource: 1, soft: unlimited, hard: unlimited })
})

test('rlimits: no core is dumped, to a program neither, and open files are what was asked for', () => {
  assert.deepEqual(limits[4], { resource: 4, soft: 1n, hard: 1n })
  assert.deepEqual(limits[7], { resource: 7, soft: 10n, hard: 20n })
})
