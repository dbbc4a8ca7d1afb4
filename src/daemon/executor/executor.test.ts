import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noReceipts } from '../../core/audit/receipt.ts'
import { parseHex } from '../../core/json/hex.ts'
import { policyDigest } from '../../core/policy/compiled.ts'
import { indexPolicy } from '../../core/policy/policy-index.ts'
import { pathOf, policyOf } from '../../core/policy/policy.test-support.ts'
import type { UsablePolicy } from '../../core/policy/reload.ts'
import { openReader, openWriter, readU64 } from '../../core/protocol/bytes.ts'
import { writeBytes, writeU32, writeU64, written } from '../../core/protocol/bytes.ts'
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
import { formatRequest } from '../../core/protocol/request.ts'
import { createExecutor } from './executor.ts'
import type { Executor } from './executor.ts'
import type { ExecutorHost } from './executor-host.ts'
import { rememberCommands } from './remember.ts'
import { actionText } from '../../../test/support/action-text.ts'

const policyText = `schema = 1
[profile.p]
[profile.bound]
stdin = "bound"
${actionText('run', 'p', ['/usr/bin/true'])}
${actionText('words', 'p', ['/usr/bin/true', ...Array<string>(20).fill('{x}')])}
[action.words.params.x]
match = "[a-z]*"
max_length = 4096
repeat = { max = 64 }
${actionText('read', 'bound', ['/usr/bin/true'])}
${actionText('plain', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["uid:2000", "uid:2001", "uid:2002"]
may = ["plain"]
[[grant]]
who = [${Array.from({ length: 10 }, (_, at) => `"uid:${1000 + at}"`).join()}]
may = ["run", "words", "read"]
uses = 5
`

function usable(text: string): UsablePolicy {
  const policy = policyOf(text)
  return { kind: 'policy', policy, digest: policyDigest(policy), index: indexPolicy(policy) }
}

type Bench = Readonly<{
  executor: Executor
  /** What was sent since the last look, by kind and run. */
  sent: () => readonly string[]
  frames: Frame[]
  /** Copies of executables that are held, and uses that are taken. */
  held: () => number
  used: () => number
  fillDisk: () => void
}>

function openBench(): Bench {
  const frames: Frame[] = []
  const keep = (bytes: Uint8Array): void => {
    cutFrames(bytes, (frame) => frames.push(frame))
  }
  let [held, used] = [0, 0]
  let isRoomy = true
  const installed = usable(policyText)
  const stamp = { device: 1n, inode: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n }
  const host: ExecutorHost = {
    hostId: 'a'.repeat(64),
    toLauncher: keep,
    toBroker: keep,
    nowMs: () => 1000,
    measure: () => {
      held += 1
      const release = (): void => void (held -= 1)
      const sha256 = new Uint8Array(32)
      return { sha256, stamp, interpreter: null, copy: pathOf('/copies/1'), release }
    },
    makeBus: () => assert.fail('no socket is filtered'),
    planOf: () => new Uint8Array(64),
    openPaths: () => ({ kind: 'opened', binds: [], files: [], release: () => undefined }),
    commandOf: rememberCommands(),
    appendReceipts: () => undefined,
    isShort: () => false,
    loadPolicy: () => installed,
    adopted: () => undefined,
    sign: () => new Uint8Array(64),
    commitmentKey: new Uint8Array(32),
    usedGrants: {
      counts: new Map(),
      take: () => void (used += 1),
      giveBack: () => void (used -= 1),
      hasRoom: () => isRoomy,
      keep: () => undefined,
    },
    settings: { prepared: 16, recordWithinMs: 30_000 },
  }
  let seen = 0
  return {
    executor: createExecutor(host, installed, noReceipts),
    frames,
    sent: () => {
      const fresh = frames.slice(seen)
      seen = frames.length
      return fresh.map(({ kind, body }) => {
        const name = Object.entries(wireKind).find(([, number]) => number === kind)?.[0] ?? '?'
        return kind === wireKind.loaded ? name : `${name} ${readU64(openReader(body))}`
      })
    },
    held: () => held,
    used: () => used,
    fillDisk: () => void (isRoomy = false),
  }
}

function submit(run: number, action: string, values: readonly string[] = [], uid = 1000): Frame {
  const writer = openWriter()
  writeU64(writer, run)
  for (const word of [7, uid, uid, 0]) writeU32(writer, word)
  writeBytes(writer, Uint8Array.of(action === 'read' ? 5 : 0, 0, 0, 0))
  for (const word of [0, 0, 0]) writeU32(writer, word)
  writeU64(writer, 1000)
  writeBytes(writer, new Uint8Array(16).fill(run % 256))
  const parameters = values.map((value) => ({ name: 'x', value }))
  writeBytes(writer, formatRequest({ action, reason: '', nonce: null, parameters }))
  return { kind: wireKind.submit, body: written(writer) }
}

