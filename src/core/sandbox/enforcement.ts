/**
 * What this host enforces of a plan, and what not, with the reason (DESIGN.md promise 8). A plan says itself what it asks for;
 * of each run the launcher tells what of that its host has: `features_of` in native/launcher/host.c.
 */
import { wireFeature, wireNamespace, wirePlanFlag } from '../protocol/layout.ts'
import { formatFeatures } from './features.ts'
import { landlockFs } from './landlock.ts'
import type { Plan } from './plan.ts'

/** A feature that a plan asks for and that is not in force here. */
export type Missing = Readonly<{ feature: string; reason: string }>

/** Names are those of `formatFeatures`, in that order. `inForce` is what an outcome of such a run lists. */
export type Enforcement = Readonly<{ inForce: readonly string[]; missing: readonly Missing[] }>

const f = wireFeature

/** By bit of `wireNamespace`. */
const ofNamespace: readonly (readonly [namespace: number, features: number])[] = [
  [wireNamespace.pid, f.pidNamespace],
  [wireNamespace.mount, f.mountNamespace | f.rootReadOnly],
  [wireNamespace.ipc, f.ipcNamespace],
  [wireNamespace.uts, f.utsNamespace],
  [wireNamespace.network, f.networkNamespace],
  [wireNamespace.cgroup, f.cgroupNamespace],
]

/** Why a host may lack what a plan asks for. A launcher without one of the others does not start, or starts no run. */
const reasons: ReadonlyMap<number, string> = new Map([
  [f.cgroupKill, 'needs a cgroup v2 that the bridge may write, and Linux 5.14'],
  [
    f.cgroupLimits,
    'needs the controllers pids and memory, of cgroup v2 (under systemd: Delegate=yes) or v1',
  ],
  [f.dbusFiltered, 'needs xdg-dbus-proxy, there when the bridge starts'],
  [f.landlockFiles, 'needs Landlock, Linux 5.19'],
  [f.landlockTruncate, 'needs Landlock, Linux 6.2'],
  [f.landlockTcp, 'needs Landlock, Linux 6.7'],
  [f.landlockIoctl, 'needs Landlock, Linux 6.10'],
  [f.landlockScope, 'needs Landlock, Linux 6.12'],
  [f.sessionKeyring, 'needs keyctl(2)'],
])

/**
 * @param host enum wire_feature bits of what this host has, as the launcher found out
 * @see spec/plan.md
 */
export function enforcementOf(plan: Plan, host: number): Enforcement {
  const asked = askedBy(plan)
  const told = (host & f.userNamespace) | (isNetworkShared(plan, host) ? f.networkSharedEmpty : 0)
  return { inForce: formatFeatures((asked & host) | told), missing: missingOf(asked, host) }
}

/**
 * What was asked for and is not there.
 *
 * @param asked of `askedBy`
 * @param inForce enum wire_feature bits of what a host has, or of what was in force for a run
 */
export function missingOf(asked: number, inForce: number): readonly Missing[] {
  const bits = Object.values(wireFeature).filter((bit) => (asked & ~inForce & bit) !== 0)
  return bits.flatMap((bit) =>
    formatFeatures(bit).map((feature) => ({
      feature,
      reason: reasons.get(bit) ?? 'this host does not have it',
    })),
  )
}

/** enum wire_feature bits of what a plan asks for: features that hold something, not those that say how. */
export function askedBy(plan: Plan): number {
  const { handledFs, handledNet } = plan.landlock
  const asked: readonly (readonly [boolean, number])[] = [
    [true, f.capabilities | f.noNewPrivs | f.seccomp | f.cgroupKill | f.sessionKeyring],
    ...ofNamespace.map(([bit, features]) => [(plan.namespaces & bit) !== 0, features] as const),
    [plan.mounts.some(({ kind, target }) => kind === 'tmpfs' && target === '/tmp'), f.privateTmp],
    [plan.rlimits.length > 0, f.rlimits],
    [plan.memoryMaxBytes > 0 || plan.pidsMax > 0, f.cgroupLimits],
    [plan.landlockScope !== 0n, f.landlockScope],
    [handledFs !== 0n, f.landlockFiles],
    [(handledFs & landlockFs.truncate) !== 0n, f.landlockTruncate],
    [(handledFs & landlockFs.ioctlDev) !== 0n, f.landlockIoctl],
    [handledNet !== 0n, f.landlockTcp],
    [(plan.flags & wirePlanFlag.proxied) !== 0, f.dbusFiltered],
    [(plan.flags & wirePlanFlag.recorded) !== 0, f.recorded],
  ]
  return asked.reduce((all, [applies, features]) => (applies ? all | features : all), 0)
}

function isNetworkShared({ namespaces, landlockScope }: Plan, host: number): boolean {
  const wanted = namespaces & (wireNamespace.network | wireNamespace.networkOwn)
  const staysApart = (landlockScope & 1n) !== 0n
  return wanted === wireNamespace.network && staysApart && (host & f.networkSharedEmpty) !== 0
}
