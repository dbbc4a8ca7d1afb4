import { BelladonnaError } from '../error.ts'
import {
  maxFrameBytes,
  wireLayout,
  wireNamespace,
  wirePlanFlag,
  wireVersion,
} from '../protocol/layout.ts'
import { capabilityNames } from './capabilities.ts'
import { askedBy } from './enforcement.ts'
import { landlockFs } from './landlock.ts'
import type { Landlock } from './landlock.ts'
import { readLandlock, writeLandlock } from './landlock-bytes.ts'
import type { LandlockHead } from './landlock-bytes.ts'
import type { Mount } from './mount.ts'
import { mountProblem, ownMounts, readMount, writeMount } from './mount.ts'
import { instructionBytes } from './seccomp-program.ts'
import type { ByteReader, ByteWriter } from './wire-bytes.ts'
import { malformed, newByteReader, newByteWriter } from './wire-bytes.ts'

/** One limit of setrlimit(2); `unlimited` stands for RLIM_INFINITY. */
export type Rlimit = Readonly<{ resource: number; soft: bigint; hard: bigint }>

/** RLIM_INFINITY. */
export const unlimited = 0xffff_ffff_ffff_ffffn

/** What a sandbox allows, as the launcher applies it. The same plan gives the same bytes. */
export type Plan = Readonly<{
  /** Bits of `wireNamespace`. */
  namespaces: number
  /** Bit n: capability n stays, in all five sets. */
  capabilities: bigint
  /** LANDLOCK_SCOPE_* bits, in force where the kernel has them. */
  landlockScope: bigint
  /** Rules for files and TCP ports; of each what the kernel has is in force. */
  landlock: Landlock
  /** 0: no limit. */
  memoryMaxBytes: number
  /** Bytes of stdout and stderr together, through a relay; 0: the client's own descriptors. */
  outputMaxBytes: number
  /** Processes and threads together; 0: no limit. */
  pidsMax: number
  /** 0: no limit. */
  timeLimitMs: number
  umask: number
  /** Bits of `wirePlanFlag`. */
  flags: number
  rlimits: readonly Rlimit[]
  /** In the order in which they are made; needs the mount namespace. */
  mounts: readonly Mount[]
  /** A seccomp program, 8 bytes an instruction; never empty. */
  seccomp: Uint8Array
}>

/** Counts that the launcher refuses to go above. */
export const planBounds = { rlimits: 32, mounts: 512, seccomp: 4096 } as const

/** What a plan and a command may have together: a frame's body without `prepare` and two u32 counts. */
export const maxPrepareBytes: number = maxFrameBytes - wireLayout.prepare.size - 8

const newestResource = 15 // RLIMIT_RTTIME
const maxUmask = 0o777
const maxLandlockScope = 3n

/**
 * A plan's bytes.
 *
 * @throws {BelladonnaError} `input_invalid` if the launcher would refuse the plan
 * @see spec/plan.md
 */
export function formatPlan(plan: Plan): Uint8Array {
  const problem = planProblem(plan)
  if (problem !== undefined) throw new BelladonnaError('input_invalid', `format plan: ${problem}`)
  const writer = newByteWriter('plan')
  writeHead(writer, plan)
  for (const { resource, soft, hard } of plan.rlimits) {
    writer.u32(resource)
    writer.u32(0)
    writer.u64(soft)
    writer.u64(hard)
  }
  const own = ownMounts(plan.mounts)
  plan.mounts.forEach((mount, index) => writeMount(writer, mount, own[index] === true))
  writeLandlock(writer, plan.landlock)
  writer.raw(plan.seccomp)
  const bytes = writer.bytes()
  if (bytes.length > maxPrepareBytes) {
    throw new BelladonnaError('input_invalid', `format plan: ${bytes.length} bytes`)
  }
  return bytes
}

/**
 * The plan that bytes hold. Only what `formatPlan` makes is a plan: `formatPlan(parsePlan(b))` is `b` again.
 *
 * @throws {BelladonnaError} `frame_invalid` on anything else
 * @see spec/plan.md
 */
export function parsePlan(bytes: Uint8Array): Plan {
  if (bytes.length > maxPrepareBytes) throw malformed('plan', `${bytes.length} bytes`)
  const reader = newByteReader('plan', bytes)
  const head = readHead(reader)
  const rlimits = times(head.rlimitCount, () => readRlimit(reader))
  const entries = times(head.mountCount, () => readMount(reader))
  const mounts = entries.map(({ mount }) => mount)
  const own = ownMounts(mounts)
  if (entries.some((entry, index) => entry.own !== own[index]))
    throw malformed('plan', 'own mounts')
  const landlock = readLandlock(reader, head.landlock)
  const seccomp = reader.raw(head.seccompCount * instructionBytes)
  reader.end()
  const plan = { ...head.fixed, rlimits, mounts, landlock, seccomp }
  const problem = planProblem(plan)
  if (problem !== undefined) throw malformed('plan', problem)
  if (head.features !== askedBy(plan)) throw malformed('plan', 'features')
  return plan
}

