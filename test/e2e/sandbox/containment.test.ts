/** What a run may try against its host: it is contained, and nothing of it is left. In a real bridge, with a real record. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { actionText } from '../../support/action-text.ts'
import {
  caller,
  childrenOf,
  exitOf,
  readProc,
  runAs,
  startBridge,
  testCgroups,
  until,
} from '../../support/bridge.ts'
import type { BellResult, TestBridge } from '../../support/bridge.ts'
import { compileStatic } from './programs.ts'

const skip = process.geteuid?.() !== 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
const probe = join(directory, 'probe')
let bridge: TestBridge
let atFirst: Left
let brokerKib = 0

/** What a launcher has: its descendants but those that wait for runs, the namespaces they are in, its cgroups; what its run directory's host mounts are. */
type Left = Readonly<{
  processes: number
  /** Whether it has no more processes of its own than wait for runs. */
  isIdle: boolean
  namespaces: number
  groups: number
  mounts: number
}>

const actions: Readonly<Record<string, readonly string[]>> = {
  fork: ['fork', '10000'],
  memory: ['memory', '300'],
  open: ['open-all'],
  print: ['print', '10240'],
  pipe: ['print', '2048'],
  fill: ['fill', '/tmp/full'],
  zombies: ['zombies', '10000'],
  leaves: ['stubborn', '0', '94711'],
  stays: ['stubborn', '60000', '94711'],
}

const policy = `schema = 1
[profile.small]
read = ["${directory}", "/usr/share"]
limits = { processes = 32, memory = "64M", time = "20s" }
[profile.quick]
read = ["${directory}"]
limits = { processes = 32, memory = "64M", time = "500ms" }
${Object.entries({ ...actions, expires: ['stubborn', '60000', '94711'] })
  .map(([name, words]) =>
    actionText(name, name === 'expires' ? 'quick' : 'small', [probe, ...words]),
  )
  .join('\n')}
[[grant]]
who = ["group:sudo"]
may = ${JSON.stringify([...Object.keys(actions), 'expires'])}
`

function descendantsOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)])
}

/** All cgroups here of bridges that this process made. */
function groups(): readonly string[] {
  return Object.values(testCgroups())
    .filter((path) => path !== '')
    .flatMap((path) => {
      const ours = readdirSync(path).filter((name) =>
        new RegExp(`^belladonna\\..*\\.${process.pid}\\.`).test(name),
      )
      return ours.flatMap((name) =>
        readdirSync(join(path, name)).filter((inner) => inner.startsWith('run-')),
      )
    })
}

/** What clones, four spares and their seats. There are fewer for a while where a mount of the host's, of anybody's, ended them. */
const mostIdle = 10

function look(): Left {
  const kinds = ['pid', 'mnt', 'ipc', 'uts', 'net', 'cgroup', 'user']
  const all = descendantsOf(bridge.pids().launcher)
  const processes = all.filter((pid) => !readProc(`${pid}/cmdline`).includes('belladonna-launcher'))
  const namespaces = processes.flatMap((pid) =>
    kinds.map((kind) => readLink(`/proc/${pid}/ns/${kind}`)),
  )
  return {
    processes: processes.length,
    isIdle: all.length - processes.length <= mostIdle,
    namespaces: new Set(namespaces).size,
    groups: groups().length,
    mounts: readProc(`${bridge.pids().launcher}/mountinfo`).split('\n').length,
  }
}

function readLink(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** What is there when a run that has just ended is gone: `bell` hears of an end before the launcher has cleaned up. */
async function lookSettled(): Promise<Left> {
  for (let last = ''; ;) {
    const left = look()
    if (JSON.stringify(left) === last) return left
    last = JSON.stringify(left)
    await sleep(500)
  }
}

/** Nothing is left of a run, but for what the launcher had before: its services, and the spares for the next runs. */
async function nothingIsLeft(): Promise<void> {
  await until(() => JSON.stringify(look()) === JSON.stringify(atFirst), 5_000).catch(() =>
    assert.deepEqual(look(), atFirst),
  )
  const words = readdirSync('/proc').map((pid) => readProc(`${pid}/cmdline`))
  assert.ok(!words.some((text) => text.includes('94711')), 'a process that was left behind')
}

function residentKib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1])
}

