import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeTestLog, verify } from '../../../test/log-fixture.ts'
import { maxListedProblems, messageOf } from './verify-report.ts'

test('verify: lists the first hundred problems and counts all', () => {
  const log = makeTestLog()
  for (let run = 0; run < 150; run += 1) log.outcome(run, 1000, null)
  const report = verify(log)
  assert.deepEqual([report.problem_count, report.problems.length], [150, maxListedProblems])
})

test('messageOf: whatever was thrown', () => {
  assert.equal(messageOf(new Error('a')), 'a')
  assert.equal(messageOf('b'), 'b')
})
