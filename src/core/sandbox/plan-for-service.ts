import type { CleanPath } from '../identity.ts'
import type { PathLink } from '../policy/profile-source.ts'
import { wireNamespace, wirePlanFlag } from '../protocol/layout.ts'
import { capabilityMask, capabilityNumbers } from './capabilities.ts'
import { deviceMounts, procMounts } from './fixed-mounts.ts'
import type { Mount } from './mount.ts'
import { recordingAccess } from './plan.ts'
import type { Plan } from './plan.ts'
import { allLandlockFs, allLandlockNet, landlockFs } from './landlock.ts'
import { landlockScope } from './plan-for-profile.ts'
import { freshRlimits } from './rlimits.ts'
import { orderRoot } from './root.ts'
import { compileSeccomp } from './seccomp.ts'
import type { Architecture } from './syscalls.ts'

/** A directory or file of the host in a service's root. `source` is a real path, no component of it a link. */
export type ServiceMount = Readonly<{
  source: CleanPath
  target: CleanPath
  writable: boolean
  /** Programs and libraries may be run and mapped from here; never together with `writable`. */
  executable: boolean
}>

/** What the broker sees of the host. */
export type BrokerFacts = Readonly<{
  architecture: Architecture
  /** /usr, the code, Node, the log's directory, the policy's, …: everything there is besides /dev and /proc. */
  mounts: readonly ServiceMount[]
  /** Debian's `/bin`, `/lib` and the like. */
  links: readonly PathLink[]
}>

const common = {
  landlockScope,
  landlock: { handledFs: 0n, handledNet: 0n, paths: [], ports: [] },
  memoryMaxBytes: 0,
  outputMaxBytes: 0,
  pidsMax: 0,
  timeLimitMs: 0,
  umask: 0o077,
  flags: wirePlanFlag.stdinNull | wirePlanFlag.noExec,
  rlimits: freshRlimits({ soft: 4096, hard: 4096 }),
} as const

/**
 * The broker's sandbox: an own root with only what `facts` name, own namespaces throughout, an empty network, no
 * capability, and no way to start another program.
 */
export function planForBroker({ architecture, mounts, links }: BrokerFacts): Plan {
  return {
    ...common,
    namespaces:
      wireNamespace.pid |
      wireNamespace.mount |
      wireNamespace.ipc |
      wireNamespace.uts |
      wireNamespace.cgroup |
      wireNamespace.network |
      wireNamespace.networkOwn,
    capabilities: 0n,
    mounts: orderRoot([
      ...deviceMounts(['null', 'urandom']),
      ...procMounts(),
      ...mounts.map((mount): Mount => ({ kind: 'bind', ...mount, optional: false })),
      ...links.map(({ path, text }): Mount => ({ kind: 'symlink', target: path, text })),
    ]),
    seccomp: compileSeccomp(architecture, { kind: 'service' }),
  }
}

/**
 * The executor's sandbox. It must read and hash any executable of the host, so it stays in the host's root and pid
 * namespace, with the one capability that reading takes; it has no network and starts no program either.
 *
 * Landlock's signal scope matters here: without it uid 0 could signal the host's other root processes by tgkill.
 */
export function planForExecutor({ architecture }: Pick<BrokerFacts, 'architecture'>): Plan {
  return {
    ...common,
    namespaces:
      wireNamespace.ipc | wireNamespace.uts | wireNamespace.network | wireNamespace.networkOwn,
    capabilities: capabilityMask(capabilityNumbers('CAP_DAC_READ_SEARCH')),
    mounts: [],
    seccomp: compileSeccomp(architecture, { kind: 'service' }),
  }
}

/**
 * A relay's sandbox, as far as others put it there: no capability, an empty network, and of all files its own program.
 * The rest it does itself once it runs (native/relay/confine.c). It needs no namespaces: there is no call left by which
 * it could see what they hide, and they would cost each capped run more than the relay does.
 *
 * @param program the relay's own; only that can be opened, for its exec
 */
export function planForRelay(architecture: Architecture, program: CleanPath): Plan {
  return {
    ...common,
    flags: wirePlanFlag.stdinNull,
    landlock: {
      handledFs: allLandlockFs,
      handledNet: allLandlockNet,
      paths: [{ access: landlockFs.execute | landlockFs.readFile, path: program }],
      ports: [],
    },
    namespaces: wireNamespace.network,
    capabilities: 0n,
    mounts: [],
    seccomp: compileSeccomp(architecture, {
      ...{ kind: 'run', calls: null },
      ...{ unixSockets: false, network: false },
    }),
  }
}

/**
 * That of a relay which also records: it may make files in one directory, and remove what it made in vain. Once it has its
 * file it gives up every call that opens one.
 *
 * @param directory of recordings, where it works
 */
export function planForRecorder(
  architecture: Architecture,
  program: CleanPath,
  directory: CleanPath,
): Plan {
  const plan = planForRelay(architecture, program)
  const place = { access: recordingAccess, path: directory }
  const paths = [...plan.landlock.paths, place].sort((a, b) => (a.path < b.path ? -1 : 1))
  return { ...plan, umask: 0o027, landlock: { ...plan.landlock, paths } }
}
