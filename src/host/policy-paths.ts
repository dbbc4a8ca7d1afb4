import { closeSync, constants, lstatSync, openSync, readlinkSync, readSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { dirname } from 'node:path'
import { isCleanPath } from '../core/identity.ts'
import type { CleanPath } from '../core/identity.ts'
import type { PathFact, PathUse } from '../core/policy/compile-facts.ts'
import { quote } from '../core/toml/problem.ts'
import { envMessage, isEnv, readShebang, shebangBytes } from '../core/policy/shebang.ts'
import type { Shebang } from '../core/policy/shebang.ts'
import type { PolicyProblemCode } from '../core/toml/problem.ts'
import type { PathKind, PathLink } from '../core/policy/profile-source.ts'
import { isWithin } from '../core/sandbox/root.ts'
import type { Architecture } from '../core/sandbox/syscalls.ts'
import { isCode } from './directory.ts'
import { readMounts } from './socket-search.ts'

/** Most links on the way to one path, as the kernel's own limit. */
const maxLinks = 40

/** Who resolves: `uid` is the caller's own, 0 for a real bridge. */
export type PathHost = Readonly<{ uid: number; architecture: Architecture }>

/** ELF's e_machine of the machines that we compile plans for (elf.h). */
const machines: Readonly<Record<Architecture, number>> = { x86_64: 62, aarch64: 183 }

type Found = Extract<PathFact, { kind: 'found' }>
type Refused = Extract<PathFact, { kind: 'refused' }>
/** A path whose directories are real and checked, and what is there. */
type Reached = Readonly<{ path: string; stat: Stats; belowSticky: boolean }>

/**
 * Finds the real path of `path`, component by component, once, when a policy is installed.
 *
 * Each directory and link on the way, and a command itself, must belong to root (or to `uid`, for a bridge without
 * root) and be writable by nobody else; a sticky directory such as /tmp may be open to all, but not what is in it.
 * So nobody else can make the path lead elsewhere later: at run time no link is followed (ABUSE C12, C32). Of a command
 * that others can change, and that is reached without a link, the fact says so: a copy of it may be run (ADR 0018).
 */
export function resolvePolicyPath(path: CleanPath, use: PathUse, host: PathHost): PathFact {
  const links: PathLink[] = []
  let at: Reached = { path: '/', stat: lstatSync('/'), belowSticky: false }
  let rest = partsOfLink(path)
  let changeable: string | undefined
  for (;;) {
    const fault = checkReached(at, rest.length === 0 ? use : 'directory', host.uid)
    if (fault !== undefined && use !== 'command') return fault
    changeable ??= fault?.message
    const [part, ...more] = rest
    if (part === undefined) return finish(at, { links, use, host, changeable })
    if (!at.stat.isDirectory()) return { kind: 'absent' }
    const next = reach(at, part)
    if (next === undefined) {
      return use === 'socket' ? awaitBelow(at, rest, links) : { kind: 'absent' }
    }
    rest = more
    if (!next.stat.isSymbolicLink()) {
      at = next
      continue
    }
    if (changeable !== undefined)
      return refused('path_unsafe', `${changeable}, and links are in it`)
    const link = readLink(next, links.length, host.uid)
    if (link.kind === 'refused') return link
    links.push(link)
    rest = [...partsOfLink(link.text), ...more]
    if (link.text.startsWith('/')) at = { path: '/', stat: lstatSync('/'), belowSticky: false }
  }
}

/** One step down, or up: `at` is a real path, so ".." is its parent by name too. */
function reach(at: Reached, part: string): Reached | undefined {
  const path = part === '..' ? dirname(at.path) : `${at.path === '/' ? '' : at.path}/${part}`
  try {
    return { path, stat: lstatSync(path), belowSticky: isOpenToAll(at.stat) && part !== '..' }
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return undefined
    throw error
  }
}

function checkReached(
  { path, stat, belowSticky }: Reached,
  use: PathUse | 'directory',
  uid: number,
): Refused | undefined {
  // What a sandbox shows may be anybody's, as long as nobody else can exchange the thing itself.
  const isShown = use === 'profile' || use === 'socket'
  if (isShown && !belowSticky) return undefined
  if (stat.uid !== 0 && stat.uid !== uid) {
    return refused('path_unsafe', `${quote(path)} belongs to uid ${stat.uid}`)
  }
  const isSticky = stat.isDirectory() && (stat.mode & 0o1000) !== 0
  if (isShown || !isOpenToAll(stat) || (use === 'directory' && isSticky)) return undefined
  return refused('path_unsafe', `${quote(path)} is writable by group or others`)
}

/** A socket that a server makes when it starts: in a directory where nobody else could make one before it. */
function awaitBelow(
  at: Reached,
  rest: readonly string[],
  links: readonly (PathLink & { kind?: unknown })[],
): PathFact {
  const real = `${at.path === '/' ? '' : at.path}/${rest.join('/')}`
  if (!isCleanPath(real)) return { kind: 'absent' }
  if (isOpenToAll(at.stat)) {
    return refused('path_unsafe', `others could make a socket in ${quote(at.path)}`)
  }
  return { kind: 'awaited', real, links: links.map(({ path, text }) => ({ path, text })) }
}

function readLink(
  { path, stat }: Reached,
  count: number,
  uid: number,
): Refused | (PathLink & Readonly<{ kind: 'link' }>) {
  if (stat.uid !== 0 && stat.uid !== uid) {
    return refused('path_unsafe', `the link ${quote(path)} belongs to uid ${stat.uid}`)
  }
  if (path.startsWith('/proc/')) {
    return refused('path_unsafe', `the link ${quote(path)} is another one for each process`)
  }
  if (count >= maxLinks) return refused('path_unsafe', `more than ${maxLinks} links`)
  const text = readlinkSync(path)
  if (!isCleanPath(path) || text.includes('\ufffd')) {
    return refused('path_unsafe', `the link ${quote(path)} is not UTF-8`)
  }
  return { kind: 'link', path, text }
}

type Way = Readonly<{
  links: readonly (PathLink & { kind?: unknown })[]
  use: PathUse
  host: PathHost
  changeable: string | undefined
}>

function finish({ path, stat }: Reached, { links, use, host, changeable }: Way): PathFact {
  if (!isCleanPath(path)) return refused('path_invalid', 'not a clean path')
  const what = kindOf(stat)
  if (what === undefined) {
    return refused('path_invalid', 'neither a directory, a file, a character device nor a socket')
  }
  const plain = links.map((link) => ({ path: link.path, text: link.text }))
  const found = { kind: 'found', real: path, what, links: plain } as const
  if (use === 'profile' && holdsCgroups(path)) return { ...found, holdsCgroups: true }
  if (use !== 'command' && use !== 'interpreter') return found
  if (!stat.isFile() || (stat.mode & 0o111) === 0) {
    return refused('command_invalid', 'not an executable file')
  }
  const head = readHead(path)
  const begin = readShebang(head)
  if (begin.kind === 'fault') return refused('command_invalid', `a script: ${begin.message}`)
  if (begin.kind === 'program') {
    const fault = checkProgram(head, host.architecture)
    return fault ?? (changeable === undefined ? found : { ...found, changeable })
  }
  if (use === 'interpreter') return refused('command_invalid', 'a script itself')
  if (changeable !== undefined) {
    const why = "a script must be root's alone, for its interpreter opens it by its path"
    return refused('path_unsafe', `${changeable}; ${why}`)
  }
  return withInterpreter(found, begin.shebang, host)
}

/** Wherever they are mounted: with a directory what is mounted below it comes along. */
function holdsCgroups(path: string): boolean {
  const groups = readMounts().filter(({ type }) => type === 'cgroup' || type === 'cgroup2')
  return groups.some((mount) => isWithin(mount.path, path) || isWithin(path, mount.path))
}

/** A script with the program that reads it; the sandbox has the links on the way to both. */
function withInterpreter(found: Found, shebang: Shebang, host: PathHost): PathFact {
  const named = `its interpreter ${quote(shebang.path)}`
  const fact = resolvePolicyPath(shebang.path, 'interpreter', host)
  if (fact.kind === 'refused') return refused(fact.code, `${named}: ${fact.message}`)
  if (fact.kind !== 'found') return refused('command_invalid', `${named} does not exist`)
  if (isEnv(fact.real)) return refused('command_invalid', `a script: ${envMessage}`)
  const interpreter = { ...shebang, executable: fact.real }
  return { ...found, links: [...found.links, ...fact.links], interpreter }
}

function kindOf(stat: Stats): PathKind | undefined {
  if (stat.isDirectory()) return 'directory'
  if (stat.isFile()) return 'file'
  if (stat.isSocket()) return 'socket'
  return stat.isCharacterDevice() ? 'device' : undefined
}

/** A program of this machine. */
function checkProgram(head: Buffer, architecture: Architecture): Refused | undefined {
  const isProgram = head.length >= 20 && head.readUInt32BE(0) === 0x7f45_4c46 && head[4] === 2
  if (isProgram && head.readUInt16LE(18) === machines[architecture]) return undefined
  return refused('command_invalid', `not a 64-bit ELF program for ${architecture}`)
}

function readHead(path: string): Buffer {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const descriptor = openSync(path, flags)
  try {
    const head = Buffer.alloc(shebangBytes)
    return head.subarray(0, readSync(descriptor, head))
  } finally {
    closeSync(descriptor)
  }
}

function isOpenToAll(stat: Stats): boolean {
  return (stat.mode & 0o022) !== 0
}

/** Unlike those of a clean path, which `walkBeneath` takes: the text of a link may have a `.` in it. */
function partsOfLink(path: string): readonly string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

function refused(code: PolicyProblemCode, message: string): Refused {
  return { kind: 'refused', code, message }
}
