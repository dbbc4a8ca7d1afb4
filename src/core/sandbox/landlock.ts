/**
 * What Landlock is told of a sandbox: a second wall behind the mounts, and the only one around TCP ports.
 *
 * Mounts decide what can be named. Landlock adds what they cannot say: that a named pipe and a device below `read` are
 * not written to, that nobody makes device nodes, and that ioctl(2) reaches only devices that a profile names, and the
 * run's own terminal.
 *
 * @see landlock(7), Documentation/userspace-api/landlock.rst
 */
import type { CleanPath } from '../identity.ts'
import { isCleanPath } from '../identity.ts'
import type { Mount } from './mount.ts'

/** LANDLOCK_ACCESS_FS_* of linux/landlock.h. */
export const landlockFs = {
  execute: 0x1n,
  writeFile: 0x2n,
  readFile: 0x4n,
  readDir: 0x8n,
  removeDir: 0x10n,
  removeFile: 0x20n,
  makeChar: 0x40n,
  makeDir: 0x80n,
  makeReg: 0x100n,
  makeSock: 0x200n,
  makeFifo: 0x400n,
  makeBlock: 0x800n,
  makeSym: 0x1000n,
  refer: 0x2000n,
  truncate: 0x4000n,
  ioctlDev: 0x8000n,
} as const

/** LANDLOCK_ACCESS_NET_*. */
export const landlockNet = { bindTcp: 0x1n, connectTcp: 0x2n } as const

/** Every right that a plan may name. */
export const allLandlockFs: bigint = bitsOf(landlockFs)
export const allLandlockNet: bigint = bitsOf(landlockNet)

/** A path of the new root and what is allowed at it and below. */
export type LandlockPath = Readonly<{ access: bigint; path: CleanPath }>
/** A TCP port; 0 with `bindTcp` is a port that the kernel picks. */
export type LandlockPort = Readonly<{ access: bigint; port: number }>

/** Landlock's part of a plan. What is handled and not allowed by a rule is refused; what is not handled is not looked at. */
export type Landlock = Readonly<{
  handledFs: bigint
  handledNet: bigint
  /** Ascending by path, none twice. */
  paths: readonly LandlockPath[]
  /** Ascending by port, none twice. */
  ports: readonly LandlockPort[]
}>

/** Which TCP ports a run may use; null: any. */
export type TcpPorts = Readonly<{
  connect: readonly number[] | null
  bind: readonly number[] | null
}>

/** What there is beside the mounts. */
export type LandlockFacts = Readonly<{
  /** Devices that a profile names, and whether under `write`. All others are read and written, without ioctl(2). */
  devices: ReadonlyMap<string, 'read' | 'write'>
  /** Sockets can be made, where Unix sockets can be opened. */
  unixSockets: boolean
  tcp: TcpPorts
}>

const fs = landlockFs
/** Of a run's own terminal, and of /dev/tty, which is that or nothing. */
const ownTerminal = fs.writeFile | fs.ioctlDev
/** What changes files and directories, but for sockets. */
export const landlockChange: bigint =
  fs.writeFile |
  fs.truncate |
  fs.refer |
  fs.removeDir |
  fs.removeFile |
  fs.makeDir |
  fs.makeReg |
  fs.makeFifo |
  fs.makeSym

/**
 * The rules of a root that is made of these mounts.
 *
 * Rights add up on the way from `/` to a file, so a rule can only widen what one above it says: a read-only mount in a
 * writable one stays read-only by its mount. All that is in the root may be read, so one rule says that: what is reached
 * past the root (by a descriptor that leaked, say) is not below it. Each rule costs a run 5 µs.
 *
 * @param mounts a plan's; without any there is no root of its own, and files are not handled
 */
