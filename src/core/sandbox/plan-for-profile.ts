import { BelladonnaError } from '../error.ts'
import type { CleanPath } from '../identity.ts'
import type { ProfilePath, ProfileSource } from '../policy/profile-source.ts'
import { wireNamespace, wirePlanFlag } from '../protocol/layout.ts'
import { capabilityMask, capabilityNumbers } from './capabilities.ts'
import { busPlace, busSocket, filteredSockets } from './bus-place.ts'
import { cleanPath, deviceMounts, procMounts, terminalMounts } from './fixed-mounts.ts'
import { landlockFor } from './landlock.ts'
import type { Mount } from './mount.ts'
import type { Plan } from './plan.ts'
import { freshRlimits } from './rlimits.ts'
import { isWithin, orderRoot } from './root.ts'
import { compileSeccomp } from './seccomp.ts'
import { callsOfSet, neededForTerminal, neededToStart } from './syscall-sets.ts'
import type { Architecture } from './syscalls.ts'

/** What a plan depends on besides its profile. */
export type PlanFacts = Readonly<{
  architecture: Architecture
  /** Where parameters name files: an empty place each, in which a run sees only what it was asked for. */
  roots?: readonly CleanPath[]
  /** It is the plan of a proxy, which makes its sockets where the run has them. */
  isProxy?: boolean
}>

/** LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL: neither reaches out of the sandbox. */
export const landlockScope = 3n

/**
 * With one of these a run could bring interfaces up, or listen to, what other runs share; so it gets a network of its
 * own even when that is empty. CAP_SYS_ADMIN opens too much of the kernel to say that it could not.
 */
const ownNetworkCapabilities = capabilityNumbers('CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN')

/** Names for uids and gids; without them `id`, `ls -l` and ssh show numbers or refuse. Readable by anybody anyway. */
const accountFiles = ['/etc/passwd', '/etc/group'].map(cleanPath)

/**
 * The sandbox of a profile. Equal profiles give equal plans, so the same profile always has the same bytes.
 *
 * The root holds nothing but: what `read` and `write` name (`write` is never executable), the links on the way there,
 * its sockets or, of those that are filtered, links to where their proxy serves them, /etc/passwd and /etc/group, five devices,
 * the run's own /proc, read-only, an own empty /tmp, and where output is capped a place for a terminal of the run's own.
 *
 * @throws {BelladonnaError} `policy_invalid` on a path that `profilePathProblem` or `writtenPathProblem` refuses
 */
export function planForProfile(profile: ProfileSource, facts: PlanFacts): Plan {
  for (const { path } of [...profile.read, ...profile.write]) {
    const problem = profilePathProblem(path)
    if (problem !== undefined) throw invalid(profile, problem)
  }
  for (const { path } of profile.write) {
    const problem = writtenPathProblem(path)
    if (problem !== undefined) throw invalid(profile, problem)
  }
  const capabilities = profile.caps.map(({ number }) => number)
  const root = mounts(profile, facts)
  const proxied = filteredSockets(profile.sockets).length > 0
  const unixSockets = profile.escapable || proxied
  return {
    namespaces: namespaces(profile.network, capabilities),
    capabilities: capabilityMask(capabilities),
    landlockScope,
    memoryMaxBytes: profile.limits.memoryBytes,
    outputMaxBytes: profile.limits.outputBytes,
    pidsMax: profile.limits.processes,
    timeLimitMs: profile.limits.timeMs,
    umask: 0o022,
    flags:
      (profile.stdin === 'none' ? wirePlanFlag.stdinNull : 0) |
      (proxied ? wirePlanFlag.proxied : 0) |
      (profile.output === 'recorded' ? wirePlanFlag.recorded : 0),
    rlimits: freshRlimits({ soft: 1024, hard: 4096 }),
    mounts: root,
    landlock: landlockFor(root, {
      devices: namedDevices(profile),
      unixSockets,
      tcp: profile.tcp,
    }),
    seccomp: compileSeccomp(facts.architecture, {
      kind: 'run',
      calls: callsOf(profile),
      unixSockets,
      network: profile.network !== 'none',
    }),
  }
}

function invalid({ name }: ProfileSource, problem: string): BelladonnaError {
  return new BelladonnaError('policy_invalid', `profile ${name}: ${problem}`)
}

/** The sandbox of a profile's proxy, which is described like a profile. Each client costs it two descriptors. */
export function planForProxy(proxy: ProfileSource, architecture: Architecture): Plan {
  const plan = planForProfile(proxy, { architecture, isProxy: true })
  return { ...plan, rlimits: freshRlimits({ soft: 64, hard: 64 }) }
}

/** Devices that the profile names; `write` wins over `read`. */
function namedDevices({ read, write }: ProfileSource): ReadonlyMap<string, 'read' | 'write'> {
  const isDevice = ({ kind }: ProfilePath): boolean => kind === 'device'
  return new Map([
    ...read.filter(isDevice).map(({ path }) => [path, 'read'] as const),
    ...write.filter(isDevice).map(({ path }) => [path, 'write'] as const),
  ])
}

function callsOf({ syscalls, output }: ProfileSource): readonly string[] | null {
  if (typeof syscalls === 'string') return callsOfSet(syscalls)
  return [...syscalls, ...neededToStart, ...(output === 'pass' ? [] : neededForTerminal)]
}

