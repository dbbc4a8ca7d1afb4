import { BelladonnaError } from '../error.ts'
import { isGid, isUid } from '../identity.ts'
import type { Gid, Subject } from '../identity.ts'
import {
  expectEnd,
  openReader,
  openWriter,
  readBytes,
  readRest,
  readU16,
  readU32,
  readU64,
  writeBytes,
  writeU16,
  writeU32,
  writeU64,
  written,
} from './bytes.ts'
import { formatHex } from '../audit/merkle.ts'
import { findUnit } from './unit.ts'
import { formatFrame } from './frame.ts'
import {
  maxCgroups,
  maxGroups,
  maxInputs,
  wireKind,
  wireLayout,
  wirePrepareFlag,
  wireSubjectFlag,
  wireVersion,
} from './layout.ts'

/** What the launcher says first: its version, and enum wire_feature bits of what this kernel can enforce. */
export type Hello = Readonly<{ features: number }>

export function parseHello(body: Uint8Array): Hello {
  const reader = openReader(body)
  const version = readU32(reader)
  const features = readU32(reader)
  readU64(reader)
  expectEnd(reader)
  if (version !== wireVersion) {
    throw new BelladonnaError('frame_invalid', `hello: version ${version}`)
  }
  return { features }
}

/** A request as the launcher passes it on: who asks is the kernel's word, what is asked is not looked at yet. */
export type Submission = Readonly<{
  run: number
  subject: Subject
  /** enum wire_stdio of the client's descriptors 0, 1, 2. */
  stdio: readonly [number, number, number]
  /** How many sealed descriptors came behind those. */
  inputs: number
  /** The launcher's clock when it passed the request on. */
  timeMs: number
  /** Of this request alone: 32 hexadecimal digits. */
  nonce: string
  /** The body of the request frame. Untrusted. */
  request: Uint8Array
}>

/** @throws {BelladonnaError} `frame_invalid`; the launcher never sends such a frame */
export function parseSubmission(body: Uint8Array): Submission {
  const reader = openReader(body)
  const run = readU64(reader)
  const pid = readU32(reader)
  const uid = readU32(reader)
  const gid = readU32(reader)
  const flags = readU32(reader)
  const [stdin = 0, stdout = 0, stderr = 0] = readBytes(reader, 4)
  const count = readU32(reader)
  const cgroupsSize = readU32(reader)
  const inputs = readU32(reader)
  const timeMs = readU64(reader)
  const nonce = formatHex(readBytes(reader, 16))
  if (cgroupsSize >= maxCgroups) throw invalid('submission: cgroups')
  if (inputs > maxInputs) throw invalid('submission: inputs')
  if (!isUid(uid) || !isGid(gid) || count > maxGroups) throw invalid('submission: subject')
  const groups = new Set<Gid>()
  for (let i = 0; i < count; i++) {
    const group = readU32(reader)
    if (!isGid(group)) throw invalid('submission: group')
    groups.add(group)
  }
  const known =
    wireSubjectFlag.otherUserNamespace |
    wireSubjectFlag.otherPidNamespace |
    wireSubjectFlag.namespaceUnknown
  if ((flags & ~known) !== 0) throw invalid('submission: flags')
  const subject: Subject = {
    ...{ uid, gid, pid, foreign: flags !== 0 },
    groups: [...groups].sort((a, b) => a - b),
    unit: findUnit(readBytes(reader, cgroupsSize)),
  }
  const request = readRest(reader)
  return { run, subject, stdio: [stdin, stdout, stderr], inputs, timeMs, nonce, request }
}

/**
 * The executor is ready. The launcher prepares processes that keep none but these capabilities.
 *
 * @param kept bit n: some profile of the policy in force keeps capability n
 */
export function formatExecutorReady(kept: bigint): Uint8Array {
  return formatFrame(wireKind.executorReady, maskBytes(kept))
}

/** Another policy is in force, with other capabilities: from the next PREPARE on these are kept. */
export function formatKept(kept: bigint): Uint8Array {
  return formatFrame(wireKind.kept, maskBytes(kept))
}

