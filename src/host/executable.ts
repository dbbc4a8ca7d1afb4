import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import type { BigIntStats, Stats } from 'node:fs'
import { formatHex } from '../core/audit/merkle.ts'
import { BelladonnaError } from '../core/error.ts'
import type { CleanPath } from '../core/identity.ts'
import type { CompiledAction, CompiledInterpreter } from '../core/policy/compiled.ts'
import { readShebang, shebangBytes } from '../core/policy/shebang.ts'
import type { FileStamp } from '../core/sandbox/command.ts'
import { maxCopyBytes } from './executable-copy.ts'
import type { ExecutableCopies, ExecutableCopy } from './executable-copy.ts'
import { isSameFile, stampOf } from './file-stamp.ts'
import { hashDescriptor } from './hash-file.ts'
import { partsOf, walkBeneath } from './walk-beneath.ts'

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
/** How many times as long as a copy took its path rests. */
const copyRest = 10

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
export function openMeasure(uid: number, copies: ExecutableCopies): Measure {
  const copy = openCopying(copies)
  const cache = new Map<string, Known>()
  const measureFile = (path: CleanPath): Known => {
    const descriptor = openFile(path)
    try {
      const stat = fstatSync(descriptor, { bigint: true })
      const why = changeableFile(stat, uid)
      if (why !== undefined) throw unsafe(path, why)
      checkExecutable(path, stat)
      const known = cache.get(path)
      if (known !== undefined && isSameFile(known.stamp, stampOf(stat))) return known
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
      return measureCopy(executable, sha256, copy)
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

function measureCopy(path: CleanPath, pins: readonly string[], copy: Copying): Measured {
  const found = walkBeneath(partsOf(path))
  try {
    // Before it is opened: no device, no pipe. Its owner may hold a lease, or have mounted something there.
    const stat = reaching(path, () => fstatSync(found, { bigint: true }))
    checkExecutable(path, stat)
    const { path: at, sha256, stamp, release } = copy(path, found, stat, pins)
    return { sha256, stamp, release, copy: at, interpreter: null }
  } finally {
    closeSync(found)
  }
}

type Copying = (
  path: CleanPath,
  found: number,
  stat: BigIntStats,
  pins: readonly string[],
) => ExecutableCopy

/** How a file was when it was last copied, what it held, and from when on another one at its path may be. */
type LastCopy = Readonly<{ stamp: FileStamp; sha256: Uint8Array | null; againMs: number }>

/**
 * Copies without letting one file take the executor from everybody: its owner can change it as often as they like, and each
 * copy of 64 MiB takes a tenth of a second. A file that did not change is not read again while a copy of it is held, or if it
 * is not a pinned one; one that did, only after ten times as long as the last copy took.
 */
function openCopying(copies: ExecutableCopies): Copying {
  const last = new Map<string, LastCopy>()
  return (path, found, stat, pins) => {
    const known = last.get(path)
    const isUnchanged = known !== undefined && isSameFile(known.stamp, stampOf(stat))
    if (isUnchanged && known.sha256 !== null) {
      const sha256 = formatHex(known.sha256)
      if (!pins.includes(sha256)) throw unsafe(path, `sha256 ${sha256} is not pinned`)
      const held = copies.again(known.sha256)
      if (held !== undefined) return held
    }
    const startMs = performance.now()
    if (stat.size > maxCopyBytes) throw unsafe(path, `larger than ${maxCopyBytes} bytes`)
    const isKnown = isUnchanged && known.sha256 !== null
    if (known !== undefined && !isKnown && startMs < known.againMs) {
      throw unsafe(path, 'changed a moment after it was copied')
    }
    if (last.size >= maxCached) last.clear()
    let made: ExecutableCopy | null = null
    try {
      made = makeCopy(path, found, copies)
      return made
    } finally {
      const endMs = performance.now()
      const againMs = endMs + copyRest * (endMs - startMs)
      last.set(path, { stamp: stampOf(stat), sha256: made?.sha256 ?? null, againMs })
    }
  }
}

function makeCopy(path: CleanPath, found: number, { make }: ExecutableCopies): ExecutableCopy {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const descriptor = reaching(path, () => openSync(`/proc/self/fd/${found}`, flags))
  try {
    return make(descriptor, path)
  } finally {
    closeSync(descriptor)
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
  const look = (): BigIntStats | undefined =>
    lstatSync(path, { bigint: true, throwIfNoEntry: false })
  const stat = reaching(path, look)
  return stat?.isFile() === true ? changeableFile(stat, uid) : undefined
}

/** Why somebody else could change this file, or undefined. */
function changeableFile(stat: BigIntStats, uid: number): string | undefined {
  if (stat.uid !== 0n && stat.uid !== BigInt(uid)) return `belongs to uid ${stat.uid}`
  return (stat.mode & 0o022n) === 0n ? undefined : 'writable by others'
}

function openFile(path: string): number {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  return reaching(path, () => openSync(path, flags))
}

/** What the system refuses here, an owner may be the cause of. */
function reaching<T>(path: string, call: () => T): T {
  try {
    return call()
  } catch (cause) {
    throw new BelladonnaError('path_unsafe', `open ${JSON.stringify(path)}`, { cause })
  }
}

function checkExecutable(path: string, stat: BigIntStats): void {
  if (!stat.isFile()) throw unsafe(path, 'not a regular file')
  if ((stat.mode & 0o111n) === 0n) throw unsafe(path, 'not executable')
}

function hashFile(path: string, descriptor: number, before: BigIntStats): Known {
  let head = new Uint8Array(0)
  const sha256 = reaching(path, () =>
    hashDescriptor(descriptor, (block, at) => {
      if (at === 0) head = block.slice(0, shebangBytes)
    }),
  )
  const stamp = stampOf(before)
  const after = stampOf(fstatSync(descriptor, { bigint: true }))
  if (!isSameFile(stamp, after)) throw unsafe(path, 'changed while it was read')
  const file = { sha256, stamp }
  const whole = { ...file, interpreter: null, copy: null, release: (): void => undefined }
  return { ...file, head, whole }
}

function unsafe(path: string, why: string): BelladonnaError {
  return new BelladonnaError('path_unsafe', `executable ${JSON.stringify(path)}: ${why}`)
}
