/**
 * `belladonna up --unprivileged`, as an ordinary user: the walls that user namespaces give hold as they do for root, and
 * `status` lists what does not.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { OutcomeEntry } from '../../../src/core/audit/entry.ts'
import { parseEntry } from '../../../src/core/audit/entry-parse.ts'
import { bridgePaths } from '../../../src/host/layout.ts'
import { openLogSource } from '../../../src/host/read-log.ts'
import { readRecording, recorded, recordingPath } from '../../support/recorded-bridge.ts'
import { actionText } from '../../support/action-text.ts'
import { caller, checkout, exitOf, run, runAs, until } from '../../support/bridge.ts'
import type { BellResult } from '../../support/bridge.ts'
import { isLinux } from '../../support/kernel.ts'
import { openTerminal, rawModes } from '../../support/terminal.ts'
import { compile } from '../../native/compile.ts'
import { numberOf } from './plan-changes.ts'
import { compileStatic } from './programs.ts'

const skip = process.geteuid?.() !== 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
const root = mkdtempSync('/tmp/belladonna.')
const [read, write] = [join(directory, 'read'), join(directory, 'write')]
const logs = join(directory, 'logs')
const user = { uid: caller.uid, groups: [] }
const belladonna = join(checkout, 'bin/belladonna')
const listener = createServer((peer) => peer.destroy())
let bridge: ChildProcess

/** What is tried, and how it ends. */
const rows: Readonly<Record<string, readonly [words: readonly string[], end: string | RegExp]>> = {
  'mount: the host’s root cannot be named': [['read', '/etc/hostname'], 'errno 2'],
  'the root is read-only': [['mkdir', '/made'], 'errno 30'],
  'what is read is not written': [['copy-in', `${read}/file`], 'errno 30'],
  'what may be written may not be executed': [['exec', `${write}/probe`, 'sleep', '0'], 'errno 13'],
  '/tmp is its own': [['list', root], 'errno 2'],
  'pid: a process of the host is not there': [['kill', `${process.pid}`], 'errno 3'],
  'network: the host’s loopback is not there': [['tcp', '1'], 'errno 101'],
  'no Unix socket': [['unix', `${read}/socket`], 'errno 97'],
  'cgroup: its own looks like the root': [['show', '/proc/self/cgroup'], /(^|\n)0::\/$/],
  'capabilities: none': [['status', 'CapEff'], /\t0{16}$/],
  'capabilities: none to gain': [['status', 'CapBnd'], /\t0{16}$/],
  no_new_privs: [['status', 'NoNewPrivs'], /\t1$/],
  'ids: root inside': [['ids'], /^0 0/],
  'rlimits: no core': [['limit', '4'], '1 1'],
  'descriptors: three': [['descriptors'], '3'],
  'seccomp: io_uring_setup (C82)': [['call', `${numberOf('io_uring_setup')}`], 'errno 1'],
  'seccomp: unshare': [['call', `${numberOf('unshare')}`], 'errno 1'],
  'seccomp: TIOCSTI with high bits (C22)': [['ioctl', '0x1234567800005412'], 'errno 1'],
}

function policy(): string {
  return `schema = 1
[profile.plain]
read = ["${read}"]
write = ["${write}"]
limits = { processes = 32, memory = "64M", time = "1s" }
${Object.values(rows)
  .map(([words], at) => actionText(`row${at}`, 'plain', [`${read}/probe`, ...words]))
  .join('\n')}
${actionText('secret', 'plain', [`${read}/probe`, 'show', '{token}'])}
params.token = { secret = true }
${actionText('stays', 'plain', [`${read}/probe`, 'stubborn', '60000', '94713'])}
${actionText('given', 'plain', [`${read}/probe`, 'show', '{file}'])}
[action.given.params.file]
path = { root = "${logs}" }
${actionText('script', 'tools', [`${read}/script`])}
[profile.tools]
read = ["/usr", "${read}"]
${actionText('tty', 'terminal', ['/usr/bin/dash', '-c', "tty; stty size; ls -n /dev/pts/0 | cut -d ' ' -f 1,3,4; exec sleep 60"])}
[profile.terminal]
read = ["/usr"]
stdin = "stream"
output = "capped"
${actionText('kept', 'recorded', ['/usr/bin/dash', '-c', 'echo one; echo two >&2'])}
[profile.recorded]
read = ["/usr"]
output = "recorded"
[[grant]]
who = ["uid:${caller.uid}"]
may = ${JSON.stringify(['kept', 'stays', 'given', 'script', 'secret', 'tty', ...Object.keys(rows).map((_, at) => `row${at}`)])}
`
}

