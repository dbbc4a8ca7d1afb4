/** A real bridge for tests: its own root in /tmp, its own processes, gone when the scope ends. */
import { spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadConfiguration } from '../../src/cli/configuration.ts'
import { parseEntry } from '../../src/core/audit/entry-parse.ts'
import type { Entry, OutcomeEntry } from '../../src/core/audit/entry.ts'
import { parseReceipt } from '../../src/core/audit/receipt.ts'
import type { Receipt } from '../../src/core/audit/receipt.ts'
import type { VerifyReport } from '../../src/core/audit/verify-report.ts'
import type { Configuration } from '../../src/core/configuration/configuration.ts'
import { isCleanPath } from '../../src/core/identity.ts'
import type { CleanPath } from '../../src/core/identity.ts'
import type { CgroupPaths } from '../../src/core/protocol/boot.ts'
import { cgroupsBelow, ownCgroups } from '../../src/host/cgroup.ts'
import { prepareBridge } from '../../src/host/boot-plan.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { openLogSource, verifyDirectory } from '../../src/host/read-log.ts'
import { installPolicyText } from './install-policy.ts'
import { sweepCgroup } from './swept-cgroup.ts'

export const checkout: string = join(import.meta.dirname, '../..')
/** Nobody's id; `sudo` is Debian's group 27. */
export const caller = { uid: 61_290, gid: 61_290, groups: [27] } as const

/**
 * Below which the bridges of tests make their cgroups, where that is not the test's own: with cgroup v2 alone, what is below a
 * cgroup with processes has no limits (test/machine).
 */
const cgroupParent = process.env['BELLADONNA_TEST_CGROUP'] ?? null

export function testCgroups(): CgroupPaths {
  return cgroupParent === null ? ownCgroups() : cgroupsBelow(cgroupParent)
}

export type BellResult = Readonly<{ status: number | null; stdout: string; stderr: string }>
export type CallerOptions = Readonly<{
  uid?: number
  gid?: number
  groups?: readonly number[]
  stdin?: string
  /** Words before bell, as `unshare -U`. */
  before?: readonly string[]
}>

export type TestBridge = AsyncDisposable &
  Readonly<{
    root: string
    socket: string
    bellPath: string
    launcher: () => ChildProcess
    bell: (args: readonly string[], options?: CallerOptions) => Promise<BellResult>
    /** `belladonna status --json`. */
    status: () => Promise<BellResult>
    entries: () => readonly Entry[]
    outcomes: () => readonly OutcomeEntry[]
    /** The outcome of the run that `act` makes or ends, which is the last that began, once it is recorded. */
    outcomeOf: (act: () => unknown) => Promise<OutcomeEntry>
    receipts: () => readonly Receipt[]
    receiptCount: () => number
    verify: () => Promise<VerifyReport>
    /** Process ids by what they are. */
    pids: () => Readonly<{ launcher: number; broker: number; executor: number }>
    /** Waits until both services have answered again. */
    ready: () => Promise<void>
    /** Starts the launcher again on the same root after it died. */
    startAgain: () => Promise<void>
    stop: () => Promise<number | null>
  }>

export type BridgeSetup = Readonly<{
  policy: string
  /** Lines of belladonna.toml after its schema. */
  configuration?: string
  /** A broker of the test's own, below `test/e2e`. */
  brokerProgram?: string
  brokerEnvironment?: readonly string[]
  /** An executor of the test's own. */
  executorProgram?: string
  root?: string
  /** The words that start the launcher, if they are not its program and its boot file: they must keep the process id. */
  start?: (program: string, bootFile: string) => readonly string[]
}>