function maskBytes(mask: bigint): Uint8Array {
  const body = new Uint8Array(8)
  new DataView(body.buffer).setBigUint64(0, mask, true)
  return body
}

/** How a run ended, as the launcher saw it. `kind` is enum wire_end, `stage` enum wire_stage, `limits` enum wire_limit. */
export type RunEnd = Readonly<{
  run: number
  kind: number
  value: number
  stage: number
  limits: number
  features: number
  userUs: number
  systemUs: number
  maxRssKib: number
  wallUs: number
  /** What the run's relay said, for `parseRunOutput`; empty if it had none. Untrusted. */
  output: Uint8Array
}>

export function parseRunEnd(body: Uint8Array): RunEnd {
  const reader = openReader(body)
  const run = readU64(reader)
  const kind = readU32(reader)
  const value = readU32(reader)
  const [stage, limits] = [readU16(reader), readU16(reader)]
  const features = readU32(reader)
  const [userUs, systemUs, maxRssKib, wallUs] = [
    readU64(reader),
    readU64(reader),
    readU64(reader),
    readU64(reader),
  ]
  const output = readRest(reader)
  if (output.length !== 0 && output.length !== wireLayout.output.size) throw invalid('end: output')
  return { run, kind, value, stage, limits, features, userUs, systemUs, maxRssKib, wallUs, output }
}

/** A sandbox and what is started in it, as bytes of spec/plan.md. */
export type Prepared = Readonly<{ plan: Uint8Array; command: Uint8Array }>

/**
 * PREPARE: builds the sandbox of `plan` around `command` and holds it at the gate.
 *
 * @param inputs as they were submitted
 * @param proxy what stands between the run and its filtered sockets, exactly if the plan says that there is one
 * @param detach the run goes on when its client is gone
 */
export function formatPrepare(
  run: number,
  plan: Uint8Array,
  command: Uint8Array,
  {
    inputs = 0,
    proxy = null,
    detach = false,
  }: Readonly<{ inputs?: number; proxy?: Prepared | null; detach?: boolean }> = {},
): Uint8Array {
  const plain = { inputs: 0, flags: 0, proxySize: 0 }
  const inner = proxy === null ? [] : [prepareHead(run, proxy, plain), proxy.plan, proxy.command]
  const proxySize = inner.reduce((sum, part) => sum + part.length, 0)
  const flags = detach ? wirePrepareFlag.detach : 0
  const head = prepareHead(run, { plan, command }, { inputs, flags, proxySize })
  return formatFrame(wireKind.prepare, head, plan, command, ...inner)
}

function prepareHead(
  run: number,
  { plan, command }: Prepared,
  { inputs, flags, proxySize }: Readonly<{ inputs: number; flags: number; proxySize: number }>,
): Uint8Array {
  const writer = openWriter(24)
  writeU64(writer, run)
  for (const value of [plan.length, command.length]) writeU32(writer, value)
  for (const value of [inputs, flags]) writeU16(writer, value)
  writeU32(writer, proxySize)
  return written(writer)
}

/** OPEN: lets the command start. `ticket` goes to the client as it is; at most 256 bytes. */
export function formatOpen(run: number, ticket: Uint8Array): Uint8Array {
  const writer = openWriter(8)
  writeU64(writer, run)
  return formatFrame(wireKind.open, written(writer), ticket)
}

/** REFUSE: tells the client no. `problem` is an RFC 9457 problem as JSON text of at most 4 KiB. */
export function formatRefuse(run: number, exitStatus: number, problem: string): Uint8Array {
  const writer = openWriter(512)
  writeU64(writer, run)
  writeU32(writer, exitStatus)
  writeBytes(writer, new TextEncoder().encode(problem))
  return formatFrame(wireKind.refuse, written(writer))
}

function invalid(what: string): BelladonnaError {
  return new BelladonnaError('frame_invalid', what)
}
