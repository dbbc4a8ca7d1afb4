/**
 * DESIGN.md promise 8: each restriction of a run is proved twice by a program of ours. It tries what is forbidden and fails;
 * without that one restriction, and with everything else as it was, it succeeds. restrictions.ts has the table.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../../support/action-text.ts'
import type { BellResult } from '../../support/bridge.ts'
import { exitOf } from '../../support/bridge.ts'
import { isLinux } from '../../support/kernel.ts'
import { startBare } from './bare-bridge.ts'
import type { BareBridge } from './bare-bridge.ts'
import { compileStatic, openLauncherBuild } from './programs.ts'
import type { Edit } from './programs.ts'
import { all, canGive, same } from './plan-changes.ts'
import type { Change } from './plan-changes.ts'
import { restrictions } from './restrictions.ts'
import type { Host, Row } from './rows/row.ts'

const skip = process.geteuid?.() !== 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
const [read, write, work] = [
  join(directory, 'read'),
  join(directory, 'write'),
  join(directory, 'work'),
]
const tmp = mkdtempSync('/tmp/belladonna-test.')
const servers: Server[] = []
let holder: ChildProcess | undefined

const policy = `schema = 1
[profile.plain]
read = ["${read}"]
write = ["${write}"]
limits = { processes = 32, memory = "64M" }
[profile.quick]
read = ["${read}"]
limits = { time = "300ms" }
[profile.unix]
read = ["${read}"]
escapable = true
[profile.ports]
read = ["${read}"]
network = "host"
tcp_connect = [1]
${['plain', 'quick', 'unix', 'ports']
  .map((profile) => actionText(profile, profile, [`${read}/probe`]))
  .join('\n')}
[[grant]]
who = ["group:sudo"]
may = ["plain"]
`

async function listen(at: string | number): Promise<number> {
  const server = createServer((peer) => peer.destroy())
  servers.push(server)
  const where = typeof at === 'number' ? { port: at, host: '127.0.0.1' } : { path: at }
  await new Promise<void>((resolve) => server.listen(where, resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function furnish(): Promise<Host> {
  for (const path of [read, write, work]) mkdirSync(path)
  for (const path of [directory, read, write]) chmodSync(path, 0o755)
  const probe = compileStatic(read, 'probe')
  compileStatic(work, 'around')
  copyFileSync(probe, `${write}/probe`)
  copyFileSync(probe, `${read}/suid`)
  chmodSync(`${read}/suid`, 0o4755)
  for (const path of [`${read}/file`, `${write}/file`, join(tmp, 'file')])
    writeFileSync(path, 'text')
  execFileSync('mknod', [`${read}/device`, 'c', '1', '5'])
  execFileSync('mkfifo', [`${read}/pipe`])
  // Reads and writes it, so that opening the pipe for writing does not wait.
  holder = spawn('/bin/sh', ['-c', `exec 9<>'${read}/pipe'; exec sleep 600`], { stdio: 'ignore' })
  const made = execFileSync('ipcmk', ['-M', '4096'], { encoding: 'utf8' })
  const id = /\d+\s*$/.exec(made)?.[0].trim() ?? ''
  const key = /^(0x\w+)\s+(\d+)\s/gm
  const shown = execFileSync('ipcs', ['-m'], { encoding: 'utf8' })
  const sharedMemory = [...shown.matchAll(key)].find(([, , number]) => number === id)?.[1] ?? ''
  assert.notEqual(sharedMemory, '')
  const queue = `/belladonna-test.${process.pid}`
  execFileSync('perl', [
    '-e',
    `my $n = "${queue.slice(1)}"; syscall(240, $n, 0102, 0600, 0) >= 0 or die $!`,
  ])
  const abstract = `@belladonna-test.${process.pid}`
  await listen(abstract.replace('@', '\0'))
  await listen(`${read}/socket`)
  const port = await listen(0)
  after(() => {
    execFileSync('ipcrm', ['-m', id])
    execFileSync('perl', ['-e', `my $n = "${queue.slice(1)}"; syscall(241, $n)`])
  })
  const pid = holder.pid ?? 0
  return {
    read: read,
    write: write,
    tmpFile: join(tmp, 'file'),
    pid,
    sharedMemory,
    queue,
    port,
    abstract,
  }
}

/** One word or a few for how a run ended. */
function endOf({ status, stdout, stderr }: BellResult): string {
  const printed = stdout.trim()
  if (status === 0) return printed === readlinkSync('/proc/self/ns/uts') ? 'host' : printed
  if (stderr !== '' && status !== 124) return `${status}: ${stderr.trim()}`
  return status !== null && status > 128 ? `signal ${status - 128}` : `exit ${status}`
}