export async function startBridge(setup: BridgeSetup): Promise<TestBridge> {
  const root = setup.root ?? mkdtempSync('/tmp/belladonna.')
  chmodSync(root, 0o755)
  installPolicyText(root, setup.policy)
  const coverage = join(root, 'coverage')
  mkdirSync(coverage)
  chmodSync(coverage, 0o777)
  const bellPath = join(root, 'bell')
  copyFileSync(join(checkout, 'native/out/bell'), bellPath)
  chmodSync(bellPath, 0o755)
  let launcher = await launch(root, setup, coverage)

  const stop = async (): Promise<number | null> => {
    if (launcher.exitCode === null && launcher.signalCode === null) launcher.kill('SIGTERM')
    const code = await exitOf(launcher)
    if (launcher.signalCode === 'SIGKILL') await sweepSoon(root)
    collectCoverage(coverage)
    return code
  }
  const entries = (): readonly Entry[] =>
    [...(openLogSource(root, undefined)?.entries() ?? [])].map((entry) => parseEntry(entry))
  const outcomes = (): readonly OutcomeEntry[] =>
    entries().filter((entry) => entry.kind === 'outcome')
  return {
    root,
    socket: bridgePaths(root).runSocket,
    bellPath,
    launcher: () => launcher,
    bell: async (args, options = {}) =>
      await runAs([bellPath, '-S', bridgePaths(root).runSocket, ...args], options),
    status: async () =>
      await run([join(checkout, 'bin/belladonna'), 'status', '--json', '--root', root]),
    entries,
    outcomes,
    outcomeOf: async (act) => {
      await act()
      // The last that began, in `act` or before it: an earlier run's outcome may come after all this.
      const intent = entries().findLastIndex(({ kind }) => kind === 'intent')
      const its = (): OutcomeEntry | undefined =>
        outcomes().find((entry) => entry.intent === intent)
      await until(() => its() !== undefined, 15_000)
      const outcome = its()
      if (outcome === undefined) throw new Error('no outcome')
      return outcome
    },
    receipts: () =>
      [...(openLogSource(root, undefined)?.receipts() ?? [])].map((r) => parseReceipt(r)),
    receiptCount: () => [...(openLogSource(root, undefined)?.receipts() ?? [])].length,
    verify: async () => {
      const report = await verifyDirectory(root)
      if (report === undefined) throw new Error('no log')
      return report
    },
    pids: () => pidsOf(launcher.pid ?? 0),
    ready: async () => {
      await until(() => childrenOf(launcher.pid ?? 0).length >= 2, 10_000)
      const bell = [bellPath, '-S', bridgePaths(root).runSocket, 'no.such']
      let last = ''
      await until(async () => {
        const { status, stderr } = await runAs(bell, {})
        last = stderr
        return status === 127
      }, 40_000).catch((cause: unknown) => {
        throw new Error(`the bridge does not answer: ${last}`, { cause })
      })
    },
    startAgain: async () => {
      if (launcher.signalCode === 'SIGKILL') await sweepSoon(root)
      launcher = await launch(root, setup, coverage)
    },
    stop,
    async [Symbol.asyncDispose]() {
      await stop()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** Whoever ran in there was killed with the launcher, and may need a moment to be gone. */
async function sweepSoon(root: string): Promise<void> {
  await until(() => {
    try {
      sweepCgroup(bridgePaths(root).bootFile)
      return true
    } catch {
      return false
    }
  }, 5000)
}

async function launch(root: string, setup: BridgeSetup, coverage: string): Promise<ChildProcess> {
  const wanted = process.env['NODE_V8_COVERAGE'] !== undefined
  const inside = clean('/belladonna/coverage')
  const tests = { source: clean(join(checkout, 'test')), target: clean('/belladonna/test') }
  const rights = { writable: false, executable: false }
  const prepared = prepareBridge({
    root,
    configuration: configured(root, setup.configuration),
    unprivileged: false,
    brokerMounts: [
      { source: clean(coverage), target: inside, writable: true, executable: false },
      { ...tests, ...rights },
    ],
    ...(wanted ? { environment: [`NODE_V8_COVERAGE=${coverage}`] } : {}),
    brokerEnvironment: [
      ...(wanted ? ['NODE_V8_COVERAGE=/belladonna/coverage'] : []),
      ...(setup.brokerEnvironment ?? []),
    ],
    ...(setup.brokerProgram === undefined
      ? {}
      : { brokerProgram: clean(`/belladonna/test/e2e/${setup.brokerProgram}`) }),
    ...(setup.executorProgram === undefined
      ? {}
      : { executorProgram: clean(join(checkout, 'test/e2e', setup.executorProgram)) }),
  })
  const stdio: StdioOptions = [
    'ignore',
    'pipe',
    process.env['BELLADONNA_TEST_STDERR'] === undefined ? 'ignore' : 'inherit',
  ]
  const start = setup.start ?? ((program, bootFile) => [program, bootFile])
  const [program = '', ...words] = start(prepared.launcher, prepared.bootFile)
  const launcher = spawn(program, words, { stdio, env: {} })
  if (setup.brokerProgram === undefined) {
    await new Promise<void>((resolve, reject) => {
      launcher.stdout?.once('data', () => resolve())
      launcher.once('exit', (code) => reject(new Error(`launcher ended with ${code}`)))
    })
  }
  return launcher
}

function configured(root: string, lines: string | undefined): Configuration {
  const directory = join(root, 'etc/belladonna')
  if (lines !== undefined) {
    mkdirSync(directory, { recursive: true, mode: 0o755 })
    const text = `schema = 1\n${lines}`
    writeFileSync(join(directory, 'belladonna.toml'), text, { mode: 0o644 })
  }
  const read = loadConfiguration(root, console.error)
  return read.cgroupParent === null ? { ...read, cgroupParent } : read
}

/** Runs a command as an unprivileged caller; `uid: 0` means root itself. */
export async function runAs(
  command: readonly string[],
  { uid = caller.uid, gid = uid, groups = caller.groups, stdin, before = [] }: CallerOptions,
): Promise<BellResult> {
  const identity = ['--reuid', `${uid}`, '--regid', `${gid}`]
  const grouped = groups.length === 0 ? ['--clear-groups'] : ['--groups', groups.join(',')]
  const words = [...before, '/usr/bin/setpriv', ...identity, ...grouped, ...command]
  return await run(words, stdin)
}

export async function run(
  words: readonly string[],
  stdin?: string,
  env: NodeJS.ProcessEnv = process.env,
  limitMs = 60_000,
): Promise<BellResult> {
  const [program = '', ...args] = words
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.on('error', () => undefined)
  child.stdin.end(stdin ?? '')
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => {
      clearTimeout(timer)
      resolve({ status, stdout, stderr })
    })
  })
}

