import { BelladonnaError } from '../error.ts'
import type { CleanPath } from '../identity.ts'
import { isCleanPath } from '../identity.ts'
import type { Mount } from './mount.ts'

/** A path that stands in our own code. */
export function cleanPath(path: string): CleanPath {
  if (!isCleanPath(path)) throw new BelladonnaError('input_invalid', `clean path: ${path}`)
  return path
}

/**
 * /dev with these character devices and the links to a process's own descriptors.
 *
 * A plain directory of the root, so nothing can be made in it later. No terminal of the host's.
 */
export function deviceMounts(names: readonly string[]): readonly Mount[] {
  const devices = names.map((name): Mount => {
    const path = cleanPath(`/dev/${name}`)
    return { kind: 'device', source: path, target: path, optional: false }
  })
  const links = [
    ['/dev/fd', '/proc/self/fd'],
    ['/dev/stdin', '/proc/self/fd/0'],
    ['/dev/stdout', '/proc/self/fd/1'],
    ['/dev/stderr', '/proc/self/fd/2'],
  ] as const
  return [
    ...devices,
    ...links.map(([path, text]): Mount => ({ kind: 'symlink', target: cleanPath(path), text })),
  ]
}

/** For runs whose output goes through a relay: a terminal of their own, if the client's stdio is one. */
export function terminalMounts(): readonly Mount[] {
  const tty = cleanPath('/dev/tty')
  return [
    { kind: 'device', source: tty, target: tty, optional: true },
    { kind: 'devpts', target: cleanPath('/dev/pts') },
  ]
}

/**
 * /proc of the sandbox's own pid namespace, and over it the same once more, read-only.
 *
 * uid 0 without a capability owns the host's files in there: sysctls, interrupt affinity, PCI configuration space.
 * Read-only covers them all, known or not. What a profile names under `write` is bound over it again.
 */
export function procMounts(): readonly Mount[] {
  const target = cleanPath('/proc')
  return [
    { kind: 'proc', target },
    {
      kind: 'bind',
      source: '/proc/',
      target,
      writable: false,
      executable: false,
      optional: false,
    },
  ]
}
