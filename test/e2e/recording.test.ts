/** Runs of profiles with `output = "recorded"`: what the client got is in a file, byte for byte, and the log names it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { verifyDirectory } from '../../src/host/read-log.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { compile } from '../native/compile.ts'
import {
  caller,
  checkout,
  childrenOf,
  readProc,
  run,
  startBridge,
  until,
} from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'
import { grantedActionText as granted } from '../support/action-text.ts'
import { readRecording, recorded, recordingPath } from '../support/recorded-bridge.ts'
import { openTerminal } from '../support/terminal.ts'

const skip = process.geteuid?.() !== 0
const sh = (text: string): readonly string[] => ['/usr/bin/dash', '-c', text]

const policy = `schema = 1
[profile.kept]
output = "recorded"
stdin = "stream"
limits = { output = "64M", time = "30s" }
[profile.small]
output = "recorded"
limits = { output = "1000", time = "30s" }
[profile.huge]
output = "recorded"
limits = { output = "1024G" }
${granted('both', 'kept', sh('i=0; while [ $i -lt 200 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done'))}
${granted('slow', 'kept', sh('echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three'))}
${granted('copy', 'kept', ['/usr/bin/cat'])}
${granted('nothing', 'kept', ['/usr/bin/true'])}
${granted('many', 'kept', ['/usr/bin/head', '-c', '20000000', '/dev/urandom'])}
${granted('small', 'small', sh('i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done'))}
${granted('sleep', 'kept', sh('echo here; exec sleep 20'))}
${granted('huge', 'huge', ['/usr/bin/true'])}
${granted('look', 'kept', sh('echo here; stty size; read line; echo "said $line"; stty size'))}
${granted('detached', 'kept', sh('echo here; for i in 1 2 3 4 5; do sleep 0.1; echo $i; done; exit 3'), 'detach = true')}
`

let bridge: TestBridge
before(async () => {
  if (!skip) bridge = await startBridge({ policy })
})
after(async () => {
  if (skip) return
  assert.deepEqual((await bridge.verify()).problems, [])
  assert.equal(await bridge.stop(), 0)
  await bridge[Symbol.asyncDispose]()
})

const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']
const words = (...args: readonly string[]): readonly string[] => [
  ...[...identity, bridge.bellPath, '-S', bridge.socket],
  ...args,
]
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

function relays(): readonly number[] {
  return childrenOf(bridge.pids().launcher).filter((pid) =>
    readProc(`${pid}/comm`).startsWith('belladonna-rela'),
  )
}

async function started(...args: readonly string[]): Promise<ReturnType<typeof spawn>> {
  const child = spawn('/usr/bin/setpriv', [...words(...args)])
  await new Promise((resolve) => child.stdout.once('data', resolve))
  return child
}

test(
  'recording: both streams are in it, in order, and are what the client got',
  { skip },
  async () => {
    const got: string[] = []
    const outcome = await bridge.outcomeOf(async () => {
      const { stdout, stderr, status } = await bridge.bell(['both'])
      assert.equal(status, 0)
      got.push(stdout, stderr)
    })
    const { recording, stdout, stderr, terminal, truncated } = recorded(outcome)
    const file = readRecording(bridge.root, recording)
    assert.deepEqual([file.of('stdout').toString(), file.of('stderr').toString()], got)
    assert.deepEqual([recording.incomplete, recording.size], [null, file.bytes.length])
    assert.equal(recording.sha256, sha256(file.bytes))
    assert.equal(stdout.sha256, sha256(file.of('stdout')))
    assert.equal(stderr.sha256, sha256(file.of('stderr')))
    assert.deepEqual([terminal, truncated, file.isWhole], [null, false, true])
    assert.ok(outcome.features.includes('recorded'))
    assert.deepEqual([file.head.run, file.head.nonce], [outcome.run, recording.name])
    const receipt = bridge.receipts().at(-1)
    assert.equal(receipt?.nonce, recording.name)
  },
)

test('recording: when it was written stands with it', { skip }, async () => {
  const outcome = await bridge.outcomeOf(async () => await bridge.bell(['slow']))
  const { chunks } = readRecording(bridge.root, recorded(outcome).recording)
  const times = chunks.map(({ kind, atUs }) => [kind, Math.floor(atUs / 100_000)] as const)
  const [first, second, third, end] = times
  assert.deepEqual(
    times.map(([kind]) => kind),
    ['stdout', 'stderr', 'stdout', 'end'],
  )
  assert.ok((first?.[1] ?? 9) < 3 && (second?.[1] ?? 0) >= 3 && (third?.[1] ?? 0) >= 6)
  assert.ok((end?.[1] ?? 99) * 100_000 <= outcome.usage.wallUs + 100_000)
})

test('recording: of a run that writes nothing there is one too', { skip }, async () => {
  const outcome = await bridge.outcomeOf(async () => await bridge.bell(['nothing']))
  const { chunks, isWhole } = readRecording(bridge.root, recorded(outcome).recording)
  assert.deepEqual([chunks.map(({ kind }) => kind), isWhole], [['end'], true])
})

test('recording: what is typed or streamed in is not in it', { skip }, async () => {
  const { recording } = recorded(
    await bridge.outcomeOf(async () => {
      await run(['/usr/bin/dash', '-c', `echo secret | setpriv ${words('nothing').join(' ')}`])
    }),
  )
  assert.ok(!readRecording(bridge.root, recording).bytes.includes('secret'))
})

test('recording: twenty megabytes are whole', { skip }, async () => {
  const hash = createHash('sha256')
  const outcome = await bridge.outcomeOf(async () => {
    const child = spawn('/usr/bin/setpriv', [...words('many')])
    child.stdout.on('data', (bytes: Buffer) => hash.update(bytes))
    await new Promise((resolve) => child.once('close', resolve))
  })
  const { recording, stdout } = recorded(outcome)
  const file = readRecording(bridge.root, recording)
  assert.equal(sha256(file.of('stdout')), hash.digest('hex'))
  assert.deepEqual([stdout.delivered, file.of('stdout').length], [20_000_000, 20_000_000])
  // What was set aside for it and not needed is given back.
  assert.ok(statSync(recordingPath(bridge.root, recording)).blocks * 512 < 24_000_000)
})

test(
  'recording: the cap bounds the file, and nothing is delivered that is not in it',
  { skip },
  async () => {
    const got: string[] = []
    const outcome = await bridge.outcomeOf(async () => {
      got.push((await bridge.bell(['small'])).stdout)
    })
    const { recording, stdout, truncated } = recorded(outcome)
    const file = readRecording(bridge.root, recording)
    assert.equal(truncated, true)
    assert.equal(file.of('stdout').toString(), got[0])
    assert.ok(file.bytes.length <= 64 + 1000 + 40 && file.of('stdout').length > 300)
    const end = file.chunks.at(-1)
    assert.ok(end?.kind === 'end')
    assert.equal(end.leftOut.stdout, stdout.written - stdout.delivered)
    assert.deepEqual([end.leftOut.stderr, end.leftOut.terminal], [0, 0])
  },
)

test('recording: a client that is gone takes nothing from it', { skip }, async () => {
  const child = await started('detached')
  const outcome = await bridge.outcomeOf(() => child.kill('SIGKILL'))
  const { recording, stdout, undelivered } = recorded(outcome)
  const file = readRecording(bridge.root, recording)
  assert.equal(file.of('stdout').toString(), 'here\n1\n2\n3\n4\n5\n')
  assert.ok(undelivered && stdout.delivered < stdout.written)
  assert.equal(stdout.written, file.of('stdout').length)
})

test('recording: at a terminal, with its size as it changes', { skip }, async () => {
  const directory = mkdtempSync('/var/lib/belladonna-test.')
  chmodSync(directory, 0o755)
  const host = compile(directory, 'terminal-host.c')
  try {
    const outcome = await bridge.outcomeOf(async () => {
      using terminal = openTerminal(host, [bridge.bellPath, '-S', bridge.socket, 'look'], {
        ...{ rows: 24, columns: 80 },
      })
      await terminal.expect(/24 80/)
      terminal.order('size 30 100')
      await new Promise((resolve) => setTimeout(resolve, 300))
      terminal.type('word\r')
      await terminal.expect(/30 100/)
      assert.equal(await terminal.end, 0)
    })
    const { recording, terminal } = recorded(outcome)
    const file = readRecording(bridge.root, recording)
    assert.match(
      file.of('terminal').toString(),
      /^here\r\n24 80\r\nword\r\nsaid word\r\n30 100\r\n$/,
    )
    assert.equal(terminal?.sha256, sha256(file.of('terminal')))
    const sizes = file.chunks.flatMap((chunk) =>
      chunk.kind === 'size' ? [`${chunk.columns}x${chunk.rows}`] : [],
    )
    assert.deepEqual(sizes, ['80x24', '100x30'])
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('recording: promise 6: one that the disk cannot hold is no run', { skip }, async () => {
  const before = readdirSync(bridgePaths(bridge.root).recordings).length
  const told: string[] = []
  const outcome = await bridge.outcomeOf(async () => {
    const { status, stderr } = await bridge.bell(['huge'])
    assert.equal(status, 125)
    told.push(stderr)
  })
  assert.match(told[0] ?? '', /not started: recording: (No space left|File too large)/)
  assert.deepEqual([outcome.end.kind, outcome.end.stage], ['failed', 'recording'])
  assert.deepEqual(outcome.output, { kind: 'unknown', recording: null })
  assert.equal(readdirSync(bridgePaths(bridge.root).recordings).length, before)
})

test(
  'recording: a relay that was killed leaves what it wrote, and the entry says how much',
  { skip },
  async () => {
    const child = await started('sleep')
    const [relay = 0] = relays()
    const outcome = await bridge.outcomeOf(() => process.kill(relay, 'SIGKILL'))
    assert.notEqual(child.pid, undefined)
    const { output } = outcome
    assert.ok(output.kind === 'unknown' && output.recording !== null)
    const file = readRecording(bridge.root, output.recording)
    assert.deepEqual(
      [outcome.end.kind, file.isWhole, file.of('stdout').toString()],
      ['lost', false, 'here\n'],
    )
    assert.deepEqual(
      [output.recording.incomplete, output.recording.size],
      ['relay_lost', file.bytes.length],
    )
    assert.equal(output.recording.sha256, sha256(file.bytes))
  },
)

for (const who of ['broker', 'launcher'] as const) {
  test(`recording: after the ${who} died the next start says what is there`, { skip }, async () => {
    await started('sleep')
    if (who === 'broker') process.kill(bridge.pids().broker, 'SIGKILL')
    else bridge.launcher().kill('SIGKILL')
    if (who === 'broker') await bridge.ready()
    else await bridge.startAgain()
    const entry = bridge.entries().findLast(({ kind }) => kind === 'recovered')
    assert.ok(entry?.kind === 'recovered' && entry.recording !== null)
    assert.deepEqual([entry.state, entry.recording.incomplete], ['unknown', 'crash'])
    const file = readRecording(bridge.root, entry.recording)
    assert.equal(file.of('stdout').toString(), 'here\n')
    assert.deepEqual((await bridge.verify()).problems, [])
  })
}

test('recording: a bridge that stops in order closes what it has', { skip }, async () => {
  await started('sleep')
  const before = bridge.outcomes().length
  await bridge.stop()
  await bridge.startAgain()
  const outcome = bridge.outcomes()[before]
  const recovered = bridge.entries().findLast(({ kind }) => kind === 'recovered')
  const output = outcome?.output
  assert.ok(outcome !== undefined || recovered !== undefined)
  assert.ok(output === undefined || (output.kind === 'unknown' && output.recording !== null))
  assert.deepEqual((await bridge.verify()).problems, [])
})

test('recording: neither the broker nor another run can touch a file', { skip }, async () => {
  const { recording } = recorded(await bridge.outcomeOf(async () => await bridge.bell(['nothing'])))
  const file = statSync(recordingPath(bridge.root, recording))
  assert.deepEqual([file.mode & 0o7777, file.uid, file.gid], [0o640, 61_201, 61_200])
  const directory = statSync(bridgePaths(bridge.root).recordings)
  assert.deepEqual(
    [directory.mode & 0o7777, directory.uid, directory.gid],
    [0o2750, 61_201, 61_200],
  )
})

test(
  'recording: audit show names it, audit verify holds it against the log',
  { skip },
  async () => {
    const { recording } = recorded(await bridge.outcomeOf(async () => await bridge.bell(['both'])))
    const cli = join(checkout, 'bin/belladonna')
    const { stdout } = await run([cli, 'audit', 'show', '--last', '1', '--root', bridge.root])
    assert.match(
      stdout,
      new RegExp(
        `recorded  recordings/${recording.name}.rec, ${recording.size} bytes, SHA-256 ${recording.sha256}`,
      ),
    )
    const copy = mkdtempSync('/tmp/belladonna-copy.')
    try {
      cpSync(bridgePaths(bridge.root).lib, copy, { recursive: true })
      const problems = async (): Promise<readonly string[]> => {
        const report = await verifyDirectory(copy, { isCopy: true })
        return report?.problems.map(({ code }) => code) ?? []
      }
      assert.deepEqual(await problems(), [])
      const file = join(copy, 'recordings', `${recording.name}.rec`)
      const { bytes } = readRecording(bridge.root, recording)
      bytes[80] = (bytes[80] ?? 0) ^ 1
      writeFileSync(file, bytes)
      assert.deepEqual(await problems(), ['recording_differs'])
      rmSync(file)
      assert.deepEqual(await problems(), ['recording_missing'])
      rmSync(join(copy, 'recordings'), { recursive: true })
      const report = await verifyDirectory(copy, { isCopy: true })
      assert.ok(
        report?.ok === true &&
          report.recordings_missing === report.recordings &&
          report.recordings > 0,
      )
    } finally {
      rmSync(copy, { recursive: true })
    }
    await until(() => relays().length === 0, 5000)
  },
)
