/** Changes of a plan, each of one thing: what a table takes away from a sandbox to prove that it was this that held. */
import { wireNamespace } from '../../../src/core/protocol/layout.ts'
import { capabilityMask, capabilityNumbers } from '../../../src/core/sandbox/capabilities.ts'
import type { Plan } from '../../../src/core/sandbox/plan.ts'
import { seccompAction } from '../../../src/core/sandbox/seccomp-policy.ts'
import type { Architecture } from '../../../src/core/sandbox/syscalls.ts'
import { syscalls } from '../../../src/core/sandbox/syscalls.ts'
import { clean, readProc } from '../../support/bridge.ts'

export type Change = (plan: Plan) => Plan

export function all(...changes: readonly Change[]): Change {
  return (plan) => changes.reduce((so, change) => change(so), plan)
}

export const same: Change = (plan) => plan

export const architecture: Architecture = process.arch === 'x64' ? 'x86_64' : 'aarch64'

/** Offsets in struct seccomp_data. */
const [numberAt, architectureAt] = [0, 4]
const [equals, anyBit] = [0x15, 0x45]

/** A seccomp program that allows what the test holds for, and goes on with the plan's own. */
function exempt(offset: number, test: number, value: number): Change {
  const prologue = new Uint8Array(24)
  const view = new DataView(prologue.buffer)
  view.setUint16(0, 0x20, true) // load a word
  view.setUint32(4, offset, true)
  view.setUint16(8, test, true)
  view.setUint8(11, 1) // if not, over the next one
  view.setUint32(12, value, true)
  view.setUint16(16, 0x06, true) // return
  view.setUint32(20, seccompAction.allow, true)
  return (plan) => ({ ...plan, seccomp: Uint8Array.from([...prologue, ...plan.seccomp]) })
}

export function numberOf(call: string): number {
  const number = syscalls[architecture].get(call)
  if (number === undefined) throw new Error(`no call ${call}`)
  return number
}

/** These calls are let through, whatever their arguments. */
export function allowCalls(...calls: readonly string[]): Change {
  return all(...calls.map((call) => exempt(numberAt, equals, numberOf(call))))
}

/** The entry for 32-bit programs of x86: AUDIT_ARCH_I386. */
export const allowI386: Change = exempt(architectureAt, equals, 0x4000_0003)
export const allowX32: Change = exempt(numberAt, anyBit, 0x4000_0000)

/** Files are guarded by mounts alone. */
export const noLandlockFiles: Change = (plan) => ({
  ...plan,
  landlock: { ...plan.landlock, handledFs: 0n, paths: [] },
})

export const noLandlockPorts: Change = (plan) => ({
  ...plan,
  landlock: { ...plan.landlock, handledNet: 0n, ports: [] },
})

/** LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET is 1, LANDLOCK_SCOPE_SIGNAL 2. */
export function noScope(bit: bigint): Change {
  return (plan) => ({ ...plan, landlockScope: plan.landlockScope & ~bit })
}

/** Those that this host can give at all: in a container some are missing. */
const given = BigInt(`0x${/^CapBnd:\t(\w+)$/m.exec(readProc('self/status'))?.[1] ?? '0'}`)

export function canGive(name: string): boolean {
  return (given & capabilityMask(capabilityNumbers(name))) !== 0n
}

/** Without a name: all that this host can give. */
export function withCapabilities(...names: readonly string[]): Change {
  const mask = names.length === 0 ? given : capabilityMask(capabilityNumbers(...names))
  return (plan) => ({ ...plan, capabilities: plan.capabilities | mask })
}

/** The host's network. */
export const noNetworkNamespace: Change = (plan) => ({
  ...plan,
  namespaces:
    plan.namespaces & ~(wireNamespace.network | wireNamespace.networkOwn | wireNamespace.loopback),
})

/** The host's root, as the command's own. */
export const noMountNamespace: Change = (plan) => ({
  ...plan,
  namespaces: plan.namespaces & ~wireNamespace.mount,
  mounts: [],
})

/** One bind of the plan with other rights. */
export function rightsOf(
  target: string,
  rights: Readonly<{ writable?: boolean; executable?: boolean }>,
): Change {
  return (plan) => ({
    ...plan,
    mounts: changedOnce(plan.mounts, (mount) =>
      mount.kind === 'bind' && mount.target === target ? { ...mount, ...rights } : mount,
    ),
  })
}

/** The bind that lays a read-only /proc over the run's own is left out. */
export const writableProc: Change = (plan) => {
  const mounts = plan.mounts.filter((mount) => mount.kind !== 'bind' || mount.source !== '/proc/')
  if (mounts.length !== plan.mounts.length - 1) throw new Error('no read-only /proc')
  return { ...plan, mounts }
}

/** The host's /tmp. */
export const sharedTmp: Change = (plan) => ({
  ...plan,
  mounts: changedOnce(plan.mounts, (mount) => {
    const rights = { writable: true, executable: false, optional: false }
    if (mount.kind !== 'tmpfs' || mount.target !== '/tmp') return mount
    return { kind: 'bind', source: clean('/tmp'), target: mount.target, ...rights }
  }),
})

export function withDevice(path: string): Change {
  const device = {
    kind: 'device',
    source: clean(path),
    target: clean(path),
    optional: false,
  } as const
  return (plan) => ({ ...plan, mounts: [...plan.mounts, device] })
}

/** RLIMIT_*: inherited from the launcher. */
export function noRlimit(resource: number): Change {
  return (plan) => ({
    ...plan,
    rlimits: plan.rlimits.filter((limit) => limit.resource !== resource),
  })
}

function changedOnce<T>(list: readonly T[], change: (item: T) => T): readonly T[] {
  const changed = list.map(change)
  if (changed.filter((item, at) => item !== list[at]).length !== 1)
    throw new Error('not one change')
  return changed
}
