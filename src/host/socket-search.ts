import { opendirSync, readFileSync } from 'node:fs'
import type { CleanPath } from '../core/identity.ts'
import type { SocketFinding } from '../core/policy/compile-facts.ts'
import { compareText } from '../core/toml/reader.ts'
import { isCode } from './directory.ts'

/** What a search may cost: entries looked at, and sockets named. */
export type SearchBounds = Readonly<{ entries: number; sockets: number }>

/** A mounted file system: where, and of which type. */
export type MountPoint = Readonly<{ path: string; type: string }>

const defaultBounds: SearchBounds = { entries: 200_000, sockets: 8 }

/** Where servers put their sockets (FHS 3.0, section 3.15; file-hierarchy(7)). */
const runtimePlaces = ['/run', '/var/run', '/tmp', '/var/tmp', '/dev/shm']

/**
 * A search for the Unix sockets below a directory; each directory is searched once.
 *
 * Not trusted: who can write below the directory can hide a socket from the search, by making it later. So a place that
 * is there for sockets counts as holding some even when none is there now, as does all that is in memory only.
 */
export function openSocketSearch(
  mounts: readonly MountPoint[] = readMounts(),
  bounds: SearchBounds = defaultBounds,
): (path: CleanPath) => SocketFinding {
  const known = new Map<string, SocketFinding>()
  return (path) => {
    const before = known.get(path)
    if (before !== undefined) return before
    const { found, isWhole } = walk(path, bounds)
    const runtime = runtimePlaceIn(path, mounts)
    const mayHold = runtime ?? (isWhole ? null : 'too large to be searched')
    const finding = { found: found.toSorted(compareText), mayHold }
    known.set(path, finding)
    return finding
  }
}

/** The mounts of this process's namespace. */
export function readMounts(): readonly MountPoint[] {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** @see proc_pid_mountinfo(5) */
export function parseMounts(text: string): readonly MountPoint[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ')
      const path = before.split(' ')[4] ?? ''
      return { path: unescapeOctal(path), type: after.split(' ')[0] ?? '' }
    })
}

/** Why `path` may hold sockets that are not there now, or null. */
function runtimePlaceIn(path: string, mounts: readonly MountPoint[]): string | null {
  const place = runtimePlaces.find((other) => isWithin(path, other) || isWithin(other, path))
  if (place !== undefined) return `servers put theirs into ${place}`
  const below = mounts.find((mount) => isInMemory(mount) && isWithin(mount.path, path))
  const above = mounts
    .filter((mount) => isWithin(path, mount.path))
    .reduce<MountPoint | null>((best, mount) => (isDeeper(mount, best) ? mount : best), null)
  const memory = below ?? (above !== null && isInMemory(above) ? above : undefined)
  return memory === undefined ? null : `${memory.path} is a ${memory.type}`
}

/** Of two mounts at one place the later one is on top. */
function isDeeper(mount: MountPoint, other: MountPoint | null): boolean {
  return other === null || mount.path.length >= other.path.length
}

function isInMemory({ type }: MountPoint): boolean {
  return type === 'tmpfs' || type === 'ramfs'
}

function walk(
  start: string,
  bounds: SearchBounds,
): Readonly<{ found: readonly string[]; isWhole: boolean }> {
  const found: string[] = []
  const waiting = [start]
  let left = bounds.entries
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    for (const { name, kind } of entriesOf(at, left)) {
      left -= 1
      if (kind === 'directory') waiting.push(`${at}/${name}`)
      if (kind === 'socket') found.push(`${at}/${name}`)
      if (left <= 0 || found.length >= bounds.sockets) return { found, isWhole: false }
    }
  }
  return { found, isWhole: true }
}

type Entry = Readonly<{ name: string; kind: 'directory' | 'socket' }>

/** Directories and sockets; at most `limit` entries are looked at. */
function* entriesOf(
  path: string,
  limit: number,
): Generator<Entry | { name: string; kind: 'other' }> {
  let directory
  try {
    directory = opendirSync(path, { bufferSize: 512 })
  } catch (error) {
    // Gone meanwhile, or not ours to read: as an ordinary user `policy check` sees less than root's `install`.
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR') || isCode(error, 'EACCES')) return
    throw error
  }
  try {
    for (let count = 0; count <= limit; count += 1) {
      const entry = directory.readSync()
      if (entry === null) return
      const { name } = entry
      if (entry.isDirectory()) yield { name, kind: 'directory' }
      else yield { name, kind: entry.isSocket() ? 'socket' : 'other' }
    }
  } finally {
    directory.closeSync()
  }
}

function isWithin(path: string, outer: string): boolean {
  return path === outer || outer === '/' || path.startsWith(`${outer}/`)
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
