/**
 * A recording that cannot grow any more, at each of its bytes that matters. The kernel holds the relay's file to a size (RLIMIT_FSIZE,
 * set from outside while its run waits): the write that reaches it is short, and the next one fails.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess, ChildProcessWithoutNullStreams } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, statSync, truncateSync } from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { grantedActionText as granted } from '../support/action-text.ts'
import { caller, childrenOf, exitOf, readProc, run, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'
import { readRecording, recorded } from '../support/recorded-bridge.ts'
import { attach, detach, isHit, isStruck } from '../support/strike.ts'
import { recordingNamed, recordingSynced } from './fault/cells.ts'
import type { Cell } from './fault/cells.ts'
import { openTerminal } from '../support/terminal.ts'
import { compile, openScratch } from '../native/compile.ts'

const skip = process.geteuid?.() !== 0
const policy = `schema = 1
[profile.kept]
output = "recorded"
stdin = "stream"
${granted('talk', 'kept', ['/usr/bin/dash', '-c', 'echo here; read line; echo "$line"; exit 3'])}
${granted('fill', 'kept', ['/usr/bin/dash', '-c', 'echo here; exec yes'])}
${granted('stay', 'kept', ['/usr/bin/dash', '-c', 'echo here; read line; echo "$line"; exec sleep 20'])}
`
const [head, chunk] = [64, 16]
const first = head + chunk + 'here\n'.length
const said = `${'x'.repeat(99)}\n`
const second = first + chunk + said.length

/** How large the file may get, and whether all that was said is in it, and so with the client: then the command ends by itself. */
const cells: readonly (readonly [where: string, size: number, isSaid: boolean])[] = [
  ['before the head of a chunk', first, false],
  ['within the head of a chunk', first + 7, false],
  ['between a head and what it announces', first + chunk, false],
  ['within a chunk', first + chunk + 50, false],
  ['a byte before the end of a chunk', second - 1, false],
  ['before the last chunk', second, true],
  ['within the head of the last chunk', second + 7, true],
  ['within the last chunk', second + chunk + 11, true],
]

let bridge: TestBridge
before(async () => {
  if (!skip) bridge = await startBridge({ policy })
})
after(async () => {
  if (skip) return
  assert.equal(await bridge.stop(), 0)
  await bridge[Symbol.asyncDispose]()
})

/** The relay of the one run there is: it alone has a recording open, once that of the run before is gone. */
async function relay(): Promise<number> {
  const recording = (): readonly number[] => childrenOf(bridge.pids().launcher).filter(isRecording)
  await until(() => recording().length === 1, 5_000)
  return recording()[0] ?? 0
}

function isRecording(pid: number): boolean {
  try {
    return recordingOf(pid) !== undefined
  } catch {
    return false // it has ended meanwhile
  }
}

function recordingOf(pid: number): string | undefined {
  const directory = `/proc/${pid}/fd`
  const descriptors = readdirSync(directory).map((fd) => `${directory}/${fd}`)
  return descriptors.find((path) => readlinkSync(path).endsWith('.rec'))
}

function sizeOfRecording(pid: number): number {
  return statSync(recordingOf(pid) ?? '').size
}

/** As the relay's own user, who may: this host's root need not have CAP_SYS_RESOURCE. */
async function hold(pid: number, size: number): Promise<void> {
  const status = readProc(`${pid}/status`)
  const [uid, gid] = ['Uid', 'Gid'].map(
    (id) => new RegExp(`^${id}:\\t(\\d+)`, 'm').exec(status)?.[1],
  )
  const words = [`--reuid=${uid ?? ''}`, `--regid=${gid ?? ''}`, '--clear-groups']
  const limit = ['/usr/bin/prlimit', `--pid=${pid}`, `--fsize=${size}:${size}`]
  const held = await run(['/usr/bin/setpriv', ...words, ...limit])
  assert.equal(held.status, 0, held.stderr)
}

for (const [where, size, isSaid] of cells) {
  test(
    `C64 promise 6: a recording that ends ${where}: the run is lost; nothing is delivered that is not there`,
    { skip, timeout: 30_000 },
    async () => {
      let got = ''
      const outcome = await bridge.outcomeOf(async () => {
        const bell = spawnBell(isSaid ? 'talk' : 'stay')
        bell.stdout.on('data', (bytes: Buffer) => (got += bytes.toString()))
        await new Promise((resolve) => bell.stdout.once('data', resolve))
        await hold(await relay(), size)
        bell.stdin.end(said)
        assert.equal(await exitOf(bell), 125)
      })
      const { kind, stage } = outcome.end
      assert.deepEqual([kind, stage], ['lost', 'recording'])
      const { recording, stdout, undelivered } = recorded(outcome)
      assert.equal(undelivered, !isSaid)
      assert.deepEqual([recording.incomplete, recording.size], ['failed', size])
      const file = readRecording(bridge.root, recording)
      assert.deepEqual([file.isWhole, file.bytes.length], [false, size])
      assert.equal(got, isSaid ? `here\n${said}` : 'here\n')
      assert.deepEqual([file.of('stdout').toString(), stdout.delivered], [got, got.length])
    },
  )
}

function spawnBell(action: string): ChildProcessWithoutNullStreams {
  const words = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']
  return spawn('/usr/bin/setpriv', [...words, bridge.bellPath, '-S', bridge.socket, action])
}

