import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { isSuccess } from './measure.ts'
import type { Caller, Command } from './measure.ts'
import { plainSource, recordedBytes } from './peers.ts'

const checkout = join(import.meta.dirname, '..')
const belladonna = join(checkout, 'bin/belladonna')
const startLimitMs = 60_000
const stopLimitMs = 20_000

/** A bridge that runs below `rootPath`, and the commands that use it. */
export type Bridge = Readonly<{
  rootPath: string
  /** run.sock */
  socket: string
  permitted: Command
  denied: Command
  /** Words of a run whose output is kept. */
  recorded: readonly string[]
  stop: () => Promise<void>
}>

/**
 * A policy with `count` actions and grants, of which `bench.true` is the last; it is what the peers' rules say. Before them is one
 * more, whose output is recorded.
 */
export function formatPolicy(count: number, uid: number): string {
  const others = Array.from({ length: count - 1 }, (_, i) =>
    formatRule(`bench.other${i}`, uid + 1 + (i % 1000)),
  )
  const profiles = ['schema = 1\n', '[profile.bench]\n', keptProfile]
  return [...profiles, formatKept(uid), ...others, formatRule('bench.true', uid)].join('\n')
}

/** A policy of `count` actions, each of which one user may do: the first `uid`, the next the uid after it, and so on. */
export function formatRules(count: number, uid: number): string {
  const rules = Array.from({ length: count }, (_, i) => formatRule(`bench.rule${i}`, uid + i))
  return ['schema = 1\n', '[profile.bench]\n', ...rules].join('\n')
}

const keptProfile = `[profile.kept]
output = "recorded"
limits = { output = "${recordedBytes * 2}", time = "60s" }
`

function formatKept(uid: number): string {
  return formatRule('bench.record', uid, plainSource, 'kept')
}

function formatRule(
  action: string,
  uid: number,
  command: readonly string[] = ['/usr/bin/true'],
  profile = 'bench',
): string {
  return `[action."${action}"]
about = "Nothing, as root"
command = ${JSON.stringify(command)}
run_as = "root"
profile = "${profile}"
risk = "read-only"
[[grant]]
who = ["uid:${uid}"]
may = ["${action}"]
`
}

/** Installs a policy with `count` rules and starts a bridge below a new directory of `parent`. */
export async function startBridge(parent: string, caller: Caller, count: number): Promise<Bridge> {
  const { uid, abort } = caller
  const rootPath = mkdtempSync(join(parent, 'root-'))
  chmodSync(rootPath, 0o755) // the caller must reach run.sock
  const policy = join(rootPath, 'bench.toml')
  writeFileSync(policy, formatPolicy(count, uid), { mode: 0o644 })
  runOrThrow(['policy', 'install', '--root', rootPath, policy])
  const child = spawn(belladonna, ['up', '--root', rootPath], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => {
    child.once('error', resolve)
    child.once('close', () => {
      resolve()
    })
  })
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const late = sleep(stopLimitMs, 'late', { ref: false })
    if ((await Promise.race([ended, late])) === 'late') child.kill('SIGKILL')
    await ended
    rmSync(rootPath, { recursive: true, force: true })
  }
  const socket = join(rootPath, 'run/belladonna/run.sock')
  try {
    await becomeReachable(socket, () => child.exitCode === null, abort)
  } catch (cause) {
    await stop()
    throw new Error(`bin/belladonna up did not come up below ${rootPath}`, { cause })
  }
  return { rootPath, socket, stop, ...commandsFor(parent, socket) }
}

async function becomeReachable(
  socket: string,
  isAlive: () => boolean,
  abort: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + startLimitMs
  while (!(await answers(socket))) {
    if (!isAlive()) throw new Error('it ended')
    if (performance.now() > deadline) throw new Error(`nobody answers at ${socket}`)
    await sleep(50, undefined, { signal: abort })
  }
}

function commandsFor(
  parent: string,
  socket: string,
): Pick<Bridge, 'permitted' | 'denied' | 'recorded'> {
  const bell = installBell(parent)
  return {
    recorded: [bell, '-S', socket, 'bench.record'],
    permitted: { name: 'bell', argv: [bell, '-S', socket, 'bench.true'], expected: isSuccess },
    denied: {
      name: 'bell',
      argv: [bell, '-S', socket, 'bench.other0'],
      expected: (status) => status === 125 || status === 127,
    },
  }
}

/** The checkout may lie where the caller cannot enter; what is installed on a host can be executed by everybody. */
function installBell(parent: string): string {
  const path = join(parent, 'bell')
  mkdirSync(parent, { recursive: true })
  copyFileSync(join(checkout, 'native/out/bell'), path)
  return path
}

function runOrThrow(args: readonly string[]): void {
  const result = spawnSync(belladonna, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (result.status !== 0) {
    const reason = result.error?.message ?? result.stderr.slice(0, 2000)
    throw new Error(`belladonna ${args.join(' ')}: status ${result.status ?? 'none'}\n${reason}`)
  }
}

async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const connection = connect(path)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', () => {
      resolve(false)
    })
  })
}
