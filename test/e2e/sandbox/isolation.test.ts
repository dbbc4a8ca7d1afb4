/**
 * Two runs of one profile at the same time: what one makes and holds, the other does not find. The same program finds it
 * when it makes it itself, so it is the walls between the two that hide it.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../../support/action-text.ts'
import { caller, exitOf } from '../../support/bridge.ts'
import { isLinux } from '../../support/kernel.ts'
import { startBare } from './bare-bridge.ts'
import type { BareBridge } from './bare-bridge.ts'
import { all, allowCalls, noLandlockFiles, same, withCapabilities } from './plan-changes.ts'
import type { Change } from './plan-changes.ts'
import { compileStatic } from './programs.ts'

const skip = process.geteuid?.() !== 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
const [programs, seen] = [join(directory, 'programs'), join(directory, 'seen')]
let bare: BareBridge

const policy = `schema = 1
[profile.none]
read = ["${programs}", "${seen}"]
stdin = "stream"
escapable = true
[profile.loopback]
read = ["${programs}", "${seen}"]
stdin = "stream"
network = "loopback"
[[grant]]
who = ["group:sudo"]
may = ["none"]
${['none', 'loopback']
  .map((profile) => actionText(profile, profile, [`${programs}/object`]))
  .join('\n')}
`

before(async () => {
  if (skip) return
  for (const path of [directory, programs, seen]) {
    if (path !== directory) mkdirSync(path)
    chmodSync(path, 0o755)
  }
  compileStatic(programs, 'object')
  bare = await startBare(policy)
})
after(async () => {
  if (!skip) await bare[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

type Row = Readonly<{ kind: string; profile?: string; missing: string; change?: Change }>
const [noFile, noProcess, refused, reset] = ['errno 2', 'errno 3', 'errno 111', 'errno 1']
const rows: readonly Row[] = [
  { kind: 'tmp', missing: noFile },
  { kind: 'posix-memory', missing: noFile },
  { kind: 'memory', missing: noFile },
  { kind: 'semaphore', missing: noFile },
  { kind: 'messages', missing: noFile },
  // Landlock refuses them as files of no path, also a run's own.
  { kind: 'posix-queue', missing: noFile, change: noLandlockFiles },
  { kind: 'process', missing: noProcess },
  // They share one empty network namespace: Landlock's scope keeps them apart. Where there is none, each has its own.
  { kind: 'abstract', missing: isLinux(6, 12) ? reset : refused },
  { kind: 'loopback', profile: 'loopback', missing: refused },
  {
    kind: 'mounted',
    missing: noFile,
    change: all(withCapabilities('CAP_SYS_ADMIN'), allowCalls('mount'), noLandlockFiles),
  },
]

async function find(row: Row, word: 'find' | 'both'): Promise<string> {
  const plan = (row.change ?? same)(bare.plan(row.profile ?? 'none'))
  const { stdout, stderr } = await bare.run(plan, [`${programs}/object`, word, row.kind, seen])
  return stdout.trim() + stderr
}

for (const row of rows) {
  test(
    `two runs of one profile: ${row.kind} of one is not there for the other`,
    { skip },
    async () => {
      const plan = (row.change ?? same)(bare.plan(row.profile ?? 'none'))
      bare.arrange(plan, [`${programs}/object`, 'make', row.kind, seen])
      const identity = [
        `--reuid=${caller.uid}`,
        '--groups=27',
        bare.bridge.bellPath,
        '-S',
        bare.bridge.socket,
      ]
      const maker = spawn('/usr/bin/setpriv', [...identity, 'any'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      try {
        const made = await new Promise<string>((resolve) =>
          maker.stdout.once('data', (bytes: Buffer) => resolve(bytes.toString().trim())),
        )
        assert.equal(made, 'made')
        assert.equal(await find(row, 'find'), row.missing)
        assert.equal(maker.exitCode, null, 'it was there all the time')
      } finally {
        maker.stdin.end()
        assert.equal(await exitOf(maker), 0)
      }
      assert.equal(await find(row, 'both'), 'found')
    },
  )
}

test('POSIX queues: Landlock refuses a run its own, as files of no path', { skip }, async () => {
  const row = { kind: 'posix-queue', missing: '' }
  assert.equal(await find(row, 'both'), 'errno 13\nerrno 13')
  assert.equal(await find({ ...row, change: noLandlockFiles }, 'both'), 'found')
})
