import { BelladonnaError } from '../error.ts'
import { isCleanPath } from '../identity.ts'
import type { CleanPath } from '../identity.ts'
import { formatBase64 } from '../json/base64.ts'
import { capabilityNames, capabilityNumber } from '../sandbox/capabilities.ts'
import {
  cgroupsProblem,
  profilePathProblem,
  writtenPathProblem,
} from '../sandbox/plan-for-profile.ts'
import { isWithin } from '../sandbox/root.ts'
import { checkNamespaces } from './check-namespaces.ts'
import type { CompileFacts } from './compile-facts.ts'
import { readCleanPath, resolveAt } from './compile-path.ts'
import type { ResolvedPath } from './compile-path.ts'
import { defaultLimits, readLimits } from './compile-limits.ts'
import { readTcpPorts } from './compile-ports.ts'
import { compileProxy } from './compile-proxy.ts'
import { checkSockets, onceByPath, readSocket } from './compile-socket.ts'
import { sealProfile } from './compiled.ts'
import type { CompiledProfile } from './compiled.ts'
import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import type { PathLink, ProfileCapability, ProfilePath, ProfileSource } from './profile-source.ts'
import { compareText, openFields, readList, readText, readTruth, readWord } from '../toml/reader.ts'
import type { Fields, Read, Report } from '../toml/reader.ts'
import { suggestionFor } from '../toml/suggestion.ts'
import { rootWays } from './root-ways.ts'
import { readSyscalls } from './compile-syscalls.ts'
import type { TomlNode } from '../toml/tree.ts'

/** A profile as it was read, with the place for problems that show only when its actions are known. */
export type ProfileDraft = Readonly<{ place: Place; source: ProfileSource; hasOwnTime: boolean }>

/** What profiles have unless they say otherwise. */
const profileDefaults: Readonly<{
  read: readonly string[]
  limits: ProfileSource['limits']
}> = { read: ['/usr'], limits: defaultLimits }

// What a dynamically linked program needs besides its libraries; absent ones are left out.
const loaderPaths = ['/bin', '/sbin', '/lib', '/lib64', '/etc/ld.so.cache']

const maxPaths = 64
const maxSockets = 16
const maxCaps = 64

const keys = {
  required: [],
  optional: [
    'network',
    'read',
    'write',
    'sockets',
    'escapable',
    'stdin',
    'output',
    'caps',
    'syscalls',
    'limits',
    'observe',
    'tcp_connect',
    'tcp_bind',
  ],
}

/** Reads a profile and resolves its paths; what cannot be read of it has its default. */
export function readProfile(
  facts: CompileFacts,
  name: string,
): (report: Report, node: TomlNode) => ProfileDraft {
  return (report, node) => {
    const fields = openFields(report, node, keys)
    const paths = readList(readPath(facts), maxPaths)
    const defaultRead = resolveAll(
      report,
      node,
      facts,
      fields.has('read') ? [] : profileDefaults.read,
    )
    const read = [...fields.read('read', paths, []), ...defaultRead]
    const loader = resolveAll(report, node, facts, loaderPaths)
    const write = fields.read('write', readList(readWrittenPath(facts), maxPaths), [])
    const sockets = fields.read('sockets', readList(readSocket(facts), maxSockets), [])
    const network = fields.read('network', readWord(['none', 'loopback', 'host']), 'none')
    const output = fields.read('output', readWord(['pass', 'capped', 'recorded']), 'pass')
    const { limits, hasOwnTime } = readLimits(report, fields, output)
    const source: ProfileSource = {
      name,
      network,
      tcp: readTcpPorts(report, fields, network),
      read: outermost([...read, ...loader]),
      write: outermost(write),
      sockets: onceByPath(report, sockets),
      escapable: fields.read('escapable', readTruth, false),
      links: [...read, ...loader, ...write, ...sockets].flatMap(({ links }) => links),
      stdin: fields.read('stdin', readWord(['none', 'bound', 'stream']), 'none'),
      output,
      caps: readCaps(report, fields),
      syscalls: fields.read('syscalls', readSyscalls, 'default'),
      limits,
      observe: fields.read('observe', readWord(['off', 'prefer'], ['require']), 'off'),
    }
    checkNamespaces(report, fields, source)
    checkSockets(report, fields, facts, source, sockets)
    for (const { by, why } of rootWays(source)) {
      const place = fields.place(by.startsWith('/') ? 'write' : 'caps')
      report.warn(place, 'as_good_as_root', `a run as good as root by ${by}: ${why}`)
    }
    return { place: node, source, hasOwnTime }
  }
}

/** What the actions of a profile need of it: links to commands, roots of `path` parameters, programs and working directories. */
export type ProfileUse = Readonly<{
  links: readonly PathLink[]
  roots: readonly CleanPath[]
  needed: readonly CleanPath[]
}>

