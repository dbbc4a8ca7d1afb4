import { createHash } from 'node:crypto'
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs'
import type { BigIntStats, Stats } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import type { CleanPath } from '../core/identity.ts'
import type { CompiledAction, CompiledInterpreter } from '../core/policy/compiled.ts'
import { readShebang, shebangBytes } from '../core/policy/shebang.ts'
import type { FileStamp } from '../core/sandbox/command.ts'
import { stampOf } from './executable-copy.ts'
import type { CopyExecutable } from './executable-copy.ts'
import { openAnew, partsOf, walkBeneath } from './walk-beneath.ts'

/** A file that was hashed (`sha256`, 32 bytes), and what tells that it is still the same file. */
export type MeasuredFile = Readonly<{ sha256: Uint8Array; stamp: FileStamp }>

/** An executable that was hashed, with the program that reads it if it is a script. */
export type Measured = MeasuredFile &
  Readonly<{
    interpreter: MeasuredFile | null
    /** Where a copy of it lies that runs in its place, or null. */
    copy: CleanPath | null
    /** Lets go of the copy; the run has ended, or never begins. */
    release: () => void
  }>

/** What an action says of its executable. */
export type ExecutableOf = Pick<CompiledAction, 'executable' | 'interpreter' | 'sha256'>

/** Hashes what an action would run, and remembers what only root can change. */
export type Measure = (action: ExecutableOf) => Measured

const maxCached = 1024
const blockBytes = 1 << 20

type Known = MeasuredFile & Readonly<{ head: Uint8Array; whole: Measured }>

/**
 * Opens an executable once, checks it and every parent, and hashes what the descriptor holds.
 *
 * It counts only if it and every parent belong to root (in unprivileged mode: or to the caller) and nobody else can
 * write them. A program that others can change is copied, and the copy is hashed and run, if the action pins its
 * digest; a script is not, nor is what reads it. A digest is reused while device, inode, size, mtime and ctime stay:
 * with such a file only root can change content without changing ctime.
 *
 * @throws {BelladonnaError} `path_unsafe`, `path_refused`
 */
export function openMeasure(uid: number, copy: CopyExecutable): Measure {
  const cache = new Map<string, Known>()
  const measureFile = (path: CleanPath): Known => {
    const descriptor = openFile(path)
    try {
      const stat = fstatSync(descriptor, { bigint: true })
      const why = changeableFile(stat, uid)
      if (why !== undefined) throw unsafe(path, why)
      checkExecutable(path, stat)
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
  return ({ executable, interpreter, sha256 }) => {
    const why = changeableParent(executable, uid) ?? changeableAt(executable, uid)
    if (why !== undefined) {
      // Without a digest in the policy, whoever can write the file would choose what root runs.
      if (sha256.length === 0 || interpreter !== null) throw unsafe(executable, why)
      return measureCopy(executable, copy)
    }
    const file = measureFile(executable)
    checkFirstLine(executable, file.head, interpreter)
    if (interpreter === null) return file.whole
    return { ...file.whole, interpreter: measureInterpreter(interpreter.executable) }
  }

  function measureInterpreter(path: CleanPath): MeasuredFile {
    const why = changeableParent(path, uid)
    if (why !== undefined) throw unsafe(path, why)
    const { head, sha256, stamp } = measureFile(path)
    checkFirstLine(path, head, null)
    return { sha256, stamp }
  }
}

function measureCopy(path: CleanPath, copy: CopyExecutable): Measured {
  const found = walkBeneath(partsOf(path))
  try {
    checkExecutable(path, fstatSync(found, { bigint: true })) // before it is opened: no device, no pipe
    const descriptor = openCopied(path, found)
    try {
      const { path: at, sha256, stamp, release } = copy(descriptor, path)
      return { sha256, stamp, release, copy: at, interpreter: null }
    } finally {
      closeSync(descriptor)
    }
  } finally {
    closeSync(found)
  }
}

function openCopied(path: string, found: number): number {
  try {
    return openAnew(found, path)
  } catch (cause) {
    throw new BelladonnaError('path_unsafe', `open ${JSON.stringify(path)}`, { cause })
  }
}

/** A script says the same as when the policy was installed, and a program is still one. */
function checkFirstLine(
  path: string,
  head: Uint8Array,
  interpreter: CompiledInterpreter | null,
): void {
  const begin = readShebang(head)
  if (begin.kind === 'fault') throw unsafe(path, `a script: ${begin.message}`)
  const found = begin.kind === 'script' ? begin.shebang : null
  if (found?.path === interpreter?.path && found?.argument === interpreter?.argument) return
  throw unsafe(path, 'its first line is another than when the policy was installed')
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

/** Why somebody else could put another file at this path, or undefined. */
function changeableParent(path: string, uid: number): string | undefined {
  for (let slash = path.lastIndexOf('/'); slash >= 0; slash = path.lastIndexOf('/', slash - 1)) {
    const parent = slash === 0 ? '/' : path.slice(0, slash)
    const stat = statOrUndefined(parent)
    const owned = stat !== undefined && (stat.uid === 0 || stat.uid === uid)
    const closed = stat !== undefined && ((stat.mode & 0o022) === 0 || (stat.mode & 0o1000) !== 0)
    if (!owned || !closed || !stat.isDirectory()) return `parent ${parent}`
    if (slash === 0) return undefined
  }
  return 'not absolute'
}

function statOrUndefined(path: string): Stats | undefined {
  try {
    return lstatSync(path)
  } catch {
    return undefined
  }
}

function changeableAt(path: string, uid: number): string | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return stat?.isFile() === true ? changeableFile(stat, uid) : undefined
}

/** Why somebody else could change this file, or undefined. */
function changeableFile(stat: BigIntStats, uid: number): string | undefined {
  if (stat.uid !== 0n && stat.uid !== BigInt(uid)) return `belongs to uid ${stat.uid}`
  return (stat.mode & 0o022n) === 0n ? undefined : 'writable by others'
}

function openFile(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (cause) {
    throw new BelladonnaError('path_unsafe', `open ${JSON.stringify(path)}`, { cause })
  }
}

function checkExecutable(path: string, stat: BigIntStats): void {
  if (!stat.isFile()) throw unsafe(path, 'not a regular file')
  if ((stat.mode & 0o111n) === 0n) throw unsafe(path, 'not executable')
}

function hashFile(path: string, descriptor: number, before: BigIntStats): Known {
  const hash = createHash('sha256')
  const block = new Uint8Array(blockBytes)
  let head = new Uint8Array(0)
  for (let at = 0; ;) {
    const size = readSync(descriptor, block, 0, blockBytes, at)
    if (size === 0) break
    if (at === 0) head = block.slice(0, Math.min(size, shebangBytes))
    hash.update(block.subarray(0, size))
    at += size
  }
  const after = fstatSync(descriptor, { bigint: true })
  const stamp = stampOf(before)
  if (!isSame(stamp, after)) throw unsafe(path, 'changed while it was read')
  const file = { sha256: new Uint8Array(hash.digest()), stamp }
  const whole = { ...file, interpreter: null, copy: null, release: (): void => undefined }
  return { ...file, head, whole }
}

function unsafe(path: string, why: string): BelladonnaError {
  return new BelladonnaError('path_unsafe', `executable ${JSON.stringify(path)}: ${why}`)
}
