import {
  closeSync,
  constants,
  fchmodSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { BelladonnaError } from '../core/error.ts'
import { isCode, isWantOfSpace } from './directory.ts'

/** How long a file that did not fit waits before it is tried again. */
const retryMs = 500

/**
 * Puts `bytes` at `directory/name` so that after a crash either the old or the new content is there, whole:
 * write a file beside it, fdatasync, rename, fsync the directory.
 *
 * Trusted: the directory belongs to the calling process alone; `holdDirectory` has seen to it.
 */
export function replaceFile(
  directory: string,
  name: string,
  bytes: Uint8Array,
  mode: number,
): void {
  const temporary = `${directory}/.${name}.new`
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW
  const descriptor = openSync(temporary, flags, mode)
  try {
    let at = 0
    while (at < bytes.length) at += writeSync(descriptor, bytes, at)
    fchmodSync(descriptor, mode) // whatever the umask
    fdatasyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, `${directory}/${name}`)
  const parent = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(parent)
  } finally {
    closeSync(parent)
  }
}

/** `replaceFile` without blocking: for a process that has requests to answer meanwhile. */
export async function replaceFileLater(
  directory: string,
  name: string,
  bytes: Uint8Array,
  mode: number,
): Promise<void> {
  const temporary = `${directory}/.${name}.new`
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW
  const file = await open(temporary, flags, mode)
  try {
    await file.writeFile(bytes)
    await file.chmod(mode)
    await file.datasync()
  } finally {
    await file.close()
  }
  await rename(temporary, `${directory}/${name}`)
  const parent = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await parent.sync()
  } finally {
    await parent.close()
  }
}

/**
 * `replaceFileLater` that waits for space on a full disk: what runs must still be able to end, so a process does not end for
 * want of a few hundred bytes. Each try is a whole new file, so nothing that a failed one left is relied on. Any other
 * failure is one.
 */
export async function replaceFileOnceItFits(
  directory: string,
  name: string,
  bytes: Uint8Array,
  mode: number,
): Promise<void> {
  for (;;) {
    try {
      return await replaceFileLater(directory, name, bytes, mode)
    } catch (error) {
      if (!isWantOfSpace(error)) throw error
    }
    await sleep(retryMs)
  }
}

/**
 * Reads a small file of ours, or undefined when there is none. It must be a regular file of `uid`, not writable by others,
 * checked on the open descriptor.
 *
 * @throws {BelladonnaError} `path_unsafe`
 */
export function readOwnFile(path: string, uid: number, maxBytes: number): Uint8Array | undefined {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return undefined
    throw new BelladonnaError('path_unsafe', `open ${JSON.stringify(path)}`, { cause })
  }
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile() || stat.uid !== uid || (stat.mode & 0o022) !== 0 || stat.size > maxBytes) {
      throw new BelladonnaError(
        'path_unsafe',
        `${JSON.stringify(path)}: not a file of uid ${uid} that only it can write, of at most ${maxBytes} bytes`,
      )
    }
    return readFileSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
