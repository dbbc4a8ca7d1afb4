/**
 * Broker and executor as they are, between sockets of a test's own: which frame is read next is the test's to say. The
 * launcher is a model that takes no frame that the real one would not take.
 */
import assert from 'node:assert/strict'
import { signCheckpoint } from '../core/audit/checkpoint.ts'
import { parseEntry } from '../core/audit/entry-parse.ts'
import type { Entry } from '../core/audit/entry.ts'
import { emptyTree, leafHash, rootHash, treeOf } from '../core/audit/merkle.ts'
import { noReceipts, parseReceipt } from '../core/audit/receipt.ts'
import type { Receipt } from '../core/audit/receipt.ts'
import { verifyLog } from '../core/audit/verify.ts'
import { BelladonnaError } from '../core/error.ts'
import { parseHex } from '../core/json/hex.ts'
import { policyDigest } from '../core/policy/compiled.ts'
import { indexPolicy } from '../core/policy/policy-index.ts'
import { policyOf } from '../core/policy/policy.test-support.ts'
import type { UnusablePolicy, UsablePolicy } from '../core/policy/reload.ts'
import { openReader, openWriter, readU64, readU32 } from '../core/protocol/bytes.ts'
import { writeBytes, writeU32, writeU64, written } from '../core/protocol/bytes.ts'
import { cutFrames } from '../core/protocol/frame.ts'
import type { Frame } from '../core/protocol/frame.ts'
import { maxReadBytes, wireEnd, wireKind, wireStdio } from '../core/protocol/layout.ts'
import { parseResolved } from '../core/protocol/peer-frames.ts'
import { formatRequest } from '../core/protocol/request.ts'
import { testKey } from '../../test/log-fixture.ts'
import { createBroker } from './broker/broker.ts'
import type { Broker } from './broker/broker.ts'
import { openLogWriter } from './broker/log-writer.ts'
import { createExecutor } from './executor/executor.ts'
import type { Executor } from './executor/executor.ts'
import { rememberCommands } from './executor/remember.ts'

export function usable(text: string): UsablePolicy {
  const policy = policyOf(text)
  return { kind: 'policy', policy, digest: policyDigest(policy), index: indexPolicy(policy) }
}

/** Who reads, and of whom. */
export const links = [
  'launcher to broker',
  'launcher to executor',
  'executor to broker',
  'broker to executor',
  'broker to launcher',
  'executor to launcher',
] as const
export type Link = (typeof links)[number]

export type Asked = Readonly<{
  action: string
  uid?: number
  stdin?: Uint8Array
  /** Of another user namespace. */
  foreign?: boolean
}>
type Slot = {
  state: 'submitted' | 'prepared' | 'running' | 'refused' | 'ended'
  readonly stdin: Uint8Array | null
  readonly asked: Asked
  hasStarted: boolean
}

/** What the two find when they look at the world. A test changes it. */
export type World = {
  nowMs: number
  /** Each executable is 32 times this byte; who is not here is of 0, and null may not run. */
  readonly programs: Map<string, number | null>
  installed: UsablePolicy | UnusablePolicy
  isLogShort: boolean
  isLogTight: boolean
  areReceiptsShort: boolean
}

export type TestBridge = Readonly<{
  world: World
  broker: Broker
  executor: Executor
  /** A client's request; its run. */
  ask: (asked: Asked) => number
  reload: () => void
  /** The reader of this link reads up to so many frames, and its batch ends. Returns how many. */
  read: (link: Link, most?: number) => number
  /** What was sent there and not read yet. */
  waiting: (link: Link) => readonly Frame[]
  /** The command of a run that started ends. */
  end: (run: number) => void
  running: () => readonly number[]
  stateOf: (run: number) => Slot['state']
  /** Whether its gate was ever opened, and what was asked. */
  startedOf: (run: number) => Readonly<{ hasStarted: boolean; asked: Asked }> | undefined
  /** What the executor made of it last. */
  digestOf: (run: number) => Uint8Array | undefined
  /** Reads and ends until nothing happens any more. */
  settle: () => void
  entries: () => readonly Entry[]
  receipts: () => readonly Receipt[]
  uses: ReadonlyMap<string, number>
  /** Asserts what holds whenever nothing is under way. */
  assertSettled: () => void
}>

/**
 * @param areLies somebody will tell a service what the other never said: then an OPEN may come for a run that was refused, as
 *   the real launcher takes it
 */
