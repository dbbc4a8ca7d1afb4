import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  openSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { BelladonnaError } from '../core/error.ts'
import { isCode } from './directory.ts'
import { formatHeader, headerBytes, parseHeader } from './record-frame.ts'
import type { RecordFileId, RecordPurpose } from './record-frame.ts'
import { readFully } from './record-scan.ts'

/** Who may own a record file, and its rights: with 0o640 its directory's group may read it. */
export type RecordFileOwner = Readonly<{ uid: number; mode: 0o600 | 0o640 }>

const chunkBytes = 1024 * 1024
const { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants
const { O_TRUNC, O_WRONLY } = constants

/**
 * Opens a record file for reading and writing, and makes it where there is none.
 *
 * A new one is written beside its place and renamed, so that a file at `path` always has its header. The directory must
 * be the owner's or root's and closed to other writers; the file must be the owner's, regular, without a second name and
 * without rights for others (ABUSE C61, C62). All is checked on the open descriptor.
 *
 * @throws {BelladonnaError} `path_unsafe`
 */
export function openRecordFile(
  path: string,
  purpose: RecordPurpose,
  owner: RecordFileOwner,
): Readonly<{ descriptor: number; created: boolean }> {
  const group = checkParent(path, owner)
  const found = openOrUndefined(path)
  const descriptor = found ?? createRecordFile(path, purpose, owner, group)
  try {
    checkFile(path, descriptor, owner)
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
  return { descriptor, created: found === undefined }
}

/** Reads and checks the header of an open record file. @throws {BelladonnaError} `log_corrupt` */
export function readRecordFileId(descriptor: number, purpose: RecordPurpose): RecordFileId {
  return parseHeader(readFully(descriptor, 0, headerBytes), purpose)
}

/**
 * Takes what a torn append left at the end of a file out of it: keeps a copy beside the file, since nothing of a log is
 * ever thrown away unseen, then fills with zeros from `end` to `tornUntil`.
 *
 * @throws {BelladonnaError} `log_failed` when the copy cannot be kept: the file is then as it was
 */
export function cutTail(path: string, descriptor: number, end: number, tornUntil: number): void {
  try {
    keepTail(`${path}.cut-${end}`, descriptor, end, tornUntil)
  } catch (cause) {
    const message = `keep what is cut off ${JSON.stringify(path)} at ${end}`
    throw new BelladonnaError('log_failed', message, { cause })
  }
  const zeros = Buffer.alloc(chunkBytes)
  for (let at = end; at < tornUntil; at += chunkBytes) {
    writeFully(descriptor, zeros.subarray(0, tornUntil - at), at)
  }
  fdatasyncSync(descriptor)
}

function keepTail(copyPath: string, descriptor: number, end: number, tornUntil: number): void {
  const copy = openSync(copyPath, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600)
  try {
    for (let at = end; at < tornUntil; at += chunkBytes) {
      writeFully(copy, readFully(descriptor, at, Math.min(chunkBytes, tornUntil - at)), at - end)
    }
    fsyncSync(copy)
  } finally {
    closeSync(copy)
  }
  syncParent(copyPath)
}

function createRecordFile(
  path: string,
  purpose: RecordPurpose,
  owner: RecordFileOwner,
  group: number,
): number {
  const fresh = `${path}.new`
  const descriptor = openSync(fresh, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600)
  try {
    // A set-group-id directory has seen to the group already; a dropped process may not change it.
    const isReadable = owner.mode === 0o640 && fstatSync(descriptor).gid !== group
    if (isReadable) fchownSync(descriptor, owner.uid, group)
    fchmodSync(descriptor, owner.mode)
    writeFully(descriptor, formatHeader(purpose, randomBytes(16)), 0)
    fsyncSync(descriptor)
    renameSync(fresh, path)
    syncParent(path)
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
  return descriptor
}

function openOrUndefined(path: string): number | undefined {
  try {
    return openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK)
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return undefined
    throw new BelladonnaError('path_unsafe', `open ${JSON.stringify(path)}`, { cause })
  }
}

function checkFile(path: string, descriptor: number, owner: RecordFileOwner): void {
  const stat = fstatSync(descriptor)
  const isOwn = stat.uid === owner.uid && (stat.mode & 0o777 & ~owner.mode) === 0
  if (!stat.isFile() || !isOwn || stat.nlink !== 1) {
    throw new BelladonnaError(
      'path_unsafe',
      `${JSON.stringify(path)}: not a regular file of uid ${owner.uid} alone, with one name`,
    )
  }
}

/** Returns the directory's group. */
function checkParent(path: string, owner: RecordFileOwner): number {
  const parent = openSync(dirname(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  try {
    const stat = fstatSync(parent)
    if ((stat.uid !== owner.uid && stat.uid !== 0) || (stat.mode & 0o022) !== 0) {
      throw new BelladonnaError(
        'path_unsafe',
        `${JSON.stringify(dirname(path))}: others than uid ${owner.uid} may write in it`,
      )
    }
    return stat.gid
  } finally {
    closeSync(parent)
  }
}

function syncParent(path: string): void {
  const parent = openSync(dirname(path), O_RDONLY | O_DIRECTORY)
  try {
    fsyncSync(parent)
  } finally {
    closeSync(parent)
  }
}

function writeFully(descriptor: number, bytes: Buffer, position: number): void {
  for (let at = 0; at < bytes.length;) {
    at += writeSync(descriptor, bytes, at, bytes.length - at, position + at)
  }
}
