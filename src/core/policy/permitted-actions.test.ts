import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Subject } from '../identity.ts'
import { decide } from './decide.ts'
import { permittedActions } from './permitted-actions.ts'
import { indexPolicy } from './policy-index.ts'
import { factsAt, fullPolicy, policyOf, requestOf, subjectOf } from './policy.test-support.ts'

const index = indexPolicy(policyOf(fullPolicy))
const untilMs = Date.UTC(2030, 0, 1)
const unit = 'deploy@blue.service'

const rows: readonly (readonly [
  name: string,
  subject: Subject,
  nowMs: number,
  ids: readonly string[],
])[] = [
  ['a user', subjectOf(1000), 0, ['app.restart', 'look']],
  ['a supplementary group', subjectOf(7, [7, 27]), 0, ['app.restart', 'look']],
  ['another user', subjectOf(0), 0, ['look', 'tidy']],
  ['a unit', subjectOf(7, [], { unit }), 0, ['look']],
  ['a stranger', subjectOf(7), 0, []],
  ['at the end of its grant', subjectOf(1000), untilMs, []],
  ['just before', subjectOf(1000), untilMs - 1, ['app.restart', 'look']],
  ['C04: 65534', subjectOf(65534, [27]), 0, []],
  ['a foreign namespace', subjectOf(1000, [], { foreign: true }), 0, []],
  ['a foreign one that is granted', subjectOf(1000, [4], { foreign: true }), 0, ['look']],
]

for (const [name, subject, nowMs, ids] of rows) {
  test(`permitted actions: ${name}: those that decide would not refuse for want of a grant`, () => {
    const permitted = permittedActions(index, subject, nowMs)
    assert.deepEqual(
      permitted.map(({ entry }) => entry.action.id),
      ids,
    )
    for (const id of index.actions.keys()) {
      const decision = decide(index, subject, requestOf(id), factsAt(nowMs))
      const grant = permitted.find(({ entry }) => entry.action.id === id)?.grant
      if (decision.kind !== 'deny') assert.equal(decision.grant, grant, id)
      else if (grant !== undefined) assert.equal(decision.code, 'parameter_missing', id)
      else assert.match(decision.code, /unmapped|foreign|unknown|not_granted|expired/, id)
    }
  })
}
