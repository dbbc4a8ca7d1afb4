import type { CleanPath } from '../identity.ts'
import { isCleanPath } from '../identity.ts'
import { wireMount, wireMountFlag } from '../protocol/layout.ts'
import type { ByteReader, ByteWriter } from './wire-bytes.ts'
import { malformed } from './wire-bytes.ts'

/**
 * One step in building a root. Each makes or covers `target`, whose parent directory must be there already.
 *
 * All are mounted `nosuid`, all but `device` and `devpts` `nodev`.
 */
export type Mount =
  /** An empty file system in memory; `mode` is that of its root, e.g. 0o1777. */
  | Readonly<{ kind: 'tmpfs'; target: CleanPath; mode: number; sizeBytes: number }>
  /**
   * A tree of the host, with what is mounted in it. A source below /proc means the sandbox's own /proc, and `/proc/`
   * with the slash all of it.
   */
  | Readonly<{
      kind: 'bind'
      source: CleanPath | '/proc/'
      target: CleanPath
      writable: boolean
      executable: boolean
      /** Absent on the host: leave it out. */
      optional: boolean
    }>
  /** The proc file system of the sandbox's pid namespace, `noexec`. */
  | Readonly<{ kind: 'proc'; target: CleanPath }>
  /** A devpts for a run with a terminal of its own; a run without one has nothing there. `noexec`. */
  | Readonly<{ kind: 'devpts'; target: CleanPath }>
  /** A character device of the host, on a file. */
  | Readonly<{ kind: 'device'; source: CleanPath; target: CleanPath; optional: boolean }>
  | Readonly<{ kind: 'symlink'; text: string; target: CleanPath }>
  | Readonly<{ kind: 'directory'; target: CleanPath; mode: number }>

/** The longest path or link text in bytes: PATH_MAX without its NUL. */
export const maxPathBytes = 4095
const maxMode = 0o7777

const encoder = new TextEncoder()

/** Why the launcher would not take this entry, or undefined. */
export function mountProblem(mount: Mount): string | undefined {
  const { target } = mount
  if (!isCleanPath(target) || target === '/') return `target ${JSON.stringify(target)}`
  const texts = [target, source(mount)]
  if (texts.some((text) => encoder.encode(text).length > maxPathBytes)) return 'a path too long'
  switch (mount.kind) {
    case 'tmpfs':
      if (!Number.isSafeInteger(mount.sizeBytes) || mount.sizeBytes < 1) return 'size of a tmpfs'
      return modeProblem(mount.mode)
    case 'directory':
      return modeProblem(mount.mode)
    case 'bind':
      return mount.source === '/proc/' ? undefined : sourceProblem(mount.source)
    case 'device':
      return sourceProblem(mount.source)
    case 'symlink':
      return mount.text === '' ? 'an empty link' : undefined
    case 'proc':
    case 'devpts':
      return undefined
  }
}

/**
 * Which entries each run needs for itself: file systems of its own, what is taken from its own /proc, and what lies in
 * one of these. Everything else is the same for all runs of a plan, and the launcher makes it once.
 */
export function ownMounts(mounts: readonly Mount[]): readonly boolean[] {
  const own: string[] = []
  return mounts.map((mount) => {
    const { kind, target } = mount
    const isOwn =
      kind === 'tmpfs' ||
      kind === 'proc' ||
      kind === 'devpts' ||
      (kind === 'bind' && mount.source.startsWith('/proc/')) ||
      own.some((above) => target.startsWith(`${above}/`))
    if (kind === 'tmpfs') own.push(target)
    return isOwn
  })
}

/** Appends u8 op, u8 flags, u16 mode, str16 source, str16 target. */
export function writeMount(writer: ByteWriter, mount: Mount, own: boolean): void {
  writer.u8(wireMount[mount.kind])
  writer.u8(flags(mount) | (own ? wireMountFlag.own : 0))
  writer.u16('mode' in mount ? mount.mode : 0)
  writer.str16(source(mount))
  writer.str16(mount.target)
}

/** Reads what `writeMount` wrote; throws `frame_invalid` on anything that it would not have written. */
export function readMount(reader: ByteReader): Readonly<{ mount: Mount; own: boolean }> {
  const [op, allBits, mode, from, target] = [
    reader.u8(),
    reader.u8(),
    reader.u16(),
    reader.str16(),
    reader.str16(),
  ]
  const bits = allBits & ~wireMountFlag.own
  if (!isCleanPath(target)) throw malformed('plan', 'target of a mount')
  const mount = assemble(op, bits, mode, from, target)
  const canonical =
    mount !== undefined &&
    flags(mount) === bits &&
    source(mount) === from &&
    ('mode' in mount ? mount.mode : 0) === mode
  if (!canonical) throw malformed('plan', `mount of operation ${op}`)
  return { mount, own: bits !== allBits }
}

function assemble(
  op: number,
  bits: number,
  mode: number,
  from: string,
  target: CleanPath,
): Mount | undefined {
  const optional = (bits & wireMountFlag.optional) !== 0
  switch (op) {
    case wireMount.tmpfs:
      return { kind: 'tmpfs', target, mode, sizeBytes: Number(from) }
    case wireMount.bind: {
      if (from !== '/proc/' && !isCleanPath(from)) return undefined
      const writable = (bits & wireMountFlag.writable) !== 0
      const executable = (bits & wireMountFlag.exec) !== 0
      return { kind: 'bind', source: from, target, writable, executable, optional }
    }
    case wireMount.proc:
      return { kind: 'proc', target }
    case wireMount.devpts:
      return { kind: 'devpts', target }
    case wireMount.device:
      return isCleanPath(from) ? { kind: 'device', source: from, target, optional } : undefined
    case wireMount.symlink:
      return { kind: 'symlink', text: from, target }
    case wireMount.directory:
      return { kind: 'directory', target, mode }
    default:
      return undefined
  }
}

function source(mount: Mount): string {
  switch (mount.kind) {
    case 'tmpfs':
      return String(mount.sizeBytes)
    case 'bind':
    case 'device':
      return mount.source
    case 'symlink':
      return mount.text
    case 'proc':
    case 'devpts':
    case 'directory':
      return ''
  }
}

function flags(mount: Mount): number {
  const optional = 'optional' in mount && mount.optional ? wireMountFlag.optional : 0
  if (mount.kind !== 'bind') return optional
  const writable = mount.writable ? wireMountFlag.writable : 0
  return optional | writable | (mount.executable ? wireMountFlag.exec : 0)
}

/** `/` would be the whole host; over the host's /proc the new root is mounted while it is being built. */
function sourceProblem(path: string): string | undefined {
  const fit = isCleanPath(path) && path !== '/' && path !== '/proc'
  return fit ? undefined : `source ${JSON.stringify(path)}`
}

function modeProblem(mode: number): string | undefined {
  return Number.isInteger(mode) && mode >= 0 && mode <= maxMode ? undefined : 'mode of a directory'
}
