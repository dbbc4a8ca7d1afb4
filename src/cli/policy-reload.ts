import { setTimeout as sleep } from 'node:timers/promises'
import { formatPrintable } from '../core/audit/printable.ts'
import { BelladonnaError } from '../core/error.ts'
import type { JsonValue } from '../core/json/canonical.ts'
import { askBridge } from '../host/bridge-request.ts'
import { isCode } from '../host/directory.ts'
import { findLauncher } from '../host/launcher-process.ts'
import { bridgePaths } from '../host/layout.ts'
import { exitStatuses } from './exit.ts'
import type { Output } from './output.ts'
import { memberOf, textOf } from './status-answer.ts'

/** Longer than the launcher waits for a service that hangs. */
const patienceMs = 45_000
const askEveryMs = 50

type State = Readonly<{
  startedMs: JsonValue
  digest: string
  count: number
  last: Readonly<{ state: string; reason: string }>
}>

/**
 * `belladonna policy reload`: has a running bridge read the installed policy, and waits for what comes of it. Returns the exit
 * status: 0 when that policy is in force, 78 when the one before stays.
 *
 * @throws {BelladonnaError} `daemon_away`, `path_unsafe` when the caller may not signal the launcher
 */
export async function policyReload(
  { root, json }: Readonly<{ root: string; json: boolean }>,
  output: Output,
): Promise<number> {
  const { bridgeSocket, bootFile } = bridgePaths(root)
  const before = stateOf(await askBridge(bridgeSocket, '/v1/status'))
  hangUp(bootFile)
  const { kind, state } = await outcomeOf(bridgeSocket, before)
  const reason = kind === 'refused' ? state.last.reason : null
  if (json) output.print(JSON.stringify({ kind, digest: state.digest, reason }))
  else if (reason === null) output.print(formatPrintable(`${kind}: digest ${state.digest}`))
  else {
    const message = `refused, digest ${state.digest} stays in force: ${reason}`
    output.complain(`belladonna: ${formatPrintable(message)}`)
  }
  return reason === null ? 0 : exitStatuses.policy_invalid
}

function hangUp(bootFile: string): void {
  const launcher = findLauncher(bootFile)
  if (launcher === undefined) {
    throw new BelladonnaError('daemon_away', 'no launcher of this bridge is up')
  }
  try {
    process.kill(launcher, 'SIGHUP')
  } catch (cause) {
    const code = isCode(cause, 'ESRCH') ? 'daemon_away' : 'path_unsafe'
    throw new BelladonnaError(code, `signal the launcher, process ${launcher}`, { cause })
  }
}

/** `restarted`: the services ended meanwhile, and read the policy when they started anew. */
async function outcomeOf(
  socket: string,
  before: State,
): Promise<Readonly<{ kind: string; state: State }>> {
  const endMs = Date.now() + patienceMs
  for (;;) {
    await sleep(askEveryMs)
    const state = await askAgain(socket, endMs)
    if (state !== null && state.startedMs !== before.startedMs) return { kind: 'restarted', state }
    if (state !== null && state.count > before.count) return { kind: state.last.state, state }
    if (Date.now() > endMs) {
      throw new BelladonnaError('daemon_away', 'the bridge did not read the policy in time')
    }
  }
}

/** null while nobody answers. */
async function askAgain(socket: string, endMs: number): Promise<State | null> {
  try {
    return stateOf(await askBridge(socket, '/v1/status'))
  } catch (error) {
    if (!(error instanceof BelladonnaError) || error.code !== 'daemon_away') throw error
    if (Date.now() > endMs) throw error
    return null
  }
}

function stateOf(status: JsonValue): State {
  const policy = memberOf(status, 'policy')
  const reloads = memberOf(policy, 'reloads')
  const last = memberOf(reloads, 'last')
  return {
    startedMs: memberOf(status, 'started_ms'),
    digest: textOf(policy, 'digest'),
    count: Number(memberOf(reloads, 'count')),
    last: { state: textOf(last, 'state'), reason: textOf(last, 'reason') },
  }
}
