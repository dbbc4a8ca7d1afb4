/** SIGHUP: the installed policy comes into force whole, or the old one stays; real processes throughout. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  readFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { bridgePaths } from '../../src/host/layout.ts'
import { formatBase64, parseBase64 } from '../../src/core/json/base64.ts'
import { parseCompiledPolicy } from '../../src/core/policy/compiled-parse.ts'
import { formatCompiledPolicy, sealProfile } from '../../src/core/policy/compiled.ts'
import { formatPlan, parsePlan } from '../../src/core/sandbox/plan.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { actionText } from '../support/action-text.ts'
import { checkout, childrenOf, readProc, run, startBridge, until } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'
import { installPolicyText } from '../support/install-policy.ts'
import { attach, detach, isHit } from '../support/strike.ts'
import type { Cell } from './fault/cells.ts'

const skip = process.geteuid?.() !== 0
const belladonna = join(checkout, 'bin/belladonna')

/** `hello` says `word`; with a capability, so that spares of one policy are no good for another. */
function policyOf(word: string, caps = ''): string {
  return `
schema = 1
[profile.p]
caps = [${caps}]
${actionText('hello', 'p', ['/usr/bin/echo', word])}
${actionText('capabilities', 'p', ['/usr/bin/grep', 'CapPrm', '/proc/self/status'])}
${actionText('wait', 'p', ['/usr/bin/sleep', '10'])}
[profile.bound]
stdin = "bound"
[action.count]
about = "${word}"
command = ["/usr/bin/wc", "--bytes"]
run_as = "root"
profile = "bound"
risk = "read-only"
[[grant]]
who = ["group:sudo"]
may = ["hello", "capabilities", "wait", "count"]
`
}
const one = policyOf('one')
const two = policyOf('two', '"CAP_CHOWN"')

async function reload(bridge: TestBridge, ...words: readonly string[]): Promise<BellResult> {
  return await run([belladonna, 'policy', 'reload', '--root', bridge.root, ...words])
}

const policyEntries = (bridge: TestBridge): readonly string[] =>
  bridge.entries().flatMap((entry) => (entry.kind === 'policy' ? [entry.state] : []))