/** Adds the links that commands are reached by, and compiles the plan. */
export function finishProfile(
  report: Report,
  facts: CompileFacts,
  { place, source }: ProfileDraft,
  { links: commandLinks, roots, needed }: ProfileUse,
): CompiledProfile | null {
  const links = usefulLinks(source, [...source.links, ...commandLinks])
  const isHidden = (path: CleanPath): boolean =>
    roots.some((root) => path !== root && isWithin(path, root))
  const hidden = needed.find(isHidden)
  if (hidden !== undefined) {
    const message = `${quote(hidden)} lies in a root of a parameter, where runs of this profile see nothing else`
    return report.add(place, 'command_outside_profile', message)
  }
  let plan: Uint8Array
  try {
    plan = facts.compilePlan({ ...source, links }, roots)
  } catch (error) {
    if (!(error instanceof BelladonnaError)) throw error
    return report.add(place, 'plan_invalid', error.message)
  }
  const proxy = compileProxy(report, place, facts, source, () =>
    resolveAll(report, place, facts, [...profileDefaults.read, ...loaderPaths]),
  )
  const { timeMs, memoryBytes, processes, outputBytes } = source.limits
  return sealProfile({
    ...source,
    ...{ proxy, links },
    limits: { time_ms: timeMs, memory_bytes: memoryBytes, processes, output_bytes: outputBytes },
    plan: formatBase64(plan),
  })
}

/** Whether the sandbox shows what is at `path`. */
export function isInProfile({ read, write }: ProfileSource, path: CleanPath): boolean {
  return [...read, ...write].some((entry) => isWithin(path, entry.path))
}

function readPath(facts: CompileFacts): Read<ResolvedPath> {
  return (report, node) => {
    const path = readCleanPath(report, node)
    const resolved = path && resolveAt(report, node, facts, path, 'profile')
    const problem = resolved && profilePathProblem(resolved.path.path)
    return typeof problem === 'string' ? report.add(node, 'path_invalid', problem) : resolved
  }
}

function readWrittenPath(facts: CompileFacts): Read<ResolvedPath> {
  return (report, node) => {
    const resolved = readPath(facts)(report, node)
    if (resolved === null) return null
    const { path } = resolved.path
    const held = resolved.holdsCgroups && `${quote(path)} cannot be written: ${cgroupsProblem}`
    const problem = writtenPathProblem(path) ?? held
    return problem === undefined ? resolved : report.add(node, 'path_invalid', problem)
  }
}

function resolveAll(
  report: Report,
  place: Place,
  facts: CompileFacts,
  paths: readonly string[],
): readonly ResolvedPath[] {
  return paths
    .filter(isCleanPath)
    .filter((path) => facts.resolvePath(path, 'profile').kind !== 'absent')
    .flatMap((path) => resolveAt(report, place, facts, path, 'profile') ?? [])
}

function readCaps(report: Report, fields: Fields): readonly ProfileCapability[] {
  const capability: Read<ProfileCapability> = (inner, node) => {
    const name = readText(inner, node)
    if (name === null) return null
    const number = capabilityNumber(name)
    if (number !== undefined) return { name, number }
    const message = `no capability ${quote(name)} in capabilities(7)`
    return inner.add(node, 'capability_unknown', message, suggestionFor(name, capabilityNames))
  }
  const caps = fields.read('caps', readList(capability, maxCaps), [])
  const once = new Map(caps.map((cap) => [cap.number, cap]))
  if (once.size < caps.length) {
    report.add(fields.place('caps'), 'duplicate', 'a capability stands in this list twice')
  }
  return [...once.values()].sort((a, b) => a.number - b.number)
}

/** Without those that lie below another one, and sorted. */
function outermost(paths: readonly ResolvedPath[]): readonly ProfilePath[] {
  const sorted = paths.map(({ path }) => path).sort((a, b) => compareText(a.path, b.path))
  const kept = new Map<string, ProfilePath>()
  for (const entry of sorted) {
    if ([...kept.keys()].some((outer) => isWithin(entry.path, outer))) continue
    kept.set(entry.path, entry)
  }
  return [...kept.values()]
}

/** Each link once and sorted; those within a path of the profile are there anyway. */
function usefulLinks(source: ProfileSource, links: readonly PathLink[]): readonly PathLink[] {
  const once = new Map(links.map((link) => [link.path, link]))
  return [...once.values()]
    .filter(({ path }) => !isInProfile(source, path))
    .sort((a, b) => compareText(a.path, b.path))
}

/** For the working directory: what each sandbox has whatever its profile says. */
export function isAlwaysThere(path: CleanPath): boolean {
  return path === '/' || path === '/tmp'
}
