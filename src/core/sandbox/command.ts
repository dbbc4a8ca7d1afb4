import { BelladonnaError } from '../error.ts'
import type { CleanPath, Gid, Uid } from '../identity.ts'
import { isCleanPath, isGid, isUid } from '../identity.ts'
import { maxGroups, wireBindFlag, wireMountFlag } from '../protocol/layout.ts'
import { allLandlockFs } from './landlock.ts'
import { maxPathBytes } from './mount.ts'
import { maxPrepareBytes } from './plan.ts'
import type { ByteReader, ByteWriter } from './wire-bytes.ts'
import { malformed, newByteReader, newByteWriter } from './wire-bytes.ts'

/** Which file was hashed: stat(2)'s words for it. A change of content, mode or owner changes `ctimeNs`. */
export type FileStamp = Readonly<{
  device: bigint
  inode: bigint
  size: bigint
  mtimeNs: bigint
  ctimeNs: bigint
}>

/** What is started inside a sandbox, and as whom. */
export type Command = Readonly<{
  uid: Uid
  gid: Gid
  /** The supplementary groups, all of them. */
  groups: readonly Gid[]
  /** A real path in the new root, no component a link; the launcher compares the file there with `stamp`. */
  executable: CleanPath
  stamp: FileStamp
  cwd: CleanPath
  /** Whole, from argv[0] on. */
  argv: readonly string[]
  /** Whole: nothing is added. `NAME=value`, each name once. */
  env: readonly string[]
  /** What this run alone sees of the host, beside what its plan brings. */
  binds: readonly Bind[]
}>

/** A file or directory of the host; the launcher opens `source` without following a link and compares its stamp. */
export type Bind = Readonly<{
  source: CleanPath
  target: CleanPath
  stamp: FileStamp
  writable: boolean
  executable: boolean
  /** Its content may change meanwhile: of the stamp only device and inode count. */
  isLive: boolean
  /** A regular file must have one name only. */
  isSingle: boolean
  /** LANDLOCK_ACCESS_FS_* bits beyond those that its place has. */
  access: bigint
}>

/**
 * Bounds of a command. The launcher has places for 1,024 texts of each kind; one text of 128 KiB, its NUL included,
 * is the longest that execve(2) takes (MAX_ARG_STRLEN).
 */
export const commandBounds = { argv: 1024, env: 1024, binds: 17, textBytes: 131_071 } as const

const encoder = new TextEncoder()
const knownBindFlags =
  wireMountFlag.writable | wireMountFlag.exec | wireBindFlag.live | wireBindFlag.single

/**
 * A command's bytes.
 *
 * @throws {BelladonnaError} `input_invalid` if the launcher, or execve(2), would refuse the command
 * @see spec/plan.md
 */
export function formatCommand(command: Command): Uint8Array {
  const problem = commandProblem(command)
  if (problem !== undefined) {
    throw new BelladonnaError('input_invalid', `format command: ${problem}`)
  }
  const writer = newByteWriter('command')
  writer.u32(command.uid)
  writer.u32(command.gid)
  writer.u16(command.groups.length)
  writer.u16(command.argv.length)
  writer.u16(command.env.length)
  writer.u16(command.binds.length)
  writeStamp(writer, command.stamp)
  for (const group of command.groups) writer.u32(group)
  writer.str16(command.executable)
  writer.str16(command.cwd)
  for (const text of command.argv) writer.blob32(text)
  for (const text of command.env) writer.blob32(text)
  for (const bind of command.binds) writeBind(writer, bind)
  const bytes = writer.bytes()
  if (bytes.length > maxPrepareBytes) {
    throw new BelladonnaError('input_invalid', `format command: ${bytes.length} bytes`)
  }
  return bytes
}

/**
 * The command that bytes hold. Only what `formatCommand` makes is a command.
 *
 * @throws {BelladonnaError} `frame_invalid` on anything else
 * @see spec/plan.md
 */
