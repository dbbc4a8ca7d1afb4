import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decide } from './decide.ts'
import type { Permit } from './decide.ts'
import { isForeseeable, isSameProgram } from './foresee.ts'
import { openPrograms } from './programs.ts'
import { indexPolicy } from './policy-index.ts'
import { factsAt, pathOf, policyOf, requestOf, subjectOf } from './policy.test-support.ts'
import { actionText } from '../../../test/support/action-text.ts'

const program = { executableSha256: 'a'.repeat(64), interpreterSha256: null, proxySha256: null }
const other = { ...program, executableSha256: 'b'.repeat(64) }
const script = { ...program, interpreterSha256: 'c'.repeat(64) }

function permitOf(grant: string): Permit {
  const index = indexPolicy(
    policyOf(`schema = 1
[profile.p]
${actionText('a', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["uid:1000"]
may = ["a"]
${grant}`),
  )
  const decision = decide(index, subjectOf(1000), requestOf('a'), factsAt(0))
  assert.equal(decision.kind, 'permit')
  return decision
}

test('foresee: what the executor looks at, reads or counts for one run alone cannot be foreseen', () => {
  const plain = permitOf('')
  assert.equal(isForeseeable(plain, 0), true)
  assert.equal(isForeseeable(plain, 1), false)
  assert.equal(isForeseeable(permitOf('uses = 5'), 0), false)
  // By the clock of one that is this grant, by the other's another one.
  const until = 'until = 2030-01-01T00:00:00Z\n[[grant]]\nwho = ["uid:1000"]\nmay = ["a"]\nuses = 5'
  assert.equal(isForeseeable(permitOf(until), 0), false)
  assert.equal(isForeseeable(permitOf('limit = { rate = "10/min" }'), 0), true)
  const named = { parameter: 'p', path: pathOf('/srv/x'), what: 'file' } as const
  const granted = { ...named, access: 'read', hard_links: false, content: 'live' } as const
  assert.equal(isForeseeable({ ...plain, paths: [granted] }, 0), false)
})

test('foresee: a program is its bytes and those of its interpreter', () => {
  assert.deepEqual(
    [program, other, script].map((one) => isSameProgram(program, one)),
    [true, false, false],
  )
})

test('programs: the last one named, under one policy at a time', () => {
  const programs = openPrograms()
  assert.equal(programs.known('p', 'a'), null)
  assert.equal(programs.learn('p', 'a', program), true)
  assert.equal(programs.learn('p', 'a', program), false)
  assert.deepEqual(programs.known('p', 'a'), program)
  assert.equal(programs.learn('p', 'a', other), false)
  assert.deepEqual(programs.known('p', 'a'), other)
  assert.equal(programs.known('p', 'b'), null)
  assert.equal(programs.known('q', 'a'), null)
  assert.equal(programs.known('p', 'a'), null)
})