type Side = 'with' | 'without'

function editsOf(row: Row, side: Side): readonly Edit[] {
  const without = typeof row.without === 'function' || side === 'with' ? [] : row.without
  return [...(row.behindEdits ?? []), ...without].toSorted((a, b) => (a.from < b.from ? -1 : 1))
}

/** How every launcher here is started: in surroundings of which a run must not notice anything (C22, C23, C30). */
function spoiled(launcher: readonly string[], processor: number): readonly string[] {
  const around = join(work, 'around')
  return [
    ...['/usr/bin/setpriv', '--groups=27,1000'],
    ...['/usr/bin/prlimit', '--core=4096:8192', '--fsize=40960000:'],
    ...['/usr/bin/nice', '-n', '-39', '/usr/bin/taskset', '--cpu-list', `${processor}`],
    ...['/usr/bin/env', 'LD_LIBRARY_PATH=/nowhere', 'BASH_FUNC_x%%=() { :; }'],
    ...[around, 'habits', around, 'signals', around, 'terminal', around, 'descriptors', '500'],
    ...launcher,
  ]
}

function changeOf(row: Row, side: Side): Change {
  const without = typeof row.without === 'function' && side === 'without' ? row.without : same
  return all(row.behind ?? same, without)
}

async function endIn({ plan, run }: BareBridge, row: Row, side: Side, host: Host): Promise<string> {
  const [first = '', ...rest] = row.attempt(host)
  const argv = first.startsWith('/') ? [first, ...rest] : [`${read}/probe`, first, ...rest]
  rmSync(`${write}/created`, { force: true })
  return endOf(await run(changeOf(row, side)(plan(row.profile ?? 'plain')), argv, row.options))
}

const ends = new Map<Row, Partial<Record<Side, string>>>()

/** Each launcher is built and started once, for all that is tried in it; two at a time. */
async function runAll(host: Host): Promise<void> {
  const places = new Map<string, { edits: readonly Edit[]; turns: (readonly [Row, Side])[] }>()
  for (const row of restrictions) {
    for (const side of ['with', 'without'] as const) {
      const edits = editsOf(row, side)
      const place = places.get(JSON.stringify(edits)) ?? { edits, turns: [] }
      place.turns.push([row, side])
      places.set(JSON.stringify(edits), place)
    }
  }
  const build = openLauncherBuild(work)
  const queue = [...places.values()]
  const runThem = async (processor: number): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const launcher = next.edits.length === 0 ? undefined : build(next.edits)
      await using bare = await startBare(policy, (ours, boot) =>
        spoiled([launcher ?? ours, boot], processor),
      )
      for (const [row, side] of next.turns) {
        const end = await endIn(bare, row, side, host)
        ends.set(row, { ...ends.get(row), [side]: end })
      }
    }
  }
  await Promise.all([runThem(0), runThem(Math.min(1, availableParallelism() - 1))])
}

before(async () => {
  if (!skip) await runAll(await furnish())
})
after(async () => {
  holder?.kill('SIGKILL')
  if (holder !== undefined) await exitOf(holder)
  for (const server of servers) server.close()
  for (const path of [directory, tmp]) rmSync(path, { recursive: true, force: true })
})

function isAs(found: string | undefined, wanted: string | RegExp): boolean {
  return typeof wanted === 'string' ? found === wanted : wanted.test(found ?? '')
}

for (const row of restrictions) {
  const { name, succeeds, since } = row
  const isHere = since === undefined || isLinux(...since)
  const refused = isHere ? row.refused : succeeds
  test(`promise 8: ${name}, and only by that`, { skip }, (t) => {
    const { with: behind, without } = ends.get(row) ?? {}
    assert.ok(isAs(behind, refused), `with it: ${behind}, not ${String(refused)}`)
    if (!isHere) t.diagnostic('this kernel has no such wall: the attempt succeeds')
    if (row.needs !== undefined && !canGive(row.needs)) {
      t.diagnostic(`this host cannot give ${row.needs}: proved once`)
      return
    }
    assert.ok(isAs(without, succeeds), `without it: ${without}, not ${String(succeeds)}`)
  })
}
