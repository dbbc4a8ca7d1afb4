import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import type { BigIntStats, Stats } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import type { FileStamp } from '../core/sandbox/command.ts'

/** An executable that was hashed (`sha256`, 32 bytes), and what tells that it is still the same file. */
export type Measured = Readonly<{ sha256: Uint8Array; stamp: FileStamp }>

/** Hashes executables, and remembers those that only root can change. */
export type Measure = (path: string) => Measured

const maxCached = 1024
const blockBytes = 1 << 20

/**
 * Opens an executable once, checks it and every parent, and hashes what the descriptor holds.
 *
 * It counts only if it and every parent belong to root (in unprivileged mode: or to the caller) and nobody else can
 * write them; `#!` is refused, for the kernel would open the script again by its path. A digest is reused while device,
 * inode, size, mtime and ctime stay: with such a file only root can change content without changing ctime.
 *
 * @throws {BelladonnaError} `path_unsafe`
 */
export function openMeasure(uid: number): Measure {
  const cache = new Map<string, Measured>()
  return (path) => {
    checkParents(path, uid)
    const descriptor = openExecutable(path)
    try {
      const stat = fstatSync(descriptor, { bigint: true })
      checkFile(path, stat, uid)
      const known = cache.get(path)
      if (known !== undefined && isSame(known.stamp, stat)) return known
      const measured = hashFile(path, descriptor, stat)
      if (cache.size >= maxCached) cache.clear()
      cache.set(path, measured)
      return measured
    } finally {
      closeSync(descriptor)
    }
  }
}

function isSame(stamp: FileStamp, stat: BigIntStats): boolean {
  return (
    stamp.device === stat.dev &&
    stamp.inode === stat.ino &&
    stamp.size === stat.size &&
    stamp.mtimeNs === stat.mtimeNs &&
    stamp.ctimeNs === stat.ctimeNs
  )
}

function checkParents(path: string, uid: number): void {
  for (let slash = path.lastIndexOf('/'); slash >= 0; slash = path.lastIndexOf('/', slash - 1)) {
    const parent = slash === 0 ? '/' : path.slice(0, slash)
    const stat = statOrUndefined(parent)
    const owned = stat !== undefined && (stat.uid === 0 || stat.uid === uid)
    const closed = stat !== undefined && ((stat.mode & 0o022) === 0 || (stat.mode & 0o1000) !== 0)
    if (!owned || !closed || !stat.isDirectory()) throw unsafe(path, `parent ${parent}`)
    if (slash === 0) return
  }
  throw unsafe(path, 'not absolute')
}

function statOrUndefined(path: string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch {
    return undefined
  }
}

function openExecutable(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    throw new BelladonnaError('path_unsafe', `open ${JSON.stringify(path)}`, { cause })
  }
}

function checkFile(path: string, stat: BigIntStats, uid: number): void {
  if (!stat.isFile()) throw unsafe(path, 'not a regular file')
  if (stat.uid !== 0n && stat.uid !== BigInt(uid)) throw unsafe(path, `belongs to uid ${stat.uid}`)
  if ((stat.mode & 0o022n) !== 0n) throw unsafe(path, 'writable by others')
  if ((stat.mode & 0o111n) === 0n) throw unsafe(path, 'not executable')
}

function hashFile(path: string, descriptor: number, before: BigIntStats): Measured {
  const hash = createHash('sha256')
  const block = new Uint8Array(blockBytes)
  for (let at = 0; ;) {
    const size = readSync(descriptor, block, 0, blockBytes, at)
    if (size === 0) break
    if (at === 0 && block[0] === 0x23 && block[1] === 0x21) throw unsafe(path, 'a #! script')
    hash.update(block.subarray(0, size))
    at += size
  }
  const after = fstatSync(descriptor, { bigint: true })
  const stamp = {
    device: before.dev,
    inode: before.ino,
    size: before.size,
    mtimeNs: before.mtimeNs,
    ctimeNs: before.ctimeNs,
  }
  if (!isSame(stamp, after)) throw unsafe(path, 'changed while it was read')
  return { sha256: new Uint8Array(hash.digest()), stamp }
}

function unsafe(path: string, why: string): BelladonnaError {
  return new BelladonnaError('path_unsafe', `executable ${JSON.stringify(path)}: ${why}`)
}