export async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  return await new Promise((resolve) => child.once('exit', (code) => resolve(code)))
}

export async function until(
  holds: () => boolean | Promise<boolean>,
  limitMs: number,
): Promise<void> {
  const end = Date.now() + limitMs
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not so within ${limitMs} ms: ${holds.toString()}`)
    await sleep(50)
  }
}

/** Above every pid that Linux gives out (2^22), so that a signal to it reaches nobody. */
const nobody = 2 ** 30

/** Live children of a process, by /proc. */
export function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((child) => {
      const [, state, parent] = /\) (\S) (\d+)/.exec(readProc(`${child}/stat`)) ?? []
      return Number(parent) === pid && state !== 'Z'
    })
}

export function readProc(name: string): string {
  try {
    return readFileSync(`/proc/${name}`, 'utf8')
  } catch {
    return ''
  }
}

function pidsOf(
  launcher: number,
): Readonly<{ launcher: number; broker: number; executor: number }> {
  const children = childrenOf(launcher)
  const named = (part: string): number =>
    // Never 0, which kill(2) takes for the caller's own process group, nor 1: this one is nobody's.
    children.find((pid) => readProc(`${pid}/cmdline`).includes(part)) ?? nobody
  return { launcher, broker: named('/broker'), executor: named('/executor/') }
}

/** Gives what the services wrote to the test runner, under the paths of the checkout. */
function collectCoverage(from: string): void {
  const to = process.env['NODE_V8_COVERAGE']
  if (to === undefined) return
  for (const name of readdirSync(from)) {
    const text = readFileSync(join(from, name), 'utf8')
    rmSync(join(from, name))
    if (!isWhole(text)) continue // its writer was killed
    const here = text.replaceAll('file:///belladonna/src/', `file://${checkout}/src/`)
    writeFileSync(join(to, name), here)
  }
}

function isWhole(json: string): boolean {
  try {
    return typeof JSON.parse(json) === 'object'
  } catch {
    return false
  }
}

export function clean(path: string): CleanPath {
  if (!isCleanPath(path)) throw new Error(path)
  return path
}
