import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sha256Hex } from '../json/digest.ts'
import { policyDigest, sealGrant } from './compiled.ts'
import type { CompiledGrant, CompiledPolicy } from './compiled.ts'
import { fullPolicy, policyOf } from './policy.test-support.ts'
import { segmentDigests, segmentNames } from './segments.ts'
import type { SegmentName } from './segments.ts'

/** The segments in which two policies differ. */
function changed(a: CompiledPolicy, b: CompiledPolicy): readonly SegmentName[] {
  const [left, right] = [segmentDigests(a), segmentDigests(b)]
  return segmentNames.filter((name) => left[name] !== right[name])
}

const changes: readonly (readonly [
  name: string,
  from: string | RegExp,
  to: string,
  segments: readonly SegmentName[],
])[] = [
  ['a comment', 'schema = 1', 'schema = 1 # of the language', []],
  ['an action', 'about = "Look"', 'about = "Look up"', ['auth']],
  ['a run-as', 'run_as = "root"', 'run_as = "ci"', ['auth']],
  ['a pattern', 'match = "[a-z]+"', 'match = "[a-y]+"', ['auth']],
  ['approvers', '"key:SHA256:abc"', '"key:SHA256:abd"', ['auth']],
  ['who', '"unit:deploy@blue.service"', '"unit:deploy@red.service"', ['auth', 'rate']],
  ['the end of a grant', 'until = 2030', 'until = 2031', ['auth']],
  ['uses', 'uses = 5', 'uses = 6', ['rate']],
  ['no uses', 'uses = 5\n', '', ['rate']],
  ['a rate', 'rate = "10/min"', 'rate = "11/min"', ['rate']],
  ['a burst', 'burst = 2', 'burst = 3', ['rate']],
  [
    'a bound where none was',
    'may = ["look", "app.restart"]\n',
    'may = ["look", "app.restart"]\nuses = 1\n',
    ['rate'],
  ],
  ['a limit of a profile', 'processes = 4', 'processes = 5', ['sandbox']],
  ['a profile more', '[profile.plain]', '[profile.other]\n[profile.plain]', ['sandbox']],
]

for (const [name, from, to, segments] of changes) {
  test(`segments: ${name} changes ${segments.join(' and ') || 'nothing'}`, () => {
    const next = fullPolicy.replace(from, to)
    assert.notEqual(next, fullPolicy)
    assert.deepEqual(changed(policyOf(fullPolicy), policyOf(next)), segments)
  })
}

test('segments: another architecture is another sandbox', () => {
  const policy = policyOf(fullPolicy)
  assert.deepEqual(changed(policy, { ...policy, architecture: 'aarch64' }), ['sandbox'])
})

test('segments: each has a domain of its own, and decoys are the empty list', () => {
  const digests = segmentDigests(policyOf('schema = 1\n'))
  assert.equal(digests.rate, sha256Hex('belladonna/policy/v1/rate\n[]'))
  assert.equal(digests.decoy, sha256Hex('belladonna/policy/v1/decoy\n[]'))
  assert.equal(new Set(Object.values(digests)).size, segmentNames.length)
})

const anyGrant = fc
  .record({
    who: fc.constantFrom(1, 2).map((id) => [{ kind: 'user', id, name: null } as const]),
    may: fc.constantFrom(['a'], ['a', 'b']),
    until_ms: fc.constantFrom(null, 7),
    namespace: fc.constantFrom('own', 'any'),
    uses: fc.constantFrom(null, 1, 2),
    limit: fc.constantFrom(null, { interval_us: 1, burst: 1 }, { interval_us: 1, burst: 2 }),
  })
  .map(sealGrant)

const anyGrants = fc.uniqueArray(anyGrant, { selector: ({ id }) => id, maxLength: 4 })

function policyWith(grants: readonly CompiledGrant[]): CompiledPolicy {
  const sorted = grants.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  return { ...policyOf(fullPolicy), grants: sorted }
}

test('segments: policies of one digest have the same segments, and others do not, whatever their grants', () => {
  const base = policyWith([])
  let same = 0
  fc.assert(
    fc.property(anyGrants, anyGrants, fc.boolean(), (left, right, alike) => {
      const [a, b] = [left, alike ? left.toReversed() : right].map((grants) => ({
        ...base,
        grants: policyWith(grants).grants,
      }))
      assert.ok(a !== undefined && b !== undefined)
      const isOne = policyDigest(a) === policyDigest(b)
      if (isOne) same += 1
      assert.equal(changed(a, b).length === 0, isOne)
    }),
    { numRuns: 500 },
  )
  assert.ok(same > 100)
})

test('segments: no bound of any grant changes auth, and nothing but a bound changes rate alone', () => {
  const base = policyWith([])
  const bounds = fc.tuple(
    fc.constantFrom(null, 1, 2),
    fc.constantFrom(null, { interval_us: 3, burst: 1 }),
  )
  fc.assert(
    fc.property(anyGrant, bounds, (grant, [uses, limit]) => {
      const { id, ...members } = grant
      const other = sealGrant({ ...members, uses, limit })
      const [a, b] = [grant, other].map((one) => ({ ...base, grants: [one] }))
      assert.ok(a !== undefined && b !== undefined)
      assert.deepEqual(changed(a, b), id === other.id ? [] : ['rate'])
    }),
  )
})
