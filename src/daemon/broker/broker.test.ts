/** The real broker beside the real executor, with every order of frames that two sockets allow. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseHex } from '../../core/json/hex.ts'
import { decide } from '../../core/policy/decide.ts'
import { resolveAction } from '../../core/policy/resolve.ts'
import { cutFrames } from '../../core/protocol/frame.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { noInputs } from '../../core/protocol/input-frames.ts'
import type { ResolvedInputs } from '../../core/protocol/input-frames.ts'
import { wireKind } from '../../core/protocol/layout.ts'
import { parseSubmission } from '../../core/protocol/launcher-frames.ts'
import {
  formatDeclined,
  formatReceiptFrame,
  formatResolved,
  parseResolved,
} from '../../core/protocol/peer-frames.ts'
import { testKey } from '../../../test/log-fixture.ts'
import { links, openTestBridge, usable } from '../bridge.test-support.ts'
import type { TestBridge } from '../bridge.test-support.ts'
import { maxEarlyAnswers } from './runs.ts'

const head = `schema = 1
[profile.p]
read = ["/usr", "/opt/theirs"]
[profile.bound]
stdin = "bound"
`
function action(name: string, program: string, more = 'profile = "p"'): string {
  return `[action.${name}]
about = "x"
command = ["${program}"]
run_as = "root"
risk = "read-only"
${more}
`
}
function grant(may: string, more = '', who = ['uid:1000', 'uid:1001', 'uid:1002']): string {
  return `[[grant]]
who = [${who.map((one) => JSON.stringify(one)).join()}]
may = [${JSON.stringify(may)}]
${more}
`
}
const pins = (...bytes: readonly string[]): string =>
  `profile = "p"\nsha256 = [${bytes.map((byte) => `"${byte.repeat(32)}"`).join()}]`
const common =
  head +
  action('plain', '/usr/bin/true') +
  action('read', '/usr/bin/true', 'profile = "bound"') +
  action('seldom', '/usr/bin/true') +
  action('lasting', '/usr/bin/true') +
  grant('plain') +
  grant('read', 'uses = 5') +
  grant('seldom', 'limit = { rate = "10/min", burst = 3 }') +
  grant('lasting', 'until = 2030-01-01T00:00:00Z') +
  grant('lasting', 'uses = 50')
const policies = [
  usable(common + action('tool', '/opt/theirs', pins('01', '02')) + grant('tool')),
  usable(common + action('tool', '/opt/theirs', pins('02', '03')) + grant('tool')),
] as const
const untilMs = Date.UTC(2030, 0, 1)

/** `tool` is of the bytes 1, and `lasting` is everybody's for five milliseconds yet. */
function openBridge(): TestBridge {
  const bridge = openTestBridge(policies[0], untilMs - 5)
  bridge.world.programs.set('/opt/theirs', 1)
  return bridge
}

/** Both know the program of this action: the broker foresees it, and the executor leaves RESOLVED out. */
function runOnce(bridge: TestBridge, action: string): void {
  assert.equal(outcomeOf(bridge, bridge.ask({ action })), 'ended')
}

function outcomeOf(bridge: TestBridge, run: number): string {
  bridge.settle()
  bridge.assertSettled()
  return bridge.stateOf(run)
}

type Step =
  | Readonly<{ kind: 'ask'; action: string; uid: number }>
  | Readonly<{ kind: 'read'; link: (typeof links)[number]; most: number }>
  | Readonly<{ kind: 'end'; at: number }>
  | Readonly<{ kind: 'program'; byte: number | null }>
  | Readonly<{ kind: 'reload'; policy: number }>
  | Readonly<{ kind: 'clock'; byMs: number }>
  | Readonly<{ kind: 'disk'; log: boolean; receipts: boolean }>

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('ask' as const),
        action: fc.constantFrom('plain', 'tool', 'tool', 'read', 'seldom', 'lasting', 'none'),
        uid: fc.constantFrom(1000, 1001, 1002, 1003),
      }),
    },
    {
      weight: 24,
      arbitrary: fc.record({
        kind: fc.constant('read' as const),
        link: fc.constantFrom(...links),
        most: fc.constantFrom(1, 1, 2, 5),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('end' as const), at: fc.nat(5) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('program' as const),
        byte: fc.constantFrom(1, 2, 3, 1, 2, null),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('reload' as const), policy: fc.nat(2) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('clock' as const),
        byMs: fc.constantFrom(1, 2, 5, -3, -20),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('disk' as const),
        log: fc.constantFrom(false, false, true),
        receipts: fc.constantFrom(false, false, true),
      }),
    },
  ),
  { maxLength: 120, size: 'max' },
)