before(async () => {
  if (skip) return
  chmodSync(directory, 0o755)
  compileStatic(directory, 'probe')
  bridge = await startBridge({ policy })
  // Two runs: then the template of each plan is there, and the spares are in their cgroups for good.
  for (const action of ['zombies', 'expires', 'zombies']) await bridge.bell([action])
  atFirst = await lookSettled()
  brokerKib = residentKib(bridge.pids().broker)
})
after(async () => {
  if (!skip) {
    assert.equal(await bridge.stop(), 0)
    assert.deepEqual(groups(), [])
    await bridge[Symbol.asyncDispose]()
  }
  rmSync(directory, { recursive: true, force: true })
})

type Case = Readonly<{
  name: string
  action: string
  ends: (result: BellResult) => void
  limitMs: number
}>
const cases: readonly Case[] = [
  {
    name: 'C86: forks 10,000 times',
    action: 'fork',
    limitMs: 3_000,
    ends: ({ stdout }) => assert.equal(stdout, 'fewer than 64\n'),
  },
  {
    name: 'C86: leaves 10,000 zombies',
    action: 'zombies',
    limitMs: 3_000,
    ends: ({ stdout }) => assert.ok(Number(stdout) < 64, stdout),
  },
  {
    name: 'fills memory',
    action: 'memory',
    limitMs: 5_000,
    ends: ({ status }) => assert.equal(status, 137),
  },
  {
    name: 'fills /tmp',
    action: 'fill',
    limitMs: 5_000,
    // The file is memory of the run: whichever of two equal limits is met first.
    ends: ({ status, stdout }) =>
      assert.ok(status === 137 || /^6\d MiB, errno 28/.test(stdout), `${status} ${stdout}`),
  },
  {
    name: 'opens everything that it sees',
    action: 'open',
    limitMs: 15_000,
    ends: ({ status, stdout }) => assert.match(`${status} ${stdout}`, /^0 \d{2,4}, errno 24$/m),
  },
  {
    name: 'C90: leaves a deaf orphan in a session of its own',
    action: 'leaves',
    limitMs: 3_000,
    ends: ({ status, stdout }) => assert.deepEqual([status, stdout], [0, 'left\n']),
  },
  {
    name: 'C90: outlives its time, deaf, with such an orphan',
    action: 'expires',
    limitMs: 3_000,
    ends: ({ status, stdout }) => assert.deepEqual([status, stdout], [124, 'left\n']),
  },
]

for (const { name, action, ends, limitMs } of cases) {
  test(`contained, and nothing is left: ${name}`, { skip, timeout: 60_000 }, async () => {
    const { launcher, broker, executor } = bridge.pids()
    const begunMs = Date.now()
    ends(await bridge.bell([action]))
    const tookMs = Date.now() - begunMs
    assert.ok(tookMs < limitMs, `${tookMs} ms`)
    await nothingIsLeft()
    assert.deepEqual(
      bridge.pids(),
      { launcher, broker, executor },
      'the same launcher and services',
    )
  })
}

test(
  'C90: nothing is left of a deaf run and its orphan when its client is gone',
  { skip },
  async () => {
    const bell = [bridge.bellPath, '-S', bridge.socket, 'stays']
    const client = spawn('/usr/bin/setpriv', [`--reuid=${caller.uid}`, '--groups=27', ...bell], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await new Promise((resolve) => client.stdout.once('data', resolve))
    client.kill('SIGKILL')
    await exitOf(client)
    await until(() => look().processes === atFirst.processes, 8_000) // five seconds after SIGHUP
    await nothingIsLeft()
  },
)

for (const [action, sink] of [
  ['print', '>/dev/null'],
  ['pipe', '| cat >/dev/null'],
] as const) {
  test(
    `C89: output costs the broker nothing: ${action} ${sink}`,
    { skip, timeout: 120_000 },
    async () => {
      const { broker, launcher } = bridge.pids()
      const launcherKib = residentKib(launcher)
      const script = `{ "$@" || echo failed >&2; } ${sink}`
      const words = ['/bin/sh', '-c', script, '-', bridge.bellPath, '-S', bridge.socket, action]
      const begunMs = Date.now()
      const { status, stderr } = await runAs(words, {})
      assert.deepEqual([status, stderr], [0, ''])
      const grownKib = residentKib(broker) - brokerKib
      console.log(
        `${action}: ${Date.now() - begunMs} ms; since its start the broker grew by ${grownKib} KiB`,
      )
      assert.ok(grownKib < 65_536, `${grownKib} KiB`)
      assert.ok(residentKib(launcher) - launcherKib < 1024)
      await nothingIsLeft()
    },
  )
}
