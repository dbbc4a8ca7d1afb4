import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
} from 'node:fs'
import { BelladonnaError } from '../core/error.ts'

/** Who may own what we walk through, and what we make. */
export type Owner = Readonly<{ uid: number; gid: number }>

const openFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const stickyBit = 0o1000
const writableByOthers = 0o022

/**
 * Walks an absolute path by descriptor and returns the last directory's; the caller closes it.
 *
 * Each component is opened below the one before, links are never followed, and each must belong to root or to `uid`
 * and be writable by nobody else; only a sticky directory (/tmp) may be open to all, since nobody can exchange
 * what is ours in it.
 *
 * @throws {BelladonnaError} `path_unsafe`, naming the component
 */
export function walkDirectory(path: string, uid: number): number {
  let descriptor = openSync('/', openFlags)
  let walked = ''
  try {
    for (const part of path.split('/').filter((part) => part !== '')) {
      walked += `/${part}`
      const next = openPart(descriptor, part, walked)
      closeSync(descriptor)
      descriptor = next
      checkDirectory(descriptor, walked, uid)
    }
    return descriptor
  } catch (error) {
    closeSync(descriptor)
    throw error
  }
}

function openPart(parent: number, part: string, walked: string): number {
  if (part === '..' || part === '.') {
    throw new BelladonnaError('path_unsafe', `walk ${JSON.stringify(walked)}: not a clean path`)
  }
  try {
    return openSync(`/proc/self/fd/${parent}/${part}`, openFlags)
  } catch (cause) {
    throw new BelladonnaError('path_unsafe', `open directory ${JSON.stringify(walked)}`, { cause })
  }
}

function checkDirectory(descriptor: number, walked: string, uid: number): void {
  const stat = fstatSync(descriptor)
  if (stat.uid !== 0 && stat.uid !== uid) {
    throw new BelladonnaError('path_unsafe', `${JSON.stringify(walked)} belongs to uid ${stat.uid}`)
  }
  if ((stat.mode & writableByOthers) !== 0 && (stat.mode & stickyBit) === 0) {
    throw new BelladonnaError('path_unsafe', `${JSON.stringify(walked)} is writable by others`)
  }
}

/**
 * Makes `path` with this mode and owner if it is missing, and sets both if it is there. Its parents are walked first.
 *
 * @throws {BelladonnaError} `path_unsafe`
 */
export function holdDirectory(path: string, mode: number, owner: Owner, uid: number): void {
  const slash = path.lastIndexOf('/')
  const parent = walkDirectory(path.slice(0, slash), uid)
  try {
    const below = `/proc/self/fd/${parent}/${path.slice(slash + 1)}`
    try {
      mkdirSync(below, { mode })
    } catch (cause) {
      if (!isCode(cause, 'EEXIST')) {
        throw new BelladonnaError('path_unsafe', `make ${JSON.stringify(path)}`, { cause })
      }
    }
    const descriptor = openPart(parent, path.slice(slash + 1), path)
    try {
      const stat = fstatSync(descriptor)
      if (stat.uid !== uid && stat.uid !== owner.uid) {
        throw new BelladonnaError(
          'path_unsafe',
          `${JSON.stringify(path)} belongs to uid ${stat.uid}`,
        )
      }
      if (stat.uid !== owner.uid || stat.gid !== owner.gid) {
        fchownSync(descriptor, owner.uid, owner.gid)
      }
      if ((stat.mode & 0o7777) !== mode) fchmodSync(descriptor, mode)
    } finally {
      closeSync(descriptor)
    }
  } finally {
    closeSync(parent)
  }
}

/** Whether `error` is a system error with this code, such as `ENOENT`. */
export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

/** Whether `error` says that the disk, a quota or a limit has no more space: a state that may pass, not a failing disk. */
export function isWantOfSpace(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].some((code) => isCode(error, code))
}
