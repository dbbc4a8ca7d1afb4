import { closeSync, fstatSync, lstatSync } from 'node:fs'
import type { BigIntStats, Stats } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import type { Subject } from '../core/identity.ts'
import type { RunAs } from '../core/policy/compiled.ts'
import { boundOnce, boundPath } from '../core/policy/granted-path.ts'
import type { GrantedPath } from '../core/policy/granted-path.ts'
import { maxContentBytes } from '../core/policy/input-files.ts'
import type { FileIdentity } from '../core/policy/input-files.ts'
import { quote } from '../core/toml/problem.ts'
import type { Bind } from '../core/sandbox/command.ts'
import { bindForCopy, bindForPath } from '../core/sandbox/path-bind.ts'
import { isCode } from './directory.ts'
import type { CopyInput, InputCopy } from './input-copy.ts'
import { openAnew, partsOf, walkBeneath } from './walk-beneath.ts'

/** For whom paths are opened. */
export type PathUsers = Readonly<{ runAs: RunAs; subject: Subject }>

/** What a run's parameters name: one of `files` and `binds` for each path that is bound. */
export type OpenedPaths = Readonly<{
  kind: 'opened'
  binds: readonly Bind[]
  files: readonly FileIdentity[]
  /** Lets go of copies; the run has ended, or never begins. */
  release: () => void
}>

/** What cannot be bound, which component of it is to blame, and why. */
export type RefusedPath = Readonly<{
  kind: 'refused'
  parameter: string
  detail: string
  /** Whether the subject could have found that out with stat(2): it may search each directory on the way. */
  isTold: boolean
}>

type Opened = Readonly<{ bind: Bind; file: FileIdentity; copy: InputCopy | null }>

/**
 * Looks at what a run's parameters name, and says which file of the host each is.
 *
 * Not trusted: whoever owns the directories can put something else there at any time. So the sandbox opens each again,
 * follows no link, and starts nothing unless it is the file that was seen here. Of a file whose content is bound the run
 * gets a copy in its place (ADR 0023).
 */
export function openGrantedPaths(
  copyInput: CopyInput,
  paths: readonly GrantedPath[],
  { runAs, subject }: PathUsers,
): OpenedPaths | RefusedPath {
  const opened: Opened[] = []
  const release = (): void => {
    for (const { copy } of opened) copy?.release()
  }
  for (const granted of boundOnce(paths)) {
    let isTold = true
    try {
      const used = opened.reduce((sum, { copy }) => sum + (copy?.size ?? 0), 0)
      const copy = (descriptor: number, stat: BigIntStats): InputCopy => {
        checkReadable(granted.path, stat, runAs)
        return copyOf(granted.path, copyInput, descriptor, maxContentBytes - used)
      }
      const passing = (directory: number): void => {
        isTold &&= maySearch(fstatSync(directory), subject)
      }
      opened.push(openOne(granted, paths, { passing, copy }))
    } catch (error) {
      release()
      if (!(error instanceof BelladonnaError) || error.code !== 'path_refused') throw error
      const { parameter } = granted
      return { kind: 'refused', parameter, detail: error.message, isTold }
    }
  }
  const [binds, files] = [opened.map(({ bind }) => bind), opened.map(({ file }) => file)]
  return { kind: 'opened', binds, files, release }
}

type Steps = Readonly<{
  passing: (directory: number) => void
  copy: (descriptor: number, stat: BigIntStats) => InputCopy
}>

function openOne(
  granted: GrantedPath,
  all: readonly GrantedPath[],
  { passing, copy: copyFile }: Steps,
): Opened {
  const place = boundPath(granted)
  const descriptor = walkBeneath(partsOf(place), passing)
  try {
    const stat = fstatSync(descriptor, { bigint: true })
    check(granted, stat)
    if (granted.what === 'new') passing(descriptor)
    const beside = granted.what === 'new' ? all.filter((other) => boundPath(other) === place) : []
    for (const { path } of beside) checkAbsent(path, descriptor)
    const [device, inode] = [stat.dev, stat.ino]
    if (granted.content === 'live') {
      const bind = bindForPath(granted, { device, inode })
      return { bind, file: { device, inode, content: null }, copy: null }
    }
    const copy = copyFile(descriptor, stat)
    const { sha256, size } = copy
    const file = { device, inode, content: { sha256, size } }
    return { bind: bindForCopy(granted, copy), file, copy }
  } catch (cause) {
    // Its owner may have mounted something there that not even root may look at.
    if (cause instanceof BelladonnaError || !isSystemError(cause)) throw cause
    throw refused(granted.path, 'not to be looked at', cause)
  } finally {
    closeSync(descriptor)
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

function check({ path, what, hard_links }: GrantedPath, stat: BigIntStats): void {
  if (what !== 'file') {
    if (!stat.isDirectory()) throw refused(path, 'no directory')
    return
  }
  if (!stat.isFile()) throw refused(path, 'no regular file')
  if (stat.nlink > 1n && !hard_links) throw refused(path, 'a file with more than one name')
}

function checkAbsent(path: string, directory: number): void {
  const name = path.slice(path.lastIndexOf('/') + 1)
  try {
    lstatSync(`/proc/self/fd/${directory}/${name}`)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return
    throw refused(path, 'where nobody can look')
  }
  throw refused(path, 'there already')
}

/** By its mode: where an access list takes more away, somebody hears of a file that it hides. */
function maySearch({ uid, gid, mode }: Stats, subject: Subject): boolean {
  if (subject.foreign) return false // it sees other files at these paths
  if (subject.uid === 0) return true
  const isOfGroup = [subject.gid, ...subject.groups].some((group) => group === gid)
  const bit = subject.uid === uid ? 0o100 : isOfGroup ? 0o010 : 0o001
  return (mode & bit) !== 0
}

/** A copy is readable for everybody who reaches it, so that its file's mode is held against the run here. */
function checkReadable(path: string, { uid, gid, mode }: BigIntStats, runAs: RunAs): void {
  const isOfGroup = [runAs.gid, ...runAs.groups].some((group) => BigInt(group) === gid)
  const bit = BigInt(runAs.uid) === uid ? 0o400n : isOfGroup ? 0o040n : 0o004n
  if ((mode & bit) === 0n) throw refused(path, 'not readable for whom the action runs as')
}

function copyOf(
  path: string,
  copyInput: CopyInput,
  descriptor: number,
  maxBytes: number,
): InputCopy {
  const file = openAnew(descriptor, path)
  try {
    const copy = copyInput(file, maxBytes)
    if (copy !== null) return copy
  } catch (cause) {
    throw refused(path, 'not to be copied now', cause)
  } finally {
    closeSync(file)
  }
  throw refused(path, `beyond the ${maxContentBytes} bytes that may be bound in one request`)
}

function refused(path: string, why: string, cause?: unknown): BelladonnaError {
  return new BelladonnaError('path_refused', `${quote(path)} is ${why}`, { cause })
}