test('promise 6: broker: in whatever order frames are read, each request is answered and each run is accounted for', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const bridge = openBridge()
      const { world } = bridge
      for (const step of all) {
        if (step.kind === 'ask') {
          const stdin = step.action === 'read' ? { stdin: new Uint8Array(3) } : {}
          bridge.ask({ action: step.action, uid: step.uid, ...stdin })
        } else if (step.kind === 'read') bridge.read(step.link, step.most)
        else if (step.kind === 'end') {
          const run = bridge.running()[step.at]
          if (run !== undefined) bridge.end(run)
        } else if (step.kind === 'program') world.programs.set('/opt/theirs', step.byte)
        else if (step.kind === 'clock') world.nowMs += step.byMs
        else if (step.kind === 'disk') {
          world.isLogShort = step.log
          world.areReceiptsShort = step.receipts
        } else {
          world.installed = policies[step.policy] ?? { kind: 'unusable', why: 'broken' }
          bridge.reload()
        }
      }
      bridge.settle()
      bridge.assertSettled()
    }),
    { numRuns: 300 },
  )
})

test('promise 6: broker: the end of a run may overtake the answer that was foreseen', () => {
  const bridge = openBridge()
  bridge.ask({ action: 'plain' })
  const second = bridge.ask({ action: 'plain' })
  bridge.read('launcher to executor') // which answers both, as it has told nothing yet
  bridge.read('launcher to broker')
  bridge.read('executor to broker', 1) // the first answer, by which the second is foreseen
  bridge.read('broker to executor')
  bridge.read('executor to launcher')
  bridge.end(second)
  bridge.read('launcher to broker')
  assert.equal(outcomeOf(bridge, second), 'ended')
})

test('promise 6: broker: a grant that expires between the two decisions leaves nobody without an answer', () => {
  const bridge = openBridge()
  runOnce(bridge, 'lasting')
  const run = bridge.ask({ action: 'lasting' })
  bridge.read('launcher to executor') // by the grant without `uses`
  bridge.world.nowMs = untilMs
  assert.equal(outcomeOf(bridge, run), 'ended') // to the broker by the other
})

test('promise 2: broker: what was asked before a reload is answered before it, also where another program was foreseen', () => {
  const bridge = openBridge()
  const { world } = bridge
  runOnce(bridge, 'tool')
  world.programs.set('/opt/theirs', 2)
  const replaced = bridge.ask({ action: 'tool' })
  bridge.read('launcher to executor')
  world.programs.set('/opt/theirs', 1)
  const last = bridge.ask({ action: 'tool' })
  bridge.read('launcher to executor')
  bridge.read('launcher to broker', 1)
  bridge.read('executor to broker') // it is of the bytes 2
  world.installed = policies[1] // where those of 1 may not run
  bridge.reload()
  bridge.read('launcher to executor')
  bridge.read('launcher to broker') // foresees 2 of the last
  bridge.read('executor to broker')
  assert.equal(outcomeOf(bridge, last), 'ended')
  assert.equal(bridge.stateOf(replaced), 'ended')
  world.programs.set('/opt/theirs', 2)
  runOnce(bridge, 'tool')
})

test('promise 5: broker: an intent that is recorded again has its receipt behind those of the intents in between', () => {
  const bridge = openBridge()
  const { world } = bridge
  runOnce(bridge, 'plain')
  for (let at = 0; at < 3; at += 1) bridge.ask({ action: 'tool' })
  const last = bridge.ask({ action: 'plain' })
  bridge.read('launcher to executor', 1)
  bridge.read('launcher to broker') // the last is foreseen
  bridge.read('executor to broker') // and by the first of the others those
  bridge.read('broker to executor')
  world.programs.set('/opt/theirs', 2)
  bridge.read('launcher to executor', 1)
  world.programs.set('/opt/theirs', 1)
  bridge.read('launcher to executor', 1)
  bridge.read('executor to broker')
  bridge.read('broker to executor')
  assert.equal(outcomeOf(bridge, last), 'ended')
})

/** The executor's answer to what `read` asks with three bytes of stdin, but that it binds these inputs, and says so. */
function forgedAnswer(bridge: TestBridge, bound: ResolvedInputs): Uint8Array {
  bridge.ask({ action: 'read', stdin: new Uint8Array(3) })
  for (const link of ['launcher to executor', 'executor to launcher'] as const) bridge.read(link)
  bridge.read('launcher to executor')
  const [answer] = bridge.waiting('executor to broker')
  const resolved = parseResolved(answer?.body ?? assert.fail('no answer'))
  const { run, subject, nonce } = parseSubmission(
    bridge.waiting('launcher to broker')[0]?.body ?? assert.fail('no request'),
  )
  const request = { action: 'read', reason: '', nonce: null, parameters: [] }
  const facts = { nowMs: bridge.world.nowMs, uses: null, rates: null }
  const permit = decide(policies[0].index, subject, request, facts)
  assert.ok(permit.kind === 'permit')
  const { digest } = resolveAction(permit, subject, {
    ...{ policyDigest: policies[0].digest, hostId: testKey(7).host, nonce, bound },
    ...{ executableSha256: '0'.repeat(64), interpreterSha256: null, proxySha256: null },
    notAfterMs: resolved.notAfterMs,
  })
  return formatResolved({ ...resolved, run, bound, actionDigest: parseHex(digest) })
}