export function openTestBridge(
  first: UsablePolicy,
  startMs = 1000,
  { areLies = false }: Readonly<{ areLies?: boolean }> = {},
): TestBridge {
  const { key, sign, host } = testKey(7)
  const queues = new Map<Link, Frame[]>(links.map((link) => [link, []]))
  const slots = new Map<number, Slot>()
  const records: Uint8Array[] = []
  const receipts: Uint8Array[] = []
  const digests = new Map<number, Uint8Array>()
  const uses = new Map<string, number>()
  let held = 0
  let nextRun = 1
  const world: World = {
    ...{ nowMs: startMs, programs: new Map(), installed: first },
    ...{ isLogShort: false, isLogTight: false, areReceiptsShort: false },
  }
  const queueOf = (link: Link): Frame[] => queues.get(link) ?? []
  const sender = (link: Link) => (bytes: Uint8Array) => {
    cutFrames(bytes, ({ kind, body }) => {
      queueOf(link).push({ kind, body: body.slice() })
      if (kind !== wireKind.resolved) return
      const { run, actionDigest } = parseResolved(body)
      digests.set(run, actionDigest)
    })
  }
  const hold = (): (() => void) => {
    let isHeld = true
    held += 1
    return () => {
      assert.ok(isHeld, 'let go of twice')
      isHeld = false
      held -= 1
    }
  }

  const writer = openLogWriter(
    {
      append: (written) => records.push(...written),
      common: () => ({ salt: '0'.repeat(32), timeMs: world.nowMs, policy: 'unsigned' }),
    },
    { signed: emptyTree, unsignedLeaves: [] },
  )
  writer.recordQuietly({
    ...{ kind: 'start', host, policyDigest: first.digest, features: [] },
    ...{ versions: {}, receipts: { count: 0, head: noReceipts.hash } },
  })
  const broker = createBroker(
    {
      hostId: host,
      recordWithinMs: 30_000,
      toLauncher: sender('broker to launcher'),
      toExecutor: sender('broker to executor'),
      nowMs: () => world.nowMs,
      loadPolicy: () => world.installed,
      record: writer.record,
      recordQuietly: writer.recordQuietly,
      settleRecording: (_name, _told, done) => done(null),
      isShort: () => world.isLogShort,
      isTight: () => world.isLogTight,
    },
    first,
  )
  const executor = createExecutor(
    {
      hostId: host,
      toLauncher: sender('executor to launcher'),
      toBroker: sender('executor to broker'),
      nowMs: () => world.nowMs,
      measure: ({ executable }) => {
        const byte = world.programs.get(executable) ?? 0
        if (world.programs.get(executable) === null) {
          throw new BelladonnaError('path_unsafe', `${executable} is not root's`)
        }
        const stamp = { device: 1n, inode: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n }
        const sha256 = new Uint8Array(32).fill(byte)
        return { sha256, stamp, interpreter: null, copy: null, release: hold() }
      },
      makeBus: () => assert.fail('no socket is filtered'),
      planOf: () => new Uint8Array(64),
      openPaths: () => ({ kind: 'opened', binds: [], files: [], release: hold() }),
      commandOf: rememberCommands(),
      appendReceipts: (made) => receipts.push(...made),
      isShort: () => world.areReceiptsShort,
      loadPolicy: () => world.installed,
      adopted: () => undefined,
      sign,
      commitmentKey: new Uint8Array(32),
      usedGrants: {
        counts: uses,
        take: (grant) => void uses.set(grant, (uses.get(grant) ?? 0) + 1),
        giveBack: (grant) => void uses.set(grant, (uses.get(grant) ?? 0) - 1),
        hasRoom: () => true,
        keep: () => undefined,
      },
      settings: { prepared: 16, recordWithinMs: 30_000 },
    },
    first,
    noReceipts,
  )

  const toBoth = (kind: number, body: Uint8Array): void => {
    for (const link of ['launcher to broker', 'launcher to executor'] as const) {
      queueOf(link).push({ kind, body })
    }
  }
  const tellEnd = (run: number, kind: number): void => {
    const body = openWriter()
    writeU64(body, run)
    for (const word of [kind, 0, 0, 0]) writeU32(body, word)
    for (let at = 0; at < 4; at += 1) writeU64(body, 0)
    toBoth(wireKind.exited, written(body))
  }

  /** As the table at the head of run.c has it. */
  const launch = ({ kind, body }: Frame): void => {
    const reader = openReader(body)
    const run = readU64(reader)
    const slot = slots.get(run)
    assert.ok(slot !== undefined, `the launcher knows no run ${run}`)
    const isOver = slot.state === 'refused' || slot.state === 'ended'
    if (kind === wireKind.prepare) {
      if (isOver) return
      assert.equal(slot.state, 'submitted', `PREPARE of run ${run}`)
      slot.state = 'prepared'
    } else if (kind === wireKind.open) {
      if (areLies && isOver) {
        tellEnd(run, wireEnd.gone)
        return
      }
      assert.equal(slot.state, 'prepared', `OPEN of run ${run}`)
      slot.state = 'running'
      slot.hasStarted = true
    } else if (kind === wireKind.refuse) {
      assert.ok(slot.state === 'submitted' || slot.state === 'prepared', `REFUSE of run ${run}`)
      slot.state = 'refused'
    } else {
      assert.equal(kind, wireKind.read)
      if (isOver) return
      const answer = openWriter()
      writeU64(answer, run)
      const [input, offset] = [readU32(reader), readU32(reader)]
      const bytes = slot.stdin ?? new Uint8Array(0)
      for (const word of [input, offset]) writeU32(answer, word)
      writeU64(answer, bytes.length)
      writeBytes(answer, bytes.subarray(offset, offset + maxReadBytes))
      queueOf('launcher to executor').push({ kind: wireKind.bytes, body: written(answer) })
    }
  }

  const handlers: Readonly<Record<Link, (frame: Frame) => void>> = {
    'launcher to broker': broker.fromLauncher,
    'launcher to executor': executor.fromLauncher,
    'executor to broker': broker.fromExecutor,
    'broker to executor': executor.fromBroker,
    'broker to launcher': launch,
    'executor to launcher': launch,
  }
  const read = (link: Link, most = Infinity): number => {
    const frames = queueOf(link).splice(0, most)
    for (const frame of frames) handlers[link](frame)
    if (link.endsWith('executor')) executor.batchEnd()
    else if (link.endsWith('broker')) writer.commit()
    return frames.length
  }
  const running = (): readonly number[] =>
    [...slots].flatMap(([run, { state }]) => (state === 'running' ? [run] : []))
  const end = (run: number): void => {
    const slot = slots.get(run)
    if (slot?.state !== 'running') return
    slot.state = 'ended'
    tellEnd(run, wireEnd.exited)
  }
  const entries = (): readonly Entry[] => records.map(parseEntry)

  return {
    ...{ world, broker, executor, read, running, end, entries, uses },
    ask: ({ action, uid = 1000, stdin, foreign = false }) => {
      const run = nextRun
      nextRun += 1
      const asked = { action, uid }
      slots.set(run, { state: 'submitted', stdin: stdin ?? null, asked, hasStarted: false })
      const body = openWriter()
      writeU64(body, run)
      for (const word of [7, uid, uid, Number(foreign)]) writeU32(body, word)
      const kind = stdin === undefined ? wireStdio.null : wireStdio.sealed
      writeBytes(body, Uint8Array.of(kind, 0, 0, 0))
      for (const word of [0, 0, 0]) writeU32(body, word)
      writeU64(body, world.nowMs)
      writeBytes(body, parseHex(run.toString(16).padStart(32, '0')))
      writeBytes(body, formatRequest({ action, reason: '', nonce: null, parameters: [] }))
      toBoth(wireKind.submit, written(body))
      return run
    },
    reload: () => toBoth(wireKind.reload, new Uint8Array(0)),
    startedOf: (run) => slots.get(run),
    digestOf: (run) => digests.get(run),
    stateOf: (run) => slots.get(run)?.state ?? assert.fail(`no run ${run}`),
    settle: () => {
      for (let count = 1; count > 0;) {
        count = links.reduce((sum, link) => sum + read(link), 0)
        for (const run of running()) {
          end(run)
          count += 1
        }
      }
    },
    waiting: queueOf,
    receipts: () => receipts.map(parseReceipt),
    assertSettled: () => {
      for (const [run, { state }] of slots) {
        assert.ok(
          state === 'refused' || state === 'ended',
          `run ${run} is ${state}: nobody answers`,
        )
      }
      assert.deepEqual([broker.pending(), held], [0, 0], 'runs, and what is held for them')
      const head = executor.receiptHead()
      const root = rootHash(treeOf(records.map(leafHash)))
      const signed = { count: head.count, head: parseHex(head.hash) }
      const tree = { origin: key.name, size: records.length, root, receipts: signed }
      const checkpoints = [signCheckpoint(tree, key, sign)]
      const { problems, pending } = verifyLog({ entries: records, receipts, checkpoints, key })
      assert.deepEqual([problems, pending], [[], 0])
      assertCounts(broker, entries(), receipts.length)
      assertOneOrder(entries())
    },
  }
}

