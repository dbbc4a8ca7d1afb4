/** The executor between the frames of a broker that lies: the real one is beside it, and reads only where a test says so. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseHex } from '../../core/json/hex.ts'
import { cutFrames } from '../../core/protocol/frame.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { wireKind } from '../../core/protocol/layout.ts'
import {
  formatDropped,
  formatIntent,
  formatRecorded,
  parseDeclined,
  parseResolved,
} from '../../core/protocol/peer-frames.ts'
import { formatAdopt } from '../../core/protocol/reload-frames.ts'
import { openTestBridge, usable } from '../bridge.test-support.ts'
import type { Asked, TestBridge } from '../bridge.test-support.ts'
import { actionText } from '../../../test/support/action-text.ts'

const untilMs = Date.UTC(2030, 0, 1)
const policy = usable(`schema = 1
[profile.p]
${actionText('plain', 'p', ['/usr/bin/true'])}
${actionText('other', 'p', ['/usr/bin/true'])}
${actionText('lasting', 'p', ['/usr/bin/true'])}
${actionText('asked', 'p', ['/usr/bin/true'])}
approval = { need = 1, from = "oncall" }
${actionText('counted', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["uid:1000"]
may = ["counted"]
uses = 2
[approvers.oncall]
members = ["webauthn:x"]
[[grant]]
who = [${Array.from({ length: 20 }, (_, at) => `"uid:${1000 + at}"`).join()}]
may = ["plain", "asked"]
[[grant]]
who = ["uid:1001"]
may = ["other"]
[[grant]]
who = ["uid:1000"]
may = ["lasting"]
until = 2030-01-01T00:00:00Z
`)

function frameOf(bytes: Uint8Array): Frame {
  const frames: Frame[] = []
  cutFrames(bytes, (frame) => frames.push(frame))
  return frames[0] ?? assert.fail('no frame')
}

/** What a broker says that has recorded this run, whatever it is. */
function intendAndRecord({ executor }: TestBridge, run: number, actionDigest: Uint8Array): void {
  executor.fromBroker(frameOf(formatIntent({ run, actionDigest })))
  executor.batchEnd()
  executor.fromBroker(frameOf(formatRecorded({ run, entry: 1 })))
  executor.batchEnd()
}

/** The code that the executor refuses this request with; of a permitted one `permit`. Its broker permits everything. */
function answerOf(bridge: TestBridge, asked: Asked): string {
  const run = bridge.ask(asked)
  bridge.read('launcher to executor')
  const answer = bridge.waiting('executor to broker').at(-1) ?? assert.fail('no answer')
  const isPermit = answer.kind === wireKind.resolved
  const digest = isPermit ? parseResolved(answer.body).actionDigest : new Uint8Array(32).fill(1)
  intendAndRecord(bridge, run, digest)
  bridge.read('executor to launcher')
  assert.equal(bridge.stateOf(run), isPermit ? 'running' : 'submitted')
  assert.equal(bridge.receipts().length, isPermit ? 1 : 0)
  return isPermit ? 'permit' : parseDeclined(answer.body).code
}

const answers: readonly (readonly [what: string, asked: Asked, nowMs: number, code: string])[] = [
  ['a subject of a grant', { action: 'plain' }, 1000, 'permit'],
  ['a grant in its last millisecond', { action: 'lasting' }, untilMs - 1, 'permit'],
  ['a stranger', { action: 'plain', uid: 4242 }, 1000, 'action_unknown'],
  ['root without a grant', { action: 'plain', uid: 0 }, 1000, 'action_unknown'],
  ['who has grants for other actions', { action: 'other' }, 1000, 'not_granted'],
  ['an action that is not there', { action: 'none' }, 1000, 'action_unknown'],
  ['a grant that has expired', { action: 'lasting' }, untilMs, 'grant_expired'],
  ['another user namespace', { action: 'plain', foreign: true }, 1000, 'subject_foreign_namespace'],
  ['an action that needs approval', { action: 'asked' }, 1000, 'approval_required'],
]
for (const [what, asked, nowMs, code] of answers) {
  test(`promise 4: executor: it decides for itself, whatever the broker records: ${what}: ${code}`, () => {
    assert.equal(answerOf(openTestBridge(policy, nowMs), asked), code)
  })
}

test('promise 6: C66: executor: where receipts have no room it permits nothing, whatever the broker records', () => {
  const bridge = openTestBridge(policy)
  bridge.world.areReceiptsShort = true
  assert.equal(answerOf(bridge, { action: 'plain' }), 'log_full')
})

