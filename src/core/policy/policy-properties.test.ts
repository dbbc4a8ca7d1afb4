/** What holds for every policy, however it is written (issue of the language: four properties). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Subject } from '../identity.ts'
import { anyPolicy, anyStyle, splitPolicy, writeToml } from './any-policy.test-support.ts'
import { formatCompiledPolicy, policyDigest } from './compiled.ts'
import type { CompiledGrant, CompiledPolicy } from './compiled.ts'
import { parseCompiledPolicy } from './compiled-parse.ts'
import { decide } from './decide.ts'
import { indexPolicy } from './policy-index.ts'
import { factsAt, policyOf, requestOf, subjectOf } from './policy.test-support.ts'
import { segmentDigests } from './segments.ts'

test('every policy: parse(format(p)) = p, and another spelling of it is refused', () => {
  fc.assert(
    fc.property(anyPolicy, anyStyle, (tree, style) => {
      const policy = policyOf(writeToml(tree, style))
      const text = formatCompiledPolicy(policy)
      const parsed = parseCompiledPolicy(text)
      assert.equal(formatCompiledPolicy(parsed), text)
      assert.deepEqual(parsed, policy)
      assert.throws(() => parseCompiledPolicy(` ${text}`), { code: 'input_invalid' })
      assert.throws(() => parseCompiledPolicy(JSON.stringify(parsed, null, 1)), {
        ...{ code: 'input_invalid' },
      })
    }),
    { numRuns: 60 },
  )
})

test('every policy: C11: its digest does not know how it was written, nor in which order or how many files', () => {
  fc.assert(
    fc.property(anyPolicy, anyStyle, anyStyle, (tree, style, other) => {
      const first = policyOf(writeToml(tree, style))
      const texts = splitPolicy(tree, style).map((part) => writeToml(part, other))
      for (const second of [
        policyOf(writeToml(tree, other)),
        policyOf(...texts),
        policyOf(...texts.toReversed()),
      ]) {
        assert.equal(formatCompiledPolicy(second), formatCompiledPolicy(first))
        assert.equal(policyDigest(second), policyDigest(first))
        assert.deepEqual(segmentDigests(second), segmentDigests(first))
      }
    }),
    { numRuns: 60 },
  )
})

test('every policy: what it means is in its digest: other meanings, other digests', () => {
  let different = 0
  fc.assert(
    fc.property(anyPolicy, anyPolicy, anyStyle, (left, right, style) => {
      const [a, b] = [left, right].map((tree) => policyOf(writeToml(tree, style)))
      assert.ok(a !== undefined && b !== undefined)
      const isSame = formatCompiledPolicy(a) === formatCompiledPolicy(b)
      if (!isSame) different += 1
      assert.equal(policyDigest(a) === policyDigest(b), isSame)
    }),
    { numRuns: 40 },
  )
  assert.ok(different > 20)
})

const anySubject: fc.Arbitrary<Subject> = fc
  .record({
    uid: fc.constantFrom(7, 8, 9, 1000, 65_534),
    gid: fc.constantFrom(4, 7, 9, 65_534),
    groups: fc.subarray([4, 7, 11]),
    unit: fc.constantFrom(null, 'u.service', 'v.service'),
    foreign: fc.boolean(),
  })
  .map(({ uid, gid, groups, ...more }) => ({
    ...subjectOf(uid, groups, more),
    gid: subjectOf(gid).gid,
  }))

const anyRequest = fc
  .record({
    action: fc.constantFrom('a', 'b.c', 'd-1', 'e'),
    values: fc.array(
      fc.tuple(
        fc.constantFrom('one', 'two', 'three'),
        fc.constantFrom('x', 'y', '7', '500', 'true', '-x'),
      ),
      { maxLength: 5 },
    ),
    reason: fc.constantFrom('', 'because'),
  })
  .map(({ action, values, reason }) => ({
    ...requestOf(action, {}, { reason }),
    parameters: values.map(([name, value]) => ({ name, value })),
  }))

/** By reading the grant alone, without any table: whether it names the subject and is not void. */
function names(grant: CompiledGrant, subject: Subject, nowMs: number): boolean {
  const { uid, gid, groups, unit, foreign } = subject
  if (uid === 65_534 || (foreign && grant.namespace === 'own')) return false
  if (grant.until_ms !== null && nowMs >= grant.until_ms) return false
  const gids: readonly number[] = [gid, ...groups]
  return grant.who.some((principal) => {
    if (principal.kind === 'unit') return principal.name === unit
    return principal.kind === 'user' ? principal.id === uid : gids.includes(principal.id)
  })
}

const anyTime = fc.constantFrom(0, 999, 1000, 1999, 2000)
const unanswered = new Set(['action_unknown', 'not_granted', 'grant_expired'])
unanswered.add('subject_unmapped').add('subject_foreign_namespace')

test('every policy: promise 1: nothing is permitted without a live grant, and for want of one nothing that has one is denied', () => {
  const seen = { allowed: 0, denied: 0 }
  fc.assert(
    fc.property(
      anyPolicy,
      anyStyle,
      fc.array(fc.tuple(anySubject, anyRequest, anyTime), { minLength: 30 }),
      (tree, style, asked) => {
        const policy = policyOf(writeToml(tree, style))
        const index = indexPolicy(policy)
        for (const [subject, request, nowMs] of asked) {
          const live = policy.grants.filter(
            (grant) => grant.may.includes(request.action) && names(grant, subject, nowMs),
          )
          const decision = decide(index, subject, request, factsAt(nowMs))
          if (decision.kind === 'deny') {
            seen.denied += 1
            assert.equal(unanswered.has(decision.code), live.length === 0, decision.code)
          } else {
            seen.allowed += 1
            assert.ok(live.some(({ id }) => id === decision.grant))
          }
        }
      },
    ),
    { numRuns: 120 },
  )
  assert.ok(seen.allowed > 30 && seen.denied > 1000, JSON.stringify(seen))
})

function reversed(policy: CompiledPolicy): CompiledPolicy {
  return {
    ...policy,
    actions: policy.actions.toReversed().map((action) => ({ ...action })),
    profiles: policy.profiles.toReversed(),
    approvers: policy.approvers.toReversed(),
    grants: policy.grants
      .toReversed()
      .map(({ who, may, ...rest }) => ({ ...rest, who: who.toReversed(), may: may.toReversed() })),
  }
}

test('every policy: C11: the order of its rules never changes an answer', () => {
  fc.assert(
    fc.property(
      anyPolicy,
      anyStyle,
      fc.array(fc.tuple(anySubject, anyRequest, anyTime), { minLength: 30 }),
      (tree, style, asked) => {
        const policy = policyOf(writeToml(tree, style))
        const [one, other] = [indexPolicy(policy), indexPolicy(reversed(policy))]
        for (const [subject, request, nowMs] of asked) {
          const want = decide(one, subject, request, factsAt(nowMs))
          assert.deepEqual(decide(other, subject, request, factsAt(nowMs)), want)
        }
      },
    ),
    { numRuns: 40 },
  )
})
