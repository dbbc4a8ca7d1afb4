import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { BelladonnaError } from '../core/error.ts'
import { isCode, walkDirectory } from './directory.ts'

const maxBackups = 100

/**
 * Puts other bytes into a file that an administrator wrote, with its owner, group and mode; what was there stays beside it as
 * `NAME.bak`, or `NAME.bak.2` and so on. After a crash either content is there, whole.
 *
 * Trusted: the directory is walked by descriptor, so only root (or `uid`) can have put the file there.
 *
 * @returns the path of the backup
 * @throws {BelladonnaError} `path_unsafe`
 */
export function rewriteFile(path: string, text: string, uid: number): string {
  const name = basename(path)
  const directory = walkDirectory(resolve(dirname(path)), uid)
  const inside = (part: string): string => `/proc/self/fd/${directory}/${part}`
  const temporary = inside(`.${name}.new`)
  try {
    const old = lstatSync(inside(name))
    rmSync(temporary, { force: true }) // of one that was interrupted
    writeNew(temporary, text, old)
    const backup = keepBackup(inside, name)
    renameSync(temporary, inside(name))
    fsyncSync(directory)
    return `${dirname(path)}/${backup}`
  } catch (cause) {
    rmSync(temporary, { force: true })
    if (cause instanceof BelladonnaError) throw cause
    throw new BelladonnaError('path_unsafe', `rewrite ${JSON.stringify(path)}`, { cause })
  } finally {
    closeSync(directory)
  }
}

type Identity = Readonly<{ uid: number; gid: number; mode: number }>

function writeNew(path: string, text: string, old: Identity): void {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
  const descriptor = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    const bytes = new TextEncoder().encode(text)
    let at = 0
    while (at < bytes.length) at += writeSync(descriptor, bytes, at)
    fchownSync(descriptor, old.uid, old.gid)
    fchmodSync(descriptor, old.mode & 0o7777) // after the owner, whose change clears bits
    fdatasyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** A second name of the old file: nothing is copied, and no backup is ever replaced. */
function keepBackup(inside: (part: string) => string, name: string): string {
  for (let number = 1; number <= maxBackups; number += 1) {
    const backup = number === 1 ? `${name}.bak` : `${name}.bak.${number}`
    try {
      linkSync(inside(name), inside(backup))
      return backup
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error
    }
  }
  throw new BelladonnaError('path_unsafe', `${maxBackups} backups of ${JSON.stringify(name)}`)
}
