import { spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { BelladonnaError } from '../core/error.ts'
import { findCheckout } from '../host/checkout.ts'
import { bridgePaths } from '../host/layout.ts'

/** `belladonna run`: hands over to `bell`, which passes its descriptors on; Node cannot. Returns its exit status. */
export function run(root: string, args: readonly string[]): number {
  const { bell } = findCheckout()
  const socket = bridgePaths(root).runSocket
  // Ctrl-C reaches bell by itself, through the terminal's process group; we wait for what it makes of it.
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => undefined)
  const ended = spawnSync(bell, ['-S', socket, ...args], { stdio: 'inherit' })
  if (ended.error !== undefined) {
    throw new BelladonnaError('start_failed', `start ${bell}`, { cause: ended.error })
  }
  return ended.status ?? 128 + constants.signals[ended.signal ?? 'SIGKILL']
}