/** What `status` says is what the log says. */
function assertCounts({ counts }: Broker, entries: readonly Entry[], receiptCount: number): void {
  const outcomes = entries.filter((entry) => entry.kind === 'outcome')
  const ended = outcomes.filter(({ receipt }) => receipt !== null).length
  const { permitted, unlogged_granted, unlogged_strangers } = counts
  const denied = counts.denied - unlogged_granted - unlogged_strangers
  assert.deepEqual(
    { permitted, denied, ended: counts.ended, receipts: receiptCount },
    {
      ...{ permitted: ended, ended, receipts: ended },
      denied: entries.filter(({ kind }) => kind === 'denial').length,
    },
  )
}

/** Of the runs that have receipts: their intents come in the order of those. */
function assertOneOrder(entries: readonly Entry[]): void {
  const numbers = new Map<number, number>()
  for (const entry of entries) {
    if (entry.kind !== 'outcome' || entry.receipt === null) continue
    const found = /"number":([0-9]+)/.exec(entry.receipt)
    numbers.set(entry.intent, Number(found?.[1]))
  }
  const inLog = [...numbers].toSorted(([left], [right]) => left - right).map(([, number]) => number)
  assert.deepEqual(
    inLog,
    inLog.toSorted((left, right) => left - right),
    'receipts by their intents',
  )
}
