import { closeSync, fstatSync, lstatSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { boundPath } from '../core/policy/granted-path.ts'
import type { GrantedPath } from '../core/policy/granted-path.ts'
import { quote } from '../core/toml/problem.ts'
import type { Bind } from '../core/sandbox/command.ts'
import { bindForPath } from '../core/sandbox/path-bind.ts'
import { isCode } from './directory.ts'
import { partsOf, walkBeneath } from './walk-beneath.ts'

/**
 * Looks at what a run's parameters name, and says which file of the host each is.
 *
 * Not trusted: whoever owns the directories can put something else there at any time. So the sandbox opens each again,
 * follows no link, and starts nothing unless it is the file that was seen here.
 *
 * @throws {BelladonnaError} `path_refused`
 */
export function openGrantedPaths(paths: readonly GrantedPath[]): readonly Bind[] {
  const binds = paths.map((granted) => {
    const descriptor = walkBeneath(partsOf(boundPath(granted)))
    try {
      const stat = lookAt(granted.path, descriptor)
      check(granted, stat)
      if (granted.what === 'new') checkAbsent(granted.path, descriptor)
      return bindForPath(granted, { device: stat.dev, inode: stat.ino })
    } finally {
      closeSync(descriptor)
    }
  })
  // Two new files of one directory need it once; no other two have one target.
  return binds.filter(({ target }, index) => {
    return binds.findIndex((other) => other.target === target) === index
  })
}

/** Its owner may have mounted something there that not even root may look at. */
function lookAt(path: string, descriptor: number): BigIntStats {
  try {
    return fstatSync(descriptor, { bigint: true })
  } catch (cause) {
    const why = `${quote(path)} cannot be looked at`
    throw new BelladonnaError('path_refused', why, { cause })
  }
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

function refused(path: string, why: string): BelladonnaError {
  return new BelladonnaError('path_refused', `${quote(path)} is ${why}`)
}
