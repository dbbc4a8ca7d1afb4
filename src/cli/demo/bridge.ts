import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { BelladonnaError } from '../../core/error.ts'
import { findCheckout } from '../../host/checkout.ts'
import { bridgePaths } from '../../host/layout.ts'
import { policyInstall } from '../policy.ts'
import type { Output } from '../output.ts'
import type { Caller } from './caller.ts'

/** A bridge of the demo's own, below a fresh directory in /tmp. Disposing of it ends it and removes the directory. */
export type DemoBridge = AsyncDisposable &
  Readonly<{
    root: string
    runSocket: string
    /** A copy of bell that the caller may execute: the checkout may lie where others cannot enter. */
    bell: string
    /** Resolves when the bridge has ended by itself. */
    ended: Promise<void>
  }>

const readyTimeoutMs = 30_000
const stopTimeoutMs = 15_000

/** A fresh directory for one bridge. */
export function makeRoot(): string {
  return mkdtempSync('/tmp/belladonna.')
}

/**
 * Starts a bridge with the shipped example policy and, for an ordinary user, one more grant.
 *
 * @param root from `makeRoot`; it is removed when the bridge ends, or does not come up
 * @param signal ends the start early, with nothing left
 * @throws {BelladonnaError} `start_failed`
 */
export async function startDemoBridge(
  root: string,
  caller: Caller,
  output: Output,
  signal: AbortSignal,
): Promise<DemoBridge> {
  let launcher: ChildProcess | undefined
  try {
    chmodSync(root, 0o755) // others must reach run.sock
    installExample(root, caller, output)
    const bell = `${root}/bell`
    copyFileSync(findCheckout().bell, bell)
    chmodSync(bell, 0o755)
    launcher = startLauncher(root, caller)
    await untilReady(launcher, signal)
    return holdBridge(root, bell, launcher)
  } catch (error) {
    if (launcher !== undefined) await stop(launcher)
    rmSync(root, { recursive: true, force: true })
    throw error
  }
}

function installExample(root: string, caller: Caller, output: Output): void {
  const source = `${root}/etc/belladonna/policy.d`
  mkdirSync(source, { recursive: true, mode: 0o755 })
  const example = `${findCheckout().directory}/packaging/policy/example.toml`
  copyFileSync(example, `${source}/50-example.toml`)
  chmodSync(`${source}/50-example.toml`, 0o644)
  if (caller.kind === 'self') {
    const grant = `schema = 1\n[[grant]]\nwho = ["uid:${caller.uid}"]\nmay = ["host.uname", "service.note"]\n`
    writeFileSync(`${source}/60-me.toml`, grant, { mode: 0o644 })
  }
  const status = policyInstall({ root, source, json: false }, output)
  if (status !== 0) throw new BelladonnaError('start_failed', 'install the example policy')
}

/** In a session of its own: Ctrl-C is for us, and we end the bridge in order. It ends too if we are killed. */
function startLauncher(root: string, caller: Caller): ChildProcess {
  const mode = caller.kind === 'self' ? ['--unprivileged'] : []
  const belladonna = `${findCheckout().directory}/bin/belladonna`
  const words = ['--pdeathsig', 'TERM', belladonna, 'up', '--root', root, ...mode]
  return spawn('/usr/bin/setpriv', words, { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
}

async function untilReady(launcher: ChildProcess, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer)
      reject(new BelladonnaError('start_failed', `start the bridge: ${why}`))
    }
    const timer = setTimeout(fail, readyTimeoutMs, 'not ready in 30 s')
    signal.addEventListener('abort', () => fail('interrupted'))
    if (signal.aborted) fail('interrupted')
    launcher.once('exit', () => fail('it ended'))
    launcher.once('error', (error) => fail(error.message))
    launcher.stdout?.once('data', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

function holdBridge(root: string, bell: string, launcher: ChildProcess): DemoBridge {
  return {
    root,
    runSocket: bridgePaths(root).runSocket,
    bell,
    ended: endOf(launcher),
    async [Symbol.asyncDispose]() {
      await stop(launcher)
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** In order, so that the launcher takes its cgroup along; by force only where it does not end. */
async function stop(launcher: ChildProcess): Promise<void> {
  launcher.kill('SIGTERM')
  const timer = setTimeout(() => launcher.kill('SIGKILL'), stopTimeoutMs)
  await endOf(launcher)
  clearTimeout(timer)
}

async function endOf(launcher: ChildProcess): Promise<void> {
  if (launcher.pid === undefined || launcher.exitCode !== null || launcher.signalCode !== null) {
    return
  }
  await new Promise<void>((resolve) => launcher.once('exit', () => resolve()))
}
