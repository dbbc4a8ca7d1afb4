import { BelladonnaError } from '../error.ts'
import type { CleanPath } from '../identity.ts'
import { isCleanPath } from '../identity.ts'
import type { Mount } from './mount.ts'

/** File systems that a run makes for itself. */
const mountedByEachRun: ReadonlySet<string> = new Set(['tmpfs', 'proc', 'devpts'])

/** What a path of the new root is, once something was put there. */
type Cover = 'own' | 'link' | 'host'

/**
 * Puts the entries of a root into the order in which they can be made, and adds the directories above them.
 *
 * - By path, parents first; entries for the same target stay in the order given.
 * - Whatever lies in a tree of the host is the host's: nothing is made there, so links and directories that would
 *   are left out (they are there already), and a mount needs its target to exist.
 * - The root itself is the launcher's: an empty tmpfs, read-only once all entries are made.
 *
 * @throws {BelladonnaError} `input_invalid` if a mount lies below a link: its real path would be another one
 */
export function orderRoot(wanted: readonly Mount[]): readonly Mount[] {
  const covers = new Map<string, Cover>([['/', 'own']])
  const ordered: Mount[] = []

  function make(mount: Mount): void {
    ordered.push(mount)
    covers.set(mount.target, coverOf(mount))
  }
  for (const mount of wanted.toSorted((a, b) => comparePaths(a.target, b.target))) {
    const around = nearest(covers, parentOf(mount.target))
    if (mount.kind === 'symlink' || mount.kind === 'directory') {
      if (around !== 'own') continue
    } else if (around === 'link') {
      throw new BelladonnaError('input_invalid', `order root: ${mount.target} is below a link`)
    }
    for (const target of missingParents(covers, mount.target)) {
      make({ kind: 'directory', target, mode: 0o755 })
    }
    // What each run mounts for itself needs its place in the root that all runs share.
    if (mountedByEachRun.has(mount.kind) && !covers.has(mount.target)) {
      if (around === 'own') ordered.push({ kind: 'directory', target: mount.target, mode: 0o755 })
    }
    make(mount)
  }
  return ordered
}

/** True if `path` is `ancestor` or lies below it. */
export function isWithin(path: string, ancestor: string): boolean {
  return path === ancestor || ancestor === '/' || path.startsWith(`${ancestor}/`)
}

/** Orders paths by their components in code units, so that a path comes before what is below it. */
export function comparePaths(a: string, b: string): number {
  const [left, right] = [a.split('/'), b.split('/')]
  for (const [index, part] of left.entries()) {
    const other = right[index]
    if (other === undefined) return 1
    if (part !== other) return part < other ? -1 : 1
  }
  return left.length - right.length
}

function coverOf(mount: Mount): Cover {
  switch (mount.kind) {
    case 'tmpfs':
    case 'directory':
      return 'own'
    case 'symlink':
      return 'link'
    case 'bind':
    case 'device':
    case 'proc':
    case 'devpts':
      return 'host'
  }
}

/** What a path belongs to: itself if something was put there, else the nearest directory above. */
function nearest(covers: ReadonlyMap<string, Cover>, path: string): Cover {
  let at = path
  let cover = covers.get(at)
  while (cover === undefined) {
    at = parentOf(at)
    cover = covers.get(at)
  }
  return cover
}

/** The directories above `target` that nobody made and that no tree of the host brings, topmost first. */
function missingParents(covers: ReadonlyMap<string, Cover>, target: string): readonly CleanPath[] {
  const missing: CleanPath[] = []
  if (nearest(covers, parentOf(target)) !== 'own') return missing
  for (let at = parentOf(target); !covers.has(at); at = parentOf(at)) {
    if (isCleanPath(at)) missing.unshift(at)
  }
  return missing
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 1))
}