test(
  'promise 6: policies are swapped under load: every request is answered, and ran under the policy of its entry',
  { skip, timeout: 120_000 },
  async () => {
    await using bridge = await startBridge({ policy: one })
    const words = new Map([
      [installPolicyText(bridge.root, two), 'two'],
      [installPolicyText(bridge.root, one), 'one'],
    ])
    let isOver = false
    const answers: BellResult[] = []
    const clients = [1, 2, 3, 4, 5, 6].map(async (uid) => {
      while (!isOver)
        answers.push(await bridge.bell(['hello'], { uid: 61_000 + uid, groups: [27] }))
    })
    const swaps = 8
    for (let swap = 0; swap < swaps; swap += 1) {
      const digest = installPolicyText(bridge.root, swap % 2 === 0 ? two : one)
      const { stdout } = await reload(bridge, '--json')
      assert.deepEqual(JSON.parse(stdout), { kind: 'adopted', digest, reason: null })
    }
    isOver = true
    await Promise.all(clients)
    for (const answer of answers) assert.deepEqual([answer.status, answer.stderr], [0, ''])
    const said = { one: 0, two: 0 }
    for (const { stdout } of answers) said[stdout === 'one\n' ? 'one' : 'two'] += 1
    assert.ok(said.one > swaps && said.two > swaps, JSON.stringify(said))
    const recorded = { one: 0, two: 0 }
    for (const entry of bridge.entries()) {
      assert.notEqual(entry.kind, 'denial')
      if (entry.kind !== 'intent') continue
      const digest = /"policy":"([0-9a-f]{64})","profile"/.exec(entry.action)?.[1] ?? ''
      const word = words.get(digest)
      assert.ok(word === 'one' || word === 'two', digest)
      assert.ok(entry.action.includes(`"argv":["/usr/bin/echo","${word}"]`), 'its own command')
      recorded[word] += 1
    }
    assert.deepEqual(recorded, said)
    assert.deepEqual(
      policyEntries(bridge),
      Array.from({ length: swaps }, () => 'adopted'),
    )
    // Among others that each intent stands behind the entry that brought its policy in.
    await until(async () => (await bridge.verify()).pending === 0, 5_000)
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)

test(
  'a reload renews what was prepared: capabilities are those of the new policy, and what runs goes on',
  { skip, timeout: 60_000 },
  async () => {
    await using bridge = await startBridge({ policy: one })
    const capabilities = async (): Promise<string> => (await bridge.bell(['capabilities'])).stdout
    assert.equal(await capabilities(), 'CapPrm:\t0000000000000000\n')
    const waiting = bridge.bell(['wait'])
    await until(() => bridge.entries().at(-1)?.kind === 'intent', 5_000)
    installPolicyText(bridge.root, two)
    assert.equal((await reload(bridge)).status, 0)
    assert.equal(bridge.entries().at(-1)?.kind, 'policy', 'it runs still: there is no outcome')
    for (let run = 0; run < 6; run += 1) {
      assert.equal(await capabilities(), 'CapPrm:\t0000000000000001\n')
    }
    assert.equal((await waiting).status, 0)
    installPolicyText(bridge.root, one)
    assert.equal((await reload(bridge)).status, 0)
    for (let run = 0; run < 6; run += 1) {
      assert.equal(await capabilities(), 'CapPrm:\t0000000000000000\n')
    }
  },
)

test(
  'promise 6: a request whose input is still being read when RELOAD comes is answered under the policy before it',
  { skip, timeout: 60_000 },
  async () => {
    await using bridge = await startBridge({ policy: one })
    const before = installPolicyText(bridge.root, one)
    installPolicyText(bridge.root, two)
    const { launcher } = bridge.pids()
    const output = join(bridge.root, 'reads')
    // Each part of the input takes the launcher 0.2 s: so there is a time in which it is being read.
    const slow = ['-e', 'trace=pread64', '-e', 'inject=pread64:delay_enter=200000']
    const tracer = spawn('strace', ['-q', '-o', output, '-p', `${launcher}`, ...slow], {
      stdio: 'ignore',
    })
    await until(() => /^TracerPid:\t[1-9]/m.test(readProc(`${launcher}/status`)), 5_000)
    const reads = (): number => readFileSync(output, 'utf8').split('pread64(').length - 1
    const asked = bridge.bell(['-b', 'count'], { stdin: 'x'.repeat(1_000_000) })
    await until(() => reads() > 0, 5_000)
    process.kill(launcher, 'SIGHUP')
    const { status, stdout } = await asked
    const readInAll = reads()
    await detach(tracer)
    assert.deepEqual([status, stdout], [0, '1000000\n'])
    assert.ok(readInAll > 4, `${readInAll} parts, so most of them came after RELOAD`)
    await until(() => policyEntries(bridge).length === 1, 5_000)
    const kinds = bridge.entries().map(({ kind }) => kind)
    assert.ok(kinds.indexOf('intent') < kinds.indexOf('policy'), kinds.join())
    const [intent] = bridge.entries().flatMap((entry) => (entry.kind === 'intent' ? [entry] : []))
    assert.ok(intent?.action.includes(`"policy":"${before}"`), 'the policy before')
    assert.equal((await bridge.bell(['hello'])).stdout, 'two\n')
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)

/** Puts another plan into the profile `p`, with all digests as they should be. */
function changePlan(file: string, change: (plan: Uint8Array) => Uint8Array): void {
  const policy = parseCompiledPolicy(readFileSync(file, 'utf8'))
  const profiles = policy.profiles.map((profile) => {
    if (profile.name !== 'p') return profile
    const { digest, ...rest } = profile
    assert.equal(sealProfile(rest).digest, digest)
    return sealProfile({ ...rest, plan: formatBase64(change(parseBase64(profile.plan))) })
  })
  writeFileSync(file, formatCompiledPolicy({ ...policy, profiles }))
}

type Damage = Readonly<{ name: string; make: (file: string) => void; why: RegExp }>
const damages: readonly Damage[] = [
  { name: 'cut short', make: (file) => truncateSync(file, 300), why: /./ },
  { name: 'empty', make: (file) => truncateSync(file, 0), why: /./ },
  { name: 'not JSON', make: (file) => writeFileSync(file, 'schema = 1\n'), why: /./ },
  { name: 'JSON of something else', make: (file) => writeFileSync(file, '{}'), why: /type/ },
  {
    name: 'with a plan that is none',
    make: (file) => changePlan(file, (plan) => plan.subarray(0, -4)),
    why: /plan of profile p: it is none/,
  },
  {
    name: 'with a plan that is not what its profile says',
    make: (file) => changePlan(file, (plan) => formatPlan({ ...parsePlan(plan), timeLimitMs: 0 })),
    why: /plan of profile p: another limit of time/,
  },
  { name: 'gone', make: (file) => rmSync(file), why: /no policy is installed/ },
  { name: 'of another user', make: (file) => chownSync(file, 61_290, 0), why: /uid 61290/ },
  { name: 'writable by others', make: (file) => chmodSync(file, 0o666), why: /writable/ },
  {
    name: 'a link',
    make: (file) => {
      renameSync(file, `${file}.real`)
      symlinkSync(`${file}.real`, file)
    },
    why: /ELOOP/,
  },
]

test(
  'promise 6: C15: whatever is wrong with the installed policy, the old one stays whole, and log and status say why',
  { skip, timeout: 120_000 },
  async () => {
    await using bridge = await startBridge({ policy: one })
    const inForce = installPolicyText(bridge.root, one)
    const file = join(bridgePaths(bridge.root).policy, 'policy.json')
    for (const [at, { name, make, why }] of damages.entries()) {
      installPolicyText(bridge.root, two)
      make(file)
      const { status, stdout, stderr } = await reload(bridge)
      assert.deepEqual([status, stdout], [78, ''], name)
      assert.match(stderr, new RegExp(`refused, digest ${inForce} stays in force: .*${why.source}`))
      assert.equal((await bridge.bell(['hello'])).stdout, 'one\n', name)
      const { policy } = JSON.parse((await bridge.status()).stdout)
      assert.deepEqual([policy.digest, policy.reloads.count], [inForce, at + 1])
      assert.equal(policy.reloads.last.state, 'refused')
      assert.match(policy.reloads.last.reason, why, name)
      const entry = bridge.entries().findLast(({ kind }) => kind === 'policy')
      assert.ok(entry?.kind === 'policy' && entry.state === 'refused', name)
      assert.deepEqual([entry.policyDigest, why.test(entry.reason ?? '')], [inForce, true])
      rmSync(file, { force: true })
    }
    installPolicyText(bridge.root, two)
    assert.equal((await reload(bridge)).status, 0)
    assert.equal((await bridge.bell(['hello'])).stdout, 'two\n')
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)

const sends = (call: string, kind: number): RegExp =>
  new RegExp(
    `^${call}\\(\\d+, "(?:\\\\x..){4}\\\\x${(kind & 0xff).toString(16).padStart(2, '0')}\\\\x${(kind >> 8).toString(16).padStart(2, '0')}`,
  )
const ofRecords = /^pwrite64\(\d+, "\\x42\\x44\\x46\\x52/ // "BDFR"
const cells: readonly (readonly [Cell['struck'], string, number, string, RegExp])[] = [
  ['launcher', 'sendto', 1, 'RELOAD is sent to the executor', sends('sendto', wireKind.reload)],
  ['launcher', 'sendto', 2, 'RELOAD is sent to the broker', sends('sendto', wireKind.reload)],
  ['executor', 'read', 1, 'RELOAD is read', /^read\(3,/],
  ['broker', 'read', 1, 'RELOAD is read', /^read\([34],/],
  ['executor', 'write', 1, 'LOADED is sent', sends('write', wireKind.loaded)],
  ['executor', 'write', 2, 'KEPT is sent', sends('write', wireKind.kept)],
  ['launcher', 'pidfd_send_signal', 1, 'a spare is ended, for KEPT', /^pidfd_send_signal\(/],
  ['launcher', 'sendmsg', 1, 'a spare is ordered, for KEPT', /^sendmsg\(/],
  ['broker', 'pwrite64', 1, 'the policy is recorded', ofRecords],
  ['broker', 'fdatasync', 1, 'the record is synced', /^fdatasync\(/],
  ['broker', 'write', 1, 'ADOPT is sent', sends('write', wireKind.adopt)],
]

test(
  'a reload whose processes are killed at any step ends in one policy, and the log tells which',
  { skip, timeout: 240_000 },
  async () => {
    await using bridge = await startBridge({ policy: one })
    for (const [at, [struck, call, nth, step, seen]] of cells.entries()) {
      const cell: Cell = { struck, call, nth, fault: 'SIGKILL', step, seen }
      const [policy, word] = at % 2 === 0 ? [two, 'two'] : [one, 'one']
      const digest = installPolicyText(bridge.root, policy)
      await sleep(400) // the checkpoint has its own writes
      const pids = bridge.pids()
      const output = join(bridge.root, `strace${at}`)
      const pid = struck === 'launcher' || struck === 'broker' ? pids[struck] : pids.executor
      const tracer = await attach(cell, pid, output)
      process.kill(pids.launcher, 'SIGHUP')
      await until(() => isHit(cell, output), 5_000)
      await detach(tracer)
      if (struck === 'launcher') await bridge.startAgain()
      else await bridge.ready()
      assert.equal((await bridge.bell(['hello'])).stdout, `${word}\n`, step)
      assert.equal(JSON.parse((await bridge.status()).stdout).policy.digest, digest, step)
      assert.deepEqual((await bridge.verify()).problems, [], step)
      await bridge.stop() // anew: a launcher waits longer before each restart
      await bridge.startAgain()
    }
  },
)

test(
  'SIGHUP while the services are away is for those that start',
  { skip, timeout: 60_000 },
  async () => {
    await using bridge = await startBridge({ policy: one })
    const { launcher, executor } = bridge.pids()
    process.kill(executor, 'SIGKILL')
    const isThere = (pid: number): boolean => childrenOf(launcher).includes(pid)
    const isAnother = (pid: number): boolean => pid !== executor && isThere(pid)
    await until(() => isAnother(bridge.pids().executor), 5_000)
    process.kill(launcher, 'SIGHUP')
    await bridge.ready()
    await until(async () => /"reloads":\{"count":1,/.test((await bridge.status()).stdout), 5_000)
  },
)

test(
  'a terminal that hangs up stops the bridge in order: that SIGHUP is the kernel’s',
  { skip, timeout: 60_000 },
  async () => {
    await using bridge = await startBridge({
      policy: one,
      start: (program, bootFile) => [
        '/usr/bin/script',
        ...['-q', '-e', '-f', '-c', `exec ${program} ${bootFile}`, '/dev/null'],
      ],
    })
    assert.equal((await bridge.bell(['hello'])).stdout, 'one\n')
    bridge.launcher().kill('SIGALRM') // script, which holds the terminal
    await until(() => !existsSync(bridgePaths(bridge.root).bootFile), 10_000)
    assert.equal(bridge.entries().at(-1)?.kind, 'stop')
    assert.deepEqual(policyEntries(bridge), [])
  },
)

test(
  'C26: policy reload signals the launcher of this bridge only: by its command line and its user, and no stale number',
  { skip, timeout: 60_000 },
  async () => {
    await using bridge = await startBridge({ policy: one })
    const { bootFile } = bridgePaths(bridge.root)
    const nobody = ['--reuid=61290', '--regid=61290', '--clear-groups']
    // Somebody else's process with the launcher's words.
    const alike = spawn('/usr/bin/setpriv', [...nobody, 'yes', bootFile], { stdio: 'ignore' })
    await until(() => readProc(`${alike.pid}/cmdline`) === `yes\0${bootFile}\0`, 5_000)
    const words = ['policy', 'reload', '--root', bridge.root]
    const asNobody = await run(['/usr/bin/setpriv', ...nobody, belladonna, ...words])
    assert.equal(asNobody.status, 77, asNobody.stderr)
    assert.match(asNobody.stderr, /signal the launcher, process [0-9]+: .*EPERM/)
    installPolicyText(bridge.root, two)
    assert.equal((await reload(bridge)).status, 0)
    await bridge.stop()
    const { status, stderr } = await reload(bridge)
    assert.equal(status, 75, stderr)
    assert.deepEqual([alike.exitCode, alike.signalCode], [null, null], 'it was left alone')
    alike.kill('SIGKILL')
  },
)