/** A frame of ours, as who reads it gets it. */
function frameOf(bytes: Uint8Array): Frame {
  const frames: Frame[] = []
  cutFrames(bytes, (frame) => frames.push(frame))
  const [frame] = frames
  assert.ok(frame !== undefined)
  return frame
}

test('promise 7: executor: arguments that no command can have are a refusal, and nothing of it stays', () => {
  const { executor, frames, sent, held, used } = openBench()
  const long = Array.from({ length: 16 }, () => 'a'.repeat(4000))
  for (const [run, values] of [Array<string>(64).fill('a'), long].entries()) {
    executor.fromLauncher(submit(run + 1, 'words', values))
    executor.batchEnd()
    assert.deepEqual(sent(), [`declined ${run + 1}`])
    const { code, detail } = parseDeclined(frames.at(-1)?.body ?? new Uint8Array(0))
    assert.equal(code, 'not_recorded')
    assert.match(
      detail ?? '',
      /^(?:format command: \d+ arguments|frame of \d+ bytes|format command: \d+ bytes)$/,
    )
    assert.deepEqual([held(), used()], [0, 0])
  }
  executor.fromLauncher(submit(3, 'words', ['a']))
  assert.deepEqual(sent(), ['resolved 3', 'prepare 3'])
  assert.deepEqual([held(), used()], [1, 1])
})

test('promise 7: executor: a refusal that overtakes its request leaves nothing behind', () => {
  const { executor, sent, held, used } = openBench()
  for (let run = 1; run < 1000; run += 1) {
    executor.fromBroker(frameOf(formatDropped(run)))
    executor.fromLauncher(submit(run, run % 2 === 0 ? 'run' : 'read'))
    executor.batchEnd()
  }
  assert.deepEqual(sent(), [])
  assert.deepEqual([held(), used()], [0, 0])
  executor.fromLauncher(submit(1000, 'read'))
  assert.deepEqual(sent(), ['read 1000'])
  executor.fromBroker(frameOf(formatDropped(1000)))
  executor.fromBroker(frameOf(formatDropped(1000))) // of a run that is over: nothing
  assert.deepEqual([held(), used()], [0, 0])
})

test('promise 7: executor: refusals of requests that never come are bounded', () => {
  const { executor } = openBench()
  for (let run = 1; run <= 65_536; run += 1) executor.fromBroker(frameOf(formatDropped(run)))
  assert.throws(() => executor.fromBroker(frameOf(formatDropped(65_537))), {
    code: 'frame_invalid',
  })
})

test('promise 4: executor: a policy is adopted only once the installed one was offered', () => {
  const { executor, sent } = openBench()
  const reload = { kind: wireKind.reload, body: new Uint8Array(0) }
  const adopt = frameOf(formatAdopt(parseHex(usable(policyText).digest)))
  executor.fromLauncher(submit(1, 'read'))
  executor.fromLauncher(reload) // which waits for what is being read
  assert.deepEqual(sent(), ['read 1'])
  assert.throws(() => executor.fromBroker(adopt), { code: 'frame_invalid' })
  executor.fromBroker(frameOf(formatDropped(1)))
  assert.deepEqual(sent(), ['loaded'])
  executor.fromBroker(adopt)
  executor.fromLauncher(submit(2, 'run'))
  assert.deepEqual(sent(), ['resolved 2', 'prepare 2'])
})

test('promise 7: executor: who has many refused by the broker alone costs a place to nobody else, and ends nobody', () => {
  const { executor, sent, held, used } = openBench()
  let run = 0
  const ask = (uid: number): string => {
    run += 1
    executor.fromLauncher(submit(run, 'run', [], uid))
    return sent()[0] ?? ''
  }
  // DROPPED of these is still on its way.
  for (let at = 0; at < 128; at += 1) assert.match(ask(1000), /^resolved/)
  for (let at = 0; at < 1000; at += 1) assert.match(ask(1000), /^declined/)
  assert.match(ask(1001), /^resolved/)
  for (let uid = 1001; uid < 1010; uid += 1) while (ask(uid).startsWith('resolved'));
  assert.deepEqual([held(), used()], [512, 512])
  for (let at = 1; at <= run; at += 1) executor.fromBroker(frameOf(formatDropped(at)))
  assert.deepEqual([held(), used()], [0, 0])
  assert.match(ask(1000), /^resolved/)
})

test('promise 6: C66: executor: a use that could not be kept is not promised', () => {
  const { executor, frames, used, fillDisk } = openBench()
  fillDisk()
  executor.fromLauncher(submit(1, 'run'))
  assert.equal(parseDeclined(frames.at(-1)?.body ?? new Uint8Array(0)).code, 'log_full')
  assert.equal(used(), 0)
})