function writeHead(writer: ByteWriter, plan: Plan): void {
  writer.u32(wireVersion)
  writer.u32(plan.namespaces)
  writer.u64(plan.capabilities)
  writer.u64(plan.landlockScope)
  writer.u64(plan.landlock.handledFs)
  writer.u64(plan.landlock.handledNet)
  writer.u64(plan.memoryMaxBytes)
  writer.u64(plan.outputMaxBytes)
  writer.u32(plan.pidsMax)
  writer.u32(plan.timeLimitMs)
  writer.u32(plan.umask)
  writer.u32(plan.flags)
  writer.u16(plan.rlimits.length)
  writer.u16(plan.mounts.length)
  writer.u16(plan.seccomp.length / instructionBytes)
  writer.u16(plan.landlock.paths.length)
  writer.u16(plan.landlock.ports.length)
  writer.u16(0)
  writer.u32(askedBy(plan))
}

type Head = Readonly<{
  fixed: Omit<Plan, 'rlimits' | 'mounts' | 'landlock' | 'seccomp'>
  landlock: LandlockHead
  rlimitCount: number
  mountCount: number
  seccompCount: number
  features: number
}>

function readHead(reader: ByteReader): Head {
  if (reader.u32() !== wireVersion) throw malformed('plan', 'another version')
  const above = {
    namespaces: reader.u32(),
    capabilities: reader.u64(),
    landlockScope: reader.u64(),
  }
  const handled = { handledFs: reader.u64(), handledNet: reader.u64() }
  const fixed = {
    ...above,
    memoryMaxBytes: reader.count64(),
    outputMaxBytes: reader.count64(),
    pidsMax: reader.u32(),
    timeLimitMs: reader.u32(),
    umask: reader.u32(),
    flags: reader.u32(),
  }
  const [rlimitCount, mountCount, seccompCount] = [reader.u16(), reader.u16(), reader.u16()]
  const landlock = { ...handled, pathCount: reader.u16(), portCount: reader.u16() }
  if (reader.u16() !== 0) throw malformed('plan', 'a padding that is not 0')
  return { fixed, landlock, rlimitCount, mountCount, seccompCount, features: reader.u32() }
}

function readRlimit(reader: ByteReader): Rlimit {
  const resource = reader.u32()
  if (reader.u32() !== 0) throw malformed('plan', 'a padding that is not 0')
  return { resource, soft: reader.u64(), hard: reader.u64() }
}

/** Why the launcher would not take this plan, or undefined. */
function planProblem(plan: Plan): string | undefined {
  const { namespaces, rlimits, mounts, seccomp } = plan
  const has = (bit: number): boolean => (namespaces & bit) !== 0
  const problems: readonly (readonly [boolean, string])[] = [
    [(namespaces & ~bitsOf(wireNamespace)) !== 0, 'an unknown namespace'],
    [has(wireNamespace.networkOwn) && !has(wireNamespace.network), 'own network without network'],
    [has(wireNamespace.loopback) && !has(wireNamespace.networkOwn), 'loopback without own network'],
    [plan.capabilities >> BigInt(capabilityNames.length) !== 0n, 'an unknown capability'],
    [plan.landlockScope < 0n || plan.landlockScope > maxLandlockScope, 'an unknown scope'],
    [plan.umask > maxUmask, `umask ${plan.umask}`],
    [(plan.flags & ~knownFlags) !== 0, 'an unknown flag'],
    [
      (plan.flags & wirePlanFlag.recorded) !== 0 && plan.outputMaxBytes === 0,
      'recorded without a cap',
    ],
    [rlimits.length > planBounds.rlimits, `${rlimits.length} limits`],
    [new Set(rlimits.map(({ resource }) => resource)).size !== rlimits.length, 'a limit twice'],
    [rlimits.some(({ resource }) => resource > newestResource), 'an unknown limit'],
    [rlimits.some(({ soft, hard }) => soft > hard), 'a soft limit above the hard one'],
    [mounts.length > planBounds.mounts, `${mounts.length} mounts`],
    [mounts.length > 0 && !has(wireNamespace.mount), 'mounts without a mount namespace'],
    [
      mounts.length === 0 &&
        plan.landlock.paths.some((rule) => changes(rule) && rule.access !== recordingAccess),
      'rights to change the host',
    ],
    [seccomp.length === 0 || seccomp.length % instructionBytes !== 0, 'no whole seccomp program'],
    [seccomp.length > planBounds.seccomp * instructionBytes, 'a seccomp program too long'],
  ]
  const found = problems.find(([applies]) => applies)
  if (found !== undefined) return found[1]
  return mounts.map(mountProblem).find((problem) => problem !== undefined)
}

/** In a plan without mounts a rule is about the host's own files: a relay's, for its program. */
function changes({ access }: Landlock['paths'][number]): boolean {
  return (access & ~(landlockFs.execute | landlockFs.readFile)) !== 0n
}

/** What a relay that records may do in one directory of the host: make a file, and remove what it made in vain. */
export const recordingAccess: bigint =
  landlockFs.makeReg | landlockFs.removeFile | landlockFs.truncate | landlockFs.writeFile
const knownFlags =
  wirePlanFlag.stdinNull | wirePlanFlag.noExec | wirePlanFlag.proxied | wirePlanFlag.recorded

function bitsOf(flags: Readonly<Record<string, number>>): number {
  return Object.values(flags).reduce((all, bit) => all | bit, 0)
}

function times<T>(count: number, make: () => T): readonly T[] {
  return Array.from({ length: count }, make)
}
