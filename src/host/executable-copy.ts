import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { formatHex } from '../core/audit/merkle.ts'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'
import type { FileStamp } from '../core/sandbox/command.ts'
import { stampOf } from './file-stamp.ts'
import { hashDescriptor } from './hash-file.ts'

/** A copy that nobody but root can reach. It stays until `release`, once for each `copy` that returned it. */
export type ExecutableCopy = Readonly<{
  path: CleanPath
  sha256: Uint8Array
  stamp: FileStamp
  release: () => void
}>

/** Copies of executables. */
export type ExecutableCopies = Readonly<{
  /** Copies what a descriptor holds. */
  make: (descriptor: number, shownAs: string) => ExecutableCopy
  /** One of this digest that some run still holds, or undefined. */
  again: (sha256: Uint8Array) => ExecutableCopy | undefined
}>

/** Largest executable that is copied, and most different copies at once. */
export const maxCopyBytes: number = 64 * 1024 * 1024
export const maxCopies = 16

/**
 * Holds copies of executables that others can change: what is hashed is the copy, and the copy is what runs (ADR 0018).
 *
 * Trusted: the directory is root's, 0700, and the bridge's alone; what an earlier life left in it is removed. Runs of the
 * same bytes share one copy. A copy is read-only from its making on, and none is ever written again.
 *
 * @throws {BelladonnaError} `path_unsafe` if it is too large, a script, or there are too many at once
 */
export function openCopies(directory: string): ExecutableCopies {
  for (const name of readdirSync(directory)) unlinkSync(`${directory}/${name}`)
  const held = new Map<string, { copy: Omit<ExecutableCopy, 'release'>; users: number }>()
  let made = 0

  const release = (key: string): void => {
    const found = held.get(key)
    if (found === undefined) return
    found.users -= 1
    if (found.users > 0) return
    held.delete(key)
    unlinkSync(found.copy.path)
  }
  const holdOn = (key: string): ExecutableCopy | undefined => {
    const found = held.get(key)
    if (found === undefined) return undefined
    found.users += 1
    return { ...found.copy, release: onlyOnce(() => release(key)) }
  }
  const make = (descriptor: number, shownAs: string): ExecutableCopy => {
    made += 1
    const path = `${directory}/${String(made)}`
    if (!isCleanPath(path)) throw new BelladonnaError('path_unsafe', `copy to ${path}`)
    const written = writeCopy(descriptor, path, shownAs)
    const key = formatHex(written.sha256)
    const known = held.get(key)
    const isFull = known === undefined && held.size >= maxCopies
    if (known !== undefined || isFull) unlinkSync(path)
    if (isFull) throw refused(shownAs, `more than ${String(maxCopies)} different copies at once`)
    if (known === undefined) held.set(key, { copy: { path, ...written }, users: 0 })
    const kept = holdOn(key)
    if (kept === undefined) throw refused(shownAs, 'cannot be copied')
    return kept
  }
  return { make, again: (sha256) => holdOn(formatHex(sha256)) }
}

/** What a copy's hash would be, for who only asks: the file stays where it is, and nothing is written. */
export const uncopied: ExecutableCopies = {
  make: (descriptor, path) => {
    if (!isCleanPath(path)) throw new BelladonnaError('path_unsafe', `hash ${path}`)
    const sha256 = pump(descriptor, null, path)
    const stamp = stampOf(fstatSync(descriptor, { bigint: true }))
    return { path, sha256, stamp, release: () => undefined }
  },
  again: () => undefined,
}

function writeCopy(
  from: number,
  path: string,
  shownAs: string,
): Readonly<{ sha256: Uint8Array; stamp: FileStamp }> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    const to = openSync(path, flags, 0o600)
    try {
      const sha256 = pump(from, to, shownAs)
      fchmodSync(to, 0o555)
      return { sha256, stamp: stampOf(fstatSync(to, { bigint: true })) }
    } finally {
      closeSync(to)
    }
  } catch (cause) {
    rmSync(path, { force: true })
    if (cause instanceof BelladonnaError) throw cause
    throw refused(shownAs, 'cannot be copied', cause) // for want of space, say: only this request fails
  }
}

function pump(from: number, to: number | null, shownAs: string): Uint8Array {
  return hashDescriptor(from, (block, at) => {
    if (at === 0 && block[0] === 0x23 && block[1] === 0x21) {
      throw refused(shownAs, 'a script that others can change')
    }
    if (to !== null) writeAll(to, block)
    if (at + block.length > maxCopyBytes) {
      throw refused(shownAs, `larger than ${String(maxCopyBytes)} bytes`)
    }
  })
}

function writeAll(to: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(to, bytes, done, bytes.length - done)
}

function onlyOnce(act: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    act()
  }
}

function refused(shownAs: string, why: string, cause?: unknown): BelladonnaError {
  const message = `executable ${JSON.stringify(shownAs)}: ${why}`
  return new BelladonnaError('path_unsafe', message, { cause })
}
