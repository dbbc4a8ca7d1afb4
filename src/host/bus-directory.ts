import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'

/** A directory in which the proxy of one run makes its sockets. It stays until `release`. */
export type BusDirectory = Readonly<{
  path: CleanPath
  device: bigint
  inode: bigint
  release: () => void
}>

/**
 * Makes directories for runs and their proxies.
 *
 * Not trusted: what is in one; a proxy that was taken over can leave there what it likes. Whoever it runs as may write
 * there, and whoever has that uid too (`/proc/PID/root`); so the directory above is root's, 0700. What an earlier life left is
 * removed. What cannot be removed, for somebody goes on writing there or it has directories of theirs (we have no
 * CAP_DAC_OVERRIDE), stays, and is tried again: it ends nobody.
 *
 * @throws {BelladonnaError} `path_refused` when none can be made
 */
export function openBusDirectories(
  directory: string,
  remove: (path: string) => void = removeTree,
): () => BusDirectory {
  /** What could not be removed. */
  const left = new Set<string>()
  const letGo = (path: string): void => {
    left.delete(path)
    try {
      remove(path)
    } catch {
      left.add(path) // behind the others
    }
  }
  const earlier = readdirSync(directory)
  for (const name of earlier) letGo(`${directory}/${name}`)
  let made = Math.max(0, ...earlier.map(Number).filter(Number.isSafeInteger))
  return () => {
    const [oldest] = left
    if (oldest !== undefined) letGo(oldest)
    made += 1
    const path = `${directory}/${String(made)}`
    if (!isCleanPath(path)) throw new BelladonnaError('path_refused', `bus in ${path}`)
    try {
      mkdirSync(path, 0o700)
      chmodSync(path, 0o777) // whatever our umask is
      const { dev: device, ino: inode } = lstatSync(path, { bigint: true })
      return { path, device, inode, release: () => letGo(path) }
    } catch (cause) {
      letGo(path)
      throw new BelladonnaError('path_refused', `make ${JSON.stringify(path)}`, { cause })
    }
  }
}

/** Links in it are removed, never followed. */
function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true })
}
