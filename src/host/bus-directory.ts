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
 * there, so the directory above is root's, 0700: only who has one of them bound into a sandbox comes that far. What an
 * earlier life left is removed.
 *
 * @throws {BelladonnaError} `path_refused` when none can be made
 */
export function openBusDirectories(directory: string): () => BusDirectory {
  for (const name of readdirSync(directory)) remove(`${directory}/${name}`)
  let made = 0
  return () => {
    made += 1
    const path = `${directory}/${String(made)}`
    if (!isCleanPath(path)) throw new BelladonnaError('path_refused', `bus in ${path}`)
    try {
      mkdirSync(path, 0o700)
      chmodSync(path, 0o777) // whatever our umask is
      const { dev: device, ino: inode } = lstatSync(path, { bigint: true })
      return { path, device, inode, release: () => remove(path) }
    } catch (cause) {
      remove(path)
      throw new BelladonnaError('path_refused', `make ${JSON.stringify(path)}`, { cause })
    }
  }
}

/** Links in it are removed, never followed. */
function remove(path: string): void {
  rmSync(path, { recursive: true, force: true })
}
