/** What runs beside a run: the proxy of its filtered sockets. */
import type { Permit } from '../../core/policy/decide.ts'
import type { Prepared } from '../../core/protocol/launcher-frames.ts'
import { parseBase64 } from '../../core/json/base64.ts'
import { bindForBus } from '../../core/sandbox/bus-place.ts'
import { formatCommand } from '../../core/sandbox/command.ts'
import type { Bind } from '../../core/sandbox/command.ts'
import { cleanPath } from '../../core/sandbox/fixed-mounts.ts'
import type { ExecutorHost } from './executor-host.ts'

/** `bind`: how the run reaches it. */
export type Companion = Readonly<{
  sha256: Uint8Array
  prepared: Prepared
  bind: Bind
  /** Lets go of the directory that the two share; both have ended, or never begin. */
  release: () => void
}>

/**
 * The proxy of a permit, as whoever its command runs as, since the bus sees the proxy's ids; null if nothing is filtered.
 *
 * @throws {BelladonnaError} `path_unsafe` if the program is not root's alone any more
 */
export function openCompanion(
  host: Pick<ExecutorHost, 'measure' | 'makeBus'>,
  { action, profile: { proxy } }: Permit,
): Companion | null {
  if (proxy === null) return null
  const { executable, argv } = proxy
  const { sha256, stamp } = host.measure({ executable, interpreter: null, sha256: [] })
  const bus = host.makeBus()
  const command = formatCommand({
    ...{ ...action.run_as, executable, stamp, argv, env: [], cwd: cleanPath('/') },
    binds: [bindForBus(bus.path, bus, 'proxy')],
  })
  return {
    ...{ sha256, prepared: { plan: parseBase64(proxy.plan), command } },
    ...{ bind: bindForBus(bus.path, bus, 'run'), release: bus.release },
  }
}
