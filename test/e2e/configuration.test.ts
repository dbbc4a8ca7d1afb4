/** Each key of belladonna.toml is obeyed by real processes, and a configuration with an error starts nothing. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { configurationKeys } from '../../src/core/configuration/keys.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { askBridge } from '../../src/host/bridge-request.ts'
import { cgroupsBelow } from '../../src/host/cgroup.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { actionText } from '../support/action-text.ts'
import { checkout, exitOf, readProc, run, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const belladonna = join(checkout, 'bin/belladonna')
const policy = `
schema = 1
[profile.p]
${actionText('hello', 'p', ['/usr/bin/echo', 'hello'])}
${actionText('wait', 'p', ['/usr/bin/sleep', '4'])}
[[grant]]
who = ["group:sudo"]
may = ["hello", "wait"]
`

/** Whether a line of strace shows a frame of this kind that leaves by one of a service's channels. */
function isSent(line: string, kind: number): boolean {
  const [, low = '', high = ''] = /^write\([34], "(?:\\x..){4}\\x(..)\\x(..)/.exec(line) ?? []
  return Number.parseInt(high + low, 16) === kind
}

/** What strace says of one process while `during` goes on. */
async function traced(
  bridge: TestBridge,
  pid: number,
  words: readonly string[],
  during: () => Promise<void>,
): Promise<string> {
  const output = join(bridge.root, 'strace')
  const fixed = ['-q', '-xx', '-s', '16', '-o', output, '-p', `${pid}`]
  const tracer = spawn('strace', [...fixed, ...words], { stdio: 'ignore' })
  await until(() => !/^TracerPid:\t0$/m.test(readProc(`${pid}/status`)), 5_000)
  await during()
  tracer.kill('SIGTERM')
  await exitOf(tracer)
  return readFileSync(output, 'utf8')
}

/** A test for a key: what must be so with this line in the file, and not so without the file. */
type Obeyed = Readonly<{ line: string; isSo: (bridge: TestBridge) => Promise<boolean> }>

const parent = `/belladonna-test-${process.pid}`
const obeyed: Readonly<Record<keyof typeof configurationKeys, Obeyed>> = {
  brokerUser: {
    line: 'broker.user = "games"',
    isSo: async (bridge) => {
      const { log } = bridgePaths(bridge.root)
      const games = Number(execFileSync('/usr/bin/id', ['-u', 'games'], { encoding: 'utf8' }))
      const uid = /^Uid:\t([0-9]+)/m.exec(readProc(`${bridge.pids().broker}/status`))?.[1]
      assert.equal((await bridge.bell(['hello'])).status, 0)
      assert.equal(statSync(join(log, 'entries.wal')).uid, Number(uid))
      return Number(uid) === games
    },
  },
  cgroupParent: {
    line: `cgroup.parent = "${parent}"`,
    isSo: async (bridge) => {
      const running = bridge.bell(['wait'])
      await until(() => bridge.entries().at(-1)?.kind === 'intent', 5_000)
      const places = Object.values(cgroupsBelow(parent)).filter((path) => path !== '')
      const counts = places.map((path) => (existsSync(path) ? readdirSync(path) : []))
      assert.equal((await running).status, 0)
      const found = counts.map((names) => names.some((name) => name.startsWith('belladonna.')))
      return found.every(Boolean)
    },
  },
  perUser: {
    line: 'limits.per_user = 1',
    isSo: async (bridge) => {
      const first = bridge.bell(['wait'])
      await until(() => bridge.entries().at(-1)?.kind === 'intent', 5_000)
      const { status, stderr } = await bridge.bell(['hello'])
      const other = await bridge.bell(['hello'], { uid: 61_291, groups: [27] })
      assert.equal(other.status, 0, 'another user is not touched')
      assert.equal((await first).status, 0)
      return status === 125 && stderr.includes('busy')
    },
  },
  prepared: {
    line: 'limits.prepared = 0',
    isSo: async (bridge) => {
      const { executor } = bridge.pids()
      const seen = await traced(bridge, executor, ['-e', 'trace=write,pwrite64'], async () => {
        assert.equal((await bridge.bell(['hello'])).status, 0)
      })
      const lines = seen.split('\n')
      const prepare = lines.findIndex((line) => isSent(line, wireKind.prepare))
      const receipt = lines.findIndex((line) => line.startsWith('pwrite64('))
      assert.ok(prepare >= 0 && receipt >= 0, seen)
      return prepare > receipt
    },
  },
  recordWithinMs: {
    line: 'limits.record_within = "1s"',
    isSo: async (bridge) => {
      const { broker } = bridge.pids()
      await sleep(400) // the checkpoint of the start is over
      const slow = ['-e', 'trace=fdatasync', '-e', 'inject=fdatasync:delay_enter=1500000:when=1']
      const statuses: (number | null)[] = []
      await traced(bridge, broker, slow, async () => {
        statuses.push((await bridge.bell(['hello'])).status)
      })
      return statuses[0] === 125
    },
  },
  statusClients: {
    line: 'limits.status_clients = 1',
    isSo: async (bridge) => {
      const { bridgeSocket } = bridgePaths(bridge.root)
      const first = connect(bridgeSocket)
      await new Promise((resolve) => first.once('connect', resolve))
      let isAway = false
      first.resume().once('close', () => (isAway = true))
      await askBridge(bridgeSocket, '/v1/status')
      await sleep(500) // less than the two seconds after which who says nothing is ended
      first.destroy()
      return isAway
    },
  },
  outcomeDelayMs: {
    line: 'log.outcome_delay = "1s"',
    isSo: async (bridge) => {
      assert.equal((await bridge.bell(['hello'])).status, 0)
      await sleep(400)
      const isLate = bridge.entries().at(-1)?.kind === 'intent'
      await until(() => bridge.entries().at(-1)?.kind === 'outcome', 3_000)
      return isLate
    },
  },
  signEveryMs: {
    line: 'log.sign_every = "4s"',
    isSo: async (bridge) => {
      assert.equal((await bridge.bell(['hello'])).status, 0)
      await sleep(1_500)
      const isLate = (await bridge.verify().catch(() => null))?.unsigned_tail !== 0
      await until(async () => (await bridge.verify()).unsigned_tail === 0, 8_000)
      return isLate
    },
  },
  spaceAheadBytes: {
    line: 'log.space_ahead = "4M"',
    isSo: async (bridge) => {
      const { log, receipts } = bridgePaths(bridge.root)
      const files = [join(log, 'entries.wal'), join(receipts, 'receipts.wal')]
      return Promise.resolve(files.every((file) => statSync(file).size >= 4 * 1024 ** 2))
    },
  },
  policySource: {
    line: 'policy.source = "/nonexistent/policy.d"',
    isSo: async (bridge) => {
      const answer = await run([belladonna, 'policy', 'check', '--root', bridge.root])
      assert.equal(answer.status, 78)
      return answer.stderr.startsWith('/nonexistent/policy.d:1:1: error: ')
    },
  },
}

for (const [name, { line, isSo }] of Object.entries(obeyed)) {
  test(`configuration: obeyed: ${line}, as ${name}`, { skip, timeout: 120_000 }, async () => {
    const places = Object.values(cgroupsBelow(parent)).filter((path) => path !== '')
    for (const place of places) mkdirSync(place)
    try {
      await using bridge = await startBridge({ policy, configuration: `${line}\n` })
      assert.equal(await isSo(bridge), true)
    } finally {
      for (const place of places) rmdirSync(place)
    }
    await using bridge = await startBridge({ policy })
    assert.equal(await isSo(bridge), false, 'it is so without the key too')
  })
}

type Refusal = Readonly<{ name: string; make: (file: string) => void; why: RegExp }>
const valid = 'schema = 1\n'
const refusals: readonly Refusal[] = [
  {
    name: 'an unknown key',
    make: (file) => writeFileSync(file, 'schema = 1\n[log]\nsign_evry = "1s"\n'),
    why: /belladonna\.toml:3:1: error: unknown key "sign_evry" \(did you mean "sign_every"\?\)/,
  },
  {
    name: 'a removed key',
    make: (file) => writeFileSync(file, 'schema = 1\nallow_legacy_tokens = true\n'),
    why: /belladonna\.toml:2:1: error: "allow_legacy_tokens" was removed: .*`belladonna dev migrate-config/,
  },
  {
    name: 'a syntax error',
    make: (file) => writeFileSync(file, 'schema = \n'),
    why: /belladonna\.toml:1:10: error: .*syntax_invalid/,
  },
  { name: 'one of another user', make: (file) => chownSync(file, 61_290, 0), why: /uid 61290/ },
  { name: 'one that others may write', make: (file) => chmodSync(file, 0o666), why: /writable/ },
  {
    name: 'one in a directory that others may write',
    make: (file) => chmodSync(join(file, '..'), 0o777),
    why: /etc\/belladonna" is writable by others/,
  },
  {
    name: 'a link to one',
    make: (file) => {
      rmSync(file)
      writeFileSync(`${file}.real`, valid)
      symlinkSync(`${file}.real`, file)
    },
    why: /ELOOP/,
  },
]

for (const { name, make, why } of refusals) {
  test(`promise 6: C17: configuration: with ${name} nothing starts`, { skip }, async () => {
    const root = mkdtempSync('/tmp/belladonna.')
    try {
      chmodSync(root, 0o755)
      mkdirSync(join(root, 'etc/belladonna'), { recursive: true, mode: 0o755 })
      const file = join(root, 'etc/belladonna/belladonna.toml')
      writeFileSync(file, valid, { mode: 0o644 })
      make(file)
      for (const words of [['up'], ['config', 'check']]) {
        const { status, stderr } = await run([belladonna, ...words, '--root', root])
        assert.equal(status, 78, stderr)
        assert.match(stderr, why)
      }
      assert.equal(existsSync(bridgePaths(root).run), false)
      assert.equal(existsSync(bridgePaths(root).lib), false)
    } finally {
      rmSync(root, { recursive: true })
    }
  })
}

test(
  'migrate-config: what it prints is what it writes, by patch(1); owner, mode and the old file stay',
  {
    skip,
  },
  async () => {
    const root = mkdtempSync('/tmp/belladonna.')
    try {
      chmodSync(root, 0o755)
      const file = join(root, 'old.toml')
      const old = `# ours\n\nallow_legacy_tokens = true # until spring\n[log] # the log\nsign_every   = "1s"\n\n# end`
      writeFileSync(file, old)
      chownSync(file, 0, 27)
      chmodSync(file, 0o640)
      const migrate = [belladonna, 'dev', 'migrate-config', file]
      const shown = await run(migrate)
      assert.equal(shown.status, 0, shown.stderr)
      assert.deepEqual([readFileSync(file, 'utf8'), readdirSync(root)], [old, ['old.toml']])
      writeFileSync(join(root, 'difference'), shown.stdout)
      const patched = join(root, 'patched')
      execFileSync('patch', ['-s', '-o', patched, file, join(root, 'difference')])
      assert.equal((await run([...migrate, '--write'])).status, 0)
      const want = `schema = 1\n# ours\n\n[log] # the log\nsign_every   = "1s"\n\n# end`
      assert.deepEqual([readFileSync(file, 'utf8'), readFileSync(patched, 'utf8')], [want, want])
      const { uid, gid, mode } = statSync(file)
      assert.deepEqual([uid, gid, mode & 0o7777], [0, 27, 0o640])
      assert.equal(readFileSync(`${file}.bak`, 'utf8'), old)
      const again = await run([...migrate, '--write'])
      assert.deepEqual([again.status, again.stdout], [0, ''])
      // A backup is never replaced.
      writeFileSync(file, old)
      assert.equal((await run([...migrate, '--write'])).status, 0)
      assert.deepEqual(readdirSync(root).toSorted(), [
        'difference',
        'old.toml',
        'old.toml.bak',
        'old.toml.bak.2',
        'patched',
      ])
      // Whoever else may write there could exchange it in between.
      chmodSync(root, 0o777)
      writeFileSync(file, old)
      const unsafe = await run([...migrate, '--write'])
      assert.equal(unsafe.status, 78, unsafe.stderr)
      assert.equal(readFileSync(file, 'utf8'), old)
    } finally {
      rmSync(root, { recursive: true })
    }
  },
)
