import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sealGrant } from './compiled.ts'
import type { CompiledGrant, CompiledPrincipal } from './compiled.ts'
import { findGrant, isLive, isUsableId, tableOf } from './grant-table.ts'
import { subjectOf } from './policy.test-support.ts'

const ci: CompiledPrincipal = { kind: 'user', id: 1000, name: null }
const ops: CompiledPrincipal = { kind: 'group', id: 27, name: null }
const deploy: CompiledPrincipal = { kind: 'unit', name: 'deploy.service' }

function grantOf(...[who, more = {}]: [CompiledPrincipal, Partial<CompiledGrant>?]): CompiledGrant {
  const { until_ms = null, uses = null, limit = null } = more
  return sealGrant({ who: [who], may: ['x'], namespace: 'own', until_ms, uses, limit })
}

const plain = grantOf(ci)
const short = grantOf(ci, { until_ms: 100 })
const long = grantOf(ops, { until_ms: 200 })
const few = grantOf(ci, { uses: 1 })
const more = grantOf(ops, { uses: 2 })
const slow = grantOf(ci, { limit: { interval_us: 9, burst: 1 } })
const fast = grantOf(ops, { limit: { interval_us: 8, burst: 1 } })
const wide = grantOf(ops, { limit: { interval_us: 9, burst: 2 } })
const both = grantOf(ci, { uses: 9, limit: { interval_us: 1, burst: 9 } })
const both2 = grantOf(deploy)

type Case = readonly [
  name: string,
  grants: readonly CompiledGrant[],
  nowMs: number,
  want: CompiledGrant | undefined,
]
const cases: readonly Case[] = [
  ['no grant', [], 0, undefined],
  ['one grant', [plain], 0, plain],
  ['one that lasts before one that ends', [short, plain], 0, plain],
  ['the one that lasts longer', [short, long], 0, long],
  ['a void one only if all are: the last to end', [short, long], 200, long],
  ['a live one with bounds before a void one without', [short, few], 100, few],
  ['one without bounds while it is live', [short, few], 99, short],
  ['one without bounds', [few, slow, plain], 0, plain],
  ['a rate before a number of uses', [few, slow], 0, slow],
  ['one bound before two', [both, few], 0, few],
  ['the higher rate', [slow, fast], 0, fast],
  ['of equal rates the larger burst', [slow, wide], 0, wide],
  ['more uses', [few, more], 0, more],
  ['a unit like any other', [few, both2], 0, both2],
]
const subject = subjectOf(1000, [27], { unit: 'deploy.service' })

for (const [name, grants, nowMs, want] of cases) {
  test(`grants: of several counts ${name}`, () => {
    for (const order of [grants, grants.toReversed()]) {
      assert.equal(findGrant(tableOf(order), subject, nowMs)?.id, want?.id)
    }
  })
}

test('grants: of two that bound alike the one with the smaller id counts, in any order', () => {
  const [a, b] = [['x'], ['x', 'y']].map((may) =>
    sealGrant({ who: [ci], may, namespace: 'own', until_ms: 5, uses: 1, limit: null }),
  )
  assert.ok(a !== undefined && b !== undefined)
  const smaller = a.id < b.id ? a.id : b.id
  const pairs = [
    [a, b],
    [b, a],
  ] as const
  for (const [first, second] of pairs) {
    for (const nowMs of [0, 5]) {
      assert.equal(findGrant(tableOf([first, second]), subject, nowMs)?.id, smaller)
    }
    const other = sealGrant({ ...second, who: [ops] })
    const least = first.id < other.id ? first.id : other.id
    assert.equal(findGrant(tableOf([first, other]), subject, 0)?.id, least)
  }
})

test('grants: a unit is matched as a whole, and not at all when nobody vouches for it', () => {
  const table = tableOf([both2])
  for (const unit of [null, 'deploy', 'DEPLOY.service', 'deploy.service.', 'x-deploy.service']) {
    assert.equal(findGrant(table, subjectOf(1000, [], { unit }), 0), undefined)
  }
})

test('grants: C04: 65534 and 4294967295 are nobody, also as a group', () => {
  assert.ok(isUsableId(0) && isUsableId(65_533) && !isUsableId(65_534) && !isUsableId(2 ** 32 - 1))
  const table = tableOf([grantOf({ kind: 'group', id: 65_534, name: null })])
  assert.equal(findGrant(table, subjectOf(1, [65_534, 65_534]), 0), undefined)
})

const anyGrant = fc
  .record({
    who: fc.constantFrom(ci, ops, deploy),
    until_ms: fc.option(fc.integer({ min: 0, max: 20 })),
    uses: fc.option(fc.integer({ min: 1, max: 3 })),
    limit: fc.option(
      fc.record({
        interval_us: fc.integer({ min: 1, max: 3 }),
        burst: fc.integer({ min: 1, max: 3 }),
      }),
    ),
  })
  .map(({ who, ...rest }) => grantOf(who, rest))

test('grants: C11: their order never matters', () => {
  fc.assert(
    fc.property(fc.array(anyGrant, { maxLength: 12 }), fc.nat(25), (grants, nowMs) => {
      const found = findGrant(tableOf(grants), subject, nowMs)
      assert.equal(findGrant(tableOf(grants.toReversed()), subject, nowMs)?.id, found?.id)
    }),
  )
})

test('grants: the one that counts is the best of all live ones, as a search of all of them says', () => {
  fc.assert(
    fc.property(fc.array(anyGrant, { maxLength: 12 }), fc.nat(25), (grants, nowMs) => {
      const live = grants.filter(({ until_ms }) => until_ms === null || nowMs < until_ms)
      const found = findGrant(tableOf(grants), subject, nowMs)
      assert.equal(found !== undefined && isLive(found, nowMs), live.length > 0)
      if (live.length === 0) return
      const bounds = (grant: Pick<CompiledGrant, 'uses' | 'limit'>): number =>
        (grant.uses === null ? 0 : 2) + (grant.limit === null ? 0 : 1)
      assert.equal(found && bounds(found), Math.min(...live.map(bounds)))
    }),
  )
})