test('promise 6: executor: time never runs below that of the last receipt', () => {
  const bridge = openTestBridge(policy, untilMs)
  bridge.ask({ action: 'plain' })
  bridge.settle()
  bridge.world.nowMs = untilMs - 60_000
  bridge.ask({ action: 'other', uid: 1001 })
  bridge.read('launcher to executor')
  const [resolved] = bridge.waiting('executor to broker')
  const { timeMs: ownMs, notAfterMs } = parseResolved(resolved?.body ?? assert.fail('no answer'))
  assert.deepEqual([ownMs, notAfterMs], [untilMs, untilMs + 30_000])
  bridge.settle()
  assert.deepEqual(
    bridge.receipts().map(({ timeMs }) => timeMs),
    [untilMs, untilMs],
  )
  bridge.ask({ action: 'lasting' })
  bridge.read('launcher to executor')
  const [answer] = bridge.waiting('executor to broker')
  assert.equal(answer && parseDeclined(answer.body).code, 'grant_expired')
})

const orders = ['recorded last', 'receipt last'] as const
for (const order of orders) {
  test(`promise 6: executor: a record that comes too late opens no gate: ${order}`, () => {
    for (const lateMs of [0, 1]) {
      const bridge = openTestBridge(policy)
      const { executor, world } = bridge
      const run = bridge.ask({ action: 'plain' })
      bridge.read('launcher to executor')
      const [answer] = bridge.waiting('executor to broker')
      const resolved = parseResolved(answer?.body ?? assert.fail('no answer'))
      assert.equal(resolved.notAfterMs, 1000 + 30_000)
      const { actionDigest } = resolved
      executor.fromBroker(frameOf(formatIntent({ run, actionDigest })))
      const recorded = frameOf(formatRecorded({ run, entry: 1 }))
      if (order === 'receipt last') executor.fromBroker(recorded)
      else executor.batchEnd()
      world.nowMs = resolved.notAfterMs + lateMs
      const last = (): void =>
        order === 'receipt last' ? executor.batchEnd() : executor.fromBroker(recorded)
      if (lateMs === 0) last()
      else assert.throws(last, { code: 'log_failed' })
      bridge.read('executor to launcher')
      assert.equal(bridge.stateOf(run), lateMs === 0 ? 'running' : 'prepared')
    }
  })
}

test('promise 4: executor: a run is recorded once', () => {
  for (const hasReceipt of [false, true]) {
    const bridge = openTestBridge(policy)
    const { executor } = bridge
    const run = bridge.ask({ action: 'plain' })
    bridge.read('launcher to executor')
    const [answer] = bridge.waiting('executor to broker')
    const { actionDigest } = parseResolved(answer?.body ?? assert.fail('no answer'))
    executor.fromBroker(frameOf(formatIntent({ run, actionDigest })))
    executor.fromBroker(frameOf(formatRecorded({ run, entry: 1 })))
    if (hasReceipt) executor.batchEnd()
    const again = frameOf(formatRecorded({ run, entry: 2 }))
    assert.throws(() => executor.fromBroker(again), { code: 'frame_invalid' })
  }
})

test('promise 4: executor: another policy than the installed one is not adopted', () => {
  const bridge = openTestBridge(policy)
  bridge.world.installed = usable('schema = 1')
  bridge.reload()
  bridge.read('launcher to executor')
  const other = frameOf(formatAdopt(new Uint8Array(32).fill(7)))
  assert.throws(() => bridge.executor.fromBroker(other), { code: 'frame_invalid' })
})

/** A run of the policy in force that the executor has answered; and its digest. */
function resolvedIn(bridge: TestBridge): Readonly<{ run: number; actionDigest: Uint8Array }> {
  const run = bridge.ask({ action: 'plain' })
  bridge.read('launcher to executor')
  const [answer] = bridge.waiting('executor to broker')
  const { actionDigest } = parseResolved(answer?.body ?? assert.fail('no answer'))
  return { run, actionDigest }
}

test('promise 4: executor: what the policy before permitted is not begun under the next one', () => {
  const bridge = openTestBridge(policy)
  const { executor, world } = bridge
  const resolved = resolvedIn(bridge)
  const next = usable('schema = 1')
  world.installed = next
  bridge.reload()
  bridge.read('launcher to executor')
  executor.fromBroker(frameOf(formatAdopt(parseHex(next.digest))))
  assert.throws(() => executor.fromBroker(frameOf(formatIntent(resolved))), {
    code: 'frame_invalid',
  })
  assert.equal(bridge.receipts().length, 0)
})

