/**
 * C33: on a kernel that lacks something, and on a host that does not hand cgroups down, `status` and each entry say what is
 * not in force; what no sandbox can be without is refused with a reason. Nothing is weaker without a word.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { prepareBridge } from '../../../src/host/boot-plan.ts'
import { actionText } from '../../support/action-text.ts'
import { exitOf, readProc, startBridge, until } from '../../support/bridge.ts'
import type { BridgeSetup, TestBridge } from '../../support/bridge.ts'
import { installPolicyText } from '../../support/install-policy.ts'
import { numberOf } from './plan-changes.ts'
import { compileStatic, openLauncherBuild } from './programs.ts'

const skip = process.geteuid?.() !== 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
chmodSync(directory, 0o755)
after(() => rmSync(directory, { recursive: true, force: true }))
const around = skip ? '' : compileStatic(directory, 'around')
if (!skip) compileStatic(directory, 'probe')

const policy = `schema = 1
[profile.plain]
read = ["${directory}", "/usr"]
limits = { processes = 32, memory = "64M", time = "1s" }
[profile.ports]
read = ["${directory}"]
network = "host"
tcp_connect = [1]
${actionText('true', 'plain', ['/usr/bin/true'])}
${actionText('stays', 'plain', [`${directory}/probe`, 'stubborn', '60000', '94712'])}
${actionText('ports', 'ports', [`${directory}/probe`, 'sleep', '0'])}
[[grant]]
who = ["group:sudo"]
may = ["true", "stays", "ports"]
`

type Profile = Readonly<{
  name: string
  in_force: string[]
  missing: { feature: string; reason: string }[]
}>
type Status = Readonly<{ features: string[]; profiles: Profile[] }>

async function statusOf(bridge: TestBridge): Promise<Status> {
  const { stdout, stderr } = await bridge.status()
  assert.equal(stderr, '')
  const status: Status = JSON.parse(stdout)
  return status
}

/** What the outcome of a run says of its sandbox, by the names that `status` has. */
async function sandboxOf(bridge: TestBridge, action: string): Promise<unknown> {
  const outcomes = (): readonly unknown[] =>
    bridge.entries().flatMap((entry) => {
      if (entry.kind !== 'outcome') return []
      return [{ in_force: entry.features, missing: entry.missing }]
    })
  const count = outcomes().length
  const { status, stderr } = await bridge.bell([action])
  assert.deepEqual([status, stderr], [0, ''])
  await until(() => outcomes().length === count + 1, 5_000)
  return outcomes().at(-1)
}

/** Starts a real bridge and holds its words against what happens; returns what is missing, by profile. */
async function missingOn(
  start?: BridgeSetup['start'],
  also?: (bridge: TestBridge) => Promise<void>,
): Promise<Readonly<Record<string, readonly string[]>>> {
  await using bridge = await startBridge({ policy, ...(start && { start }) })
  const { features, profiles } = await statusOf(bridge)
  const missing = profiles.map(({ name, missing: lacks }) => {
    for (const { feature, reason } of lacks) {
      assert.ok(!features.includes(feature), feature)
      assert.match(reason, /^needs /)
    }
    return [name, lacks.map(({ feature }) => feature)] as const
  })
  for (const { name, in_force, missing: lacks } of profiles) {
    const said = await sandboxOf(bridge, name === 'plain' ? 'true' : name)
    assert.deepEqual(said, { in_force, missing: lacks }, name)
  }
  await also?.(bridge)
  return Object.fromEntries(missing)
}

test(
  'C33: a host that has all: nothing is missing, and entries list what status says',
  { skip, timeout: 60_000 },
  async (t) => {
    const found = await missingOn()
    if (Object.values(found).some((names) => names.length > 0)) t.diagnostic(JSON.stringify(found))
  },
)

const landlockCalls = ['create_ruleset', 'add_rule', 'restrict_self'].map(
  (name) => `${numberOf(`landlock_${name}`)}`,
)
const files = ['landlock_files', 'landlock_truncate', 'landlock_ioctl']

test(
  'C33: a kernel without Landlock: status, entries and profiles say so',
  { skip, timeout: 60_000 },
  async () => {
    const found = await missingOn((program, boot) => [
      around,
      'mask',
      landlockCalls.join(','),
      program,
      boot,
    ])
    assert.deepEqual(found, {
      plain: ['landlock_scope', ...files],
      ports: [
        'landlock_scope',
        'landlock_files',
        'landlock_tcp',
        'landlock_truncate',
        'landlock_ioctl',
      ],
    })
  },
)