export function parseCommand(bytes: Uint8Array): Command {
  if (bytes.length > maxPrepareBytes) throw malformed('command', `${bytes.length} bytes`)
  const reader = newByteReader('command', bytes)
  const [uid, gid] = [reader.u32(), reader.u32()]
  if (!isUid(uid) || !isGid(gid)) throw malformed('command', 'uid or gid')
  const [groupCount, argc, envc] = [reader.u16(), reader.u16(), reader.u16()]
  const bindCount = reader.u16()
  const stamp = readStamp(reader)
  const groups = Array.from({ length: groupCount }, () => readGroup(reader))
  const [executable, cwd] = [readPath(reader), readPath(reader)]
  const argv = Array.from({ length: argc }, reader.blob32)
  const env = Array.from({ length: envc }, reader.blob32)
  const binds = Array.from({ length: bindCount }, () => readBind(reader))
  reader.end()
  const command = { uid, gid, groups, executable, stamp, cwd, argv, env, binds }
  const problem = commandProblem(command)
  if (problem !== undefined) throw malformed('command', problem)
  return command
}

function writeStamp(writer: ByteWriter, stamp: FileStamp): void {
  const { device, inode, size, mtimeNs, ctimeNs } = stamp
  for (const value of [device, inode, size, mtimeNs, ctimeNs]) writer.u64(value)
}

function writeBind(writer: ByteWriter, bind: Bind): void {
  const writable = bind.writable ? wireMountFlag.writable : 0
  const executable = bind.executable ? wireMountFlag.exec : 0
  const live = bind.isLive ? wireBindFlag.live : 0
  writer.u8(writable | executable | live | (bind.isSingle ? wireBindFlag.single : 0))
  writeStamp(writer, bind.stamp)
  writer.str16(bind.source)
  writer.str16(bind.target)
  writer.u64(bind.access)
}

function readBind(reader: ByteReader): Bind {
  const flags = reader.u8()
  const has = (flag: number): boolean => (flags & flag) !== 0
  if (has(~knownBindFlags)) throw malformed('command', 'an unknown flag of a bind')
  const stamp = readStamp(reader)
  const [source, target] = [readPath(reader), readPath(reader)]
  return {
    ...{ source, target, stamp },
    writable: has(wireMountFlag.writable),
    executable: has(wireMountFlag.exec),
    isLive: has(wireBindFlag.live),
    isSingle: has(wireBindFlag.single),
    access: reader.u64(),
  }
}

function readStamp(reader: ByteReader): FileStamp {
  return {
    device: reader.u64(),
    inode: reader.u64(),
    size: reader.u64(),
    mtimeNs: reader.u64(),
    ctimeNs: reader.u64(),
  }
}

function readGroup(reader: ByteReader): Gid {
  const gid = reader.u32()
  if (!isGid(gid)) throw malformed('command', 'group')
  return gid
}

function readPath(reader: ByteReader): CleanPath {
  const path = reader.str16()
  if (!isCleanPath(path)) throw malformed('command', `path ${JSON.stringify(path)}`)
  return path
}

/** Why this command could not be run as it stands, or undefined. */
function commandProblem(command: Command): string | undefined {
  const { groups, executable, cwd, argv, env, binds } = command
  const names = env.map((text) => text.slice(0, Math.max(text.indexOf('='), 0)))
  const problems: readonly (readonly [boolean, string])[] = [
    [groups.length > maxGroups, `${groups.length} groups`],
    [argv.length === 0, 'an empty argv'], // argc 0 is CVE-2021-4034's way into other programs
    [argv.length > commandBounds.argv, `${argv.length} arguments`],
    [env.length > commandBounds.env, `${env.length} variables`],
    [executable === '/', 'no executable'],
    [binds.length > commandBounds.binds, `${binds.length} binds`],
    [binds.some(({ source }) => /^\/(?:proc(?:\/|$)|$)/.test(source)), 'a source of a bind'],
    [binds.some(({ target }) => target === '/'), 'a target of a bind'],
    [binds.some(({ access }) => (access & ~allLandlockFs) !== 0n), 'an unknown right to files'],
    [binds.some(({ source, target }) => isTooLong(source) || isTooLong(target)), 'a path too long'],
    [[executable, cwd].some(isTooLong), 'a path too long'],
    [[...argv, ...env].some((text) => byteLength(text) > commandBounds.textBytes), 'a long text'],
    [names.includes(''), 'a variable without a name'],
    [new Set(names).size !== names.length, 'a variable twice'],
  ]
  return problems.find(([applies]) => applies)?.[1]
}

function isTooLong(path: string): boolean {
  return byteLength(path) > maxPathBytes
}

function byteLength(text: string): number {
  return encoder.encode(text).length
}