test('promise 4: executor: a policy is adopted after a reload, and not at another time', () => {
  const { executor } = openTestBridge(policy)
  const adopt = frameOf(formatAdopt(parseHex(policy.digest)))
  assert.throws(() => executor.fromBroker(adopt), { code: 'frame_invalid' })
})

for (const stage of ['intended', 'receipted', 'open'] as const) {
  test(`promise 4: executor: a run that is ${stage} cannot be dropped any more`, () => {
    const bridge = openTestBridge(policy)
    const { executor } = bridge
    const { run, actionDigest } = resolvedIn(bridge)
    executor.fromBroker(frameOf(formatIntent({ run, actionDigest })))
    if (stage !== 'intended') executor.batchEnd()
    if (stage === 'open') executor.fromBroker(frameOf(formatRecorded({ run, entry: 1 })))
    const dropped = frameOf(formatDropped(run))
    assert.throws(() => executor.fromBroker(dropped), { code: 'frame_invalid' })
  })
}

/** How many of these requests have a sandbox that is built before they are recorded. */
function preparedOf(bridge: TestBridge, asked: readonly Asked[]): readonly boolean[] {
  const runs = asked.map(bridge.ask)
  bridge.read('launcher to executor')
  bridge.read('executor to launcher')
  return runs.map((run) => bridge.stateOf(run) === 'prepared')
}

test('promise 7: executor: prepared starts are one a subject, and sixteen in all', () => {
  const bridge = openTestBridge(policy)
  const uids = Array.from({ length: 18 }, (_, at) => 1000 + at)
  const twice = uids.flatMap((uid) => [
    { action: 'plain', uid },
    { action: 'plain', uid },
  ])
  const expected = uids.flatMap((_, at) => [at < 16, false])
  assert.deepEqual(preparedOf(bridge, twice), expected)
  // None of them is open, so there is none for who comes now either; what has opened is held at no gate any more.
  assert.deepEqual(preparedOf(bridge, [{ action: 'plain', uid: 1019 }]), [false])
  bridge.settle()
  bridge.assertSettled()
  const again = [1000, 1000, 1018].map((uid) => ({ action: 'plain', uid }))
  assert.deepEqual(preparedOf(bridge, again), [true, false, true])
})

test('promise 7: executor: a run whose gate is open counts no more as a prepared start', () => {
  const bridge = openTestBridge(policy)
  const first = bridge.ask({ action: 'plain' })
  for (const link of ['launcher to executor', 'launcher to broker', 'executor to broker'] as const)
    bridge.read(link)
  bridge.read('broker to executor')
  bridge.read('executor to launcher')
  assert.equal(bridge.stateOf(first), 'running')
  assert.deepEqual(preparedOf(bridge, [{ action: 'plain' }]), [true])
})

test('promise 4: executor: who has no grant for an action has no start prepared', () => {
  const strangers = [
    { action: 'plain', uid: 4242 },
    { action: 'other', uid: 1000 },
    { action: 'plain', uid: 1000, foreign: true },
    { action: 'asked', uid: 1000 },
  ]
  assert.deepEqual(
    preparedOf(openTestBridge(policy), strangers),
    strangers.map(() => false),
  )
})

test('promise 7: executor: a use of a run that began is used up, and one of a run that was dropped is not', () => {
  const bridge = openTestBridge(policy)
  const usedAfter = (act: () => void): number => {
    act()
    bridge.settle()
    return [...bridge.uses.values()].reduce((sum, used) => sum + used, 0)
  }
  const asked = { action: 'counted' }
  const drop = (): void => {
    bridge.world.isLogShort = true // so that the broker turns it away
    bridge.ask(asked)
    bridge.settle()
    bridge.world.isLogShort = false
  }
  assert.deepEqual(
    [drop, () => bridge.ask(asked), drop, () => bridge.ask(asked), drop].map(usedAfter),
    [0, 1, 1, 2, 2],
  )
  assert.equal(bridge.receipts().length, 2)
  const last = bridge.ask(asked)
  bridge.settle()
  bridge.assertSettled()
  assert.equal(bridge.stateOf(last), 'refused')
  const entry = bridge.entries().at(-1)
  assert.equal(entry?.kind === 'denial' ? entry.code : '', 'grant_used_up')
})