test(
  'C30 C33: a kernel without keyctl: status, entries and profiles say so, and runs start',
  { skip, timeout: 60_000 },
  async () => {
    const mask = [around, 'mask', `${numberOf('keyctl')}`]
    const found = await missingOn((program, boot) => [...mask, program, boot])
    assert.deepEqual(found, { plain: ['session_keyring'], ports: ['session_keyring'] })
  },
)

/** By Landlock's version: what is missing of a profile, and what more of one that names ports. */
const versions: readonly (readonly [
  abi: number,
  linux: string,
  missing: readonly string[],
  ports: readonly string[],
])[] = [
  [1, '5.13', ['landlock_scope', ...files], ['landlock_tcp']],
  [2, '5.19', ['landlock_scope', 'landlock_truncate', 'landlock_ioctl'], ['landlock_tcp']],
  [3, '6.2', ['landlock_scope', 'landlock_ioctl'], ['landlock_tcp']],
  [4, '6.7', ['landlock_scope', 'landlock_ioctl'], []],
  [5, '6.10', ['landlock_scope'], []],
  [6, '6.12', [], []],
]

const asked = 'syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION)'
test(
  'C33: with each version of Landlock status, entries and profiles say what it does not have',
  { skip, timeout: 120_000 },
  async () => {
    const build = openLauncherBuild(directory)
    for (const [abi, linux, plain, ports] of versions) {
      // A filter cannot give another version as the answer; so it is the launcher that believes in one.
      const launcher = build([{ file: 'launcher/host.c', from: asked, to: `${abi}` }])
      const found = await missingOn((_, boot) => [launcher, boot])
      assert.deepEqual(found['plain'], plain, linux)
      assert.deepEqual(found['ports']?.toSorted(), [...plain, ...ports].toSorted(), linux)
    }
  },
)

function isThere(word: string): boolean {
  return readdirSync('/proc').some((pid) => readProc(`${pid}/cmdline`).includes(word))
}

const readOnly = `while read -r _ at kind _; do
  case $kind in cgroup*) mount -o remount,bind,ro "$at" || exit ;; esac
done </proc/self/mounts
exec "$@"`

test(
  'C33 C90: no cgroup to write: status and entries say so, and a deaf run is ended all the same',
  { skip, timeout: 60_000 },
  async () => {
    const words = ['/usr/bin/unshare', '--mount', '/bin/sh', '-c', readOnly, '-']
    const found = await missingOn(
      (program, boot) => [...words, program, boot],
      async (bridge) => {
        assert.equal((await bridge.bell(['stays'])).status, 124)
        await until(() => !isThere('94712'), 3_000)
      },
    )
    assert.deepEqual(found, {
      plain: ['cgroup_kill', 'cgroup_limits'],
      ports: ['cgroup_kill', 'cgroup_limits'],
    })
  },
)

/** Calls that no sandbox can be built without, and the words by which the launcher refuses to go on. */
const needed: Readonly<Record<string, RegExp>> = {
  clone3: /namespaces of a run: Function not implemented/,
  personality: /personality: Function not implemented/,
  close_range: /close_range: Function not implemented/,
  unshare: /namespaces of a run: Function not implemented/,
  fsopen: /a service: mount: Function not implemented/,
  fsmount: /a service: mount: Function not implemented/,
  openat2: /a service: mount: Function not implemented/,
  open_tree: /a service: mount: Function not implemented/,
  move_mount: /a service: mount: Function not implemented/,
  mount_setattr: /a service: mount: Function not implemented/,
  pivot_root: /a service: mount: Function not implemented/,
  setresuid: /a service: identity: Function not implemented/,
  setgroups: /a service: identity: Function not implemented/,
  capset: /a service: identity: Function not implemented/,
  seccomp: /a service: seccomp: Function not implemented/,
}

async function wordsOf(t: TestContext, call: string): Promise<string> {
  const root = mkdtempSync('/tmp/belladonna.')
  t.after(() => rmSync(root, { recursive: true }))
  chmodSync(root, 0o755)
  installPolicyText(root, policy)
  const { launcher, bootFile } = prepareBridge({ root, unprivileged: false })
  const child = spawn(around, ['mask', `${numberOf(call)}`, launcher, bootFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [said, ready] = ['', '']
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stdout.on('data', (chunk: Buffer) => (ready += chunk.toString()))
  await until(
    () => (needed[call] ?? / /).test(said) || child.exitCode !== null || ready !== '',
    5_000,
  ).catch(() => undefined)
  child.kill('SIGTERM')
  await exitOf(child)
  assert.equal(ready, '', 'no client was let in')
  return said
}

for (const [call, words] of Object.entries(needed)) {
  test(
    `C33: a kernel without ${call}: nothing is ever started, and the launcher says why`,
    { skip, timeout: 30_000 },
    async (t) => {
      assert.match(await wordsOf(t, call), words)
    },
  )
}