/** What the broker does with a recording that is whole: of the file, and of its name. */
const syncs = [
  ['fdatasync', recordingSynced],
  ['fsync', recordingNamed],
] as const
for (const [call, seen] of syncs) {
  test(
    `C64: EIO at ${call} of a recording: its entry says that it may not be on the disk, nobody ends, and it is not tried again`,
    { skip, timeout: 60_000 },
    async () => {
      const words = { stdin: said }
      await bridge.outcomeOf(async () => await bridge.bell(['talk'], words)) // those threads are there
      await sleep(400) // and checkpoints are written
      const { broker } = bridge.pids()
      const output = join(bridge.root, `strace-${call}`)
      const step = { step: 'a sync', seen, isOfWorker: true } as const
      const cell: Cell = { struck: 'broker', call, nth: 1, fault: 'EIO', ...step }
      const bell = spawnBell('talk')
      await new Promise((resolve) => bell.stdout.once('data', resolve))
      const recordings = '/belladonna/recordings' // as the broker sees it
      const file = join(recordings, basename(readlinkSync(recordingOf(await relay()) ?? '')))
      const tracer = await attach(cell, broker, output, [file, recordings]) // not those of checkpoints
      const outcome = await bridge
        .outcomeOf(async () => {
          bell.stdin.end(said)
          assert.equal(await exitOf(bell), 3)
        })
        .finally(async () => {
          await detach(tracer)
        })
      assert.ok(isHit(cell, output), readFileSync(output, 'utf8'))
      assert.equal(readFileSync(output, 'utf8').match(/\(INJECTED\)/g)?.length, 1)
      const { recording } = recorded(outcome)
      assert.equal(recording.incomplete, 'not_durable')
      assert.equal(readRecording(bridge.root, recording).isWhole, true)
      assert.equal(bridge.pids().broker, broker)
    },
  )
}

test(
  'C64 promise 6: a size of a terminal that cannot be recorded: what waited for the client then is undelivered',
  { skip, timeout: 30_000 },
  async () => {
    using scratch = openScratch()
    const host = compile(scratch.path, 'terminal-host.c')
    const outcome = await bridge.outcomeOf(async () => {
      using terminal = openTerminal(host, [bridge.bellPath, '-S', bridge.socket, 'fill'])
      await terminal.expect(/here/)
      terminal.order('hold')
      const pid = await relay()
      let size = 0
      await until(async () => {
        const before = size
        await sleep(200)
        size = sizeOfRecording(pid)
        return size > first && size === before // the terminal is full
      }, 10_000)
      await hold(pid, size)
      terminal.order('size 30 100')
      await until(() => !isRecording(pid), 10_000)
      terminal.order('release')
      assert.equal(await terminal.end, 125)
    })
    assert.deepEqual([outcome.end.kind, outcome.end.stage], ['lost', 'recording'])
    const { recording, terminal, undelivered } = recorded(outcome)
    assert.equal(undelivered, true)
    assert.ok(terminal !== null && terminal.delivered < terminal.written)
    assert.equal(recording.incomplete, 'failed')
  },
)

/** What is within a relay's reach by ftruncate(2), which its filter leaves it. */
async function stretched(): Promise<Readonly<{ bell: ChildProcess; pid: number }>> {
  const bell = spawnBell('stay')
  await new Promise((resolve) => bell.stdout.once('data', resolve))
  const pid = await relay()
  const descriptor = readdirSync(`/proc/${pid}/fd`).find((fd) =>
    readlinkSync(`/proc/${pid}/fd/${fd}`).endsWith('.rec'),
  )
  truncateSync(`/proc/${pid}/fd/${descriptor ?? ''}`, 8 * 2 ** 40)
  return { bell, pid }
}

test(
  'promise 7: C89: a relay that stretches its file to eight terabytes keeps nobody busy, nor the bridge from a start',
  { skip, timeout: 60_000 },
  async () => {
    const outcome = await bridge.outcomeOf(async () => {
      const { bell, pid } = await stretched()
      process.kill(pid, 'SIGKILL')
      assert.equal(await exitOf(bell), 125)
    })
    assert.ok(outcome.output.kind === 'unknown' && outcome.output.recording !== null)
    assert.equal(outcome.output.recording.incomplete, 'relay_lost')
    assert.ok(outcome.output.recording.size <= 64 * 1024 * 1024)
    const { bell, pid } = await stretched()
    process.kill(pid, 'SIGSTOP') // or it would give back at its end what it had not written
    process.kill(bridge.pids().broker, 'SIGKILL')
    isStruck(pid)
    assert.equal(await exitOf(bell), 125)
    await bridge.ready()
    await until(() => bridge.entries().some(({ kind }) => kind === 'recovered'), 10_000)
    await until(async () => (await bridge.verify()).unsigned_tail === 0, 10_000)
    const codes = (await bridge.verify()).problems.map(({ code }) => code)
    assert.deepEqual(codes, ['recording_malformed', 'recording_malformed'])
  },
)

test('recording: after all that, the next one is whole', { skip }, async () => {
  const outcome = await bridge.outcomeOf(async () => {
    assert.equal((await bridge.bell(['talk'], { stdin: said })).status, 3)
  })
  assert.equal(recorded(outcome).recording.incomplete, null)
  await until(async () => (await bridge.verify()).unsigned_tail === 0, 10_000)
  const { problems, recordings } = await bridge.verify()
  // Two were stretched.
  assert.deepEqual([problems.length, recordings], [2, cells.length + 2 * syncs.length + 4])
})