test('promise 3: broker: a resolved action that binds other inputs than the request has is refused, well formed as it is', () => {
  const stdin = { size: 3, sha256: createHash('sha256').update(new Uint8Array(3)).digest('hex') }
  for (const [bound, kind] of [
    [{ ...noInputs, stdin }, 'intent'],
    [noInputs, 'denial'],
    [{ ...noInputs, stdin, secrets: { other: '0'.repeat(64) } }, 'denial'],
  ] as const) {
    const bridge = openBridge()
    const answer = forgedAnswer(bridge, bound)
    bridge.read('launcher to broker')
    cutFrames(answer, bridge.broker.fromExecutor)
    bridge.read('launcher to broker') // and commits
    const entry = bridge.entries().at(-1)
    assert.equal(entry?.kind, kind)
    if (entry.kind === 'denial') assert.equal(entry.code, 'disagreement')
  }
})

test('promise 3: broker: another digest than its own is refused, and a second answer ends it', () => {
  const stdin = { size: 3, sha256: createHash('sha256').update(new Uint8Array(3)).digest('hex') }
  const [lying, honest] = [openBridge(), openBridge()]
  cutFrames(forgedAnswer(lying, { ...noInputs, stdin }), ({ body }) => {
    const frame = formatResolved({ ...parseResolved(body), actionDigest: new Uint8Array(32) })
    lying.read('launcher to broker')
    cutFrames(frame, lying.broker.fromExecutor)
    lying.read('launcher to broker')
  })
  const entry = lying.entries().at(-1)
  assert.equal(entry?.kind === 'denial' ? entry.code : '', 'disagreement')
  assert.deepEqual(
    lying.waiting('broker to executor').map(({ kind }) => kind),
    [wireKind.dropped],
  )
  const answer = forgedAnswer(honest, { ...noInputs, stdin })
  honest.read('launcher to broker')
  cutFrames(answer, honest.broker.fromExecutor)
  assert.throws(() => cutFrames(answer, honest.broker.fromExecutor), { code: 'frame_invalid' })
})

test('promise 6: C66: broker: where the log has no room a request leaves a number, no entry, and starts nothing', () => {
  const bridge = openBridge()
  bridge.world.isLogShort = true
  const run = bridge.ask({ action: 'plain' })
  bridge.settle()
  assert.equal(bridge.stateOf(run), 'refused')
  const { counts } = bridge.broker
  assert.deepEqual([counts.unrecorded, counts.denied], [1, 0])
  assert.deepEqual(
    bridge.entries().map(({ kind }) => kind),
    ['start'],
  )
  assert.equal(bridge.receipts().length, 0)
})

test('promise 5: broker: a receipt of a run that it did not record ends it', () => {
  const { broker } = openBridge()
  const receipt = formatReceiptFrame(7, new Uint8Array(3))
  assert.throws(() => cutFrames(receipt, broker.fromExecutor), { code: 'frame_invalid' })
})

test('promise 7: broker: requests at the same time do not share what is left of a rate', () => {
  const bridge = openBridge()
  const runs = Array.from({ length: 4 }, () => bridge.ask({ action: 'seldom' }))
  bridge.settle()
  bridge.assertSettled()
  assert.deepEqual(runs.map(bridge.stateOf), ['ended', 'ended', 'ended', 'refused'])
  const denial = bridge.entries().find(({ kind }) => kind === 'denial')
  assert.equal(denial?.kind === 'denial' ? denial.code : '', 'rate_limited')
})

test('promise 7: broker: answers to requests that never come are bounded', () => {
  const { broker } = openBridge()
  const declined = (run: number): Frame => {
    const frames: Frame[] = []
    const about = { parameter: null, enough: null, detail: null, isTold: false }
    cutFrames(formatDeclined({ run, code: 'busy', ...about }), (frame) => frames.push(frame))
    return frames[0] ?? assert.fail('no frame')
  }
  for (let run = 1; run <= maxEarlyAnswers; run += 1) broker.fromExecutor(declined(run))
  assert.throws(() => broker.fromExecutor(declined(maxEarlyAnswers + 1)), { code: 'frame_invalid' })
})
