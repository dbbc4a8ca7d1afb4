import assert from 'node:assert/strict'
import test from 'node:test'
import { decide } from './policy/decide.ts'
import type { Decision } from './policy/decide.ts'
import { indexPolicy } from './policy/policy-index.ts'
import {
  factsAt,
  fullPolicy,
  policyOf,
  requestOf,
  subjectOf,
} from './policy/policy.test-support.ts'
import { formatProblem } from './problem.ts'

/** What the caller hears of a denial, as the broker makes it. */
function heard(decision: Decision): string {
  if (decision.kind !== 'deny') return decision.kind
  const { code, action, parameter, enough } = decision
  return formatProblem(code, { action, parameter, enough, entry: 7 })
}

const now = Date.UTC(2031, 0, 1)
const live = Date.UTC(2027, 0, 1)

test('problem: what a refusal says of its rule is the same whoever else the grant names', () => {
  const alone = fullPolicy.replaceAll(/who = \[[^\]]*\]/g, 'who = ["user:ci"]')
  const shared = fullPolicy.replaceAll(
    /who = \[[^\]]*\]/g,
    'who = ["user:ci", "uid:4242", "group:sudo"]',
  )
  const [one, two] = [indexPolicy(policyOf(alone)), indexPolicy(policyOf(shared))]
  const ci = subjectOf(1000)
  const asked = [
    requestOf('look'),
    requestOf('tidy'),
    requestOf('nothing'),
    requestOf('app.restart', { service: 'x' }),
    requestOf('app.restart', { nonsense: 'x' }),
  ]
  const seen = new Set<string>()
  for (const request of asked) {
    for (const nowMs of [live, now]) {
      for (const subject of [ci, subjectOf(77), subjectOf(1000, [], { foreign: true })]) {
        const facts = {
          ...factsAt(nowMs),
          uses: new Map([...grantIds(alone), ...grantIds(shared)].map((id) => [id, 99])),
        }
        const first = heard(decide(one, subject, request, facts))
        assert.equal(heard(decide(two, subject, request, facts)), first)
        assert.doesNotMatch(first, /g-[0-9a-f]{16}|4242|sudo/)
        seen.add(String(/"code":"(\w+)"/.exec(first)?.[1]))
      }
    }
  }
  for (const code of [
    'action_unknown',
    'grant_expired',
    'parameter_invalid',
    'subject_foreign_namespace',
  ]) {
    assert.ok(seen.has(code), code)
  }
})

function grantIds(text: string): readonly string[] {
  return policyOf(text).grants.map(({ id }) => id)
}
