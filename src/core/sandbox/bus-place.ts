import type { CleanPath } from '../identity.ts'
import { formatDbusCall } from '../policy/dbus-call.ts'
import type { DbusCall } from '../policy/dbus-call.ts'
import type { ProfileSocket } from '../policy/profile-source.ts'
import type { Bind, FileStamp } from './command.ts'
import { cleanPath } from './fixed-mounts.ts'
import { landlockFs } from './landlock.ts'

/** Where a run and its proxy have the directory in which the proxy makes its sockets: of one run alone. */
export const busPlace: CleanPath = cleanPath('/bus-proxy')

/** A socket whose calls are filtered. */
export type FilteredSocket = Readonly<{ path: CleanPath; calls: readonly DbusCall[] }>

/** In their order the proxy serves them: the first at `busSocket(0)`. */
export function filteredSockets(sockets: readonly ProfileSocket[]): readonly FilteredSocket[] {
  return sockets.flatMap(({ path, dbus }) => (dbus === null ? [] : [{ path, calls: dbus }]))
}

/** What filtered sockets let through, by the socket: for the entry, `status` and `check`. */
export function allowedCalls(
  sockets: readonly ProfileSocket[],
): Readonly<Record<string, readonly string[]>> {
  const filtered = filteredSockets(sockets)
  return Object.fromEntries(filtered.map(({ path, calls }) => [path, calls.map(formatDbusCall)]))
}

/** Where the proxy serves a filtered socket; at that socket's own path a run has a link to it. */
export function busSocket(index: number): CleanPath {
  return cleanPath(`${busPlace}/${String(index)}`)
}

/**
 * The directory of one run, in the run or in its proxy.
 *
 * The proxy alone may write it, and where there is Landlock it makes sockets there and nothing else.
 */
export function bindForBus(
  source: CleanPath,
  { device, inode }: Pick<FileStamp, 'device' | 'inode'>,
  whose: 'run' | 'proxy',
): Bind {
  return {
    ...{ source, target: busPlace, writable: whose === 'proxy', executable: false },
    stamp: { device, inode, size: 0n, mtimeNs: 0n, ctimeNs: 0n },
    ...{ isLive: true, isSingle: false, access: whose === 'proxy' ? landlockFs.makeSock : 0n },
  }
}
