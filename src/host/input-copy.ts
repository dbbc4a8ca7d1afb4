import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { isCleanPath } from '../core/identity.ts'
import type { FileCopy } from '../core/sandbox/path-bind.ts'
import { stampOf } from './file-stamp.ts'

/** What one run gets in place of a file. `sha256` is of its bytes, 64 hexadecimal digits; `release` removes it. */
export type InputCopy = FileCopy & Readonly<{ sha256: string; size: number; release: () => void }>

/** Copies what a descriptor of a regular file holds, or null if that is more than `maxBytes`. */
export type CopyInput = (descriptor: number, maxBytes: number) => InputCopy | null

/**
 * Makes copies of files that a run is to read: what is hashed is the copy, and the copy is what the run sees (ADR 0023).
 *
 * Trusted: the directory, as `openCopies` has it; that one is called first, and removes what an earlier life left.
 *
 * Throws what the kernel says, for want of space.
 */
export function openInputCopies(directory: string): CopyInput {
  let made = 0
  return (descriptor, maxBytes) => {
    const bytes = readUpTo(descriptor, maxBytes)
    if (bytes === null) return null
    made += 1
    const path = `${directory}/input-${String(made)}`
    if (!isCleanPath(path)) throw new BelladonnaError('path_unsafe', `copy to ${path}`)
    const release = (): void => rmSync(path, { force: true })
    try {
      const stamp = write(path, bytes)
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      return { path, stamp, sha256, size: bytes.length, release }
    } catch (error) {
      release()
      throw error
    }
  }
}

/** One byte more is asked for, to know that there is more: the file may grow while we read. */
function readUpTo(descriptor: number, maxBytes: number): Uint8Array | null {
  const bytes = new Uint8Array(maxBytes + 1)
  let size = 0
  while (size <= maxBytes) {
    const count = readSync(descriptor, bytes, size, bytes.length - size, size)
    if (count === 0) return bytes.subarray(0, size)
    size += count
  }
  return null
}

function write(path: string, bytes: Uint8Array): InputCopy['stamp'] {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  const descriptor = openSync(path, flags, 0o600)
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done)
    fchmodSync(descriptor, 0o444)
    return stampOf(fstatSync(descriptor, { bigint: true }))
  } finally {
    closeSync(descriptor)
  }
}