export function landlockFor(mounts: readonly Mount[], facts: LandlockFacts): Landlock {
  const rules = new Map<CleanPath, bigint>()
  for (const mount of mounts) {
    const access = accessOf(mount, facts)
    if (access !== 0n) rules.set(mount.target, (rules.get(mount.target) ?? 0n) | access)
  }
  const [root, dev] = ['/', '/dev'].filter(isCleanPath)
  if (root !== undefined && mounts.length > 0) rules.set(root, fs.readFile | fs.readDir)
  if (dev !== undefined && hasPlainDevices(mounts, facts)) rules.set(dev, fs.writeFile)
  return {
    handledFs: mounts.length === 0 ? 0n : allLandlockFs,
    ...portRules(facts.tcp),
    paths: [...rules]
      .map(([path, access]) => ({ access, path }))
      .sort((a, b) => (a.path < b.path ? -1 : 1)),
  }
}

/** Why the launcher would not take this, or undefined. */
export function landlockProblem(landlock: Landlock): string | undefined {
  const { handledFs, handledNet, paths, ports } = landlock
  if ((handledFs & ~allLandlockFs) !== 0n || handledFs < 0n) return 'an unknown right to files'
  if ((handledNet & ~allLandlockNet) !== 0n || handledNet < 0n) return 'an unknown right to ports'
  if (paths.some(({ access }) => isBeyond(access, handledFs))) return 'a right that is not handled'
  if (ports.some(({ access }) => isBeyond(access, handledNet))) return 'a right that is not handled'
  if (!isAscending(paths.map(({ path }) => path))) return 'paths out of order'
  if (!isAscending(ports.map(({ port }) => port))) return 'ports out of order'
  return ports.some(({ port }) => port > 0xffff) ? 'an unknown port' : undefined
}

/** What a mount is allowed beyond being read. */
function accessOf(mount: Mount, { devices, unixSockets }: LandlockFacts): bigint {
  const sockets = unixSockets ? fs.makeSock : 0n
  switch (mount.kind) {
    case 'tmpfs':
      if ((mount.mode & 0o222) === 0) return 0n // a place for what is bound into it
      return landlockChange | fs.execute | sockets
    case 'bind':
      if (mount.writable) return landlockChange | sockets
      return mount.executable ? fs.execute : 0n
    case 'devpts':
      return ownTerminal
    case 'device':
      return mount.target === '/dev/tty' ? ownTerminal : deviceAccess(mount.target, devices)
    case 'proc':
    case 'symlink':
    case 'directory':
      return 0n
  }
}

function deviceAccess(path: string, devices: LandlockFacts['devices']): bigint {
  switch (devices.get(path)) {
    case 'read':
      return fs.ioctlDev
    case 'write':
      return fs.writeFile | fs.ioctlDev
    case undefined:
      return devices.size === 0 && path.startsWith('/dev/') ? 0n : fs.writeFile
  }
}

/** Whether /dev holds only devices that anybody may write: then one rule is enough for all of them. */
function hasPlainDevices(mounts: readonly Mount[], { devices }: LandlockFacts): boolean {
  const isInDev = ({ kind, target }: Mount): boolean =>
    kind === 'device' && target.startsWith('/dev/')
  return devices.size === 0 && mounts.some(isInDev)
}

function portRules({ connect, bind }: TcpPorts): Pick<Landlock, 'handledNet' | 'ports'> {
  const rules = new Map<number, bigint>()
  for (const [ports, access] of [
    [connect, landlockNet.connectTcp],
    [bind, landlockNet.bindTcp],
  ] as const) {
    for (const port of ports ?? []) rules.set(port, (rules.get(port) ?? 0n) | access)
  }
  return {
    handledNet:
      (connect === null ? 0n : landlockNet.connectTcp) | (bind === null ? 0n : landlockNet.bindTcp),
    ports: [...rules].map(([port, access]) => ({ access, port })).sort((a, b) => a.port - b.port),
  }
}

function isBeyond(access: bigint, handled: bigint): boolean {
  return access <= 0n || (access & ~handled) !== 0n
}

function isAscending(values: readonly (string | number)[]): boolean {
  return values.every((value, index) => {
    const before = values[index - 1]
    return before === undefined || before < value
  })
}

function bitsOf(rights: Readonly<Record<string, bigint>>): bigint {
  return Object.values(rights).reduce((all, bit) => all | bit, 0n)
}
