import { execve } from 'node:process'
import { BelladonnaError } from '../core/error.ts'
import { prepareBridge } from '../host/boot-plan.ts'
import { supervisorOf } from '../core/protocol/supervisor.ts'
import { bridgePaths } from '../host/layout.ts'
import { loadInstalledPolicy } from '../host/policy-store.ts'
import { loadConfiguration } from './configuration.ts'

/**
 * `belladonna up`: prepares directories and boot file, then becomes the launcher, in the foreground.
 *
 * @throws {BelladonnaError} when anything is missing or unsafe; it does not return otherwise
 */
export function up(
  options: Readonly<{ root: string; unprivileged: boolean }>,
  complain: (line: string) => void,
): never {
  const isRoot = process.geteuid?.() === 0
  if (!isRoot && !options.unprivileged) {
    throw new BelladonnaError(
      'path_unsafe',
      'up needs root; try `belladonna up --unprivileged --root DIR`',
    )
  }
  if (isRoot && options.unprivileged) {
    throw new BelladonnaError(
      'usage',
      '--unprivileged is for ordinary users: root has the real walls',
    )
  }
  const configuration = loadConfiguration(options.root, complain)
  loadInstalledPolicy(bridgePaths(options.root).policy)
  const { launcher, bootFile } = prepareBridge({
    ...options,
    configuration,
    supervisor: supervisorOf(
      {
        NOTIFY_SOCKET: process.env['NOTIFY_SOCKET'],
        WATCHDOG_PID: process.env['WATCHDOG_PID'],
        WATCHDOG_USEC: process.env['WATCHDOG_USEC'],
      },
      process.pid,
    ),
  })
  if (execve === undefined) throw new BelladonnaError('start_failed', 'this Node has no execve')
  execve(launcher, [launcher, bootFile], {})
  throw new BelladonnaError('start_failed', `execute ${launcher}`)
}