/** What an executor that knows nothing of the broker answers to this request. */
function digestOf(request: Frame): Uint8Array {
  const { executor, frames } = openBench()
  executor.fromLauncher(request)
  return parseResolved(frames[0]?.body ?? new Uint8Array(0)).actionDigest
}

/** One that has told the broker of the program: run 1 is recorded and open. */
function openTold(): Bench {
  const bench = openBench()
  const { executor, sent } = bench
  const request = submit(1, 'plain', [], 2000)
  executor.fromLauncher(request)
  executor.fromBroker(frameOf(formatIntent({ run: 1, actionDigest: digestOf(request) })))
  executor.batchEnd()
  executor.fromBroker(frameOf(formatRecorded({ run: 1, entry: 1 })))
  assert.deepEqual(sent(), ['resolved 1', 'prepare 1', 'open 1', 'receipt 1'])
  return bench
}

test('promise 2: executor: what the broker foresees it is not told; INTEND and RECORDED may come before the request', () => {
  const { executor, sent } = openTold()
  const second = submit(2, 'plain', [], 2001)
  executor.fromLauncher(second)
  assert.deepEqual(sent(), ['prepare 2'])
  executor.fromBroker(frameOf(formatIntent({ run: 2, actionDigest: digestOf(second) })))
  executor.fromBroker(frameOf(formatRecorded({ run: 2, entry: 2 })))
  assert.deepEqual(sent(), [])
  executor.batchEnd()
  assert.deepEqual(sent(), ['open 2', 'receipt 2'])
  const third = submit(3, 'plain', [], 2002)
  executor.fromBroker(frameOf(formatIntent({ run: 3, actionDigest: digestOf(third) })))
  executor.fromBroker(frameOf(formatRecorded({ run: 3, entry: 3 })))
  executor.batchEnd()
  assert.deepEqual(sent(), [])
  executor.fromLauncher(third)
  executor.batchEnd()
  assert.deepEqual(sent(), ['prepare 3', 'open 3', 'receipt 3'])
})

test('promise 3: executor: of another action than its own it makes no receipt, and opens no gate', () => {
  const { executor, sent } = openTold()
  const wrong = { run: 2, actionDigest: new Uint8Array(32) }
  const request = submit(2, 'plain', [], 2001)
  executor.fromBroker(frameOf(formatIntent(wrong)))
  executor.fromBroker(frameOf(formatRecorded({ run: 2, entry: 2 })))
  executor.fromLauncher(request)
  executor.batchEnd()
  assert.deepEqual(sent(), ['prepare 2', 'resolved 2'])
  executor.fromBroker(frameOf(formatRecorded({ run: 2, entry: 2 }))) // of what it passed over
  executor.batchEnd()
  assert.deepEqual(sent(), [])
  assert.throws(() => executor.fromBroker(frameOf(formatIntent(wrong))), { code: 'frame_invalid' })
  executor.fromBroker(frameOf(formatIntent({ run: 2, actionDigest: digestOf(request) })))
  executor.batchEnd()
  executor.fromBroker(frameOf(formatRecorded({ run: 2, entry: 4 })))
  assert.deepEqual(sent(), ['open 2', 'receipt 2'])
})

test('promise 3: executor: what cannot be foreseen is answered, and another digest ends it', () => {
  const { executor, sent } = openTold()
  executor.fromLauncher(submit(2, 'run'))
  assert.deepEqual(sent(), ['resolved 2', 'prepare 2'])
  const wrong = { run: 2, actionDigest: new Uint8Array(32) }
  assert.throws(() => executor.fromBroker(frameOf(formatIntent(wrong))), { code: 'frame_invalid' })
})

test('promise 4: executor: what is intended before its inputs are read ends it', () => {
  const { executor, sent } = openBench()
  executor.fromLauncher(submit(1, 'read'))
  assert.deepEqual(sent(), ['read 1'])
  const intent = frameOf(formatIntent({ run: 1, actionDigest: new Uint8Array(32) }))
  assert.throws(() => executor.fromBroker(intent), { code: 'frame_invalid' })
})

test('promise 6: executor: a refusal and an intent of one run that is not here yet end it, in either order', () => {
  const intent = frameOf(formatIntent({ run: 2, actionDigest: new Uint8Array(32) }))
  const dropped = frameOf(formatDropped(2))
  for (const [first, second] of [
    [intent, dropped],
    [dropped, intent],
  ] as const) {
    const { executor } = openTold()
    executor.fromBroker(first)
    assert.throws(() => executor.fromBroker(second), { code: 'frame_invalid' })
  }
})