/** Why a profile may not name this path under `read` or `write`, or undefined. */
export function profilePathProblem(path: CleanPath): string | undefined {
  if (path === '/') return '"/" would put the whole host into the sandbox'
  if (path === '/tmp' || path === '/dev/shm') return `"${path}" is always the run's own`
  if (path === '/dev') return '"/dev" would show every device: name the ones that are needed'
  if (path === '/proc') return '"/proc" is always the run\'s own: name files below it to write them'
  if (/^\/proc\/(?:\d+|self|thread-self)(?:\/|$)/.test(path)) {
    return `"${path}" is another process on the host than in the sandbox`
  }
  return undefined
}

/** Whoever writes there moves itself out of its cgroup: its limits would not hold, and its entry would say that they did. */
export const cgroupsProblem =
  'it holds control groups, and a run could leave its own with its limits'

/** Why a profile may not name this path under `write`, where `profilePathProblem` has nothing to say; or undefined. */
export function writtenPathProblem(path: CleanPath): string | undefined {
  const isAround = isWithin('/sys/fs/cgroup', path) || isWithin(path, '/sys/fs/cgroup')
  return isAround ? `"${path}" cannot be written: ${cgroupsProblem}` : undefined
}

function namespaces(network: ProfileSource['network'], capabilities: readonly number[]): number {
  const always =
    wireNamespace.pid |
    wireNamespace.mount |
    wireNamespace.ipc |
    wireNamespace.uts |
    wireNamespace.cgroup
  switch (network) {
    case 'host':
      return always
    case 'loopback':
      return always | wireNamespace.network | wireNamespace.networkOwn | wireNamespace.loopback
    case 'none': {
      const needsOwn = capabilities.some((number) => ownNetworkCapabilities.includes(number))
      return always | wireNamespace.network | (needsOwn ? wireNamespace.networkOwn : 0)
    }
  }
}

function mounts(profile: ProfileSource, { roots, isProxy }: PlanFacts): readonly Mount[] {
  const devices = deviceMounts(['null', 'zero', 'full', 'random', 'urandom'])
  const fixed: readonly Mount[] = [
    ...devices,
    ...(profile.output === 'pass' ? [] : terminalMounts()),
    ...procMounts(),
    {
      kind: 'tmpfs',
      target: cleanPath('/tmp'),
      mode: 0o1777,
      sizeBytes: profile.limits.memoryBytes,
    },
    { kind: 'symlink', target: cleanPath('/dev/shm'), text: '/tmp' },
    ...(roots ?? []).map(placesIn),
  ]
  const taken = new Set<string>(fixed.map(({ target }) => target))
  const named = namedMounts(profile).filter(({ target }) => !taken.has(target))
  const accounts = accountFiles
    .filter((file) => !named.some(({ target }) => isWithin(file, target)))
    .map((file) => readOnly(file, { executable: false, optional: true }))
  // A socket is reached whatever the mount's rights are. It may come later than the policy: its server was not up.
  const sockets = profile.sockets
    .filter(({ path, dbus }) => {
      return dbus === null && !named.some(({ target }) => isWithin(path, target))
    })
    .map(({ path }) => readOnly(path, { executable: false, optional: true }))
  const filtered = filteredSockets(profile.sockets).map(({ path }, index): Mount => ({
    ...{ kind: 'symlink', target: path, text: busSocket(index) },
  }))
  const place: Mount = { kind: 'directory', target: busPlace, mode: 0o755 }
  const places = filtered.length > 0 || isProxy === true ? [place] : []
  const links = profile.links.map(({ path, text }): Mount => ({
    kind: 'symlink',
    target: path,
    text,
  }))
  const own = [...fixed, ...places, ...filtered]
  return orderRoot([...own, ...accounts, ...named, ...sockets, ...links])
}

/** Holds nothing but directories and empty files to mount on; nobody may write it. */
function placesIn(target: CleanPath): Mount {
  return { kind: 'tmpfs', target, mode: 0o555, sizeBytes: 65_536 }
}

/** `write` wins over `read`. What already lies in a path of the same kind, or can be read in /proc, needs no mount. */
function namedMounts({ read, write }: ProfileSource): readonly Mount[] {
  const written = new Set<string>(write.map(({ path }) => path))
  const onlyRead = read.filter(({ path }) => !written.has(path) && !isWithin(path, '/proc'))
  const paths = [
    ...onlyRead.map((entry) => ({ ...entry, writable: false })),
    ...write.map((entry) => ({ ...entry, writable: true })),
  ]
  return paths
    .filter(({ path, writable }) => {
      const above = paths.filter((other) => other.path !== path && isWithin(path, other.path))
      const closest = above.toSorted((a, b) => b.path.length - a.path.length)[0]
      return closest?.writable !== writable
    })
    .map((entry) => namedMount(entry))
}

function namedMount({ path, kind, writable }: ProfilePath & { writable: boolean }): Mount {
  if (kind === 'device') return { kind: 'device', source: path, target: path, optional: false }
  if (!writable) return readOnly(path, { executable: true, optional: false })
  return {
    kind: 'bind',
    source: path,
    target: path,
    writable,
    executable: false,
    optional: false,
  }
}

function readOnly(path: CleanPath, options: { executable: boolean; optional: boolean }): Mount {
  return { kind: 'bind', source: path, target: path, writable: false, ...options }
}