async function bell(...words: readonly string[]): Promise<BellResult> {
  return await runAs([join(root, 'bell'), '-S', bridgePaths(root).runSocket, ...words], user)
}

before(async () => {
  if (skip) return
  for (const path of [read, write, logs]) mkdirSync(path)
  writeFileSync(join(logs, 'a.log'), 'a')
  writeFileSync(join(read, 'script'), '#!/bin/sh -e\necho "$0"\n', { mode: 0o755 })
  for (const path of [directory, read, write, root]) chmodSync(path, 0o755)
  for (const path of [write, root]) chownSync(path, caller.uid, caller.uid)
  compileStatic(read, 'probe')
  copyFileSync(join(read, 'probe'), join(write, 'probe'))
  writeFileSync(join(read, 'file'), 'text')
  chownSync(join(read, 'file'), caller.uid, caller.uid)
  copyFileSync(join(checkout, 'native/out/bell'), join(root, 'bell'))
  chmodSync(join(root, 'bell'), 0o755)
  await new Promise<void>((resolve) => listener.listen(join(read, 'socket'), resolve))
  chmodSync(join(read, 'socket'), 0o777)
  writeFileSync(join(root, 'policy.toml'), policy())
  chownSync(join(root, 'policy.toml'), caller.uid, caller.uid)
  const install = [belladonna, 'policy', 'install', '--root', root, join(root, 'policy.toml')]
  const installed = await runAs(install, user)
  assert.equal(installed.status, 0, installed.stderr)
  const identity = [`--reuid=${caller.uid}`, `--regid=${caller.uid}`, '--clear-groups']
  const up = [belladonna, 'up', '--unprivileged', '--root', root]
  bridge = spawn('/usr/bin/setpriv', [...identity, ...up], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  bridge.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await until(() => said.includes('ready') || bridge.exitCode !== null, 20_000)
  assert.match(said, /ready/)
})
after(async () => {
  if (!skip) {
    bridge.kill('SIGTERM')
    await exitOf(bridge)
  }
  listener.close()
  for (const path of [directory, root]) rmSync(path, { recursive: true, force: true })
})

for (const [at, [name, [, end]]] of Object.entries(rows).entries()) {
  test(`unprivileged: ${name}`, { skip, timeout: 60_000 }, async () => {
    const { status, stdout, stderr } = await bell(`row${at}`)
    assert.deepEqual([status, stderr], [0, ''])
    if (typeof end === 'string') assert.equal(stdout.trim(), end)
    else assert.match(stdout.trim(), end)
  })
}

test('unprivileged: a secret arrives by its descriptor', { skip, timeout: 60_000 }, async () => {
  const { status, stdout, stderr } = await bell('secret', `token@${read}/file`)
  assert.deepEqual([status, stdout.trim(), stderr], [0, 'text', ''])
})

test(
  'unprivileged: C90: a deaf run and its orphan end with their time',
  { skip, timeout: 60_000 },
  async () => {
    assert.equal((await bell('stays')).status, 124)
    const { stdout } = await run([
      '/bin/sh',
      '-c',
      'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " "; true',
    ])
    assert.doesNotMatch(stdout, /sleep 94713/)
  },
)

test(
  'unprivileged: promise 8: status lists what does not hold, and entries list what status says',
  { skip, timeout: 60_000 },
  async () => {
    const { stdout } = await run([belladonna, 'status', '--json', '--root', root])
    const status: Readonly<{
      mode: string
      limits: string[]
      profiles: Readonly<{
        in_force: string[]
        missing: Readonly<{ feature: string; reason: string }>[]
      }>[]
    }> = JSON.parse(stdout)
    assert.equal(status.mode, 'unprivileged')
    assert.ok(status.limits.some((text) => text.includes('promises 4 and 5 do not hold')))
    const [profile] = status.profiles
    assert.ok(profile)
    assert.deepEqual(
      profile.missing.map(({ feature }) => feature),
      [
        ...['cgroup_kill', 'cgroup_limits'],
        ...(isLinux(6, 12) ? [] : ['landlock_scope']),
        ...(isLinux(6, 2) ? [] : ['landlock_truncate']),
        ...(isLinux(6, 10) ? [] : ['landlock_ioctl']),
      ],
    )
    await bell('row0')
    const entries = [...(openLogSource(root, undefined)?.entries() ?? [])].map((bytes) =>
      parseEntry(bytes),
    )
    const last = entries.flatMap((entry) => (entry.kind === 'outcome' ? [entry] : [])).at(-1)
    assert.deepEqual(last?.features, profile.in_force)
    assert.deepEqual(last.missing, profile.missing)
    assert.deepEqual(last.limits, { memory: 'unknown', processes: 'unknown' })
    assert.ok(profile.in_force.includes('user_namespace'))
  },
)

test('a path parameter and a script work as they do for root', { skip }, async () => {
  assert.equal((await bell('given', 'file=a.log')).stdout.trim(), 'a')
  assert.match((await bell('given', 'file=b.log')).stderr, /path_refused/)
  assert.equal((await bell('script')).stdout, `${read}/script\n`)
})

test(
  'unprivileged: what a run writes is recorded, in a file of the user’s own',
  { skip, timeout: 60_000 },
  async () => {
    const { status, stdout, stderr } = await bell('kept')
    assert.deepEqual([status, stdout, stderr], [0, 'one\n', 'two\n'])
    const outcomes = (): readonly OutcomeEntry[] =>
      [...(openLogSource(root, undefined)?.entries() ?? [])]
        .map((bytes) => parseEntry(bytes))
        .flatMap((entry) => (entry.kind === 'outcome' ? [entry] : []))
    await until(() => outcomes().at(-1)?.output.kind === 'recorded', 5_000)
    const outcome = outcomes().at(-1)
    assert.ok(outcome !== undefined)
    const { recording } = recorded(outcome)
    const kept = readRecording(root, recording)
    assert.deepEqual([recording.incomplete, kept.isWhole], [null, true])
    assert.deepEqual(
      [kept.of('stdout').toString(), kept.of('stderr').toString()],
      ['one\n', 'two\n'],
    )
    // The walls between relay, broker and run are of users, and here there is one: `status` says so.
    const file = statSync(recordingPath(root, recording))
    assert.deepEqual([file.uid, file.gid], [caller.uid, caller.uid])
    const shown = await run([belladonna, 'status', '--json', '--root', root])
    assert.match(shown.stdout, /promises 4 and 5 do not hold/)
  },
)

test('unprivileged: a run has a terminal of its own', { skip, timeout: 60_000 }, async () => {
  const host = compile(read, 'terminal-host.c')
  const command = [join(root, 'bell'), '-S', bridgePaths(root).runSocket, 'tty']
  using terminal = openTerminal(host, command, { rows: 33, columns: 101 })
  await terminal.expect(/^\/dev\/pts\/0\r\n33 101\r\ncrw------- 0 0\r\n/)
  await until(async () => (await terminal.modes()) === rawModes, 5000)
  terminal.type('\x03')
  assert.equal(await terminal.end, 130)
})
