import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseHex } from '../../core/json/hex.ts'
import { indexPolicy } from '../../core/policy/policy-index.ts'
import { policyOf } from '../../core/policy/policy.test-support.ts'
import type { UnusablePolicy, UsablePolicy } from '../../core/policy/reload.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { formatAdopt, formatLoaded } from '../../core/protocol/reload-frames.ts'
import type { NewEntry } from './entries.ts'
import { openPolicySwitch } from './policy-switch.ts'
import type { PolicySwitch } from './policy-switch.ts'

const policy = policyOf('schema = 1\n')
const usable = (digit: string): UsablePolicy => ({
  ...{ kind: 'policy', policy, index: indexPolicy(policy) },
  digest: digit.repeat(64),
})
const old = usable('a')
const next = usable('b')
const broken = { kind: 'unusable', why: 'broken' } as const

type Bench = Readonly<{
  switched: PolicySwitch
  adopted: Uint8Array[]
  entries: NewEntry[]
  handled: Frame[]
  /** The group is on disk. */
  commit: () => void
}>

function openBench(read: UsablePolicy | UnusablePolicy, isShort = false): Bench {
  const adopted: Uint8Array[] = []
  const entries: NewEntry[] = []
  const handled: Frame[] = []
  let waiting: (() => void)[] = []
  const switched = openPolicySwitch(
    {
      loadPolicy: () => read,
      toExecutor: (frame) => adopted.push(frame),
      record: (entry, durable) => {
        waiting.push(() => durable(entries.length))
        return entries.push(entry) - 1
      },
      isShort: () => isShort,
      nowMs: () => 5,
    },
    old,
    (frame) => handled.push(frame),
  )
  const commit = (): void => {
    const group = waiting
    waiting = []
    for (const durable of group) durable()
  }
  return { switched, adopted, entries, handled, commit }
}

const loaded = (read: UsablePolicy | UnusablePolicy): Uint8Array =>
  formatLoaded(
    read.kind === 'policy' ? { kind: 'policy', digest: parseHex(read.digest) } : read,
  ).subarray(8)
const adopt = (read: UsablePolicy): Uint8Array => formatAdopt(parseHex(read.digest))
const request: Frame = { kind: 0x0202, body: Uint8Array.of(1) }

for (const first of ['reload', 'loaded'] as const) {
  test(`policy switch: another policy is in force once that is recorded; ${first} comes first`, () => {
    const { switched, adopted, entries, handled, commit } = openBench(next)
    if (first === 'loaded') switched.loaded(loaded(next))
    switched.reload()
    assert.equal(switched.keep(request), true)
    if (first === 'reload') switched.loaded(loaded(next))
    assert.deepEqual([switched.inForce(), adopted, handled], [old, [], []], 'not yet recorded')
    commit()
    assert.deepEqual([switched.inForce(), adopted, handled], [next, [adopt(next)], [request]])
    const entry = { kind: 'policy', state: 'adopted', policyDigest: next.digest, reason: null }
    assert.deepEqual(entries, [entry])
    assert.equal(switched.keep(request), false)
    const last = { state: 'adopted', reason: null, time_ms: 5 }
    assert.deepEqual(switched.report(), { count: 1, last })
  })
}

test('promise 6: policy switch: a broken policy leaves the old one, which is recorded with the reason', () => {
  const { switched, adopted, entries, handled, commit } = openBench(broken)
  switched.reload()
  switched.keep(request)
  switched.loaded(loaded(next))
  commit()
  assert.deepEqual([switched.inForce(), adopted, handled], [old, [adopt(old)], [request]])
  const entry = { kind: 'policy', state: 'refused', policyDigest: old.digest, reason: 'broken' }
  assert.deepEqual(entries, [entry])
  const last = { state: 'refused', reason: 'broken', time_ms: 5 }
  assert.deepEqual(switched.report(), { count: 1, last })
})

test('policy switch: the policy in force needs no entry', () => {
  const { switched, adopted, entries } = openBench(old)
  switched.reload()
  switched.loaded(loaded(old))
  assert.deepEqual([adopted, entries], [[adopt(old)], []])
})

test('promise 2: policy switch: on a full disk nothing is swapped, and nothing written', () => {
  const { switched, adopted, entries } = openBench(next, true)
  switched.reload()
  switched.loaded(loaded(next))
  assert.deepEqual([switched.inForce(), adopted, entries], [old, [adopt(old)], []])
})

test('policy switch: a second LOADED is out of turn, before RELOAD and while the first is being recorded', () => {
  const { switched } = openBench(next)
  switched.loaded(loaded(next))
  assert.throws(() => switched.loaded(loaded(next)), { code: 'frame_invalid' })
  switched.reload()
  assert.throws(() => switched.loaded(loaded(next)), { code: 'frame_invalid' })
})
