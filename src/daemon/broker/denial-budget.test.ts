import assert from 'node:assert/strict'
import { test } from 'node:test'
import { uidOf } from '../../core/policy/policy.test-support.ts'
import { openTestBridge, usable } from '../bridge.test-support.ts'
import type { TestBridge } from '../bridge.test-support.ts'
import { openDenialBudget } from './denial-budget.ts'
import type { DeniedClass } from './denial-budget.ts'

const startMs = 1_800_000_000_000

/** Who asks a budget so often a second for so many seconds; how many bytes of entries that may make. */
function bytesTaken(
  kind: DeniedClass,
  uids: number,
  { seconds, each, request }: Readonly<{ seconds: number; each: number; request: number }>,
): number {
  const budget = openDenialBudget()
  let taken = 0
  for (let at = 0; at < seconds * each; at += 1) {
    const subject = { uid: uidOf(2000 + (at % uids)), groups: [] }
    const denied = { subject, request: new Uint8Array(request) }
    const bytes = Math.min(16_384, 700 + 6 * request)
    if (budget.take(kind, denied, startMs + (at * 1000) / each)) taken += bytes
  }
  return taken
}

const hour = 3600
test('promise 7: denial budget: one stranger has 256 KiB and a kilobyte a second, all together 1 MiB and four', () => {
  const flood = { seconds: hour, each: 20, request: 50 }
  const one = bytesTaken('strangers', 1, flood)
  assert.ok(one <= 256 * 1024 + hour * 1000 + 1000 && one > hour * 1000, `${one}`)
  const all = bytesTaken('strangers', 60_000, flood)
  assert.ok(all <= 1024 * 1024 + hour * 4000 + 1000 && all > hour * 4000, `${all}`)
})

test('promise 7: denial budget: 500 denials a second of each user that a grant names are entries for a minute', () => {
  const load = { seconds: 60, each: 2000, request: 50 }
  assert.equal(bytesTaken('granted', 4, load), 60 * 2000 * 1000)
  const hours = bytesTaken('granted', 1, { seconds: hour, each: 40, request: 2000 })
  assert.ok(hours <= 32 * 1024 * 1024 + hour * 10_000 + 13_000 && hours > hour * 10_000, `${hours}`)
})

const policy = `schema = 1
[profile.p]
[action.x]
about = "x"
command = ["/usr/bin/true"]
run_as = "root"
profile = "p"
[[grant]]
who = ["uid:1000"]
may = ["x"]
`

function denialsOf(bridge: TestBridge, uid: number): number {
  return bridge.entries().filter((entry) => entry.kind === 'denial' && entry.subject.uid === uid)
    .length
}

test('promise 7: promise 9: broker: denials of strangers beyond their budget are answered and counted; others have entries', () => {
  const bridge = openTestBridge(usable(policy), startMs)
  const runs = Array.from({ length: 2000 }, () => bridge.ask({ action: 'x', uid: 1003 }))
  const other = bridge.ask({ action: 'none', uid: 1000 })
  const permitted = bridge.ask({ action: 'x', uid: 1000 })
  bridge.settle()
  bridge.assertSettled()
  assert.ok([...runs, other].every((run) => bridge.stateOf(run) === 'refused'))
  assert.equal(bridge.stateOf(permitted), 'ended')
  const { counts } = bridge.broker
  assert.ok(denialsOf(bridge, 1003) > 100 && denialsOf(bridge, 1003) < 400)
  assert.equal(counts.denied, 2001)
  assert.equal(denialsOf(bridge, 1003) + counts.unlogged_strangers, 2000)
  assert.deepEqual([denialsOf(bridge, 1000), counts.unlogged_granted], [1, 0])
})

test('promise 7: broker: when little is left of the disk it is for runs, and denials are counted', () => {
  const bridge = openTestBridge(usable(policy), startMs)
  bridge.world.isLogTight = true
  const asked = [
    bridge.ask({ action: 'none', uid: 1000 }),
    bridge.ask({ action: 'x', uid: 1003 }),
    bridge.ask({ action: 'x', uid: 1000 }),
  ]
  bridge.settle()
  bridge.assertSettled()
  assert.deepEqual(asked.map(bridge.stateOf), ['refused', 'refused', 'ended'])
  const { unlogged_granted, unlogged_strangers } = bridge.broker.counts
  assert.deepEqual([unlogged_granted, unlogged_strangers], [1, 1])
  assert.ok(bridge.entries().every(({ kind }) => kind !== 'denial'))
})
